/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Global attention pooling (salt.models.pooling.GlobalAttentionPooling).
 *   forward   g = z·w + b,  α = softmax over the jet's tokens,  G = Σ α z
 *   backward  d_α_t = d_G·z_t;  d_g = α∘(d_α − Σ α d_α);
 *             d_z_t += α_t d_G + d_g_t w;  d_w += Σ d_g z;  d_b += Σ d_g
 * Cached: α. A jet without tokens has G = 0.
 */
#include "layers/layer.h"

void R(gn2_pool_jets_fwd)(const R(gn2_context) *ctx, const R(gn2_linear) *gate,
                          const R(gn2_pool_rows) *rows, const int64_t *offset,
                          int64_t jets)
{
    const int64_t cols = gate->in;
    const real *w = ctx->weights + gate->weight;
    const real bias = ctx->weights[gate->bias];
    for (int64_t b = 0; b < jets; b++) {
        const int64_t row = offset[b];
        ctx->kernels->pool_fwd(rows->pooled + b * cols, rows->alpha + row,
                               rows->logit + row, rows->z + row * cols, w, bias,
                               offset[b + 1] - row, cols);
    }
}

void R(gn2_pool_jets_bwd)(const R(gn2_context) *ctx, const R(gn2_linear) *gate,
                          real *d_z, real *scratch, const real *d_pooled,
                          const R(gn2_pool_rows) *rows, const int64_t *offset,
                          int64_t jets)
{
    const int64_t cols = gate->in;
    const real *w = ctx->weights + gate->weight;
    real *d_w = ctx->grads + gate->weight, *d_b = ctx->grads + gate->bias;
    for (int64_t b = 0; b < jets; b++) {
        const int64_t row = offset[b], n = offset[b + 1] - row;
        if (n == 0) continue;
        ctx->kernels->pool_bwd(d_z + row * cols, d_w, d_b, scratch, d_pooled + b * cols,
                               rows->z + row * cols, w, rows->alpha + row, n, cols);
    }
}
