/* SPDX-License-Identifier: Apache-2.0 */
/* What processes have to agree on to multiply alike. */
#ifndef GN2_KERNELS_PRODUCT_SAMPLE_H
#define GN2_KERNELS_PRODUCT_SAMPLE_H

#include "kernels/product_types.h"

/* A fingerprint of the bits of a product with these options, of fixed numbers. */
gn2_status gn2_product_sample(const gn2_product_options *options, uint64_t *out_digest);

#endif
