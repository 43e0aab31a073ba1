/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The optimisers over the arena of parameters: constants per tensor in double, then
 * flat loops of the kernel table, piece by piece on a pool.
 */
#ifndef GN2_OPTIM_OPTIMIZER_H
#define GN2_OPTIM_OPTIMIZER_H

#include "optim/optimizer_kind.h"
#include "util/threads.h"

/* Row i of the table; NULL after the last. */
const R(gn2_optimizer_kind) *R(gn2_optimizer_at)(size_t i);
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

typedef struct R(gn2_optimizer) {
    gn2_optim_options options;
    int64_t total;          /* elements of the arena */
    const gn2_piece *piece; /* borrowed */
    size_t piece_count;
    const R(gn2_kernels) *kernels;
    const R(gn2_optimizer_kind) *kind; /* of options.name */
    real *moment[GN2_MAX_MOMENTS];     /* arenas; NULL after the kind's last */
    int64_t steps;                     /* updates done */
    unsigned char *bad;                /* (pieces) which the last update spoilt */
    int broken; /* an update left weights or moments that are not finite */
} R(gn2_optimizer);

/* What one update works on. */
typedef struct R(gn2_update) {
    real *weights;
    const real *grads;
    double lr, beta1; /* beta1: momentum for SGD */
    double clip;      /* factor of the gradients */
} R(gn2_update);

/* Fills the rest of an *o whose options, total, pieces and kernels are set; moments
 * start at 0. */
gn2_status R(gn2_optimizer_create)(R(gn2_optimizer) *o);
void R(gn2_optimizer_destroy)(R(gn2_optimizer) *o);
size_t R(gn2_optimizer_bytes)(const R(gn2_optimizer) *o);
/* Sets `broken` where what it leaves is not finite: there is no way back but other
 * weights and moments. */
void R(gn2_optimizer_step)(R(gn2_optimizer) *o, const R(gn2_update) *update,
                           gn2_pool *pool);

#endif
