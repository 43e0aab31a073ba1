/* SPDX-License-Identifier: Apache-2.0 */
/* Layer normalisation over the columns of each row. */
#ifndef GN2_LAYERS_NORM_H
#define GN2_LAYERS_NORM_H

#include "layers/layer.h"

/* Gain and bias in the arena, −1 without affine part. */
typedef struct gn2_norm {
    int64_t cols;
    double eps;
    int64_t gain, bias;
} gn2_norm;

/* What the backward pass needs of the forward pass, (rows) each. */
typedef struct R(gn2_norm_space) {
    real *mean, *rstd;
} R(gn2_norm_space);

/* Tensors `<stem>weight` and `<stem>bias`; stem NULL: without an affine part. */
gn2_norm gn2_norm_declare(gn2_declaration *d, const char *stem, int64_t cols,
                          double eps);
void R(gn2_norm_carve)(gn2_carver *c, R(gn2_norm_space) *s);

/* y (rows, cols) = LN(x). */
void R(gn2_norm_fwd)(const R(gn2_context) *ctx, const gn2_norm *n,
                     const R(gn2_norm_space) *s, real *y, const real *x, int64_t rows);
/* d_x += . */
void R(gn2_norm_bwd)(const R(gn2_context) *ctx, const gn2_norm *n,
                     const R(gn2_norm_space) *s, real *d_x, const real *d_y,
                     const real *x, int64_t rows);

#endif
