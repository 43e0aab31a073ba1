/* SPDX-License-Identifier: Apache-2.0 */
/* What a dataset of records holds, and in what shape. */
#include "data/hdf5/table_open.h"

#include "data/hdf5/errors.h"
#include "data/hdf5/sources.h"
#include "data/hdf5/types.h"

/* Chunks kept unpacked, so that a read which ends inside one costs nothing. */
#define CACHED_CHUNKS 4
#define CACHE_LEAST ((size_t)1 << 20)
#define CACHE_MOST ((size_t)1 << 30)
#define CACHE_SLOTS 521 /* prime; HDF5's default */
/* Rows of a table, and bytes of one: a jet of ten million constituents is none. With
 * them no product of rows, slots and record overflows. */
#define MOST_ROWS ((hsize_t)1 << 32)
#define MOST_ROW ((size_t)1 << 30)

/* Kind and size of a stored type; enums count as the integers under them. */
static void describe_integer(hid_t type, gn2_h5_field *field)
{
    field->kind = H5Tget_sign(type) == H5T_SGN_NONE ? GN2_H5_UINT : GN2_H5_INT;
    field->size = (int32_t)H5Tget_size(type);
}

static int same_as_native(hid_t type, const gn2_h5_field *field)
{
    const hid_t native = gn2_hdf5_native(field->kind, field->size);
    if (native < 0) return 0;
    const int same = H5Tequal(type, native) > 0;
    H5Tclose(native);
    return same;
}

