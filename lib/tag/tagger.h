/* SPDX-License-Identifier: Apache-2.0 */
/* The object behind gn2_tagger: spaces, threads and bindings on a shared model. */
#ifndef GN2_TAG_TAGGER_H
#define GN2_TAG_TAGGER_H

#include "net/jets.h"
#include "net/model.h"
#include "tag/discriminant.h"
#include "tag/gradient.h"
#include "tag/outputs.h"
#include "util/threads.h"
#include "util/use.h"

struct gn2_tagger {
    gn2_use use;
    atomic_int cancelled; /* of the call under way: chunks not begun are left out */
    gn2_model *model;
    const gn2_net_f32 *net;
    gn2_product_options product;
    gn2_pool *pool;
    int32_t workers;
    int64_t chunk_tokens;
    int unit_check; /* 0 off, 1 warn, 2 error */
    int unit_warned;
    gn2_binding binding;
    gn2_input input;
    gn2_capacity capacity;
    gn2_space_f32 **space; /* (workers) */
    gn2_chunk *chunks;
    size_t chunk_capacity;
    gn2_discriminants discriminants;
    gn2_tag_outputs outputs; /* what it can be asked for */
    gn2_tag_gradients gradients;
};

gn2_status gn2_tag_new(const gn2_model *model, const gn2_config *config,
                       gn2_tagger **out_tagger);
void gn2_tag_delete(gn2_tagger *tagger);
gn2_status gn2_tag_set_parallel(gn2_tagger *tagger, gn2_pool_foreign fn, void *user,
                                int32_t workers);
/* Bytes of scratch for such calls; 0 when they do not fit a size_t. */
size_t gn2_tag_plan(const gn2_tagger *tagger, int64_t max_jets, int64_t max_tracks);
size_t gn2_tag_memory(const gn2_tagger *tagger);
/* Checked call: jets and outputs are of the library's own size. */
gn2_status gn2_tag_run(gn2_tagger *tagger, const gn2_jets *jets,
                       const gn2_output *outputs, size_t count);

#endif
