/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of records, read by rows. Fields that are stored as this machine keeps
 * numbers (half precision included) are handed on untouched: HDF5's own
 * conversions go value by value and cost more than unpacking the file.
 */
#include <string.h>

#include "data/hdf5/errors.h"
#include "data/hdf5/table.h"
#include "data/hdf5/types.h"
#include "util/alloc.h"

/* Whole records are read when the selection is at least this part of them. */
#define WHOLE_SHARE 4
/* Bytes of stored records that are converted at once. */
#define CONVERT_BYTES ((size_t)1 << 20)

/* ---- fill values: what HDF5 gives in place of what was never written ---- */

/* A record of them in a type, zeros where the dataset has none; NULL when memory is
 * short. */
static void *new_fill(hid_t dataset, hid_t type)
{
    void *record = gn2_alloc(1, H5Tget_size(type));
    const hid_t plist = H5Dget_create_plist(dataset);
    if (record && H5Pget_fill_value(plist, type, record) < 0) {
        memset(record, 0, H5Tget_size(type));
        H5Eclear2(H5E_DEFAULT);
    }
    H5Pclose(plist);
    return record;
}

/* ---- what is selected ---- */

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
        if (!table->fields[i].direct) return 0;
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
        const hid_t member = field->direct
                                 ? H5Tget_member_type(table->file_type, (unsigned)i)
                                 : gn2_hdf5_native(field->kind, field->size);
        H5Tinsert(type, field->name, offset, member);
        H5Tclose(member);
        field->offset = (int64_t)offset;
        offset += (size_t)field->size;
    }
    return type;
}

/* Whether the chunks are unpacked here. */
static gn2_status choose_way(gn2_h5_table *table, int64_t only)
{
    table->only = -1;
    if (table->stored_type < 0) table->stored_type = gn2_hdf5_stored(table->file_type);
    if (table->stored_type < 0) return GN2_OK;
    if (only >= 0 && table->fields[only].size == 1)
        table->only = (int64_t)H5Tget_member_offset(table->stored_type, (unsigned)only);
    GN2_TRY(gn2_hdf5_chunks_new(table->dataset, table->stored_type, &table->info,
                                &table->chunks));
    table->info.unpacked = table->chunks != NULL;
    return GN2_OK;
}

static gn2_status check_wanted(gn2_h5_table *table, const uint8_t *wanted)
{
    size_t count = 0;
    for (size_t i = 0; i < table->info.field_count; i++) {
        gn2_h5_field *field = &table->fields[i];
        field->offset = -1;
        if (!wanted[i]) continue;
        count++;
        if (field->kind == GN2_H5_OTHER &&
            (wanted[i] != GN2_H5_AS_STORED || field->size == 0))
            return gn2_hdf5_table_fail(
                table, GN2_ERR_FORMAT,
                ": field '%s' is not a number of at most 8 bytes", field->name);
        if (field->lacking)
            return gn2_hdf5_table_fail(table, GN2_ERR_NOT_FOUND,
                                       ": its source '%s' has no field '%s'",
                                       field->lacking, field->name);
    }
    if (count == 0)
        return gn2_hdf5_table_fail(table, GN2_ERR_INVALID_ARG, ": no field selected");
    return GN2_OK;
}

/* All parts have the fields of the whole; of what they are filled with one may say that
 * it is this, another that it is that. */
static gn2_status select_parts(gn2_h5_table *table, const uint8_t *wanted, int64_t only)
{
    for (size_t i = 0; i < table->part_count; i++) {
        gn2_h5_table *part = table->parts[i].table;
        GN2_TRY(gn2_hdf5_table_select(part, wanted, only));
        if (!part->info.fill ||
            memcmp(part->fill, table->fill, (size_t)part->info.record) != 0)
            table->info.fill = NULL;
    }
    return GN2_OK;
}

