/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Global attention pooling (salt.models.pooling.GlobalAttentionPooling).
 *   forward   g = z·w + b,  α = softmax over the jet's tokens,  G = Σ α z
 *   backward  d_α_t = d_G·z_t;  d_g = α∘(d_α − Σ α d_α);
 *             d_z_t += α_t d_G + d_g_t w;  d_w += Σ d_g z;  d_b += Σ d_g
 * Cached: α. A jet without tokens has G = 0.
 */
#include "layers/pool.h"

void R(gn2_pool_declare)(gn2_declaration *d, R(gn2_pool) *pool, int64_t cols)
{
    pool->gate = R(gn2_linear_declare)(d, "gate_nn.", 1, cols, GN2_GROWS_NONE);
}

void R(gn2_pool_carve)(gn2_carver *c, const R(gn2_pool) *pool, R(gn2_pool_space) *s)
{
    s->logit = R(gn2_carve)(c, c->tokens, 1);
    s->alpha = R(gn2_carve)(c, c->tokens, 1);
    s->pooled = R(gn2_carve)(c, c->jets, pool->gate.in);
}

void R(gn2_pool_show)(R(gn2_show) *show, const R(gn2_pool) *pool,
                      const R(gn2_pool_space) *s, const gn2_tokens *t)
{
    const int64_t cols = pool->gate.in;
    R(gn2_show_add)(show, (R(gn2_shown)){"gate", -1, s->logit, NULL, t->rows, 1, -1});
    R(gn2_show_add)
    (show, (R(gn2_shown)){"pooled", -1, s->pooled, NULL, t->jets, cols, -1});
}

void R(gn2_pool_fwd)(const R(gn2_context) *ctx, const R(gn2_pool) *pool,
                     const R(gn2_pool_space) *s, const real *z, const gn2_tokens *t)
{
    const int64_t cols = pool->gate.in;
    const real *w = ctx->weights + pool->gate.weight;
    const real bias = ctx->weights[pool->gate.bias];
    for (int64_t b = 0; b < t->jets; b++) {
        const int64_t row = t->offset[b];
        ctx->kernels->pool_fwd(s->pooled + b * cols, s->alpha + row, s->logit + row,
                               z + row * cols, w, bias, t->offset[b + 1] - row, cols);
    }
}

void R(gn2_pool_bwd)(const R(gn2_context) *ctx, const R(gn2_pool) *pool,
                     const R(gn2_pool_space) *s, real *d_z, real *scratch,
                     const real *d_pooled, const real *z, const gn2_tokens *t)
{
    const int64_t cols = pool->gate.in;
    const real *w = ctx->weights + pool->gate.weight;
    real *d_w = ctx->grads + pool->gate.weight, *d_b = ctx->grads + pool->gate.bias;
    for (int64_t b = 0; b < t->jets; b++) {
        const int64_t row = t->offset[b], n = t->offset[b + 1] - row;
        if (n == 0) continue;
        ctx->kernels->pool_bwd(d_z + row * cols, d_w, d_b, scratch, d_pooled + b * cols,
                               z + row * cols, w, s->alpha + row, n, cols);
    }
}
