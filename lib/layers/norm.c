/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layer normalisation (torch.nn.LayerNorm).
 *   forward   y = (x − mean)·rstd [·gain + bias],  rstd = 1/√(var + eps)
 *   backward  d_x += rstd·(g − mean(g) − x̂·mean(g x̂)),  g = d_y·gain
 * Cached: mean, rstd. x belongs to the caller.
 */
#include "layers/norm.h"

void R(gn2_norm_carve)(gn2_carver *c, R(gn2_norm_space) *s)
{
    s->mean = R(gn2_carve)(c, c->tokens, 1);
    s->rstd = R(gn2_carve)(c, c->tokens, 1);
}

void R(gn2_norm_fwd)(const R(gn2_context) *ctx, const gn2_norm *n,
                     const R(gn2_norm_space) *s, real *y, const real *x, int64_t rows)
{
    const real *gain = n->gain < 0 ? NULL : ctx->weights + n->gain;
    const real *bias = n->bias < 0 ? NULL : ctx->weights + n->bias;
    ctx->kernels->layernorm_fwd(y, s->mean, s->rstd, x, gain, bias, rows, n->cols,
                                (real)n->eps);
}

void R(gn2_norm_bwd)(const R(gn2_context) *ctx, const gn2_norm *n,
                     const R(gn2_norm_space) *s, real *d_x, const real *d_y,
                     const real *x, int64_t rows)
{
    const real *gain = n->gain < 0 ? NULL : ctx->weights + n->gain;
    real *d_gain = n->gain < 0 ? NULL : ctx->grads + n->gain;
    real *d_bias = n->bias < 0 ? NULL : ctx->grads + n->bias;
    ctx->kernels->layernorm_bwd(d_x, d_gain, d_bias, d_y, x, s->mean, s->rstd, gain,
                                rows, n->cols);
}

#ifndef GN2_REAL_DOUBLE
gn2_norm gn2_norm_declare(gn2_declaration *d, const char *stem, int64_t cols,
                          double eps)
{
    gn2_norm n = {.cols = cols, .eps = eps, .gain = -1, .bias = -1};
    gn2_tensor like = {.form = GN2_FORM_GAIN,
                       .growth = GN2_GROWS_OUT,
                       .shape = {cols},
                       .fan_in = 1,
                       .fan_out = cols,
                       .init_value = 1};
    if (!stem) return n;
    n.gain = gn2_declare(d, stem, "weight", &like)->offset;
    like.form = GN2_FORM_BIAS;
    like.init_value = 0;
    n.bias = gn2_declare(d, stem, "bias", &like)->offset;
    return n;
}
#endif
