/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linear layer.
 *   forward   y = x Wᵀ + b          (torch.nn.Linear), 2·rows·in·out flops
 *   backward  d_x = d_y W,  d_W += d_yᵀ x,  d_b += Σ_rows d_y
 * Nothing is cached: x belongs to the caller.
 */
#include "layers/linear.h"

R(gn2_linear)
R(gn2_linear_declare)(gn2_declaration *d, const char *stem, int64_t out, int64_t in,
                      gn2_growth growth)
{
    R(gn2_linear) l = {.in = in, .out = out, .ld = in};
    l.weight = gn2_declare_weight(d, stem, out, in, growth)->offset;
    l.bias = gn2_declare_bias(d, stem, out, in, growth)->offset;
    return l;
}

gn2_status R(gn2_linear_create)(R(gn2_linear) *l, const gn2_product_options *options,
                                int training)
{
    GN2_TRY(R(gn2_product_create)(l->in, l->out, options, &l->fwd));
    if (!training) return GN2_OK;
    GN2_TRY(R(gn2_product_create)(l->out, l->in, options, &l->bwd));
    return R(gn2_product_create_tn)(l->out, l->in, options, &l->grad);
}

void R(gn2_linear_destroy)(R(gn2_linear) *l)
{
    R(gn2_product_free)(l->fwd);
    R(gn2_product_free)(l->bwd);
    R(gn2_product_free)(l->grad);
}

void R(gn2_linear_pack)(R(gn2_linear) *l, const real *weights)
{
    const real *w = weights + l->weight; /* (out, in) */
    R(gn2_product_pack)(l->fwd, w, l->ld, 1);
    if (l->bwd) R(gn2_product_pack)(l->bwd, w, l->ld, 0);
}

void R(gn2_linear_fwd)(const R(gn2_context) *ctx, const R(gn2_linear) *l, real *y,
                       const real *x, const real *residual, unsigned flags,
                       int64_t rows)
{
    const R(gn2_mul_args) args = {
        .c = y,
        .ldc = l->out,
        .a = x,
        .lda = l->in,
        .bias = l->bias < 0 ? NULL : ctx->weights + l->bias,
        .residual = residual,
        .flags = flags,
        .m = rows,
    };
    R(gn2_product_run)(l->fwd, ctx->lane, &args);
}

void R(gn2_linear_bwd_input)(const R(gn2_context) *ctx, const R(gn2_linear) *l,
                             real *d_x, const real *d_y, const real *residual,
                             int64_t rows)
{
    const R(gn2_mul_args) args = {
        .c = d_x,
        .ldc = l->in,
        .a = d_y,
        .lda = l->out,
        .residual = residual,
        .m = rows,
    };
    R(gn2_product_run)(l->bwd, ctx->lane, &args);
}

void R(gn2_linear_bwd_weight)(const R(gn2_context) *ctx, const R(gn2_linear) *l,
                              const real *d_y, const real *x, int64_t rows)
{
    real *d_w = ctx->grads + l->weight;
    R(gn2_product_run_tn)
    (l->grad, ctx->lane, d_w, l->ld, d_y, l->out, x, l->in, rows);
    if (l->bias < 0) return;
    ctx->kernels->sum_rows(ctx->grads + l->bias, d_y, rows, l->out, l->out);
}
