/* SPDX-License-Identifier: Apache-2.0 */
/* LZF and LZ4, which libhdf5 does not have: decoding only. */
#ifndef GN2_DATA_HDF5_FILTERS_H
#define GN2_DATA_HDF5_FILTERS_H

#include <hdf5.h>

/* Makes them readable in this process. */
void gn2_hdf5_register_filters(void);
/* Whether chunks packed with a filter can be unpacked here. */
int gn2_hdf5_knows_filter(H5Z_filter_t id);

#endif
