/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers: forward and backward side by side, on raw row-major buffers. They know
 * tensors, not GN2; they never allocate or fail.
 *
 * Dimension letters, used everywhere:
 *   B jets      N packed constituent rows   T tokens (constituents + registers)
 *   n tokens or constituents of one jet     P pair rows
 *   F input features   E embed dim   H heads   D head dim   C classes
 *
 * Contract of gradients: every d_… of an activation is written (=) unless the
 * comment says +=; gradients of parameters always accumulate (+=).
 */
#ifndef GN2_LAYERS_LAYER_H
#define GN2_LAYERS_LAYER_H

#include "kernels/product.h"
#include "util/error.h"

/* What a layer runs with: one per lane. */
typedef struct R(gn2_context) {
    const R(gn2_kernels) *kernels;
    R(gn2_lane) *lane;
    const real *weights; /* arena of parameters */
    real *grads;         /* arena of gradients, same offsets; NULL: no training */
} R(gn2_context);

/* ---- linear: y = x Wᵀ + b ---- */

/* W is (out, in) with row stride `ld` at weights + weight; b at weights + bias,
 * none if bias < 0. */
typedef struct R(gn2_linear) {
    int64_t in, out, ld;
    int64_t weight, bias;
    R(gn2_product) *fwd;  /* x·Wᵀ */
    R(gn2_product) *bwd;  /* d_y·W, NULL for inference */
    R(gn2_product) *grad; /* d_yᵀ·x, NULL for inference */
} R(gn2_linear);

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

/* ---- dropout ---- */

/* One place where values are dropped: stream, first row of the batch, scale. */
typedef struct gn2_dropout {
    uint64_t key;       /* of step and place */
    uint32_t threshold; /* p·2³²; 0: off */
    double scale;       /* 1/(1−p) */
} gn2_dropout;

gn2_dropout gn2_dropout_make(double p, uint64_t step_key, uint64_t place);
/* x (rows, cols) dropped in place; `first` = row's number in the batch. Backward
 * is the same call on d_x. */
void R(gn2_dropout_rows)(const R(gn2_context) *ctx, const gn2_dropout *drop, real *x,
                         int64_t first, int64_t rows, int64_t cols);

/* ---- multi-layer perceptron: [dropout] linear relu … [dropout] linear ---- */

#define GN2_DENSE_MAX 9 /* linear layers */

typedef struct R(gn2_mlp) {
    int32_t depth;
    R(gn2_linear) layer[GN2_DENSE_MAX];
} R(gn2_mlp);

/* Dropout of a pass: one place a layer, numbered from `place`. */
typedef struct gn2_mlp_dropout {
    double p; /* 0: off */
    uint64_t step_key, place;
    int64_t first; /* first row's number in the batch */
} gn2_mlp_dropout;

/* x (rows, in) → act[k] (rows, out_k), k = from … depth−1; act[depth−1] is the
 * result without relu. x of layer `from` is taken as it is. Hidden activations are
 * dropped in place. */
void R(gn2_mlp_fwd)(const R(gn2_context) *ctx, const R(gn2_mlp) *mlp, int from,
                    real *const *act, const real *x, const gn2_mlp_dropout *drop,
                    int64_t rows);
/* From d_act[depth−1] (set by the caller) down to layer `from`: d_act[k] =
 * gradient of act[k]'s pre-activation; parameters accumulate. d_x (rows, in of
 * layer from) = … unless NULL. */
void R(gn2_mlp_bwd)(const R(gn2_context) *ctx, const R(gn2_mlp) *mlp, int from,
                    real *const *d_act, real *d_x, real *const *act, const real *x,
                    double p, int64_t rows);

/* ---- attention and pooling over the jets of a chunk ---- */

typedef struct gn2_heads {
    int64_t heads, head_dim;
    double scale;
} gn2_heads;

/* offset (B+1): token rows of jet b. p of jet b starts at
 * H·Σ_{a<b} n_a². qkv (T, 3E), o (T, E). */
void R(gn2_attention_jets_fwd)(const R(gn2_context) *ctx, const gn2_heads *h, real *o,
                               real *p, const real *qkv, const int64_t *offset,
                               int64_t jets);
void R(gn2_attention_jets_bwd)(const R(gn2_context) *ctx, const gn2_heads *h,
                               real *d_qkv, real *scratch, const real *d_o,
                               const real *qkv, const real *p, const int64_t *offset,
                               int64_t jets);

/* Buffers of the pooling: z (T, cols) tokens; logit, alpha (T); pooled (B, cols). */
typedef struct R(gn2_pool_rows) {
    const real *z;
    real *logit, *alpha, *pooled;
} R(gn2_pool_rows);

void R(gn2_pool_jets_fwd)(const R(gn2_context) *ctx, const R(gn2_linear) *gate,
                          const R(gn2_pool_rows) *rows, const int64_t *offset,
                          int64_t jets);
/* d_z (T, cols) += …; gate's gradients accumulate; scratch: longest jet. */
void R(gn2_pool_jets_bwd)(const R(gn2_context) *ctx, const R(gn2_linear) *gate,
                          real *d_z, real *scratch, const real *d_pooled,
                          const R(gn2_pool_rows) *rows, const int64_t *offset,
                          int64_t jets);

#endif
