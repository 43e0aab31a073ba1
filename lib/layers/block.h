/* SPDX-License-Identifier: Apache-2.0 */
/* A layer of the transformer: attention and feed-forward, each behind a norm. */
#ifndef GN2_LAYERS_BLOCK_H
#define GN2_LAYERS_BLOCK_H

#include "config/config.h"
#include "layers/attention.h"
#include "layers/linear.h"
#include "layers/norm.h"

/* What all blocks of a network have in common. The parametrisation sets the scale of
 * the attention and zero_query. */
typedef struct gn2_block_shape {
    int64_t width, hidden; /* E, of the feed-forward M */
    gn2_attention attention;
    double norm_eps;
    double dropout; /* in the feed-forward */
    int affine;     /* GN2v01: norms with gain and bias, q, k, v apart */
    int zero_query; /* the queries start at 0 */
} gn2_block_shape;

typedef struct R(gn2_block) {
    gn2_block_shape shape;
    int64_t number; /* layer i */
    /* of its dropouts: before the first linear map of the feed-forward, GN2v01 only,
     * and before the second */
    uint64_t place;
    gn2_norm norm1, norm2;
    R(gn2_linear) qkv; /* (3E, E), contiguous in both encoders */
    R(gn2_linear) attn_out, ffn_in, ffn_out;
} R(gn2_block);

/* x … the block's input, x_mid between its halves; the end is the next one's x. */
typedef struct R(gn2_block_space) {
    real *x, *y1, *qkv, *p, *o; /* (T, E), (T, E), (T, 3E), (jets; H, n, n), (T, E) */
    real *x_mid, *y2, *f;       /* (T, E), (T, E), (T, M) */
    R(gn2_norm_space) norm1, norm2;
} R(gn2_block_space);

/* Shared by all blocks: d_x is the end's gradient on entry, the input's on return. */
typedef struct R(gn2_block_grads) {
    real *d_x, *d_y, *d_wide; /* (T, E), (T, E), (T, max(3E, M)) */
    real *scratch;            /* of the attention */
} R(gn2_block_grads);

/* The options of a block; GN2_ERR_INVALID_ARG where they do not go together. */
gn2_status gn2_block_read(const gn2_config *c, gn2_block_shape *out);
/* block->shape, number and place are set by the caller. */
void R(gn2_block_declare)(gn2_declaration *d, R(gn2_block) *block);
void R(gn2_block_each)(R(gn2_block) *block, R(gn2_linear_fn) fn, void *user);
/* All but x and x_mid, which blocks may share. */
void R(gn2_block_carve)(gn2_carver *c, const gn2_block_shape *shape,
                        R(gn2_block_space) *s);
void R(gn2_block_carve_grads)(gn2_carver *c, const gn2_block_shape *shape,
                              R(gn2_block_grads) *g);
/* Multiply-adds a token, without the attention's n². */
int64_t gn2_block_cost(const gn2_block_shape *shape);
/* Logits of the attention are made again over its probabilities, pre-activations
 * of the feed-forward over what the ReLU left. */
void R(gn2_block_show)(R(gn2_show) *show, const R(gn2_context) *ctx,
                       const R(gn2_block) *block, const R(gn2_block_space) *s,
                       const real *end, const gn2_tokens *t);

void R(gn2_block_fwd)(const R(gn2_context) *ctx, const R(gn2_block) *block,
                      const R(gn2_block_space) *s, real *end, const gn2_tokens *t);
void R(gn2_block_bwd)(const R(gn2_context) *ctx, const R(gn2_block) *block,
                      const R(gn2_block_space) *s, const R(gn2_block_grads) *g,
                      const gn2_tokens *t);

#endif
