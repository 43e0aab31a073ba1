/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of records, read by rows. Fields that are stored as this machine keeps
 * numbers (half precision included) are handed on untouched: HDF5's own
 * conversions go value by value and cost more than unpacking the file.
 */
#define _GNU_SOURCE /* strerror_r that returns the text */
#include "data/h5_internal.h"

#include "util/alloc.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Chunks kept unpacked, so that a read which ends inside one costs nothing. */
#define CACHED_CHUNKS 4
#define CACHE_LEAST ((size_t)1 << 20)
#define CACHE_SLOTS 521 /* prime; HDF5's default */

/* Whole records are read when the selection is at least this part of them. */
#define WHOLE_SHARE 4

gn2_status gn2_h5_file_wrap(hid_t id, const char *path, gn2_h5_file **out, char *error)
{
    gn2_h5_file *file = gn2_alloc(1, sizeof *file);
    char *copy = gn2_strdup(path);
    if (!file || !copy) {
        gn2_free(file);
        gn2_free(copy);
        H5Fclose(id);
        return gn2_h5_no_memory(error);
    }
    file->id = id;
    file->path = copy;
    *out = file;
    return GN2_OK;
}

/* Locks fail on many shared file systems, and a reader needs none. */
static hid_t access_without_locks(void)
{
    const hid_t plist = H5Pcreate(H5P_FILE_ACCESS);
#if H5_VERSION_GE(1, 10, 7)
    H5Pset_file_locking(plist, 0, 1);
#endif
    return plist;
}

static gn2_status probe(const char *path, char *error)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        close(fd);
        return GN2_OK;
    }
    const int code = errno;
    char reason[128] = "unknown error";
    const char *text = strerror_r(code, reason, sizeof reason);
    return gn2_h5_fail(error, code == ENOENT ? GN2_ERR_NOT_FOUND : GN2_ERR_IO,
                       "cannot open '%s': %s", path, text);
}

gn2_status gn2_h5_file_open(const char *path, gn2_h5_file **out, char *error)
{
    *out = NULL;
    const gn2_status status = probe(path, error);
    if (status != GN2_OK) return status;
    const hid_t plist = access_without_locks();
    const hid_t id = H5Fopen(path, H5F_ACC_RDONLY, plist);
    H5Pclose(plist);
    if (id < 0)
        return gn2_h5_fail(error, GN2_ERR_FORMAT,
                           "'%s': not a HDF5 file, or damaged or truncated", path);
    return gn2_h5_file_wrap(id, path, out, error);
}

gn2_status gn2_h5_file_close(gn2_h5_file *file, char *error)
{
    if (!file) return GN2_OK;
    gn2_status status = GN2_OK;
    if (H5Fclose(file->id) < 0)
        status = gn2_h5_fail(error, GN2_ERR_IO, "'%s': cannot be closed", file->path);
    gn2_free(file->path);
    gn2_free(file);
    return status;
}

gn2_h5_table *gn2_h5_table_new(const char *path, const char *name, size_t fields)
{
    gn2_h5_table *table = gn2_alloc(1, sizeof *table);
    if (!table) return NULL;
    table->dataset = table->file_type = table->memory_type = -1;
    table->path = gn2_strdup(path);
    table->name = gn2_strdup(name);
    table->fields = gn2_alloc(fields + 1, sizeof *table->fields);
    table->direct = gn2_alloc(fields + 1, 1);
    table->info.fields = table->fields;
    if (table->path && table->name && table->fields && table->direct) return table;
    char ignored[GN2_H5_ERROR_SIZE];
    gn2_h5_table_close(table, ignored);
    return NULL;
}

gn2_status gn2_h5_table_close(gn2_h5_table *table, char *error)
{
    if (!table) return GN2_OK;
    gn2_status status = GN2_OK;
    gn2_h5_chunks_free(table->chunks);
    if (table->memory_type >= 0) H5Tclose(table->memory_type);
    if (table->file_type >= 0) H5Tclose(table->file_type);
    if (table->dataset >= 0 && H5Dclose(table->dataset) < 0)
        status = gn2_h5_fail(error, GN2_ERR_IO, "'%s': dataset '%s' cannot be closed",
                             table->path, table->name);
    for (size_t i = 0; table->fields && i < table->info.field_count; i++)
        H5free_memory((void *)(uintptr_t)table->fields[i].name);
    gn2_free(table->fields);
    gn2_free(table->direct);
    gn2_free(table->path);
    gn2_free(table->name);
    gn2_free(table);
    return status;
}