static int describe_enum(hid_t type, gn2_h5_field *field)
{
    const hid_t base = H5Tget_super(type);
    describe_integer(base, field);
    const int direct = same_as_native(base, field);
    H5Tclose(base);
    gn2_h5_field as_bool = {.kind = GN2_H5_BOOL, .size = field->size};
    if (same_as_native(type, &as_bool)) field->kind = GN2_H5_BOOL;
    /* an enum is converted by member names, which is never wanted here */
    if (!direct) field->kind = GN2_H5_OTHER;
    return 1;
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

/* Fills kind and size as they will be in memory; returns whether that is how the
 * field is stored. Larger numbers than ours would be cut or rounded twice. */
static int describe(hid_t type, gn2_h5_field *field)
{
    switch (H5Tget_size(type) <= 8 ? H5Tget_class(type) : H5T_NO_CLASS) {
    case H5T_ENUM:
        return describe_enum(type, field);
    case H5T_INTEGER:
        describe_integer(type, field);
        if (same_as_native(type, field)) return 1;
        field->size = 8;
        return 0;
    case H5T_FLOAT:
        field->kind = GN2_H5_FLOAT;
        field->size = (int32_t)H5Tget_size(type);
        if (same_as_native(type, field)) return 1;
        field->size = 8;
        return 0;
    default:
        field->kind = GN2_H5_OTHER;
        field->size = has_fixed_size(type) ? (int32_t)H5Tget_size(type) : 0;
        return 1;
    }
}

static void describe_fields(gn2_h5_table *table)
{
    for (size_t i = 0; i < table->info.field_count; i++) {
        const hid_t type = H5Tget_member_type(table->file_type, (unsigned)i);
        table->fields[i].offset = -1;
        table->fields[i].stored = (int32_t)H5Tget_size(type);
        table->direct[i] = (uint8_t)describe(type, &table->fields[i]);
        H5Tclose(type);
    }
}

/* Sizes of a file are what it claims: they are compared before they are multiplied. */
static gn2_status check_sizes(const gn2_h5_table *table, const hsize_t dims[2])
{
    const size_t record = H5Tget_size(table->file_type);
    if (dims[0] > MOST_ROWS)
        return gn2_hdf5_fail(GN2_ERR_FORMAT,
                             "'%s': dataset '%s' has %llu rows, at most %llu are "
                             "possible",
                             table->path, table->name, (unsigned long long)dims[0],
                             (unsigned long long)MOST_ROWS);
    if (record > MOST_ROW || dims[1] > MOST_ROW / record)
        return gn2_hdf5_fail(GN2_ERR_FORMAT,
                             "'%s': dataset '%s' has rows of %llu slots of %zu bytes, "
                             "at most %zu bytes a row are possible",
                             table->path, table->name, (unsigned long long)dims[1],
                             record, MOST_ROW);
    return GN2_OK;
}

static gn2_status describe_shape(gn2_h5_table *table)
{
    hsize_t dims[2] = {0, 1}, chunk[2] = {0, 1};
    const hid_t space = H5Dget_space(table->dataset);
    table->info.rank = H5Sget_simple_extent_ndims(space);
    if (table->info.rank == 1 || table->info.rank == 2)
        H5Sget_simple_extent_dims(space, dims, NULL);
    H5Sclose(space);
    GN2_TRY(check_sizes(table, dims));
    table->info.rows = (int64_t)dims[0];
    table->info.slots = (int64_t)dims[1];
    const hid_t plist = H5Dget_create_plist(table->dataset);
    if (H5Pget_layout(plist) == H5D_CHUNKED) H5Pget_chunk(plist, 2, chunk);
    H5Pclose(plist);
    table->info.chunk_rows = (int64_t)chunk[0];
    return GN2_OK;
}

/* Opens again with a chunk cache that holds a few chunks of this dataset. */
static void enlarge_cache(gn2_h5_table *table, hid_t file)
{
    const size_t chunk = (size_t)table->info.chunk_rows * (size_t)table->info.slots *
                         H5Tget_size(table->file_type);
    if (chunk <= CACHE_LEAST / CACHED_CHUNKS || chunk > CACHE_MOST / CACHED_CHUNKS)
        return;
    const hid_t plist = H5Pcreate(H5P_DATASET_ACCESS);
    H5Pset_chunk_cache(plist, CACHE_SLOTS, CACHED_CHUNKS * chunk, 1.0);
    const hid_t again = H5Dopen2(file, table->name, plist);
    H5Pclose(plist);
    if (again < 0) return;
    H5Dclose(table->dataset);
    table->dataset = again;
}

static gn2_status check_table(gn2_h5_table *table)
{
    if (table->info.rank != 1 && table->info.rank != 2)
        return gn2_hdf5_fail(GN2_ERR_FORMAT,
                             "'%s': dataset '%s' has %d dimensions, 1 or 2 are needed",
                             table->path, table->name, (int)table->info.rank);
    return gn2_hdf5_survey(table);
}

/* Field names are owned by the table. */
static gn2_status load_table(gn2_h5_table *table, hid_t file)
{
    const int count = H5Tget_nmembers(table->file_type);
    for (int i = 0; i < count; i++) {
        table->fields[i].name = H5Tget_member_name(table->file_type, (unsigned)i);
        if (!table->fields[i].name) return gn2_fail_memory();
        table->info.field_count++;
    }
    describe_fields(table);
    gn2_status status = describe_shape(table);
    if (gn2_hdf5_ran_short()) return gn2_fail_memory();
    if (status == GN2_OK) status = check_table(table);
    if (status == GN2_OK) enlarge_cache(table, file);
    return status;
}

/* The stored type of a dataset of records. */
static gn2_status record_type(hid_t dataset, const char *path, const char *name,
                              hid_t *out_type)
{
    const hid_t type = H5Dget_type(dataset);
    *out_type = type;
    if (type >= 0 && H5Tget_class(type) == H5T_COMPOUND) return GN2_OK;
    if (type >= 0) H5Tclose(type);
    return gn2_hdf5_fail(GN2_ERR_FORMAT, "'%s': dataset '%s' has no named fields", path,
                         name);
}

gn2_status gn2_hdf5_table_open(gn2_h5_file *file, const char *name, gn2_h5_table **out)
{
    *out = NULL;
    const hid_t dataset = H5Dopen2(file->id, name, H5P_DEFAULT);
    if (dataset < 0) {
        return gn2_hdf5_fail(GN2_ERR_NOT_FOUND, "'%s': no dataset '%s'", file->path,
                             name);
    }
    hid_t type;
    gn2_status status = record_type(dataset, file->path, name, &type);
    if (status != GN2_OK) {
        H5Dclose(dataset);
        return status;
    }
    gn2_h5_table *table = gn2_hdf5_table_new(file, name, (size_t)H5Tget_nmembers(type));
    if (!table) {
        H5Tclose(type);
        H5Dclose(dataset);
        return gn2_fail_memory();
    }
    table->dataset = dataset;
    table->file_type = type;
    status = load_table(table, file->id);
    if (status == GN2_OK) {
        *out = table;
        return GN2_OK;
    }
    gn2_hdf5_table_free(table);
    return status;
}
