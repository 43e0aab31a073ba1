/* SPDX-License-Identifier: Apache-2.0 */
/* What a dataset of records holds, and in what shape. */
#include "data/hdf5/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "data/hdf5/errors.h"
#include "data/hdf5/types.h"
#include "util/alloc.h"

/* Chunks kept unpacked, so that a read which ends inside one costs nothing. */
#define CACHED_CHUNKS 4
#define CACHE_LEAST ((size_t)1 << 20)
#define CACHE_MOST ((size_t)1 << 30)
#define CACHE_SLOTS 521 /* prime; HDF5's default */
/* Rows of a table, and bytes of one: a jet of ten million constituents is none. With
 * them no product of rows, slots and record overflows. */
#define MOST_ROWS ((hsize_t)1 << 32)
#define MOST_ROW ((size_t)1 << 30)

gn2_h5_table *gn2_hdf5_table_new(gn2_h5_file *file, const char *name)
{
    const size_t size = strlen(name) + 1;
    gn2_h5_table *table = gn2_alloc(sizeof *table + size, 1);
    if (!table) return NULL;
    table->dataset = table->file_type = table->memory_type = table->stored_type = -1;
    table->file = file;
    memcpy(table->name, name, size);
    return table;
}

void gn2_hdf5_table_free(gn2_h5_table *table)
{
    if (!table) return;
    gn2_hdf5_parts_free(table);
    gn2_hdf5_chunks_free(table->chunks);
    if (table->memory_type >= 0) H5Tclose(table->memory_type);
    if (table->file_type >= 0) H5Tclose(table->file_type);
    if (table->stored_type >= 0) H5Tclose(table->stored_type);
    if (table->dataset >= 0) H5Dclose(table->dataset);
    for (size_t i = 0; i < table->info.field_count; i++) {
        H5free_memory((void *)(uintptr_t)table->fields[i].name);
        gn2_free((void *)(uintptr_t)table->fields[i].lacking);
    }
    gn2_hdf5_ranges_free(&table->gaps);
    gn2_free(table->convert);
    gn2_free(table->unreadable);
    gn2_free(table->fill);
    gn2_free(table->fields);
    gn2_free(table);
}

