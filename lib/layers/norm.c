/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layer normalisation (torch.nn.LayerNorm).
 *   forward   y = (x − mean)·rstd [·gain + bias],  rstd = 1/√(var + eps)
 *   backward  d_x += rstd·(g − mean(g) − x̂·mean(g x̂)),  g = d_y·gain
 * Cached: mean, rstd. x belongs to the caller.
 */
#include "layers/norm.h"

static const real *at(const real *base, int64_t offset)
{
    return offset < 0 ? NULL : base + offset;
}

static real *at_mutable(real *base, int64_t offset)
{
    return offset < 0 ? NULL : base + offset;
}

void R(gn2_norm_carve)(gn2_carver *c, R(gn2_norm_space) *s)
{
    s->mean = R(gn2_carve)(c, c->tokens, 1);
    s->rstd = R(gn2_carve)(c, c->tokens, 1);
}

void R(gn2_norm_fwd)(const R(gn2_context) *ctx, const gn2_norm *n,
                     const R(gn2_norm_space) *s, real *y, const real *x, int64_t rows)
{
    ctx->kernels->layernorm_fwd(y, s->mean, s->rstd, x, at(ctx->weights, n->gain),
                                at(ctx->weights, n->bias), rows, n->cols, (real)n->eps);
}

void R(gn2_norm_bwd)(const R(gn2_context) *ctx, const gn2_norm *n,
                     const R(gn2_norm_space) *s, real *d_x, const real *d_y,
                     const real *x, int64_t rows)
{
    ctx->kernels->layernorm_bwd(d_x, at_mutable(ctx->grads, n->gain),
                                at_mutable(ctx->grads, n->bias), d_y, x, s->mean,
                                s->rstd, at(ctx->weights, n->gain), rows, n->cols);
}

#ifndef GN2_REAL_DOUBLE
gn2_norm gn2_norm_plain(int64_t cols, double eps)
{
    return (gn2_norm){.cols = cols, .eps = eps, .gain = -1, .bias = -1};
}

gn2_norm gn2_norm_declare(gn2_declaration *d, const char *name, int64_t cols,
                          double eps)
{
    static const char *const parts[] = {"weight", "bias"};
    static const gn2_form forms[] = {GN2_FORM_GAIN, GN2_FORM_BIAS};
    gn2_norm n = gn2_norm_plain(cols, eps);
    int64_t *const offsets[] = {&n.gain, &n.bias};
    for (int i = 0; i < 2; i++) {
        char text[64];
        gn2_declare_name(text, "%s.%s", name, parts[i]);
        gn2_tensor *t = gn2_declare_tensor(d, text, cols, 0);
        t->form = forms[i];
        t->growth = GN2_GROWS_OUT;
        t->init_value = i == 0;
        t->fan_in = 1;
        t->fan_out = cols;
        gn2_declare_scale(d, t);
        *offsets[i] = t->offset;
    }
    return n;
}
#endif