/* Kind and size of a stored type; enums count as the integers under them. */
static void describe_integer(hid_t type, gn2_h5_field *field)
{
    field->kind = H5Tget_sign(type) == H5T_SGN_NONE ? GN2_H5_UINT : GN2_H5_INT;
    field->size = (int32_t)H5Tget_size(type);
}

static int same_as_native(hid_t type, const gn2_h5_field *field)
{
    const hid_t native = gn2_h5_native(field->kind, field->size);
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
    return direct;
}

/* Fills kind and size as they will be in memory; returns whether that is how the
 * field is stored. */
static int describe(hid_t type, gn2_h5_field *field)
{
    switch (H5Tget_class(type)) {
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
        field->size = (int32_t)H5Tget_size(type);
        return 0;
    }
}

static void describe_fields(gn2_h5_table *table)
{
    for (size_t i = 0; i < table->info.field_count; i++) {
        const hid_t type = H5Tget_member_type(table->file_type, (unsigned)i);
        table->fields[i].offset = -1;
        table->direct[i] = (uint8_t)describe(type, &table->fields[i]);
        H5Tclose(type);
    }
}

static void describe_shape(gn2_h5_table *table)
{
    hsize_t dims[2] = {0, 1}, chunk[2] = {0, 1};
    const hid_t space = H5Dget_space(table->dataset);
    table->info.rank = H5Sget_simple_extent_ndims(space);
    if (table->info.rank == 1 || table->info.rank == 2)
        H5Sget_simple_extent_dims(space, dims, NULL);
    H5Sclose(space);
    table->info.rows = (int64_t)dims[0];
    table->info.slots = (int64_t)dims[1];
    const hid_t plist = H5Dget_create_plist(table->dataset);
    if (H5Pget_layout(plist) == H5D_CHUNKED) H5Pget_chunk(plist, 2, chunk);
    H5Pclose(plist);
    table->info.chunk_rows = (int64_t)chunk[0];
}

/* Opens again with a chunk cache that holds a few chunks of this dataset. */
static void enlarge_cache(gn2_h5_table *table, hid_t file)
{
    const size_t chunk = (size_t)table->info.chunk_rows * (size_t)table->info.slots *
                         H5Tget_size(table->file_type);
    if (CACHED_CHUNKS * chunk <= CACHE_LEAST) return;
    const hid_t plist = H5Pcreate(H5P_DATASET_ACCESS);
    H5Pset_chunk_cache(plist, CACHE_SLOTS, CACHED_CHUNKS * chunk, 1.0);
    const hid_t again = H5Dopen2(file, table->name, plist);
    H5Pclose(plist);
    if (again < 0) return;
    H5Dclose(table->dataset);
    table->dataset = again;
}

static gn2_status check_table(const gn2_h5_table *table, char *error)
{
    if (table->info.rank != 1 && table->info.rank != 2)
        return gn2_h5_fail(error, GN2_ERR_FORMAT,
                           "'%s': dataset '%s' has %d dimensions, 1 or 2 are needed",
                           table->path, table->name, (int)table->info.rank);
    return gn2_h5_check_storage(table->dataset, table->path, table->name, error);
}

/* Field names are owned by the table. */
static gn2_status load_table(gn2_h5_table *table, hid_t file, char *error)
{
    const int count = H5Tget_nmembers(table->file_type);
    for (int i = 0; i < count; i++) {
        table->fields[i].name = H5Tget_member_name(table->file_type, (unsigned)i);
        if (!table->fields[i].name) return gn2_h5_no_memory(error);
        table->info.field_count++;
    }
    describe_fields(table);
    describe_shape(table);
    const gn2_status status = check_table(table, error);
    if (status == GN2_OK) enlarge_cache(table, file);
    return status;
}

/* The stored type of a dataset of records, or −1 with `error` filled. */
static hid_t record_type(hid_t dataset, const char *path, const char *name, char *error)
{
    const hid_t type = H5Dget_type(dataset);
    if (type >= 0 && H5Tget_class(type) == H5T_COMPOUND) return type;
    if (type >= 0) H5Tclose(type);
    gn2_h5_fail(error, GN2_ERR_FORMAT, "'%s': dataset '%s' has no named fields", path,
                name);
    return -1;
}

