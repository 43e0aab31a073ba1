/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the module's files are read and written: a driver of HDF5 of our own. HDF5 takes
 * files of different drivers for different ones, so ours share nothing with what the
 * program opens by itself, neither flags that have to agree nor locks.
 */
#ifndef GN2_DATA_HDF5_DISK_H
#define GN2_DATA_HDF5_DISK_H

#include <hdf5.h>

/* Opens (H5F_ACC_RDONLY) or creates (H5F_ACC_TRUNC) by the driver; negative on failure.
 * `failure`, which lives as long as the file is open, gets the errno of the first read
 * or write that fails. */
hid_t gn2_hdf5_disk_open(const char *path, unsigned flags, int *failure);

#endif