gn2_status gn2_hdf5_table_fail(const gn2_h5_table *table, gn2_status status,
                               const char *format, ...)
{
    char text[GN2_H5_ERROR_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return gn2_hdf5_fail(status, "'%s': dataset '%s'%s", table->file->path, table->name,
                         text);
}

gn2_status gn2_hdf5_table_close(gn2_h5_table *table)
{
    gn2_status status = GN2_OK;
    if (H5Dclose(table->dataset) < 0)
        status = gn2_hdf5_table_fail(table, GN2_ERR_IO, " cannot be closed");
    table->dataset = -1;
    gn2_hdf5_table_free(table);
    return status;
}

herr_t gn2_hdf5_table_rows(const gn2_h5_table *table, int64_t start, int64_t count,
                           hid_t out_space[2])
{
    const hsize_t from[2] = {(hsize_t)start, 0};
    const hsize_t size[2] = {(hsize_t)count, (hsize_t)table->info.slots};
    out_space[0] = H5Dget_space(table->dataset);
    out_space[1] = H5Screate_simple(table->info.rank, size, NULL);
    return H5Sselect_hyperslab(out_space[0], H5S_SELECT_SET, from, NULL, size, NULL);
}

/* ---- fields ---- */

/* Kind and size of a stored number. */
static void describe_number(hid_t type, gn2_h5_field *field)
{
    field->size = (int32_t)H5Tget_size(type);
    if (H5Tget_class(type) == H5T_FLOAT)
        field->kind = GN2_H5_FLOAT;
    else
        field->kind = H5Tget_sign(type) == H5T_SGN_NONE ? GN2_H5_UINT : GN2_H5_INT;
}

static int same_as_native(hid_t type, int32_t kind, int32_t size)
{
    const hid_t native = gn2_hdf5_native(kind, size);
    if (native < 0) return 0;
    const int same = H5Tequal(type, native) > 0;
    H5Tclose(native);
    return same;
}

/* Enums count as the integers under them; they are converted by the names of their
 * members, which is never wanted here. */
static void describe_enum(hid_t type, gn2_h5_field *field)
{
    const hid_t base = H5Tget_super(type);
    describe_number(base, field);
    if (!same_as_native(base, field->kind, field->size))
        field->kind = GN2_H5_OTHER;
    else if (same_as_native(type, GN2_H5_BOOL, field->size))
        field->kind = GN2_H5_BOOL;
    H5Tclose(base);
}

/* Is all of it in the record, whatever it is? */
static int has_fixed_size(hid_t type)
{
    const H5T_class_t kind = H5Tget_class(type);
    if (kind == H5T_STRING) return H5Tis_variable_str(type) == 0;
    if (kind == H5T_ARRAY) {
        const hid_t item = H5Tget_super(type);
        const int fixed = has_fixed_size(item);
        H5Tclose(item);
        return fixed;
    }
    if (kind != H5T_COMPOUND) return kind != H5T_VLEN && kind != H5T_REFERENCE;
    int fixed = 1;
    for (int i = 0; fixed && i < H5Tget_nmembers(type); i++) {
        const hid_t member = H5Tget_member_type(type, (unsigned)i);
        fixed = has_fixed_size(member);
        H5Tclose(member);
    }
    return fixed;
}

/* Fills kind and size as they will be in memory. Larger numbers than ours would be cut
 * or rounded twice. */
static void describe(hid_t type, gn2_h5_field *field)
{
    const size_t size = H5Tget_size(type);
    const H5T_class_t kind = size <= 8 ? H5Tget_class(type) : H5T_NO_CLASS;
    field->offset = -1;
    field->stored = (int32_t)size;
    field->direct = 1;
    if (kind == H5T_ENUM) {
        describe_enum(type, field);
    } else if (kind == H5T_INTEGER || kind == H5T_FLOAT) {
        describe_number(type, field);
        field->direct = same_as_native(type, field->kind, field->size);
        if (!field->direct) field->size = 8;
    } else {
        field->kind = GN2_H5_OTHER;
        field->size = has_fixed_size(type) ? (int32_t)size : 0;
    }
}

static gn2_status load_fields(gn2_h5_table *table)
{
    const int count = H5Tget_nmembers(table->file_type);
    table->fields = gn2_alloc((size_t)count + 1, sizeof *table->fields);
    if (!table->fields) return gn2_fail_memory();
    table->info.fields = table->fields;
    for (int i = 0; i < count; i++) {
        gn2_h5_field *field = &table->fields[i];
        const hid_t type = H5Tget_member_type(table->file_type, (unsigned)i);
        describe(type, field);
        H5Tclose(type);
        field->name = H5Tget_member_name(table->file_type, (unsigned)i);
        if (!field->name) return gn2_fail_memory();
        table->info.field_count++;
    }
    return GN2_OK;
}

/* ---- shape ---- */

/* Sizes of a file are what it claims: they are compared before they are multiplied. */
static gn2_status check_sizes(const gn2_h5_table *table, const hsize_t dims[2])
{
    const size_t record = H5Tget_size(table->file_type);
    if (dims[0] > MOST_ROWS)
        return gn2_hdf5_table_fail(
            table, GN2_ERR_FORMAT, " has %llu rows, at most %llu are possible",
            (unsigned long long)dims[0], (unsigned long long)MOST_ROWS);
    if (record > MOST_ROW || dims[1] > MOST_ROW / record)
        return gn2_hdf5_table_fail(table, GN2_ERR_FORMAT,
                                   " has rows of %llu slots of %zu bytes, at most %zu "
                                   "bytes a row are possible",
                                   (unsigned long long)dims[1], record, MOST_ROW);
    return GN2_OK;
}

static gn2_status describe_shape(gn2_h5_table *table)
{
    gn2_h5_info *info = &table->info;
    hsize_t dims[2], chunk[2] = {0, 1};
    const hid_t space = H5Dget_space(table->dataset);
    info->rank = H5Sget_simple_extent_ndims(space);
    gn2_hdf5_extent(space, dims);
    H5Sclose(space);
    if (info->rank != 1 && info->rank != 2)
        return gn2_hdf5_table_fail(table, GN2_ERR_FORMAT,
                                   " has %d dimensions, 1 or 2 are needed",
                                   (int)info->rank);
    GN2_TRY(check_sizes(table, dims));
    const hid_t plist = H5Dget_create_plist(table->dataset);
    if (H5Pget_layout(plist) == H5D_CHUNKED) H5Pget_chunk(plist, 2, chunk);
    H5Pclose(plist);
    info->rows = (int64_t)dims[0];
    info->slots = (int64_t)dims[1];
    info->chunk_rows = (int64_t)chunk[0];
    return gn2_hdf5_ran_short() ? gn2_fail_memory() : GN2_OK;
}

/* Opens again with a chunk cache that holds a few chunks of this dataset. */
static void enlarge_cache(gn2_h5_table *table)
{
    const size_t chunk = (size_t)table->info.chunk_rows * (size_t)table->info.slots *
                         H5Tget_size(table->file_type);
    if (chunk <= CACHE_LEAST / CACHED_CHUNKS || chunk > CACHE_MOST / CACHED_CHUNKS)
        return;
    const hid_t plist = H5Pcreate(H5P_DATASET_ACCESS);
    H5Pset_chunk_cache(plist, CACHE_SLOTS, CACHED_CHUNKS * chunk, 1.0);
    const hid_t again = H5Dopen2(table->file->id, table->name, plist);
    H5Pclose(plist);
    if (again < 0) return;
    H5Dclose(table->dataset);
    table->dataset = again;
}

/* ---- the call ---- */

static gn2_status load_table(gn2_h5_table *table)
{
    table->dataset = H5Dopen2(table->file->id, table->name, H5P_DEFAULT);
    if (table->dataset < 0)
        return gn2_hdf5_fail(GN2_ERR_NOT_FOUND, "'%s': no dataset '%s'",
                             table->file->path, table->name);
    table->file_type = H5Dget_type(table->dataset);
    if (table->file_type < 0 || H5Tget_class(table->file_type) != H5T_COMPOUND)
        return gn2_hdf5_table_fail(table, GN2_ERR_FORMAT, " has no named fields");
    GN2_TRY(load_fields(table));
    GN2_TRY(describe_shape(table));
    GN2_TRY(gn2_hdf5_survey(table));
    enlarge_cache(table);
    return gn2_hdf5_parts_find(table);
}

gn2_status gn2_hdf5_table_open(gn2_h5_file *file, const char *name, gn2_h5_table **out)
{
    *out = NULL;
    gn2_h5_table *table = gn2_hdf5_table_new(file, name);
    if (!table) return gn2_fail_memory();
    const gn2_status status = load_table(table);
    if (status == GN2_OK)
        *out = table;
    else
        gn2_hdf5_table_free(table);
    return status;
}
