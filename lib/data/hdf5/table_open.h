/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GN2_DATA_HDF5_TABLE_OPEN_H
#define GN2_DATA_HDF5_TABLE_OPEN_H

#include "data/hdf5/file.h"
#include "data/hdf5/table.h"

gn2_status gn2_hdf5_table_open(gn2_h5_file *file, const char *name, gn2_h5_table **out);

#endif
