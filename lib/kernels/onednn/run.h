/* SPDX-License-Identifier: Apache-2.0 */
/* Running what backend.c made, in float (run_f32.c) and in bf16 (run_bf16.c). */
#ifndef GN2_KERNELS_ONEDNN_RUN_H
#define GN2_KERNELS_ONEDNN_RUN_H

#include "kernels/product_backend.h"

void gn2_dnnl_f32_run(const gn2_product_f32 *p, const gn2_lane_view_f32 *lane,
                      const gn2_mul_args_f32 *x);
void gn2_dnnl_f32_run_tn(const gn2_product_f32 *p, const gn2_lane_view_f32 *lane,
                         const gn2_tn_args_f32 *x);

void gn2_dnnl_bf16_run(const gn2_product_f32 *p, const gn2_lane_view_f32 *lane,
                       gn2_mul_args_f32 x);
void gn2_dnnl_bf16_run_tn(const gn2_product_f32 *p, const gn2_lane_view_f32 *lane,
                          gn2_tn_args_f32 x);

/* Bytes of scratch they need behind oneDNN's own. */
size_t gn2_dnnl_f32_scratch(const gn2_product_f32 *p);
size_t gn2_dnnl_bf16_scratch(const gn2_product_f32 *p);

#endif
