/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GN2_DATA_HDF5_HEAP_H
#define GN2_DATA_HDF5_HEAP_H

#include <stddef.h>

/* Whether bytes that HDF5 is about to be given are no heap of texts whose damage would
 * have it go round for ever. */
int gn2_hdf5_heap_is_sound(const unsigned char *bytes, size_t size);

#endif
