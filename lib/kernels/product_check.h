/* SPDX-License-Identifier: Apache-2.0 */
/* Does a row's result depend on the number of rows? Asked of products that are not
 * ours, before they are trusted. */
#ifndef GN2_KERNELS_PRODUCT_CHECK_H
#define GN2_KERNELS_PRODUCT_CHECK_H

#include "kernels/product_backend.h"

/* Numbers in (-1, 1), the same for a key: rounding differs somewhere if the order of a
 * sum does. NULL when memory is short; freed by gn2_free(). */
float *gn2_random_floats(size_t count, uint64_t key);

/* Whether rows of `product` (not a gradient) have the bits they have alone in every
 * power of two of rows up to max_rows, on random numbers; leaves B packed with them. */
gn2_status gn2_product_rows_agree(gn2_product_f32 *product, int *out_agree);

#endif
