/* SPDX-License-Identifier: Apache-2.0 */
/* What a table's storage can give: filters, sources, fields, rows that were written. */
#ifndef GN2_DATA_HDF5_SOURCES_H
#define GN2_DATA_HDF5_SOURCES_H

#include <limits.h>

#include "data/hdf5/table.h"

/* Refuses a dataset whose filters cannot be undone, or a virtual one whose sources
 * are not there (HDF5 would read those as zeros). Fills the table's gaps, and notes
 * for each field the first source that lacks it. */
gn2_status gn2_hdf5_survey(gn2_h5_table *table, char *error);

/* Takes HDF5's writing out of a name of a source, in place; 0: it is a pattern. */
int gn2_hdf5_plain_name(char *name);
/* Path of a source of a virtual dataset of file `path`; "." is that file. */
void gn2_hdf5_source_path(const char *path, const char *source, char out[PATH_MAX]);

#endif
