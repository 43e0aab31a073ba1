/* SPDX-License-Identifier: Apache-2.0 */
#include "data/hdf5/gaps.h"

#include <stdlib.h>

#include "util/alloc.h"

/* ---- lists ---- */

void gn2_hdf5_ranges_add(gn2_hdf5_ranges *list, int64_t first, int64_t end)
{
    if (first >= end || list->failed) return;
    gn2_h5_range *last = list->count ? &list->range[list->count - 1] : NULL;
    if (last && last->end == first) {
        last->end = end;
        return;
    }
    list->failed = !gn2_reserve(&list->range, &list->capacity, list->count,
                                list->count + 1, sizeof *list->range);
    if (list->failed) return;
    list->range[list->count++] = (gn2_h5_range){first, end};
}

void gn2_hdf5_ranges_free(gn2_hdf5_ranges *list)
{
    gn2_free(list->range);
    *list = (gn2_hdf5_ranges){0};
}

int gn2_hdf5_by_first(const void *a, const void *b)
{
    const gn2_h5_range *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

void gn2_hdf5_ranges_rest(gn2_hdf5_ranges *covered, int64_t rows, gn2_hdf5_ranges *list)
{
    int64_t at = 0;
    if (covered->count)
        qsort(covered->range, covered->count, sizeof *covered->range,
              gn2_hdf5_by_first);
    for (size_t i = 0; i < covered->count; i++) {
        gn2_hdf5_ranges_add(list, at, covered->range[i].first);
        if (covered->range[i].end > at) at = covered->range[i].end;
    }
    gn2_hdf5_ranges_add(list, at, rows);
    list->failed |= covered->failed;
}

/* ---- storage ---- */

static int is_table(hid_t space)
{
    const int rank = H5Sget_simple_extent_ndims(space);
    return rank == 1 || rank == 2;
}

void gn2_hdf5_extent(hid_t space, hsize_t dims[2])
{
    dims[0] = dims[1] = 1;
    if (is_table(space)) H5Sget_simple_extent_dims(space, dims, NULL);
}

static int has_all_chunks(hid_t dataset, hid_t space, hsize_t wanted)
{
    hsize_t there = 0;
#if H5_VERSION_GE(1, 10, 5)
    if (H5Dget_num_chunks(dataset, space, &there) < 0) there = 0;
#endif
    (void)dataset, (void)space;
    return there == wanted;
}

static int has_chunks_of_row(hid_t dataset, hsize_t row, hsize_t slots, hsize_t step)
{
    for (hsize_t slot = 0; slot < slots; slot += step) {
        const hsize_t at[2] = {row, slot};
        hsize_t size = 0;
        if (H5Dget_chunk_storage_size(dataset, at, &size) < 0 || size == 0) return 0;
    }
    return 1;
}

static void chunk_gaps(hid_t dataset, hid_t plist, hid_t space, gn2_hdf5_ranges *list)
{
    hsize_t dims[2], chunk[2] = {1, 1};
    gn2_hdf5_extent(space, dims);
    if (H5Pget_chunk(plist, 2, chunk) < 1 || dims[0] == 0 || dims[1] == 0) return;
    const hsize_t down = (dims[0] - 1) / chunk[0] + 1;
    const hsize_t across = (dims[1] - 1) / chunk[1] + 1;
    if (has_all_chunks(dataset, space, down * across)) return;
    for (hsize_t i = 0; i < down; i++) {
        const hsize_t row = i * chunk[0], left = dims[0] - row;
        if (!has_chunks_of_row(dataset, row, dims[1], chunk[1]))
            gn2_hdf5_ranges_add(list, (int64_t)row,
                                (int64_t)(row + (left < chunk[0] ? left : chunk[0])));
    }
}

static void contiguous_gaps(hid_t dataset, hid_t plist, hid_t space,
                            gn2_hdf5_ranges *list)
{
    hsize_t dims[2];
    H5D_space_status_t status = H5D_SPACE_STATUS_ERROR;
    gn2_hdf5_extent(space, dims);
    if (H5Pget_external_count(plist) > 0 || H5Dget_space_status(dataset, &status) < 0)
        return;
    if (status == H5D_SPACE_STATUS_NOT_ALLOCATED)
        gn2_hdf5_ranges_add(list, 0, dims[1] ? (int64_t)dims[0] : 0);
}

void gn2_hdf5_gaps_of_storage(hid_t dataset, gn2_hdf5_ranges *list)
{
    const hid_t plist = H5Dget_create_plist(dataset), space = H5Dget_space(dataset);
    const H5D_layout_t layout = H5Pget_layout(plist);
    if (layout == H5D_CHUNKED && is_table(space))
        chunk_gaps(dataset, plist, space, list);
    if (layout == H5D_CONTIGUOUS) contiguous_gaps(dataset, plist, space, list);
    H5Sclose(space);
    H5Pclose(plist);
}

/* ---- mappings ---- */

int gn2_hdf5_is_run(hid_t space, gn2_h5_range *out_rows)
{
    hsize_t low[2] = {0, 0}, high[2] = {0, 0}, dims[2];
    const hssize_t points = H5Sget_select_npoints(space);
    if (!is_table(space) || points <= 0) return 0;
    gn2_hdf5_extent(space, dims);
    if (H5Sget_select_bounds(space, low, high) < 0) return 0;
    *out_rows = (gn2_h5_range){(int64_t)low[0], (int64_t)high[0] + 1};
    return (hsize_t)points == (high[0] + 1 - low[0]) * dims[1];
}

/* Rows of the blocks of a selection. Of a block that is narrower than a row nothing is
 * claimed: others may have the rest. */
static void add_blocks(hid_t space, gn2_hdf5_ranges *list)
{
    const int rank = H5Sget_simple_extent_ndims(space);
    const hssize_t count = H5Sget_select_type(space) == H5S_SEL_HYPERSLABS
                               ? H5Sget_select_hyper_nblocks(space)
                               : 0;
    if (count <= 0 || !is_table(space)) return;
    hsize_t *corners = gn2_alloc((size_t)count, 2 * (size_t)rank * sizeof *corners);
    list->failed |= !corners;
    if (corners && H5Sget_select_hyper_blocklist(space, 0, (hsize_t)count, corners) < 0)
        list->failed = 1;
    for (hssize_t i = 0; i < count && !list->failed; i++) {
        const hsize_t *low = corners + i * 2 * rank, *high = low + rank;
        gn2_hdf5_ranges_add(list, (int64_t)low[0], (int64_t)high[0] + 1);
    }
    gn2_free(corners);
}

/* Rows of a run in the source that are there, as rows of the virtual dataset. */
static void add_run(gn2_h5_range to, gn2_h5_range from, int64_t source_rows,
                    const gn2_hdf5_ranges *gaps, gn2_hdf5_ranges *covered)
{
    const int64_t shift = to.first - from.first;
    int64_t at = from.first;
    const int64_t end = from.end < source_rows ? from.end : source_rows;
    for (size_t i = 0; i < gaps->count && gaps->range[i].first < end; i++) {
        if (gaps->range[i].end <= at) continue;
        gn2_hdf5_ranges_add(covered, at + shift, gaps->range[i].first + shift);
        at = gaps->range[i].end;
    }
    gn2_hdf5_ranges_add(covered, at + shift, end + shift);
}

void gn2_hdf5_mapping_rows(hid_t target, hid_t source, int64_t source_rows,
                           const gn2_hdf5_ranges *gaps, gn2_hdf5_ranges *covered)
{
    gn2_h5_range to, from;
    hsize_t low[H5S_MAX_RANK] = {0}, high[H5S_MAX_RANK] = {0};
    covered->failed |= gaps->failed;
    /* a selection of all knows no extent, and fits, as the caller has seen */
    const int all = H5Sget_select_type(source) == H5S_SEL_ALL;
    if (all) from = (gn2_h5_range){0, source_rows};
    if (gn2_hdf5_is_run(target, &to) && (all || gn2_hdf5_is_run(source, &from)) &&
        to.end - to.first == from.end - from.first) {
        add_run(to, from, source_rows, gaps, covered);
        return;
    }
    /* of another shape: its rows count when nothing of the source is missing; of more
     * dimensions than two nothing is known */
    if (gaps->count) return;
    if (!all && H5Sget_select_bounds(source, low, high) < 0) return;
    if (!is_table(source) || (int64_t)high[0] < source_rows)
        add_blocks(target, covered);
}
