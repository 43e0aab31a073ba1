/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes that are lists of strings. */
#ifndef GN2_DATA_HDF5_STRINGS_H
#define GN2_DATA_HDF5_STRINGS_H

#include "data/hdf5/file.h"
#include "data/hdf5/table.h"

gn2_status gn2_hdf5_strings_read(gn2_h5_table *table, const char *attribute,
                                 gn2_h5_text_fn each, void *context);
gn2_status gn2_hdf5_strings_write(gn2_h5_file *file, gn2_h5_table *table,
                                  const char *attribute, const char *const *items,
                                  size_t count);

#endif
