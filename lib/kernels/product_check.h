/* SPDX-License-Identifier: Apache-2.0 */
/* Does a row's result depend on the number of rows? Asked of products that are not
 * ours, before they are trusted. */
#ifndef GN2_KERNELS_PRODUCT_CHECK_H
#define GN2_KERNELS_PRODUCT_CHECK_H

#include "kernels/product_backend.h"

/* Whether rows of `product` (not a gradient) have the bits they have alone in every
 * power of two of rows up to max_rows, on random numbers; leaves B packed with them. */
gn2_status gn2_product_rows_agree(gn2_product_f32 *product, int *out_agree);

#endif
