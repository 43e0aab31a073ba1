/* SPDX-License-Identifier: Apache-2.0 */
/* What a table's storage can give: filters, sources, fields, rows that were written. */
#ifndef GN2_DATA_HDF5_SOURCES_H
#define GN2_DATA_HDF5_SOURCES_H

#include <limits.h>

#include "data/hdf5/table.h"

/* Refuses a dataset whose filters cannot be undone, or a virtual one whose sources
 * are not there (HDF5 would read those as zeros). Fills the table's gaps, and notes
 * for each field the first source that lacks it. */
gn2_status gn2_hdf5_survey(gn2_h5_table *table);

/* A source of a virtual dataset, as it is named there, and where its file is. */
typedef struct gn2_hdf5_source {
    char file[PATH_MAX], dataset[256], path[PATH_MAX];
} gn2_hdf5_source;

/* Mapping `index` of a virtual dataset of file `path`; 0: its names are a pattern. */
int gn2_hdf5_source_of(hid_t plist, size_t index, const char *path,
                       gn2_hdf5_source *out);

#endif
