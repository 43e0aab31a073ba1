/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry of the HDF5 module: the table of calls, each wrapped so that HDF5 prints
 * nothing and the program's own error handler comes back afterwards.
 */
#include "data/hdf5/crew.h"
#include "data/hdf5/errors.h"
#include "data/hdf5/table.h"

/* Every call of the table goes through here. */
#define GUARDED(call)                               \
    do {                                            \
        gn2_hdf5_guard guard;                       \
        gn2_hdf5_enter(&guard);                     \
        return gn2_hdf5_leave(&guard, call, error); \
    } while (0)

static gn2_status file_open(const char *path, gn2_h5_file **out, char *error)
{
    GUARDED(gn2_hdf5_file_open(path, out));
}

static gn2_status table_open(gn2_h5_file *file, const char *name, gn2_h5_table **out,
                             char *error)
{
    GUARDED(gn2_hdf5_table_open(file, name, out));
}

static const gn2_h5_info *table_info(const gn2_h5_table *table)
{
    return &table->info;
}

static gn2_status table_select(gn2_h5_table *table, const uint8_t *wanted, int64_t only,
                               char *error)
{
    GUARDED(gn2_hdf5_table_select(table, wanted, only));
}

static gn2_status crew_new(const gn2_h5_hands *hands, gn2_h5_crew **out, char *error)
{
    GUARDED(gn2_hdf5_crew_new(hands, out));
}

static gn2_status table_read(gn2_h5_table *table, const gn2_h5_read *read,
                             void *records, char *error)
{
    GUARDED(gn2_hdf5_table_read(table, read, records));
}

static gn2_status table_is_fill(gn2_h5_table *table, int64_t row, int *out_fill,
                                char *error)
{
    GUARDED(gn2_hdf5_table_is_fill(table, row, out_fill));
}

static gn2_status strings_read(gn2_h5_table *table, const char *attribute,
                               gn2_h5_text_fn each, void *context, char *error)
{
    GUARDED(gn2_hdf5_strings_read(table, attribute, each, context));
}

static gn2_status file_create(const char *path, gn2_h5_file **out, char *error)
{
    GUARDED(gn2_hdf5_file_create(path, out));
}

static gn2_status table_create(gn2_h5_file *file, const char *name,
                               const gn2_h5_layout *layout, gn2_h5_table **out,
                               char *error)
{
    GUARDED(gn2_hdf5_table_create(file, name, layout, out));
}

static gn2_status table_append(gn2_h5_table *table, int64_t count, const void *records,
                               char *error)
{
    GUARDED(gn2_hdf5_table_append(table, count, records));
}

static gn2_status strings_write(gn2_h5_file *file, gn2_h5_table *table,
                                const char *attribute, const char *const *items,
                                size_t count, char *error)
{
    GUARDED(gn2_hdf5_strings_write(file, table, attribute, items, count));
}

static gn2_status table_close(gn2_h5_table *table, char *error)
{
    GUARDED(gn2_hdf5_table_close(table));
}

static gn2_status file_close(gn2_h5_file *file, char *error)
{
    GUARDED(gn2_hdf5_file_close(file));
}

static const gn2_h5_module module = {
    .version = GN2_H5_VERSION,
    .file_open = file_open,
    .table_open = table_open,
    .table_info = table_info,
    .table_select = table_select,
    .crew_new = crew_new,
    .crew_free = gn2_hdf5_crew_free,
    .table_read = table_read,
    .table_is_fill = table_is_fill,
    .strings_read = strings_read,
    .file_create = file_create,
    .table_create = table_create,
    .table_append = table_append,
    .strings_write = strings_write,
    .table_close = table_close,
    .file_close = file_close,
};

__attribute__((visibility("default"))) const gn2_h5_module *gn2_hdf5_module(void);

const gn2_h5_module *gn2_hdf5_module(void)
{
    return &module;
}
