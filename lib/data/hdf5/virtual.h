/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual datasets that are tables one behind the other, as UPP and h5py make them. */
#ifndef GN2_DATA_HDF5_VIRTUAL_H
#define GN2_DATA_HDF5_VIRTUAL_H

#include "data/hdf5/table.h"

/* The calls, see interface.h: of tables of either kind. */
gn2_status gn2_hdf5_any_open(gn2_h5_file *file, const char *name, gn2_h5_table **out);
gn2_status gn2_hdf5_any_select(gn2_h5_table *table, const uint8_t *wanted,
                               int64_t only);
gn2_status gn2_hdf5_any_read(gn2_h5_table *table, const gn2_h5_read *read,
                             void *records);

#endif
