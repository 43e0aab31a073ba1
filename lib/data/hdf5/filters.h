/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How chunks are packed, undone here: shuffle, deflate, Fletcher's checksum, and what
 * h5py and UPP write but libhdf5 does not have, LZF and LZ4. Nothing is registered in
 * HDF5, which belongs to the whole process.
 */
#ifndef GN2_DATA_HDF5_FILTERS_H
#define GN2_DATA_HDF5_FILTERS_H

#include <hdf5.h>

#include "data/hdf5/interface.h"

#define GN2_HDF5_FILTERS 4

/* The filters of a dataset, in the order of writing. */
typedef struct gn2_hdf5_filters {
    int count;
    int own; /* all can be undone here */
    H5Z_filter_t id[GN2_HDF5_FILTERS];
} gn2_hdf5_filters;

/* Of a dataset's creation property list. */
gn2_hdf5_filters gn2_hdf5_filters_of(hid_t plist);

/* A chunk between being read and unpacked: filter i was left out where bit i of the
 * mask is set. */
typedef struct gn2_hdf5_packet {
    unsigned char *data;
    size_t size, room; /* bytes used, 0: it was never written; bytes that `data` has */
    uint32_t mask;
} gn2_hdf5_packet;

/* Bytes that an unpacked chunk may have more than its records. */
#define GN2_HDF5_FILTERS_ROOM 4

/* Unpacks a chunk to exactly `size` bytes (`out` has GN2_HDF5_FILTERS_ROOM more), which
 * are shuffled where *out_shuffled. NULL, or what is wrong with it. */
const char *gn2_hdf5_filters_undo(const gn2_hdf5_filters *filters,
                                  const gn2_hdf5_packet *packet, unsigned char *out,
                                  size_t size, int *out_shuffled);

/* What a filter is called, "" if that is not known. */
const char *gn2_hdf5_filter_name(H5Z_filter_t id);

#endif
