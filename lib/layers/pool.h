/* SPDX-License-Identifier: Apache-2.0 */
/* Global attention pooling: one vector a jet. */
#ifndef GN2_LAYERS_POOL_H
#define GN2_LAYERS_POOL_H

#include "layers/linear.h"

/* The gate has no products: its one row goes with the pooling. */
typedef struct R(gn2_pool) {
    R(gn2_linear) gate;
} R(gn2_pool);

typedef struct R(gn2_pool_space) {
    real *logit, *alpha; /* (T) */
    real *pooled;        /* (B, cols) */
} R(gn2_pool_space);

/* Tensors `gate_nn.weight`, `gate_nn.bias`. */
void R(gn2_pool_declare)(gn2_declaration *d, R(gn2_pool) *pool, int64_t cols);
void R(gn2_pool_carve)(gn2_carver *c, const R(gn2_pool) *pool, R(gn2_pool_space) *s);
void R(gn2_pool_show)(R(gn2_show) *show, const R(gn2_pool) *pool,
                      const R(gn2_pool_space) *s, const gn2_tokens *t);

/* z (T, cols) → s->pooled. */
void R(gn2_pool_fwd)(const R(gn2_context) *ctx, const R(gn2_pool) *pool,
                     const R(gn2_pool_space) *s, const real *z, const gn2_tokens *t);
/* d_z (T, cols) += …; the gate's gradients accumulate; scratch: longest jet. */
void R(gn2_pool_bwd)(const R(gn2_context) *ctx, const R(gn2_pool) *pool,
                     const R(gn2_pool_space) *s, real *d_z, real *scratch,
                     const real *d_pooled, const real *z, const gn2_tokens *t);

#endif
