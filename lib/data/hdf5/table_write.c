/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of records, made and appended to; shuffle and gzip, which all can read. */
#include "data/hdf5/errors.h"
#include "data/hdf5/table.h"
#include "data/hdf5/types.h"

/* gzip level: h5py's default */
#define DEFLATE_LEVEL 4

/* Failures are said before a call that works clears HDF5's reason. */

static gn2_status fail_create(const gn2_h5_table *table)
{
    return gn2_hdf5_table_fail(table, GN2_ERR_IO, " cannot be created");
}

static gn2_status make_type(gn2_h5_table *table, const gn2_h5_layout *layout)
{
    size_t record = 0, offset = 0;
    for (size_t i = 0; i < layout->field_count; i++)
        record += (size_t)layout->fields[i].size;
    table->memory_type = H5Tcreate(H5T_COMPOUND, record ? record : 1);
    if (table->memory_type < 0) return fail_create(table);
    for (size_t i = 0; i < layout->field_count; i++) {
        const gn2_h5_field *field = &layout->fields[i];
        const hid_t member =
            field->kind == GN2_H5_OTHER
                ? H5Tget_member_type(layout->like->file_type, (unsigned)field->offset)
                : gn2_hdf5_native(field->kind, field->size);
        gn2_status status = GN2_OK;
        if (H5Tinsert(table->memory_type, field->name, offset, member) < 0)
            status = fail_create(table);
        if (member >= 0) H5Tclose(member);
        GN2_TRY(status);
        offset += (size_t)field->size;
    }
    return GN2_OK;
}

static gn2_status make_dataset(gn2_h5_table *table, const gn2_h5_layout *layout)
{
    const hsize_t dims[2] = {0, (hsize_t)layout->slots};
    const hsize_t most[2] = {H5S_UNLIMITED, (hsize_t)layout->slots};
    const hsize_t chunk[2] = {(hsize_t)layout->chunk_rows, (hsize_t)layout->slots};
    const hid_t space = H5Screate_simple(layout->rank, dims, most);
    const hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(plist, layout->rank, chunk);
    H5Pset_shuffle(plist);
    H5Pset_deflate(plist, DEFLATE_LEVEL);
    table->dataset = H5Dcreate2(table->file->id, table->name, table->memory_type, space,
                                H5P_DEFAULT, plist, H5P_DEFAULT);
    gn2_status status = GN2_OK;
    if (table->dataset < 0 || gn2_hdf5_ran_short()) status = fail_create(table);
    H5Pclose(plist);
    H5Sclose(space);
    return status;
}

gn2_status gn2_hdf5_table_create(gn2_h5_file *file, const char *name,
                                 const gn2_h5_layout *layout, gn2_h5_table **out)
{
    *out = NULL;
    gn2_h5_table *table = gn2_hdf5_table_new(file, name);
    if (!table) return gn2_hdf5_fail_memory();
    table->info.rank = layout->rank;
    table->info.slots = layout->rank == 2 ? layout->slots : 1;
    gn2_status status = make_type(table, layout);
    if (status == GN2_OK) status = make_dataset(table, layout);
    if (status != GN2_OK) {
        gn2_hdf5_table_free(table);
        return status;
    }
    table->info.record = (int64_t)H5Tget_size(table->memory_type);
    *out = table;
    return GN2_OK;
}

static gn2_status write_rows(const gn2_h5_table *table, int64_t count,
                             const void *records)
{
    const hsize_t total[2] = {(hsize_t)(table->info.rows + count),
                              (hsize_t)table->info.slots};
    hid_t space[2] = {-1, -1};
    gn2_status status = GN2_OK;
    if (H5Dset_extent(table->dataset, total) < 0 ||
        gn2_hdf5_table_rows(table, table->info.rows, count, space) < 0 ||
        H5Dwrite(table->dataset, table->memory_type, space[1], space[0], H5P_DEFAULT,
                 records) < 0)
        status = gn2_hdf5_table_fail(table, GN2_ERR_IO, " cannot be written");
    for (int i = 0; i < 2; i++)
        if (space[i] >= 0) H5Sclose(space[i]);
    return status;
}

gn2_status gn2_hdf5_table_append(gn2_h5_table *table, int64_t count,
                                 const void *records)
{
    if (count == 0) return GN2_OK;
    GN2_TRY(gn2_hdf5_file_check(table->file));
    GN2_TRY(write_rows(table, count, records));
    table->info.rows += count;
    return gn2_hdf5_file_check(table->file);
}
