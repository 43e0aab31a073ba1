/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GN2_DATA_HDF5_TABLE_READ_H
#define GN2_DATA_HDF5_TABLE_READ_H

#include "data/hdf5/table.h"

gn2_status gn2_hdf5_table_select(gn2_h5_table *table, const uint8_t *wanted,
                                 int64_t only);
/* Gives back the memory that conversions keep between two reads. */
void gn2_hdf5_table_rest(gn2_h5_table *table);
gn2_status gn2_hdf5_table_read(gn2_h5_table *table, const gn2_h5_read *read,
                               void *records);

#endif
