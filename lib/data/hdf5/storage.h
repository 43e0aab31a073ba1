/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GN2_DATA_HDF5_STORAGE_H
#define GN2_DATA_HDF5_STORAGE_H

#include <hdf5.h>
#include <limits.h>

#include "data/hdf5/interface.h"

/* Refuses a dataset whose filters cannot be undone, or a virtual one whose
 * sources are not there (HDF5 would read those as zeros). */
gn2_status gn2_hdf5_check_storage(hid_t dataset, const char *path, const char *name,
                                  char *error);

/* Path of a source of a virtual dataset of file `path`; "." is that file. */
void gn2_hdf5_source_path(const char *path, const char *source, char out[PATH_MAX]);

#endif