gn2_status gn2_h5_table_open(gn2_h5_file *file, const char *name, gn2_h5_table **out,
                             char *error)
{
    *out = NULL;
    const hid_t dataset = H5Dopen2(file->id, name, H5P_DEFAULT);
    if (dataset < 0) {
        H5Eclear2(H5E_DEFAULT);
        return gn2_h5_fail(error, GN2_ERR_NOT_FOUND, "'%s': no dataset '%s'",
                           file->path, name);
    }
    const hid_t type = record_type(dataset, file->path, name, error);
    gn2_h5_table *table = NULL;
    if (type >= 0)
        table = gn2_h5_table_new(file->path, name, (size_t)H5Tget_nmembers(type));
    if (!table) {
        if (type >= 0) H5Tclose(type);
        H5Dclose(dataset);
        return type >= 0 ? gn2_h5_no_memory(error) : GN2_ERR_FORMAT;
    }
    table->dataset = dataset;
    table->file_type = type;
    const gn2_status status = load_table(table, file->id, error);
    if (status == GN2_OK) {
        *out = table;
        return GN2_OK;
    }
    char ignored[GN2_H5_ERROR_SIZE];
    gn2_h5_table_close(table, ignored);
    return status;
}

/* Records with text of any length or references need HDF5's hand. */
static int is_plain(hid_t type)
{
    return H5Tdetect_class(type, H5T_VLEN) <= 0 &&
           H5Tdetect_class(type, H5T_REFERENCE) <= 0 &&
           H5Tdetect_class(type, H5T_STRING) <= 0;
}

static int take_whole(const gn2_h5_table *table, const uint8_t *wanted)
{
    size_t selected = 0;
    for (size_t i = 0; i < table->info.field_count; i++) {
        if (!wanted[i]) continue;
        if (!table->direct[i]) return 0;
        selected += (size_t)table->fields[i].size;
    }
    return is_plain(table->file_type) &&
           H5Tget_size(table->file_type) <= WHOLE_SHARE * selected;
}

static hid_t select_whole(gn2_h5_table *table, const uint8_t *wanted)
{
    for (size_t i = 0; i < table->info.field_count; i++)
        if (wanted[i])
            table->fields[i].offset =
                (int64_t)H5Tget_member_offset(table->file_type, (unsigned)i);
    return H5Tcopy(table->file_type);
}

static hid_t select_some(gn2_h5_table *table, const uint8_t *wanted)
{
    size_t record = 0;
    for (size_t i = 0; i < table->info.field_count; i++)
        if (wanted[i]) record += (size_t)table->fields[i].size;
    const hid_t type = H5Tcreate(H5T_COMPOUND, record);
    size_t offset = 0;
    for (size_t i = 0; i < table->info.field_count; i++) {
        gn2_h5_field *field = &table->fields[i];
        if (!wanted[i]) continue;
        const hid_t member = table->direct[i]
                                 ? H5Tget_member_type(table->file_type, (unsigned)i)
                                 : gn2_h5_native(field->kind, field->size);
        H5Tinsert(type, field->name, offset, member);
        H5Tclose(member);
        field->offset = (int64_t)offset;
        offset += (size_t)field->size;
    }
    return type;
}

gn2_status gn2_h5_table_select(gn2_h5_table *table, const uint8_t *wanted, int64_t only,
                               char *error)
{
    size_t count = 0;
    for (size_t i = 0; i < table->info.field_count; i++) {
        table->fields[i].offset = -1;
        if (!wanted[i]) continue;
        count++;
        if (table->fields[i].kind == GN2_H5_OTHER)
            return gn2_h5_fail(error, GN2_ERR_FORMAT,
                               "'%s': dataset '%s': field '%s' is not a number",
                               table->path, table->name, table->fields[i].name);
    }
    if (count == 0)
        return gn2_h5_fail(error, GN2_ERR_INVALID_ARG,
                           "'%s': dataset '%s': no field selected", table->path,
                           table->name);
    if (table->memory_type >= 0) H5Tclose(table->memory_type);
    gn2_h5_chunks_free(table->chunks);
    table->chunks = NULL;
    const int whole = take_whole(table, wanted);
    table->memory_type =
        whole ? select_whole(table, wanted) : select_some(table, wanted);
    if (whole) table->chunks = gn2_h5_chunks_new(table);
    table->only =
        only >= 0 && table->fields[only].size == 1 ? table->fields[only].offset : -1;
    table->info.record = (int64_t)H5Tget_size(table->memory_type);
    return GN2_OK;
}

