/* SPDX-License-Identifier: Apache-2.0 */
/* oneDNN as a back end of products: the functions of gn2_product_ops. */
#ifndef GN2_KERNELS_ONEDNN_BACKEND_H
#define GN2_KERNELS_ONEDNN_BACKEND_H

#include "kernels/product_backend.h"

gn2_status gn2_dnnl_create(gn2_product_f32 *product);
void gn2_dnnl_destroy(gn2_product_f32 *product);
void gn2_dnnl_pack(gn2_product_f32 *product, const float *src, int64_t ld,
                   int transposed);
size_t gn2_dnnl_scratch(const gn2_product_f32 *product);
gn2_status gn2_dnnl_lane_open(const gn2_product_f32 *product, void **out_state,
                              size_t *out_bytes);
void gn2_dnnl_lane_close(void *state);
void gn2_dnnl_run(const gn2_product_f32 *product, gn2_lane_view_f32 lane,
                  const gn2_mul_args_f32 *args);
void gn2_dnnl_run_tn(const gn2_product_f32 *product, gn2_lane_view_f32 lane,
                     const gn2_tn_args_f32 *args);

#endif
