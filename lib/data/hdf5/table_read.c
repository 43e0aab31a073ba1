/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of records, read by rows. Fields that are stored as this machine keeps
 * numbers (half precision included) are handed on untouched: HDF5's own
 * conversions go value by value and cost more than unpacking the file.
 */
#include "data/hdf5/table_read.h"

#include <string.h>

#include "data/hdf5/errors.h"
#include "data/hdf5/fill.h"
#include "data/hdf5/types.h"
#include "util/alloc.h"

/* Whole records are read when the selection is at least this part of them. */
#define WHOLE_SHARE 4
/* Bytes of stored records that are converted at once. */
#define CONVERT_BYTES ((size_t)1 << 20)

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
    const gn2_status status = gn2_hdf5_chunks_new(table->dataset, table->stored_type,
                                                  &table->info, &table->chunks);
    table->info.unpacked = table->chunks != NULL;
    return status == GN2_OK ? GN2_OK : gn2_fail_memory();
}

gn2_status gn2_hdf5_table_select(gn2_h5_table *table, const uint8_t *wanted,
                                 int64_t only)
{
    size_t count = 0;
    for (size_t i = 0; i < table->info.field_count; i++) {
        table->fields[i].offset = -1;
        if (!wanted[i]) continue;
        count++;
        if (table->fields[i].kind == GN2_H5_OTHER &&
            (wanted[i] != GN2_H5_AS_STORED || table->fields[i].size == 0))
            return gn2_hdf5_fail(GN2_ERR_FORMAT,
                                 "'%s': dataset '%s': field '%s' is not a number of at "
                                 "most 8 bytes",
                                 table->path, table->name, table->fields[i].name);
        if (table->lacking[i])
            return gn2_hdf5_fail(GN2_ERR_NOT_FOUND,
                                 "'%s': dataset '%s': its source '%s' has no field "
                                 "'%s'",
                                 table->path, table->name, table->lacking[i],
                                 table->fields[i].name);
    }
    if (count == 0)
        return gn2_hdf5_fail(GN2_ERR_INVALID_ARG,
                             "'%s': dataset '%s': no field selected", table->path,
                             table->name);
    if (table->memory_type >= 0) H5Tclose(table->memory_type);
    gn2_hdf5_chunks_free(table->chunks);
    table->chunks = NULL;
    table->info.unpacked = 0;
    table->whole = take_whole(table, wanted);
    table->memory_type =
        table->whole ? select_whole(table, wanted) : select_some(table, wanted);
    table->info.record = (int64_t)H5Tget_size(table->memory_type);
    gn2_free(table->fill);
    table->info.fill = table->fill =
        gn2_hdf5_fill_new(table->dataset, table->memory_type);
    if (!table->fill || gn2_hdf5_ran_short()) return gn2_fail_memory();
    return choose_way(table, only);
}

/* ---- chunks that are unpacked here ---- */

static gn2_status read_stored(gn2_h5_table *table, const gn2_hdf5_range *range,
                              void *records)
{
    int64_t bad = 0;
    const char *wrong = gn2_hdf5_chunks_read(table->chunks, range, records, &bad);
    if (!wrong) return GN2_OK;
    if (wrong == gn2_hdf5_chunks_no_memory) return gn2_fail_memory();
    const int64_t end = bad + table->info.chunk_rows;
    return gn2_hdf5_fail(
        table->file->failure ? GN2_ERR_IO : GN2_ERR_FORMAT,
        "'%s': dataset '%s': rows %lld to %lld cannot be read: the chunk of row %lld "
        "is damaged, %s",
        table->path, table->name, (long long)bad,
        (long long)(end < table->info.rows ? end : table->info.rows) - 1,
        (long long)bad, wrong);
}

