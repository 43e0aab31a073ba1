/* SPDX-License-Identifier: Apache-2.0 */
/* Why a file cannot be opened: 'damaged' is said of damaged files only. */
#ifndef GN2_DATA_HDF5_REFUSAL_H
#define GN2_DATA_HDF5_REFUSAL_H

#include "data/hdf5/interface.h"

/* Refuses what is no regular file or cannot be read, before HDF5 sees it. */
gn2_status gn2_hdf5_refuse_path(const char *path);
/* Says why HDF5 has just refused a file; `failure` is the errno of a read, or 0. */
gn2_status gn2_hdf5_refusal(const char *path, int failure);

#endif