gn2_status gn2_hdf5_table_select(gn2_h5_table *table, const uint8_t *wanted,
                                 int64_t only)
{
    GN2_TRY(check_wanted(table, wanted));
    if (table->memory_type >= 0) H5Tclose(table->memory_type);
    gn2_hdf5_chunks_free(table->chunks);
    table->chunks = NULL;
    table->info.unpacked = 0;
    table->whole = take_whole(table, wanted);
    table->memory_type =
        table->whole ? select_whole(table, wanted) : select_some(table, wanted);
    table->info.record = (int64_t)H5Tget_size(table->memory_type);
    gn2_free(table->fill);
    table->info.fill = table->fill = new_fill(table->dataset, table->memory_type);
    if (!table->fill || gn2_hdf5_ran_short()) return gn2_fail_memory();
    GN2_TRY(choose_way(table, only));
    return select_parts(table, wanted, only);
}

/* ---- chunks that are unpacked here ---- */

static gn2_status read_stored(gn2_h5_table *table, const gn2_h5_read *read,
                              int64_t only, void *records)
{
    int64_t bad = 0;
    const char *wrong = gn2_hdf5_chunks_read(table->chunks, read, only, records, &bad);
    if (!wrong) return GN2_OK;
    if (wrong == gn2_hdf5_chunks_no_memory) return gn2_fail_memory();
    const int64_t end = bad + table->info.chunk_rows;
    return gn2_hdf5_table_fail(
        table, table->file->failure ? GN2_ERR_IO : GN2_ERR_FORMAT,
        ": rows %lld to %lld cannot be read: the chunk of row %lld is damaged, %s",
        (long long)bad,
        (long long)(end < table->info.rows ? end : table->info.rows) - 1,
        (long long)bad, wrong);
}

/* Gives back what conversions keep between two reads. */
static void rest(gn2_h5_table *table)
{
    gn2_free(table->convert);
    table->convert = NULL;
    table->convert_size = 0;
}

/* Room for stored records and for what HDF5 makes of them, kept from call to call. */
static int reserve(gn2_h5_table *table, size_t size)
{
    if (size <= table->convert_size) return 1;
    rest(table);
    table->convert = gn2_alloc(2, size);
    table->convert_size = table->convert ? size : 0;
    return table->convert != NULL;
}

static gn2_status convert_rows(gn2_h5_table *table, const gn2_h5_read *read,
                               char *records)
{
    const size_t count = (size_t)(read->count * table->info.slots);
    GN2_TRY(read_stored(table, read, table->only, table->convert));
    if (H5Tconvert(table->stored_type, table->memory_type, count, table->convert,
                   table->convert + table->convert_size, H5P_DEFAULT) < 0)
        return gn2_hdf5_table_fail(table, GN2_ERR_FORMAT,
                                   ": numbers cannot be converted");
    memcpy(records, table->convert, count * (size_t)table->info.record);
    return GN2_OK;
}

static gn2_status read_converted(gn2_h5_table *table, gn2_h5_read read, char *records)
{
    const size_t stored = H5Tget_size(table->stored_type);
    const size_t wanted = (size_t)table->info.record;
    const size_t row = (stored > wanted ? stored : wanted) * (size_t)table->info.slots;
    const int64_t fit = (int64_t)(CONVERT_BYTES / row), rows = fit > 0 ? fit : 1;
    const int64_t end = read.start + read.count;
    if (!reserve(table, (size_t)rows * row)) return gn2_fail_memory();
    for (; read.start < end; read.start += read.count) {
        read.count = end - read.start < rows ? end - read.start : rows;
        GN2_TRY(convert_rows(table, &read, records));
        records += read.count * table->info.slots * table->info.record;
    }
    return GN2_OK;
}

/* ---- all others ---- */

