/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an optimiser says of itself: one row a kind, in a file of its own, listed in
 * optimizer.c. An optimiser works on one arena; it knows nothing of tensors but two
 * multipliers, so the rooms above may ask it how its rates scale.
 */
#ifndef GN2_OPTIM_OPTIMIZER_KIND_H
#define GN2_OPTIM_OPTIMIZER_KIND_H

#include "config/config.h"
#include "kernels/kernels.h"

/* How large an update is, by which a parametrisation sets the multipliers. */
typedef enum gn2_update_rule {
    GN2_UPDATE_ADAPTIVE = 0, /* whatever the size of the gradient */
    GN2_UPDATE_GRADIENT = 1  /* proportional to it */
} gn2_update_rule;

#define GN2_MAX_MOMENTS 2

typedef struct gn2_optim_options {
    const char *name; /* of the kind; NULL: the first of the table */
    double weight_decay, beta2, eps;
    double clip_norm; /* 0: no clipping */
} gn2_optim_options;

/* A part of the arena that lies in one tensor, with its multipliers. */
typedef struct gn2_piece {
    int64_t offset, count; /* elements */
    double lr_mult, wd_mult;
} gn2_piece;

/* An update as its pieces see it. */
typedef struct R(gn2_optim_step) {
    const gn2_optim_options *options;
    const R(gn2_kernels) *kernels;
    real *weights, *moment[GN2_MAX_MOMENTS]; /* arenas */
    const real *grads;
    double lr, clip; /* of the gradients */
    real beta1;      /* as the kernels take it */
    int64_t number;  /* 1: the first */
    double own[2];   /* the kind's, made by `begin` */
} R(gn2_optim_step);

typedef struct R(gn2_optimizer_kind) {
    const char *name; /* optim.name */
    gn2_update_rule rule;
    const char *moment[GN2_MAX_MOMENTS + 1]; /* names in a checkpoint, NULL */
    int positive[GN2_MAX_MOMENTS];           /* a moment of squares: never negative */
    /* Its own keys of `optim.*`. */
    void (*read)(const gn2_config *config, gn2_optim_options *out);
    void (*begin)(R(gn2_optim_step) *step); /* NULL: nothing to make */
    void (*update)(const R(gn2_optim_step) *step, const gn2_piece *piece);
} R(gn2_optimizer_kind);

#endif
