/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks unpacked without HDF5, where their filters can be undone here. */
#ifndef GN2_DATA_HDF5_CHUNKS_H
#define GN2_DATA_HDF5_CHUNKS_H

#include <hdf5.h>

#include "data/hdf5/interface.h"

typedef struct gn2_hdf5_chunks gn2_hdf5_chunks;

/* Of a dataset of that shape, which stays open as long, and its stored type. GN2_OK
 * with *out NULL where HDF5 has to read it. */
gn2_status gn2_hdf5_chunks_new(hid_t dataset, hid_t type, const gn2_h5_info *info,
                               gn2_hdf5_chunks **out);
void gn2_hdf5_chunks_free(gn2_hdf5_chunks *chunks);
/* What is wrong where nothing is damaged. */
extern const char gn2_hdf5_chunks_no_memory[];
/* Records as they are stored. Where byte `only` of one is 0 the rest of it need not be
 * filled (−1: every record counts). NULL, or what is wrong; *out_bad is the first row
 * of the chunk where. */
const char *gn2_hdf5_chunks_read(gn2_hdf5_chunks *chunks, const gn2_h5_read *read,
                                 int64_t only, void *records, int64_t *out_bad);

#endif
