/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AdamW and SGD over the arena of parameters: constants per tensor in double, then
 * flat loops of the kernel table, piece by piece on a pool.
 */
#ifndef GN2_OPTIM_OPTIMIZER_H
#define GN2_OPTIM_OPTIMIZER_H

#include "kernels/kernels.h"
#include "optim/pieces.h"
#include "util/threads.h"

typedef struct gn2_optim_options {
    int sgd; /* 0: AdamW */
    double weight_decay, beta2, eps;
    double clip_norm; /* 0: no clipping */
} gn2_optim_options;

/* Keys `optim.*`. */
void gn2_optim_options_read(const gn2_config *config, gn2_optim_options *out);

/* Factor that brings a gradient of this L2 norm to at most clip_norm. */
double gn2_optim_clip(const gn2_optim_options *options, double norm);

typedef struct R(gn2_optimizer) {
    gn2_optim_options options;
    const gn2_params *params; /* borrowed: multipliers */
    const gn2_pieces *pieces; /* borrowed */
    const R(gn2_kernels) *kernels;
    real *m, *v;   /* arenas; v NULL for SGD */
    int64_t steps; /* updates done */
} R(gn2_optimizer);

/* What one update works on. */
typedef struct R(gn2_update) {
    real *weights;
    const real *grads;
    double lr, beta1; /* beta1: momentum for SGD */
    double clip;      /* factor of the gradients */
} R(gn2_update);

/* Fills options, params, pieces, kernels of *o beforehand; m and v start at 0. */
gn2_status R(gn2_optimizer_create)(R(gn2_optimizer) *o);
void R(gn2_optimizer_destroy)(R(gn2_optimizer) *o);
void R(gn2_optimizer_step)(R(gn2_optimizer) *o, const R(gn2_update) *update,
                           gn2_pool *pool);

#endif
