/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gradients of discriminants by the inputs: the one pass of a tagger that goes back. A
 * net that can do so, and memory for it, are made when they are first asked for.
 */
#ifndef GN2_TAG_GRADIENT_H
#define GN2_TAG_GRADIENT_H

#include "tag/outputs.h"

/* What a worker goes back in, behind its space. */
typedef struct gn2_gradient_room {
    gn2_space_f32 *space;
    char *block;
    size_t bytes;                  /* of the block */
    float *weights;                /* gradients of them, which nobody wants */
    float *d_x[GN2_MAX_SEQUENCES]; /* (N, jet + own inputs), by the normalised ones */
} gn2_gradient_room;

typedef struct gn2_tag_gradients {
    gn2_net_f32 *net;
    gn2_gradient_room *room; /* (workers) */
    int32_t workers;
} gn2_tag_gradients;

/* Room for chunks of this capacity; on failure there is none. */
gn2_status gn2_tag_gradients_prepare(gn2_tag_gradients *g, const gn2_model *model,
                                     const gn2_product_options *product,
                                     const gn2_capacity *capacity, int32_t workers);
size_t gn2_tag_gradients_memory(const gn2_tag_gradients *g);
void gn2_tag_gradients_clear(gn2_tag_gradients *g);

/* Those of the chunk of `pass`, written where the call wants them. */
void gn2_tag_run_gradients(const gn2_tag_gradients *g, const gn2_tag_call *call,
                           const gn2_pass_f32 *pass, int32_t worker);

#endif
