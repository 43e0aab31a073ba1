/* SPDX-License-Identifier: Apache-2.0 */
/* Fill values: what HDF5 gives in place of what was never written. */
#ifndef GN2_DATA_HDF5_FILL_H
#define GN2_DATA_HDF5_FILL_H

#include "data/hdf5/table.h"

/* A record of fill values of a dataset in a type, zeros where it has none; NULL when
 * memory is short. */
void *gn2_hdf5_fill_new(hid_t dataset, hid_t type);
/* The call, see interface.h. */
gn2_status gn2_hdf5_table_is_fill(gn2_h5_table *table, int64_t row, int *out_fill);

#endif
