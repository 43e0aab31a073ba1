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

gn2_status gn2_hdf5_table_select(gn2_h5_table *table, const uint8_t *wanted,
                                 int64_t only, char *error)
{
    size_t count = 0;
    for (size_t i = 0; i < table->info.field_count; i++) {
        table->fields[i].offset = -1;
        if (!wanted[i]) continue;
        count++;
        if (table->fields[i].kind == GN2_H5_OTHER)
            return gn2_hdf5_fail(error, GN2_ERR_FORMAT,
                                 "'%s': dataset '%s': field '%s' is not a number of at "
                                 "most 8 bytes",
                                 table->path, table->name, table->fields[i].name);
        if (table->lacking[i])
            return gn2_hdf5_fail(error, GN2_ERR_NOT_FOUND,
                                 "'%s': dataset '%s': its source '%s' has no field "
                                 "'%s'",
                                 table->path, table->name, table->lacking[i],
                                 table->fields[i].name);
    }
    if (count == 0)
        return gn2_hdf5_fail(error, GN2_ERR_INVALID_ARG,
                             "'%s': dataset '%s': no field selected", table->path,
                             table->name);
    if (table->memory_type >= 0) H5Tclose(table->memory_type);
    gn2_hdf5_chunks_free(table->chunks);
    table->chunks = NULL;
    const int whole = take_whole(table, wanted);
    table->memory_type =
        whole ? select_whole(table, wanted) : select_some(table, wanted);
    if (whole)
        table->chunks = gn2_hdf5_chunks_new(table->dataset, &table->info,
                                            H5Tget_size(table->file_type));
    table->only =
        only >= 0 && table->fields[only].size == 1 ? table->fields[only].offset : -1;
    table->info.record = (int64_t)H5Tget_size(table->memory_type);
    gn2_free(table->fill);
    table->info.fill = table->fill =
        gn2_hdf5_fill_new(table->dataset, table->memory_type);
    return !table->fill || gn2_hdf5_ran_short() ? gn2_hdf5_no_memory(error) : GN2_OK;
}

gn2_status gn2_hdf5_table_read(gn2_h5_table *table, int64_t start, int64_t count,
                               void *records, char *error)
{
    const hsize_t from[2] = {(hsize_t)start, 0};
    const hsize_t size[2] = {(hsize_t)count, (hsize_t)table->info.slots};
    if (count == 0 || table->info.slots == 0) return GN2_OK;
    if (table->chunks &&
        gn2_hdf5_chunks_read(table->chunks, start, count, table->only, records))
        return GN2_OK;
    /* where HDF5 finds nothing it may leave what was there */
    if (table->gaps.count)
        memset(records, 0,
               (size_t)(count * table->info.slots) * (size_t)table->info.record);
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
    return gn2_hdf5_fail(
        error, GN2_ERR_FORMAT, "'%s': dataset '%s': rows %lld to %lld cannot be read",
        table->path, table->name, (long long)start, (long long)(start + count - 1));
}
