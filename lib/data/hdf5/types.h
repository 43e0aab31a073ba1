/* SPDX-License-Identifier: Apache-2.0 */
/* Types of HDF5 for the kinds of a field. */
#ifndef GN2_DATA_HDF5_TYPES_H
#define GN2_DATA_HDF5_TYPES_H

#include <hdf5.h>

#include "data/hdf5/interface.h"

/* Type of a field kept as this machine keeps it; −1 if there is none. The caller
 * closes it. */
hid_t gn2_hdf5_native(int32_t kind, int32_t size);

/* A type of records as a chunk has them: texts and lists of any length, which HDF5
 * hands out as in memory, are references of no meaning. −1 where such are nested. */
hid_t gn2_hdf5_stored(hid_t record);

#endif
