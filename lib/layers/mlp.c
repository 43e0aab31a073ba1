/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multi-layer perceptron of salt's Dense: [dropout] linear, relu, … , linear.
 *   forward   a_k = relu(W_k drop(a_{k−1}) + b_k), last layer without relu
 *   backward  d_a_{k−1} = (W_kᵀ d_a_k)·scale where a_{k−1} > 0, else 0
 * A hidden activation is kept after relu and dropout: the mask of both is a > 0.
 */
#include "layers/mlp.h"

void R(gn2_mlp_declare)(gn2_declaration *d, R(gn2_mlp) *mlp, const gn2_dense *dense,
                        int drops, gn2_growth last)
{
    mlp->depth = dense->depth;
    for (int k = 0; k < dense->depth; k++) {
        const gn2_growth growth = k == dense->depth - 1 ? last : GN2_GROWS_NONE;
        char stem[64];
        gn2_declare_name(stem, "%d.", (drops ? 3 : 2) * k + (drops ? 1 : 0));
        mlp->layer[k] =
            R(gn2_linear_declare)(d, stem, dense->size[k + 1], dense->size[k], growth);
    }
}

void R(gn2_mlp_each)(R(gn2_mlp) *mlp, int from, R(gn2_linear_fn) fn, void *user)
{
    for (int k = from; k < mlp->depth; k++) fn(&mlp->layer[k], user);
}

void R(gn2_mlp_carve)(gn2_carver *c, const R(gn2_mlp) *mlp, R(gn2_mlp_space) *s,
                      int64_t rows)
{
    for (int k = 0; k < mlp->depth; k++) {
        s->act[k] = R(gn2_carve)(c, rows, mlp->layer[k].out);
        if (c->training) s->d_act[k] = R(gn2_carve)(c, rows, mlp->layer[k].out);
    }
}

void R(gn2_mlp_fwd)(const R(gn2_context) *ctx, const R(gn2_mlp) *mlp, int from,
                    real *const *act, const real *x, const gn2_dropout *drop,
                    int64_t rows)
{
    for (int k = from; k < mlp->depth; k++) {
        const R(gn2_linear) *l = &mlp->layer[k];
        const unsigned relu = k < mlp->depth - 1 ? GN2_MUL_RELU : 0;
        if (k > 0) R(gn2_dropout_rows)(ctx, drop, k, act[k - 1], rows, l->in);
        R(gn2_linear_fwd)(ctx, l, act[k], k > from ? act[k - 1] : x, NULL, relu, rows);
    }
}

void R(gn2_mlp_bwd)(const R(gn2_context) *ctx, const R(gn2_mlp) *mlp, int from,
                    real *const *d_act, real *d_x, real *const *act, const real *x,
                    const gn2_dropout *drop, int64_t rows)
{
    for (int k = mlp->depth - 1; k >= from; k--) {
        const R(gn2_linear) *l = &mlp->layer[k];
        R(gn2_linear_bwd_weight)(ctx, l, d_act[k], k > from ? act[k - 1] : x, rows);
        real *d_in = k > from ? d_act[k - 1] : d_x;
        if (!d_in) continue;
        R(gn2_linear_bwd_input)(ctx, l, d_in, d_act[k], NULL, rows);
        if (k > from)
            R(gn2_dropout_relu_bwd)(ctx, drop, d_in, act[k - 1], rows * l->in);
    }
}

#ifndef GN2_REAL_DOUBLE
int64_t gn2_dense_cost(const gn2_dense *dense, int from)
{
    int64_t sum = 0;
    for (int k = from; k < dense->depth; k++)
        sum += dense->size[k] * dense->size[k + 1];
    return sum;
}
#endif
