/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry of the HDF5 module: the table of calls, each wrapped so that HDF5 prints
 * nothing and the program's own error handler comes back afterwards.
 */
#include "data/hdf5/crew.h"
#include "data/hdf5/errors.h"
#include "data/hdf5/table.h"

/* A call of the table, NAME(…, error), by gn2_hdf5_NAME(arguments). */
#define GUARDED(name, arguments, ...)                                    \
    static gn2_status name(__VA_ARGS__, char *error)                     \
    {                                                                    \
        gn2_hdf5_guard guard;                                            \
        gn2_hdf5_enter(&guard);                                          \
        return gn2_hdf5_leave(&guard, gn2_hdf5_##name arguments, error); \
    }

GUARDED(file_open, (path, out), const char *path, gn2_h5_file **out)
GUARDED(table_open, (file, name, out), gn2_h5_file *file, const char *name,
        gn2_h5_table **out)
GUARDED(table_select, (table, wanted, only), gn2_h5_table *table, const uint8_t *wanted,
        int64_t only)
GUARDED(crew_new, (hands, out), const gn2_h5_hands *hands, gn2_h5_crew **out)
GUARDED(table_read, (table, read, records), gn2_h5_table *table,
        const gn2_h5_read *read, void *records)
GUARDED(table_is_fill, (table, row, out_fill), gn2_h5_table *table, int64_t row,
        int *out_fill)
GUARDED(strings_read, (table, attribute, each, context), gn2_h5_table *table,
        const char *attribute, gn2_h5_text_fn each, void *context)
GUARDED(file_create, (path, out), const char *path, gn2_h5_file **out)
GUARDED(table_create, (file, name, layout, out), gn2_h5_file *file, const char *name,
        const gn2_h5_layout *layout, gn2_h5_table **out)
GUARDED(table_append, (table, count, records), gn2_h5_table *table, int64_t count,
        const void *records)
GUARDED(strings_write, (file, table, attribute, items, count), gn2_h5_file *file,
        gn2_h5_table *table, const char *attribute, const char *const *items,
        size_t count)
GUARDED(table_close, (table), gn2_h5_table *table)
GUARDED(file_close, (file), gn2_h5_file *file)

static const gn2_h5_info *table_info(const gn2_h5_table *table)
{
    return &table->info;
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
