/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a dataset that no writer has filled, as far as its storage shows. */
#ifndef GN2_DATA_HDF5_GAPS_H
#define GN2_DATA_HDF5_GAPS_H

#include <hdf5.h>

#include "data/hdf5/interface.h"

/* Growing list of ranges of rows; after a failure it stays as it is. */
typedef struct gn2_hdf5_ranges {
    size_t count, capacity;
    gn2_h5_range *range;
    int failed; /* memory was short */
} gn2_hdf5_ranges;

/* Adds first … end−1 if there are any; what touches the last range is joined to it. */
void gn2_hdf5_ranges_add(gn2_hdf5_ranges *list, int64_t first, int64_t end);
void gn2_hdf5_ranges_free(gn2_hdf5_ranges *list);
/* Compares ranges, or what begins with one, for qsort(). */
int gn2_hdf5_by_first(const void *a, const void *b);
/* Adds the rows 0 … rows−1 that are in none of the ranges; sorts these. */
void gn2_hdf5_ranges_rest(gn2_hdf5_ranges *covered, int64_t rows,
                          gn2_hdf5_ranges *list);

/* Adds the rows of a dataset that has no storage yet; nothing of a virtual one. */
void gn2_hdf5_gaps_of_storage(hid_t dataset, gn2_hdf5_ranges *list);

/* A mapping of a virtual dataset: adds the rows of the virtual dataset that it fills
 * whole, where `gaps` are those of the source, which has that many rows. */
void gn2_hdf5_mapping_rows(hid_t target, hid_t source, int64_t source_rows,
                           const gn2_hdf5_ranges *gaps, gn2_hdf5_ranges *covered);

/* Is a selection whole rows, one behind the other? */
int gn2_hdf5_is_run(hid_t space, gn2_h5_range *out_rows);

/* Rows and slots of a dataset of one or two dimensions; of others 1 and 1. */
void gn2_hdf5_extent(hid_t space, hsize_t dims[2]);

#endif
