/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry of the HDF5 module: the table of calls, each wrapped so that HDF5 prints
 * nothing and the program's own error handler comes back afterwards.
 */
#include "data/h5_internal.h"

#include "util/alloc.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void gn2_h5_enter(gn2_h5_guard *guard)
{
    H5Eget_auto2(H5E_DEFAULT, &guard->print, &guard->context);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5Eclear2(H5E_DEFAULT);
    gn2_h5_register_filters();
}

void gn2_h5_leave(const gn2_h5_guard *guard)
{
    H5Eclear2(H5E_DEFAULT);
    H5Eset_auto2(H5E_DEFAULT, guard->print, guard->context);
}

/* Entries come from the innermost function outwards; the first says why. */
static herr_t keep_first(unsigned n, const H5E_error2_t *entry, void *context)
{
    if (n == 0) *(const char **)context = entry->desc;
    return 0;
}

gn2_status gn2_h5_fail(char *error, gn2_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(error, GN2_H5_ERROR_SIZE, format, args);
    va_end(args);
    const char *reason = NULL;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_first, &reason);
    if (reason && length >= 0 && length < GN2_H5_ERROR_SIZE)
        snprintf(error + length, (size_t)(GN2_H5_ERROR_SIZE - length), " (HDF5: %s)",
                 reason);
    return status;
}

gn2_status gn2_h5_no_memory(char *error)
{
    snprintf(error, GN2_H5_ERROR_SIZE, "out of memory");
    return GN2_ERR_NO_MEMORY;
}

hid_t gn2_h5_half(void)
{
    const hid_t type = H5Tcopy(H5T_NATIVE_FLOAT);
    /* IEEE 754 binary16: sign bit 15, 5 bits of exponent, 10 of mantissa */
    H5Tset_fields(type, 15, 10, 5, 0, 10);
    H5Tset_size(type, 2);
    H5Tset_ebias(type, 15);
    return type;
}

static hid_t native_integer(int32_t size, int is_signed)
{
    switch (size) {
    case 1:
        return is_signed ? H5T_NATIVE_INT8 : H5T_NATIVE_UINT8;
    case 2:
        return is_signed ? H5T_NATIVE_INT16 : H5T_NATIVE_UINT16;
    case 4:
        return is_signed ? H5T_NATIVE_INT32 : H5T_NATIVE_UINT32;
    case 8:
        return is_signed ? H5T_NATIVE_INT64 : H5T_NATIVE_UINT64;
    default:
        return -1;
    }
}

static hid_t new_bool(void)
{
    const hid_t type = H5Tenum_create(H5T_NATIVE_INT8);
    const int8_t no = 0, yes = 1;
    H5Tenum_insert(type, "FALSE", &no);
    H5Tenum_insert(type, "TRUE", &yes);
    return type;
}

static hid_t native_float(int32_t size)
{
    if (size == 2) return gn2_h5_half();
    if (size == 4) return H5Tcopy(H5T_NATIVE_FLOAT);
    return size == 8 ? H5Tcopy(H5T_NATIVE_DOUBLE) : -1;
}

hid_t gn2_h5_native(int32_t kind, int32_t size)
{
    if (kind == GN2_H5_FLOAT) return native_float(size);
    if (kind == GN2_H5_BOOL) return size == 1 ? new_bool() : -1;
    if (kind != GN2_H5_INT && kind != GN2_H5_UINT) return -1;
    const hid_t type = native_integer(size, kind == GN2_H5_INT);
    return type < 0 ? -1 : H5Tcopy(type);
}

/* Every call of the table goes through here. */
#define GUARDED(call)                   \
    do {                                \
        gn2_h5_guard guard;             \
        gn2_h5_enter(&guard);           \
        const gn2_status status = call; \
        gn2_h5_leave(&guard);           \
        return status;                  \
    } while (0)

static gn2_status file_open(const char *path, gn2_h5_file **out, char *error)
{
    GUARDED(gn2_h5_file_open(path, out, error));
}

static gn2_status table_open(gn2_h5_file *file, const char *name, gn2_h5_table **out,
                             char *error)
{
    GUARDED(gn2_h5_table_open(file, name, out, error));
}

static const gn2_h5_info *table_info(const gn2_h5_table *table)
{
    return &table->info;
}

static gn2_status table_select(gn2_h5_table *table, const uint8_t *wanted, int64_t only,
                               char *error)
{
    GUARDED(gn2_h5_table_select(table, wanted, only, error));
}

static gn2_status table_read(gn2_h5_table *table, int64_t start, int64_t count,
                             void *records, char *error)
{
    GUARDED(gn2_h5_table_read(table, start, count, records, error));
}

static gn2_status table_strings(gn2_h5_table *table, const char *attribute,
                                gn2_h5_text_fn each, void *context, char *error)
{
    GUARDED(gn2_h5_table_strings(table, attribute, each, context, error));
}

static gn2_status file_create(const char *path, gn2_h5_file **out, char *error)
{
    GUARDED(gn2_h5_file_create(path, out, error));
}

static gn2_status table_create(gn2_h5_file *file, const char *name,
                               const gn2_h5_layout *layout, gn2_h5_table **out,
                               char *error)
{
    GUARDED(gn2_h5_table_create(file, name, layout, out, error));
}

static gn2_status table_append(gn2_h5_table *table, int64_t count, const void *records,
                               char *error)
{
    GUARDED(gn2_h5_table_append(table, count, records, error));
}

static gn2_status strings_set(gn2_h5_file *file, gn2_h5_table *table,
                              const char *attribute, const char *const *items,
                              size_t count, char *error)
{
    GUARDED(gn2_h5_strings_set(file, table, attribute, items, count, error));
}

static gn2_status table_close(gn2_h5_table *table, char *error)
{
    GUARDED(gn2_h5_table_close(table, error));
}

static gn2_status file_close(gn2_h5_file *file, char *error)
{
    GUARDED(gn2_h5_file_close(file, error));
}

static const gn2_h5_module module = {
    .version = GN2_H5_VERSION,
    .file_open = file_open,
    .table_open = table_open,
    .table_info = table_info,
    .table_select = table_select,
    .table_read = table_read,
    .table_strings = table_strings,
    .file_create = file_create,
    .table_create = table_create,
    .table_append = table_append,
    .strings_set = strings_set,
    .table_close = table_close,
    .file_close = file_close,
};

__attribute__((visibility("default"))) const gn2_h5_module *gn2_hdf5_module(void);

const gn2_h5_module *gn2_hdf5_module(void)
{
    return &module;
}
