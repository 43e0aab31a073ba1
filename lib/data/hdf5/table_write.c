/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of records, made and appended to; shuffle and gzip, which all can read. */
#include "data/hdf5/errors.h"
#include "data/hdf5/table.h"
#include "data/hdf5/types.h"

/* gzip level: h5py's default */
#define DEFLATE_LEVEL 4

static hid_t make_type(const gn2_h5_layout *layout)
{
    size_t record = 0, offset = 0;
    for (size_t i = 0; i < layout->field_count; i++)
        record += (size_t)layout->fields[i].size;
    const hid_t type = H5Tcreate(H5T_COMPOUND, record ? record : 1);
    for (size_t i = 0; i < layout->field_count; i++) {
        const gn2_h5_field *field = &layout->fields[i];
        const hid_t member =
            field->kind == GN2_H5_OTHER
                ? H5Tget_member_type(layout->like->file_type, (unsigned)field->offset)
                : gn2_hdf5_native(field->kind, field->size);
        const herr_t result = H5Tinsert(type, field->name, offset, member);
        if (member >= 0) H5Tclose(member);
        if (result < 0) {
            H5Tclose(type);
            return -1;
        }
        offset += (size_t)field->size;
    }
    return type;
}

static hid_t make_dataset(hid_t file, const char *name, hid_t type,
                          const gn2_h5_layout *layout)
{
    const hsize_t dims[2] = {0, (hsize_t)layout->slots};
    const hsize_t most[2] = {H5S_UNLIMITED, (hsize_t)layout->slots};
    const hsize_t chunk[2] = {(hsize_t)layout->chunk_rows, (hsize_t)layout->slots};
    const hid_t space = H5Screate_simple(layout->rank, dims, most);
    const hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(plist, layout->rank, chunk);
    H5Pset_shuffle(plist);
    H5Pset_deflate(plist, DEFLATE_LEVEL);
    const hid_t id =
        H5Dcreate2(file, name, type, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    H5Pclose(plist);
    H5Sclose(space);
    return id;
}

gn2_status gn2_hdf5_table_create(gn2_h5_file *file, const char *name,
                                 const gn2_h5_layout *layout, gn2_h5_table **out)
{
    *out = NULL;
    gn2_h5_table *table = gn2_hdf5_table_new(file, name);
    if (!table) return gn2_fail_memory();
    table->info.rank = layout->rank;
    table->info.slots = layout->rank == 2 ? layout->slots : 1;
    table->memory_type = make_type(layout);
    if (table->memory_type >= 0)
        table->dataset = make_dataset(file->id, name, table->memory_type, layout);
    if (table->dataset >= 0 && !gn2_hdf5_ran_short()) {
        table->info.record = (int64_t)H5Tget_size(table->memory_type);
        *out = table;
        return GN2_OK;
    }
    const gn2_status status =
        gn2_hdf5_table_fail(table, GN2_ERR_IO, " cannot be created");
    gn2_hdf5_table_free(table);
    return status;
}

static herr_t write_rows(const gn2_h5_table *table, int64_t count, const void *records)
{
    const hsize_t total[2] = {(hsize_t)(table->info.rows + count),
                              (hsize_t)table->info.slots};
    hid_t space[2];
    if (H5Dset_extent(table->dataset, total) < 0) return -1;
    herr_t result = gn2_hdf5_table_rows(table, table->info.rows, count, space);
    if (result >= 0)
        result = H5Dwrite(table->dataset, table->memory_type, space[1], space[0],
                          H5P_DEFAULT, records);
    H5Sclose(space[1]);
    H5Sclose(space[0]);
    return result;
}

gn2_status gn2_hdf5_table_append(gn2_h5_table *table, int64_t count,
                                 const void *records)
{
    if (count == 0) return GN2_OK;
    GN2_TRY(gn2_hdf5_file_check(table->file));
    if (write_rows(table, count, records) < 0)
        return gn2_hdf5_table_fail(table, GN2_ERR_IO, " cannot be written");
    table->info.rows += count;
    return gn2_hdf5_file_check(table->file);
}
