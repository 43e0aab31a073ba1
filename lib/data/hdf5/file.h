/* SPDX-License-Identifier: Apache-2.0 */
/* An open file of HDF5. */
#ifndef GN2_DATA_HDF5_FILE_H
#define GN2_DATA_HDF5_FILE_H

#include <hdf5.h>

#include "data/hdf5/interface.h"

struct gn2_h5_file {
    hid_t id;
    int failure; /* errno of the first read or write that failed; 0: none */
    char path[];
};

/* Refuses what is no regular file or cannot be read before HDF5 sees it; 'damaged' is
 * said of damaged files only. */
gn2_status gn2_hdf5_file_open(const char *path, gn2_h5_file **out);
gn2_status gn2_hdf5_file_create(const char *path, gn2_h5_file **out);
/* GN2_ERR_IO once a write has failed. */
gn2_status gn2_hdf5_file_check(const gn2_h5_file *file);
gn2_status gn2_hdf5_file_close(gn2_h5_file *file);
/* Without a word; accepts NULL. */
void gn2_hdf5_file_free(gn2_h5_file *file);

#endif
