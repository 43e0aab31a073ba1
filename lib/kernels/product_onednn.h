/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oneDNN as the library sees it: in a module of its own, loaded when the first product
 * that needs it is made. Whether that works is found out once, so that all taggers and
 * trainers of a process compute alike; a search that ends for want of memory does not
 * count, and is GN2_ERR_NO_MEMORY.
 */
#ifndef GN2_KERNELS_PRODUCT_ONEDNN_H
#define GN2_KERNELS_PRODUCT_ONEDNN_H

#include "kernels/product_backend.h"

/* Version of oneDNN the module was built with, "none" where it was not built or its
 * file is not there; loads nothing. */
const char *gn2_onednn_version(void);

/* Loads the module; GN2_ERR_UNSUPPORTED says what was tried. */
gn2_status gn2_onednn_load(void);

/* The same without a message. */
gn2_status gn2_onednn_find(void);

/* What of gn2_bf16_detect() oneDNN will use; loads it where there is something. */
gn2_status gn2_onednn_bf16(gn2_bf16 *out_have);

/* Its back end; loads it. */
gn2_status gn2_onednn_ops(const gn2_product_ops_f32 **out_ops);

#endif
