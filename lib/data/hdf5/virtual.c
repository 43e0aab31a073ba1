/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts are read as tables of their own, so that they may be packed with whatever
 * can be unpacked here; HDF5 would unpack them by its own filters only.
 */
#include "data/hdf5/virtual.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "data/hdf5/errors.h"
#include "data/hdf5/sources.h"
#include "data/hdf5/table_open.h"
#include "data/hdf5/table_read.h"
#include "util/alloc.h"

static int read_places(hid_t plist, size_t i, gn2_hdf5_part *part)
{
    gn2_h5_range to = {0, 0}, from = {0, 0};
    const hid_t here = H5Pget_virtual_vspace(plist, i);
    const hid_t there = H5Pget_virtual_srcspace(plist, i);
    const int fits =
        gn2_hdf5_is_run(here, &to) &&
        (H5Sget_select_type(there) == H5S_SEL_ALL ||
         (gn2_hdf5_is_run(there, &from) && from.end - from.first == to.end - to.first));
    H5Sclose(here);
    H5Sclose(there);
    part->start = to.first;
    part->count = to.end - to.first;
    part->from = from.first;
    return fits;
}

/* Opens a part; its table stays NULL where it does not fit. */
static gn2_status open_part(const gn2_h5_table *table, hid_t plist, size_t i,
                            gn2_hdf5_part *part)
{
    gn2_hdf5_source names;
    if (!gn2_hdf5_source_of(plist, i, table->path, &names)) return GN2_OK;
    errno = 0;
    const gn2_status status = gn2_hdf5_file_open(names.path, &part->file);
    if (status != GN2_OK) return errno == EMFILE ? GN2_OK : status;
    gn2_h5_table *source = NULL;
    GN2_TRY(gn2_hdf5_any_open(part->file, names.dataset, &source));
    part->table = source;
    const int fits = source->info.rank == table->info.rank &&
                     source->info.slots == table->info.slots &&
                     part->count <= source->info.rows - part->from &&
                     H5Tequal(source->file_type, table->file_type) > 0;
    if (fits) return GN2_OK;
    gn2_hdf5_table_free(source);
    part->table = NULL;
    return GN2_OK;
}

static int by_start(const void *a, const void *b)
{
    const gn2_hdf5_part *x = a, *y = b;
    return (x->start > y->start) - (x->start < y->start);
}

/* Puts the parts in the order of the rows; are there no holes? */
static int are_joined(const gn2_h5_table *table)
{
    int64_t end = 0;
    qsort(table->parts, table->part_count, sizeof *table->parts, by_start);
    for (size_t i = 0; i < table->part_count; i++) {
        const gn2_hdf5_part *part = &table->parts[i];
        if (!part->table || part->start != end) return 0;
        end += part->count;
    }
    return end == table->info.rows;
}

static gn2_status open_parts(gn2_h5_table *table, hid_t plist, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        gn2_hdf5_part *part = &table->parts[table->part_count++];
        if (!read_places(plist, i, part)) return GN2_OK;
        const gn2_status status = open_part(table, plist, i, part);
        if (status != GN2_OK || !part->table) return status;
    }
    return GN2_OK;
}

/* Parts stay away where the table is not made of whole ones: HDF5 has to read it. How
 * deep they go, and that none is its own source, was seen when the table was opened. */
static gn2_status find_parts(gn2_h5_table *table, hid_t plist)
{
    size_t count = 0;
    if (H5Pget_layout(plist) != H5D_VIRTUAL) return GN2_OK;
    if (H5Pget_virtual_count(plist, &count) < 0 || count == 0) return GN2_OK;
    table->parts = gn2_alloc(count, sizeof *table->parts);
    if (!table->parts) return gn2_fail_memory();
    const gn2_status status = open_parts(table, plist, count);
    if (status != GN2_OK || !are_joined(table)) gn2_hdf5_parts_free(table);
    return status;
}

gn2_status gn2_hdf5_any_open(gn2_h5_file *file, const char *name, gn2_h5_table **out)
{
    GN2_TRY(gn2_hdf5_table_open(file, name, out));
    const hid_t plist = H5Dget_create_plist((*out)->dataset);
    gn2_status status = find_parts(*out, plist);
    H5Pclose(plist);
    if (status == GN2_OK && (*out)->unreadable && !(*out)->part_count)
        status =
            gn2_hdf5_fail(GN2_ERR_FORMAT,
                          "'%s': virtual dataset '%s' is not made of whole rows of "
                          "like tables, so that HDF5 has to read it, which cannot "
                          "unpack source '%s': pack that with gzip",
                          (*out)->path, name, (*out)->unreadable);
    if (status == GN2_OK) return GN2_OK;
    gn2_hdf5_table_free(*out);
    *out = NULL;
    return status;
}

gn2_status gn2_hdf5_any_select(gn2_h5_table *table, const uint8_t *wanted, int64_t only)
{
    gn2_status status = gn2_hdf5_table_select(table, wanted, only);
    for (size_t i = 0; i < table->part_count && status == GN2_OK; i++) {
        const gn2_h5_table *part = table->parts[i].table;
        status = gn2_hdf5_any_select(table->parts[i].table, wanted, only);
        if (status != GN2_OK) return status;
        const int same = part->info.fill && memcmp(part->fill, table->fill,
                                                   (size_t)part->info.record) == 0;
        if (!same) table->info.fill = NULL;
    }
    return status;
}

static gn2_status read_parts(gn2_h5_table *table, gn2_h5_read read, char *out)
{
    const int64_t row_bytes = table->info.record * table->info.slots;
    for (size_t i = 0; i < table->part_count && read.count > 0; i++) {
        const gn2_hdf5_part *part = &table->parts[i];
        const int64_t skip = read.start - part->start;
        if (skip >= part->count) continue;
        const int64_t left = part->count - skip;
        const int64_t take = left < read.count ? left : read.count;
        const gn2_h5_read there = {part->from + skip, take, read.crew};
        GN2_TRY(gn2_hdf5_any_read(part->table, &there, out));
        if (left == take) gn2_hdf5_table_rest(part->table);
        out += take * row_bytes;
        read.start += take;
        read.count -= take;
    }
    return GN2_OK;
}

gn2_status gn2_hdf5_any_read(gn2_h5_table *table, const gn2_h5_read *read,
                             void *records)
{
    if (table->part_count) return read_parts(table, *read, records);
    return gn2_hdf5_table_read(table, read, records);
}
