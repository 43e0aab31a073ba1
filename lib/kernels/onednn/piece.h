/* SPDX-License-Identifier: Apache-2.0 */
/* One run of one primitive, and what is done to rows around it. */
#ifndef GN2_KERNELS_ONEDNN_PIECE_H
#define GN2_KERNELS_ONEDNN_PIECE_H

#include "kernels/onednn/state.h"

/* One run of one bucket on tight matrices, of bf16 where the product is. */
typedef struct gn2_dnnl_piece {
    const gn2_product_f32 *p;
    const gn2_lane_view_f32 *lane;
    int index, mode;
    const void *src, *rhs; /* rhs NULL: packed B */
    const float *bias;
    float *dst;
} gn2_dnnl_piece;

/* Where oneDNN fails, having had no memory, plain loops multiply. */
void gn2_dnnl_run_piece(const gn2_dnnl_piece *x);

/* Copies rows between matrices of different strides. */
void gn2_dnnl_copy_rows(float *to, int64_t ld_to, const float *from, int64_t ld_from,
                        int64_t rows, int64_t cols);

/* oneDNN's ReLU turns NaN into 0; this one keeps it. */
void gn2_dnnl_relu(float *c, int64_t count);

#endif
