/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks unpacked without HDF5, where the storage is the usual one. */
#ifndef GN2_DATA_HDF5_CHUNKS_H
#define GN2_DATA_HDF5_CHUNKS_H

#include <hdf5.h>

#include "data/hdf5/interface.h"

typedef struct gn2_hdf5_chunks gn2_hdf5_chunks;

/* Of a dataset of that shape, which stays open as long; `record` is the size of its
 * records as stored. NULL if not possible. */
gn2_hdf5_chunks *gn2_hdf5_chunks_new(hid_t dataset, const gn2_h5_info *info,
                                     size_t record);
void gn2_hdf5_chunks_free(gn2_hdf5_chunks *chunks);
/* Reads rows, records as they are stored; 0 if HDF5 has to. Where byte `only` of a
 * record is 0 the rest of it need not be filled (−1: every record counts). */
int gn2_hdf5_chunks_read(gn2_hdf5_chunks *chunks, int64_t start, int64_t count,
                         int64_t only, void *records);

#endif
