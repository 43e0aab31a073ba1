/* SPDX-License-Identifier: Apache-2.0 */
/* Linear layer: y = x Wᵀ + b. */
#ifndef GN2_LAYERS_LINEAR_H
#define GN2_LAYERS_LINEAR_H

#include "layers/layer.h"

/* W is (out, in) with row stride `ld` at weights + weight; b at weights + bias,
 * none if bias < 0. */
typedef struct R(gn2_linear) {
    int64_t in, out, ld;
    int64_t weight, bias;
    R(gn2_product) *fwd;  /* x·Wᵀ */
    R(gn2_product) *bwd;  /* d_y·W, NULL for inference */
    R(gn2_product) *grad; /* d_yᵀ·x, NULL for inference */
} R(gn2_linear);

/* Visits the linear maps of a layer, one after the other. */
typedef void (*R(gn2_linear_fn))(R(gn2_linear) *l, void *user);

/* With its two tensors; no products yet. */
R(gn2_linear)
R(gn2_linear_declare)(gn2_declaration *d, const char *stem, int64_t out, int64_t in,
                      gn2_growth growth);
gn2_status R(gn2_linear_create)(R(gn2_linear) *l, const gn2_product_options *options,
                                int training);
void R(gn2_linear_destroy)(R(gn2_linear) *l);
/* Packs W after a change of the weights. */
void R(gn2_linear_pack)(R(gn2_linear) *l, const real *weights);

/* y (rows, out) = x (rows, in) Wᵀ + b [+ residual (rows, out)] [relu]. */
void R(gn2_linear_fwd)(const R(gn2_context) *ctx, const R(gn2_linear) *l, real *y,
                       const real *x, const real *residual, unsigned flags,
                       int64_t rows);
/* d_x (rows, in) = d_y W [+ residual, which may be d_x]; d_x NULL: not wanted. */
void R(gn2_linear_bwd_input)(const R(gn2_context) *ctx, const R(gn2_linear) *l,
                             real *d_x, const real *d_y, const real *residual,
                             int64_t rows);
/* d_W += d_yᵀ x; d_b += Σ_rows d_y. */
void R(gn2_linear_bwd_weight)(const R(gn2_context) *ctx, const R(gn2_linear) *l,
                              const real *d_y, const real *x, int64_t rows);

#endif
