/* SPDX-License-Identifier: Apache-2.0 */
/* Multi-layer perceptron: [dropout] linear relu … [dropout] linear. */
#ifndef GN2_LAYERS_MLP_H
#define GN2_LAYERS_MLP_H

#include "layers/linear.h"

#define GN2_DENSE_MAX 9 /* linear layers */

/* Sizes of a perceptron: size[0] inputs, size[depth] outputs. */
typedef struct gn2_dense {
    int32_t depth;
    int64_t size[GN2_DENSE_MAX + 1];
} gn2_dense;

typedef struct R(gn2_mlp) {
    int32_t depth;
    R(gn2_linear) layer[GN2_DENSE_MAX];
} R(gn2_mlp);

/* Outputs of the layers and their gradients, (rows, size[k+1]) each. */
typedef struct R(gn2_mlp_space) {
    real *act[GN2_DENSE_MAX], *d_act[GN2_DENSE_MAX];
} R(gn2_mlp_space);

/* Tensors `<k>.weight`, `<k>.bias`, numbered as salt's Dense numbers its modules:
 * `drops` tells whether a dropout counts before each linear map. The outputs of the
 * last one grow with the width if `last` says so. */
void R(gn2_mlp_declare)(gn2_declaration *d, R(gn2_mlp) *mlp, const gn2_dense *dense,
                        int drops, gn2_growth last);
/* Its linear maps from number `from` on. */
void R(gn2_mlp_each)(R(gn2_mlp) *mlp, int from, R(gn2_linear_fn) fn, void *user);
void R(gn2_mlp_carve)(gn2_carver *c, const R(gn2_mlp) *mlp, R(gn2_mlp_space) *s,
                      int64_t rows);
/* Multiply-adds a row, from layer `from` on. */
int64_t gn2_dense_cost(const gn2_dense *dense, int from);

/* x (rows, in) → act[k] (rows, out_k), k = from … depth−1; act[depth−1] is the
 * result without relu. Inputs of layer k > 0 are dropped in place, at step k of
 * `drop`; those of layer 0 are taken as they are. */
void R(gn2_mlp_fwd)(const R(gn2_context) *ctx, const R(gn2_mlp) *mlp, int from,
                    real *const *act, const real *x, const gn2_dropout *drop,
                    int64_t rows);
/* From d_act[depth−1] (set by the caller) down to layer `from`: d_act[k] =
 * gradient of act[k]'s pre-activation; parameters accumulate. d_x (rows, in of
 * layer from) = … unless NULL. */
void R(gn2_mlp_bwd)(const R(gn2_context) *ctx, const R(gn2_mlp) *mlp, int from,
                    real *const *d_act, real *d_x, real *const *act, const real *x,
                    const gn2_dropout *drop, int64_t rows);

#endif
