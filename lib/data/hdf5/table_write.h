/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GN2_DATA_HDF5_TABLE_WRITE_H
#define GN2_DATA_HDF5_TABLE_WRITE_H

#include "data/hdf5/file.h"
#include "data/hdf5/table.h"

gn2_status gn2_hdf5_table_create(gn2_h5_file *file, const char *name,
                                 const gn2_h5_layout *layout, gn2_h5_table **out);
gn2_status gn2_hdf5_table_append(gn2_h5_table *table, int64_t count,
                                 const void *records);

#endif