static gn2_status read_by_hdf5(gn2_h5_table *table, hid_t type, const gn2_h5_read *read,
                               void *records)
{
    hid_t space[2];
    gn2_status status = GN2_OK;
    herr_t result = gn2_hdf5_table_rows(table, read->start, read->count, space);
    if (result >= 0)
        result =
            H5Dread(table->dataset, type, space[1], space[0], H5P_DEFAULT, records);
    if (result < 0) /* said before a call that works clears HDF5's reason */
        status = gn2_hdf5_table_fail(
            table, table->file->failure ? GN2_ERR_IO : GN2_ERR_FORMAT,
            ": rows %lld to %lld cannot be read", (long long)read->start,
            (long long)(read->start + read->count - 1));
    H5Sclose(space[1]);
    H5Sclose(space[0]);
    return status;
}

static gn2_status read_parts(gn2_h5_table *table, gn2_h5_read read, char *out)
{
    for (size_t i = 0; i < table->part_count && read.count > 0; i++) {
        const gn2_hdf5_part *part = &table->parts[i];
        if (read.start >= part->rows.end) continue;
        const int64_t left = part->rows.end - read.start;
        const int64_t take = left < read.count ? left : read.count;
        const gn2_h5_read there = {part->from + read.start - part->rows.first, take,
                                   read.crew};
        GN2_TRY(gn2_hdf5_table_read(part->table, &there, out));
        if (left == take) rest(part->table);
        out += take * table->info.slots * table->info.record;
        read.start += take;
        read.count -= take;
    }
    return GN2_OK;
}

gn2_status gn2_hdf5_table_read(gn2_h5_table *table, const gn2_h5_read *read,
                               void *records)
{
    if (read->count == 0 || table->info.slots == 0) return GN2_OK;
    if (table->part_count) return read_parts(table, *read, records);
    if (table->chunks)
        return table->whole ? read_stored(table, read, table->only, records)
                            : read_converted(table, *read, records);
    /* where HDF5 finds nothing it may leave what was there */
    if (table->gaps.count)
        memset(records, 0,
               (size_t)(read->count * table->info.slots) * (size_t)table->info.record);
    return read_by_hdf5(table, table->memory_type, read, records);
}

/* ---- a row that is fill values ---- */

/* Fields one by one: what lies between them is nobody's. */
static int same_fields(hid_t type, const char *a, const char *b)
{
    const int count = H5Tget_nmembers(type);
    for (int i = 0; i < count; i++) {
        const size_t at = H5Tget_member_offset(type, (unsigned)i);
        const hid_t member = H5Tget_member_type(type, (unsigned)i);
        const size_t size = H5Tget_size(member);
        H5Tclose(member);
        if (memcmp(a + at, b + at, size) != 0) return 0;
    }
    return 1;
}

/* Gives back texts of any length. */
static void reclaim(hid_t type, void *record)
{
    const hsize_t one = 1;
    if (!record) return;
    const hid_t space = H5Screate_simple(1, &one, NULL);
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, record);
    H5Sclose(space);
    gn2_free(record);
}

static gn2_status is_fill(gn2_h5_table *table, int64_t row, int *out_fill)
{
    const hid_t type = table->chunks ? table->stored_type : table->file_type;
    const gn2_h5_read read = {row, 1, NULL};
    char *fill = new_fill(table->dataset, type);
    char *record = new_fill(table->dataset, type);
    gn2_status status = GN2_OK;
    if (!fill || !record)
        status = gn2_fail_memory();
    else if (table->chunks)
        status = read_stored(table, &read, -1, record);
    else
        status = read_by_hdf5(table, type, &read, record);
    if (status == GN2_OK) *out_fill = same_fields(type, fill, record);
    reclaim(type, record);
    reclaim(type, fill);
    return status;
}

gn2_status gn2_hdf5_table_is_fill(gn2_h5_table *table, int64_t row, int *out_fill)
{
    *out_fill = 0;
    for (size_t i = 0; i < table->part_count; i++) {
        const gn2_hdf5_part *part = &table->parts[i];
        if (row >= part->rows.first && row < part->rows.end)
            return gn2_hdf5_table_is_fill(
                part->table, part->from + row - part->rows.first, out_fill);
    }
    return is_fill(table, row, out_fill);
}