/* Room for stored records and for what HDF5 makes of them, kept from call to call. */
static int reserve(gn2_h5_table *table, size_t size)
{
    if (size <= table->convert_size) return 1;
    gn2_free(table->convert[0]);
    gn2_free(table->convert[1]);
    table->convert[0] = gn2_alloc(size, 1);
    table->convert[1] = gn2_alloc(size, 1);
    table->convert_size = table->convert[0] && table->convert[1] ? size : 0;
    return table->convert_size > 0;
}

void gn2_hdf5_table_rest(gn2_h5_table *table)
{
    gn2_free(table->convert[0]);
    gn2_free(table->convert[1]);
    table->convert[0] = table->convert[1] = NULL;
    table->convert_size = 0;
}

static gn2_status convert_rows(gn2_h5_table *table, const gn2_hdf5_range *range,
                               char *records)
{
    const size_t count = (size_t)(range->count * table->info.slots);
    GN2_TRY(read_stored(table, range, table->convert[0]));
    if (H5Tconvert(table->stored_type, table->memory_type, count, table->convert[0],
                   table->convert[1], H5P_DEFAULT) < 0)
        return gn2_hdf5_fail(GN2_ERR_FORMAT,
                             "'%s': dataset '%s': numbers cannot be converted",
                             table->path, table->name);
    memcpy(records, table->convert[0], count * (size_t)table->info.record);
    return GN2_OK;
}

static gn2_status read_converted(gn2_h5_table *table, const gn2_hdf5_range *range,
                                 char *records)
{
    const size_t stored = H5Tget_size(table->stored_type);
    const size_t wanted = (size_t)table->info.record;
    const size_t row = (stored > wanted ? stored : wanted) * (size_t)table->info.slots;
    const int64_t fit = (int64_t)(CONVERT_BYTES / row), rows = fit > 0 ? fit : 1;
    gn2_hdf5_range part = *range;
    const int64_t end = range->start + range->count;
    if (!reserve(table, (size_t)rows * row)) return gn2_fail_memory();
    for (; part.start < end; part.start += part.count) {
        part.count = end - part.start < rows ? end - part.start : rows;
        GN2_TRY(convert_rows(table, &part, records));
        records += part.count * table->info.slots * table->info.record;
    }
    return GN2_OK;
}

/* ---- all others ---- */

static gn2_status read_by_hdf5(gn2_h5_table *table, int64_t start, int64_t count,
                               void *records)
{
    const hsize_t from[2] = {(hsize_t)start, 0};
    const hsize_t size[2] = {(hsize_t)count, (hsize_t)table->info.slots};
    /* where HDF5 finds nothing it may leave what was there */
    if (table->gaps.count)
        memset(records, 0,
               (size_t)(count * table->info.slots) * (size_t)table->info.record);
    const hid_t stored = H5Dget_space(table->dataset);
    const hid_t memory = H5Screate_simple(table->info.rank, size, NULL);
    herr_t result = H5Sselect_hyperslab(stored, H5S_SELECT_SET, from, NULL, size, NULL);
    if (result >= 0)
        result = H5Dread(table->dataset, table->memory_type, memory, stored,
                         H5P_DEFAULT, records);
    gn2_status status = GN2_OK;
    if (result < 0) /* said before a call that works clears HDF5's reason */
        status = gn2_hdf5_fail(table->file->failure ? GN2_ERR_IO : GN2_ERR_FORMAT,
                               "'%s': dataset '%s': rows %lld to %lld cannot be read",
                               table->path, table->name, (long long)start,
                               (long long)(start + count - 1));
    H5Sclose(memory);
    H5Sclose(stored);
    return status;
}

gn2_status gn2_hdf5_table_read(gn2_h5_table *table, const gn2_h5_read *read,
                               void *records)
{
    if (read->count == 0 || table->info.slots == 0) return GN2_OK;
    if (!table->chunks) return read_by_hdf5(table, read->start, read->count, records);
    const gn2_hdf5_range range = {read->start, read->count, table->only, read->crew};
    return table->whole ? read_stored(table, &range, records)
                        : read_converted(table, &range, records);
}
