/* SPDX-License-Identifier: Apache-2.0 */
/* The object behind gn2_tagger: spaces, threads and bindings on a shared model. */
#ifndef GN2_TAG_TAGGER_H
#define GN2_TAG_TAGGER_H

#include "net/jets.h"
#include "net/model.h"
#include "tag/discriminant.h"
#include "util/threads.h"

/* Kinds of outputs; an id is kind + 32·object. */
typedef enum gn2_output_kind {
    GN2_OUT_PROBABILITIES,
    GN2_OUT_LOGITS,
    GN2_OUT_DISCRIMINANT, /* object: number of the rule */
    GN2_OUT_EMBEDDING,    /* of the jets */
    GN2_OUT_ORIGIN,
    GN2_OUT_ORIGIN_LOGITS,
    GN2_OUT_TRACK_EMBEDDING,
    GN2_OUT_ATTENTION,
    GN2_OUT_VERTEX,
    GN2_OUT_PAIRS,
    GN2_OUT_COUNT
} gn2_output_kind;

struct gn2_tagger {
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
};

gn2_status gn2_tag_new(gn2_model *model, const gn2_config *config,
                       gn2_tagger **out_tagger);
void gn2_tag_delete(gn2_tagger *tagger);
gn2_status gn2_tag_set_parallel(gn2_tagger *tagger, gn2_pool_foreign fn, void *user,
                                int32_t workers);
size_t gn2_tag_plan(const gn2_tagger *tagger, int64_t max_jets, int64_t max_tracks);
size_t gn2_tag_memory(const gn2_tagger *tagger);
gn2_status gn2_tag_output_id(const gn2_tagger *tagger, const char *name,
                             int32_t *out_id);
/* Columns of an output, 0 for an unknown id. */
int64_t gn2_tag_output_columns(const gn2_tagger *tagger, int32_t id);
/* Checked call: jets and outputs are of the library's own size. */
gn2_status gn2_tag_run(gn2_tagger *tagger, const gn2_jets *jets,
                       const gn2_output *outputs, size_t count);

/* ---- outputs (tag_outputs.c) ---- */

/* One call's outputs, checked. */
typedef struct gn2_tag_call {
    gn2_tagger *tagger;
    const gn2_jets *jets;
    const gn2_output *outputs;
    size_t count;
    gn2_batch_f32 batch;
    unsigned tasks; /* heads that are needed */
} gn2_tag_call;

/* Checks ids, pointers, strides and capacities; sets call->tasks. */
gn2_status gn2_tag_check_outputs(gn2_tag_call *call);
/* Fills rows of slots that are not valid. */
void gn2_tag_blank_outputs(const gn2_tag_call *call);
/* Writes what a pass has found. */
void gn2_tag_write_outputs(const gn2_tag_call *call, const gn2_pass_f32 *pass);

#endif
