/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outputs of a tagger: a list made once from the model, one row a thing that can
 * be asked for. An id is an index in it. Checking and writing look at the row alone,
 * so that a new output is a row and, where none of the writers fits, a writer.
 */
#ifndef GN2_TAG_OUTPUTS_H
#define GN2_TAG_OUTPUTS_H

#include "net/jets.h"
#include "net/model.h"
#include "net/tasks.h"
#include "tag/discriminant.h"

typedef struct gn2_tag_output gn2_tag_output;
typedef struct gn2_tag_outputs gn2_tag_outputs;

/* One call's outputs, checked. */
typedef struct gn2_tag_call {
    gn2_tagger *tagger;
    const gn2_tag_outputs *all; /* the tagger's */
    const gn2_jets *jets;
    const gn2_output *outputs;
    size_t count;
    gn2_batch_f32 batch;
    unsigned tasks;          /* heads that are needed */
    unsigned gradients;      /* of these discriminants are wanted */
    _Atomic int64_t bad_jet; /* first whose results are not finite; else the count */
} gn2_tag_call;

/* One output of a chunk that went through the network. */
typedef struct gn2_tag_writing {
    const gn2_tag_call *call;
    const gn2_pass_f32 *pass;
    const gn2_tag_output *output;
    float *const *d_x; /* of a gradient: by the normalised inputs of each sequence */
    void *data;
    int64_t stride; /* elements */
} gn2_tag_writing;

typedef void (*gn2_tag_writer)(const gn2_tag_writing *w);
/* Appends the name that a column of an output has in score files. */
typedef void (*gn2_tag_namer)(const gn2_tag_outputs *all, const gn2_tag_output *output,
                              int64_t column, gn2_text *out_name);

struct gn2_tag_output {
    char name[160], alias[160]; /* alias empty: no other name */
    int object;                 /* of the rows or pairs: 0 jets, else sequence + 1 */
    int32_t rows, type;
    int64_t columns;
    int task; /* head it needs, −1: none */
    int item; /* what the writer wants to know, e.g. which discriminant */
    gn2_tag_writer write;
    const gn2_task_output_f32 *of_task; /* its row in the task's kind */
    gn2_tag_namer field;                /* NULL: in score files when asked for only */
};

struct gn2_tag_outputs {
    const gn2_model *model; /* both borrowed */
    const gn2_discriminants *rules;
    gn2_tag_output *item;
    size_t count, capacity;
};

/* Lists what can be asked of a model with these discriminants. */
gn2_status gn2_tag_list_outputs(gn2_tag_outputs *all, const gn2_model *model,
                                const gn2_discriminants *rules);
/* Adds that of an ensemble, jets.PROBABILITIES_spread: only score files have it. */
gn2_status gn2_tag_add_spread(gn2_tag_outputs *all);
void gn2_tag_clear_outputs(gn2_tag_outputs *all);
gn2_status gn2_tag_find_output(const gn2_tag_outputs *all, const char *name,
                               int32_t *out_id);
/* Appends the name of a column in score files, of any output but those of pairs. */
void gn2_tag_name_field(const gn2_tag_outputs *all, const gn2_tag_output *output,
                        int64_t column, gn2_text *out_name);
/* Rule of a discriminant, NULL for other outputs; and the number of the probabilities
 * that discriminants are made of, −1: there are none. */
const gn2_discriminant_rule *gn2_tag_rule_of(const gn2_tag_outputs *all, int32_t id);
int32_t gn2_tag_probabilities(const gn2_tag_outputs *all);

/* Checks ids, types, pointers, strides and capacities; sets call->tasks and
 * call->gradients. */
gn2_status gn2_tag_check_outputs(gn2_tag_call *call);
/* Fills rows of slots that are not valid. */
void gn2_tag_blank_outputs(const gn2_tag_call *call);
/* Writes what a pass has found; of one that went back from a discriminant to d_x, of
 * each sequence (N, jet + own inputs), the gradients of it alone. d_x NULL: forward. */
void gn2_tag_write_outputs(const gn2_tag_call *call, const gn2_pass_f32 *pass,
                           float *const *d_x, int rule);

/* ---- writers ---- */

void gn2_write_logits(const gn2_tag_writing *w);       /* of the task */
void gn2_write_softmax(const gn2_tag_writing *w);      /* of them */
void gn2_write_values(const gn2_tag_writing *w);       /* as the kind says */
void gn2_write_discriminant(const gn2_tag_writing *w); /* item: of the rules */
void gn2_write_gradient(const gn2_tag_writing *w);     /* of it; see gradient.h */
void gn2_write_pooled(const gn2_tag_writing *w);
void gn2_write_tokens(const gn2_tag_writing *w);
void gn2_write_attention(const gn2_tag_writing *w);
void gn2_write_vertices(const gn2_tag_writing *w);

#endif
