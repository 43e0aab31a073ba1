/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all layers share. A layer is one file: it reads its options, declares its
 * parameters, lists its linear maps, carves its working memory, runs forward and
 * backward side by side, and says what it costs and what there is to look at. Layers
 * know tensors, not GN2; they never allocate or fail once a plan is made.
 *
 * Dimension letters, used everywhere:
 *   B jets      N packed constituent rows   T tokens (constituents + registers)
 *   n tokens or constituents of one jet     P pair rows
 *   F input features   E embed dim   H attention heads   D their size   C classes
 *
 * Contract of gradients: every d_… of an activation is written (=) unless the
 * comment says +=; gradients of parameters always accumulate (+=).
 */
#ifndef GN2_LAYERS_LAYER_H
#define GN2_LAYERS_LAYER_H

#include "kernels/product.h"
#include "layers/declare.h"
#include "util/alloc.h"
#include "util/error.h"

/* What a layer runs with: one per lane. */
typedef struct R(gn2_context) {
    const R(gn2_kernels) *kernels;
    R(gn2_lane) *lane;
    const real *weights; /* arena of parameters */
    real *grads;         /* arena of gradients, same offsets; NULL: no training */
} R(gn2_context);

/* The tokens of a chunk, or its constituents of one type; jet b has rows offset[b] …
 * offset[b+1]−1. */
typedef struct gn2_tokens {
    const int64_t *offset; /* (B+1) */
    int64_t jets, rows;
    int64_t first;     /* number of row 0 in the batch */
    uint64_t step_key; /* of the dropout */
    int dropping;
} gn2_tokens;

/* ---- working memory: planned and carved by the same code ---- */

typedef struct gn2_carver {
    gn2_arena arena;
    int training;                  /* room for gradients */
    int keep;                      /* every activation has a place of its own */
    int64_t jets, tokens, longest; /* most of a chunk; longest: tokens of a jet */
} gn2_carver;

real *R(gn2_carve)(gn2_carver *c, int64_t rows, int64_t cols);

/* ---- values to look at ---- */

/* Output of a module x − minus (rows, cols), minus NULL: x. A module with several
 * parts shows one behind the other. */
typedef struct R(gn2_shown) {
    const char *module; /* "attn" … */
    int64_t layer;      /* −1: not of a layer */
    const real *x, *minus;
    int64_t rows, cols;
    int64_t unit; /* before a ReLU: number of its first unit among all; else −1 */
} R(gn2_shown);

typedef struct R(gn2_show) {
    R(gn2_shown) *part; /* (capacity); NULL with capacity 0: only counts */
    size_t capacity, count;
    int64_t units; /* before a ReLU, so far */
} R(gn2_show);

/* part.unit 0: before a ReLU, else −1. */
void R(gn2_show_add)(R(gn2_show) *show, R(gn2_shown) part);

/* ---- dropout ---- */

/* Inverted dropout (torch.nn.Dropout): keep with probability 1−p, scale by 1/(1−p).
 * The mask is a function of step, place and element, so any thread makes the same one
 * and nothing is stored. */
typedef struct gn2_dropout {
    double p; /* 0: off */
    uint64_t step_key, place;
    int64_t first; /* first row's number in the batch */
} gn2_dropout;

static inline gn2_dropout gn2_dropout_of(const gn2_tokens *t, double p, uint64_t place)
{
    return (gn2_dropout){t->dropping ? p : 0, t->step_key, place, t->first};
}

/* x (rows, cols) dropped in place, at `step` places behind the first. Backward is the
 * same call on d_x. */
void R(gn2_dropout_rows)(const R(gn2_context) *ctx, const gn2_dropout *drop, int step,
                         real *x, int64_t rows, int64_t cols);
/* d_x (count) = gradient before ReLU and dropout of what left them as `kept`: a value
 * that was dropped or clipped is 0, and a kept one was scaled. */
void R(gn2_dropout_relu_bwd)(const R(gn2_context) *ctx, const gn2_dropout *drop,
                             real *d_x, const real *kept, int64_t count);

#endif
