/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The optimisers over the arena of parameters: constants per tensor in double, then
 * flat loops of the kernel table, piece by piece on a pool. An optimiser is one row, in
 * a file of its own, listed in optimizer.c. It knows nothing of tensors but two
 * multipliers, so the rooms above may ask it how its rates scale.
 */
#ifndef GN2_OPTIM_OPTIMIZER_H
#define GN2_OPTIM_OPTIMIZER_H

#include "config/config.h"
#include "kernels/kernels.h"
#include "util/threads.h"

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

typedef struct gn2_pieces {
    gn2_piece *piece;
    size_t count;
} gn2_pieces;

typedef struct R(gn2_optimizer) {
    gn2_optim_options options;
    int64_t total;            /* elements of the arena */
    const gn2_pieces *pieces; /* borrowed */
    const R(gn2_kernels) *kernels;
    const struct R(gn2_optimizer_kind) *kind; /* of options.name */
    real *moment[GN2_MAX_MOMENTS];            /* arenas; NULL after the kind's last */
    size_t bytes;                             /* held here */
    int64_t steps;                            /* updates done, the present one too */
    unsigned char *bad;                       /* (pieces) which the last one spoilt */
    int broken; /* an update left weights or moments that are not finite */
} R(gn2_optimizer);

/* An update: what it works on, and from gn2_optimizer_step() what its pieces need. */
typedef struct R(gn2_update) {
    real *weights;
    const real *grads;
    double lr, clip; /* clip: factor of the gradients */
    real beta1;      /* momentum for SGD */
    const R(gn2_optimizer) *optimizer;
    double own[2]; /* the kind's, made by `begin` */
} R(gn2_update);

typedef struct R(gn2_optimizer_kind) {
    const char *name; /* the word of optim.name */
    gn2_update_rule rule;
    const char *moment[GN2_MAX_MOMENTS + 1]; /* names in a checkpoint, NULL */
    int positive[GN2_MAX_MOMENTS];           /* a moment of squares: never negative */
    /* Its own keys of `optim.*`. */
    void (*read)(const gn2_config *config, gn2_optim_options *out);
    void (*begin)(R(gn2_update) *update); /* NULL: nothing to make */
    void (*update)(const R(gn2_update) *update, const gn2_piece *piece);
} R(gn2_optimizer_kind);

extern const R(gn2_optimizer_kind) R(gn2_adamw), R(gn2_sgd);

/* The table; NULL after the last row. */
extern const R(gn2_optimizer_kind) *const R(gn2_optimizer_kinds)[];
/* Row of a name, NULL if there is none. Name NULL: the first row. */
const R(gn2_optimizer_kind) *R(gn2_optimizer_find)(const char *name);

/* Keys `optim.*`; the name is the table's. */
void R(gn2_optim_options_read)(const gn2_config *config, gn2_optim_options *out);

/* Factor that brings a gradient of this L2 norm to at most clip_norm. */
static inline double gn2_optim_clip(const gn2_optim_options *options, double norm)
{
    const int clips = options->clip_norm > 0 && norm > options->clip_norm;
    return clips ? options->clip_norm / norm : 1;
}

/* Fills the rest of an *o whose options, total, pieces and kernels are set, all else
 * being 0, as moments are at first. It is to be destroyed whatever comes. */
gn2_status R(gn2_optimizer_create)(R(gn2_optimizer) *o);
void R(gn2_optimizer_destroy)(R(gn2_optimizer) *o);
/* Sets `broken` where what it leaves is not finite: there is no way back but other
 * weights and moments. */
void R(gn2_optimizer_step)(R(gn2_optimizer) *o, R(gn2_update) *update, gn2_pool *pool);

#endif
