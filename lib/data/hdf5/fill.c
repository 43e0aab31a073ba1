/* SPDX-License-Identifier: Apache-2.0 */
#include "data/hdf5/fill.h"

#include <string.h>

#include "data/hdf5/errors.h"
#include "util/alloc.h"

void *gn2_hdf5_fill_new(hid_t dataset, hid_t type)
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

static herr_t read_by_hdf5(const gn2_h5_table *table, int64_t row, void *record)
{
    const hsize_t from = (hsize_t)row, one = 1;
    const hid_t stored = H5Dget_space(table->dataset);
    const hid_t memory = H5Screate_simple(1, &one, NULL);
    herr_t result =
        H5Sselect_hyperslab(stored, H5S_SELECT_SET, &from, NULL, &one, NULL);
    if (result >= 0)
        result = H5Dread(table->dataset, table->file_type, memory, stored, H5P_DEFAULT,
                         record);
    H5Sclose(memory);
    H5Sclose(stored);
    return result;
}

static herr_t read_row(gn2_h5_table *table, int64_t row, void *record)
{
    const gn2_hdf5_range range = {row, 1, -1, NULL};
    int64_t bad;
    if (!table->chunks) return read_by_hdf5(table, row, record);
    return gn2_hdf5_chunks_read(table->chunks, &range, record, &bad) ? -1 : 0;
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
    char *fill = gn2_hdf5_fill_new(table->dataset, type);
    char *record = gn2_hdf5_fill_new(table->dataset, type);
    gn2_status status = GN2_OK;
    if (!fill || !record)
        status = gn2_fail_memory();
    else if (read_row(table, row, record) < 0)
        status =
            gn2_hdf5_fail(GN2_ERR_FORMAT, "'%s': dataset '%s': row %lld cannot be read",
                          table->path, table->name, (long long)row);
    else
        *out_fill = same_fields(type, fill, record);
    reclaim(type, record);
    reclaim(type, fill);
    return status;
}

gn2_status gn2_hdf5_table_is_fill(gn2_h5_table *table, int64_t row, int *out_fill)
{
    *out_fill = 0;
    for (size_t i = 0; i < table->part_count; i++) {
        const gn2_hdf5_part *part = &table->parts[i];
        if (row < part->start || row - part->start >= part->count) continue;
        return gn2_hdf5_table_is_fill(part->table, part->from + row - part->start,
                                      out_fill);
    }
    return is_fill(table, row, out_fill);
}