gn2_status gn2_h5_table_read(gn2_h5_table *table, int64_t start, int64_t count,
                             void *records, char *error)
{
    const hsize_t from[2] = {(hsize_t)start, 0};
    const hsize_t size[2] = {(hsize_t)count, (hsize_t)table->info.slots};
    if (count == 0 || table->info.slots == 0) return GN2_OK;
    if (table->chunks && gn2_h5_chunks_read(table, start, count, records))
        return GN2_OK;
    H5Eclear2(H5E_DEFAULT);
    const hid_t stored = H5Dget_space(table->dataset);
    const hid_t memory = H5Screate_simple(table->info.rank, size, NULL);
    herr_t result = H5Sselect_hyperslab(stored, H5S_SELECT_SET, from, NULL, size, NULL);
    if (result >= 0)
        result = H5Dread(table->dataset, table->memory_type, memory, stored,
                         H5P_DEFAULT, records);
    H5Sclose(memory);
    H5Sclose(stored);
    if (result >= 0) return GN2_OK;
    return gn2_h5_fail(
        error, GN2_ERR_FORMAT, "'%s': dataset '%s': rows %lld to %lld cannot be read",
        table->path, table->name, (long long)start, (long long)(start + count - 1));
}

static gn2_status give_variable(hid_t attribute, size_t count, gn2_h5_text_fn each,
                                void *context)
{
    char **items = gn2_alloc(count + 1, sizeof *items);
    if (!items) return GN2_ERR_NO_MEMORY;
    const hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    const herr_t result = H5Aread(attribute, type, items);
    for (size_t i = 0; i < count && result >= 0; i++)
        each(context, i, items[i] ? items[i] : "");
    if (result >= 0) H5Dvlen_reclaim(type, space, H5P_DEFAULT, items);
    H5Sclose(space);
    H5Tclose(type);
    gn2_free(items);
    return result < 0 ? GN2_ERR_FORMAT : GN2_OK;
}

static gn2_status give_fixed(hid_t attribute, size_t count, gn2_h5_text_fn each,
                             void *context)
{
    const hid_t type = H5Aget_type(attribute);
    const size_t size = H5Tget_size(type);
    char *items = gn2_alloc(count + 1, size), *item = gn2_alloc(size + 1, 1);
    herr_t result = items && item ? H5Aread(attribute, type, items) : -1;
    for (size_t i = 0; i < count && result >= 0; i++) {
        memcpy(item, items + i * size, size);
        each(context, i, item);
    }
    gn2_free(item);
    gn2_free(items);
    H5Tclose(type);
    return result < 0 ? GN2_ERR_FORMAT : GN2_OK;
}

static gn2_status give_strings(hid_t attribute, gn2_h5_text_fn each, void *context)
{
    const hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    const hssize_t count = H5Sget_simple_extent_npoints(space);
    const int is_text = H5Tget_class(type) == H5T_STRING;
    const int is_variable = is_text && H5Tis_variable_str(type) > 0;
    H5Sclose(space);
    H5Tclose(type);
    if (!is_text || count < 0 || count > 1 << 20) return GN2_ERR_FORMAT;
    return is_variable ? give_variable(attribute, (size_t)count, each, context)
                       : give_fixed(attribute, (size_t)count, each, context);
}

gn2_status gn2_h5_table_strings(gn2_h5_table *table, const char *attribute,
                                gn2_h5_text_fn each, void *context, char *error)
{
    if (H5Aexists(table->dataset, attribute) <= 0) {
        H5Eclear2(H5E_DEFAULT);
        return gn2_h5_fail(error, GN2_ERR_NOT_FOUND,
                           "'%s': dataset '%s' has no attribute '%s'", table->path,
                           table->name, attribute);
    }
    const hid_t id = H5Aopen(table->dataset, attribute, H5P_DEFAULT);
    const gn2_status status = id < 0 ? GN2_ERR_FORMAT : give_strings(id, each, context);
    if (id >= 0) H5Aclose(id);
    if (status == GN2_OK) return GN2_OK;
    return gn2_h5_fail(error, status,
                       "'%s': attribute '%s' of dataset '%s' is not a list of strings",
                       table->path, attribute, table->name);
}
