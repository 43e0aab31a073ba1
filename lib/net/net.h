/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network in motion: packed weights (shared), working space (one a lane) and
 * the passes over one chunk of jets. Nothing here allocates or fails once net and
 * space exist.
 */
#ifndef GN2_NET_NET_H
#define GN2_NET_NET_H

#include "net/params.h"

/* ---- the packed network ---- */

typedef struct R(gn2_layer) {
    gn2_norm_at norm1, norm2;
    R(gn2_linear) qkv, attn_out, ffn_in, ffn_out;
} R(gn2_layer);

/* A head. The first layer of the origin and vertex heads is split by what it
 * reads: part[0] the pooled vector (with the bias), part[1] the constituent (or i),
 * part[2] the constituent j. The jet head uses mlp.layer[0] instead. */
typedef struct R(gn2_head) {
    R(gn2_mlp) mlp;
    R(gn2_linear) part[3];
    real *class_weights; /* (classes) or NULL */
} R(gn2_head);

typedef struct R(gn2_net) {
    const gn2_hparams *h; /* borrowed: outlives the net */
    int training;         /* products and space of a backward pass */
    int keep;             /* a space keeps every activation; training implies it */
    const R(gn2_kernels) *kernels;
    R(gn2_mlp) init[GN2_MAX_SEQUENCES];
    real *mean[GN2_MAX_SEQUENCES], *std[GN2_MAX_SEQUENCES]; /* jet, then own inputs */
    real *fallback[GN2_MAX_SEQUENCES];                      /* for non-finite inputs */
    int replace_non_finite;
    R(gn2_layer) *layer;
    gn2_norm_at final_norm;
    int64_t registers;
    R(gn2_linear) out_proj, gate; /* gate: no products */
    R(gn2_head) head[GN2_TASK_COUNT];
    R(gn2_product) **products; /* all of them, for lanes */
    size_t product_count;
    R(gn2_linear) **linears; /* all of them, for packing */
    size_t linear_count;
} R(gn2_net);

typedef struct gn2_net_options {
    gn2_product_options product;
    int training;
    int keep;
    int replace_non_finite;
} gn2_net_options;

gn2_status R(gn2_net_create)(const gn2_hparams *h, const gn2_params *params,
                             const gn2_net_options *options, R(gn2_net) **out_net);
void R(gn2_net_free)(R(gn2_net) *net);
/* Packs the weights after they changed; no pass may be under way. */
void R(gn2_net_pack)(R(gn2_net) *net, const real *weights);
/* Packs linear map `index` of net->linear_count only: any thread, one each. */
void R(gn2_net_pack_one)(R(gn2_net) *net, size_t index, const real *weights);
size_t R(gn2_net_bytes)(const R(gn2_net) *net);
/* Normalisation of the jets and of sequence s: (inputs) each. */
void R(gn2_net_set_norm)(R(gn2_net) *net, int sequence, const gn2_object_norm *jets,
                         const gn2_object_norm *own);
/* The same from arrays in the net's precision. */
void R(gn2_net_set_norm_real)(R(gn2_net) *net, int sequence, const real *mean,
                              const real *std);
gn2_status R(gn2_net_set_class_weights)(R(gn2_net) *net, gn2_task_id task,
                                        const double *weights, size_t count);

/* ---- a batch in the caller's memory and its chunks ---- */

/* Rows of one object. column: model input → caller's column (NULL: as they come);
 * offset (B+1): valid rows before jet b; row: number of a valid row in data
 * (NULL: they follow each other). For the jets only data, ld and column count. */
typedef struct R(gn2_rows) {
    const real *data;
    int64_t ld;
    const int32_t *column;
    const int64_t *offset;
    const int64_t *row;
} R(gn2_rows);

typedef struct R(gn2_batch) {
    int64_t jets;
    R(gn2_rows) jet;
    R(gn2_rows) sequence[GN2_MAX_SEQUENCES];
} R(gn2_batch);

/* Labels in the caller's layout: origin and vertex by row of data, as R(gn2_rows)
 * finds them. NULL: none. */
typedef struct gn2_truth {
    const int32_t *flavour, *origin, *vertex;
} gn2_truth;

/* Jets first … first+jets−1 of a batch, and what lies before them in it. */
typedef struct gn2_chunk {
    int64_t first, jets;
    int64_t tokens, longest; /* longest: most tokens of a jet */
    int64_t pairs;           /* of the vertex task */
    int64_t first_token, first_pair;
} gn2_chunk;

/* Tokens of jet b. */
int64_t R(gn2_batch_tokens)(const gn2_hparams *h, const R(gn2_batch) *batch, int64_t b);
/* Largest number of tokens of a jet, and their sum. */
void R(gn2_batch_measure)(const gn2_hparams *h, const R(gn2_batch) *batch,
                          int64_t *out_longest, int64_t *out_tokens);
/* Cuts the jets from start->first on (start carries first, first_token and
 * first_pair) up to `end` into chunks of about equal tokens, at most `tokens` each
 * unless one jet has more. Returns their number; writes at most `capacity`. */
int64_t R(gn2_batch_cut)(const gn2_hparams *h, const R(gn2_batch) *batch,
                         const gn2_chunk *start, int64_t end, int64_t tokens,
                         gn2_chunk *out_chunks, int64_t capacity);

/* ---- working space of one lane ---- */

typedef struct gn2_capacity {
    int64_t jets, tokens, longest;
} gn2_capacity;

typedef struct R(gn2_layer_space) {
    real *x, *mean1, *rstd1, *y1, *qkv, *p, *o;
    real *x_mid, *mean2, *rstd2, *y2, *f;
} R(gn2_layer_space);

typedef struct R(gn2_mlp_space) {
    real *act[GN2_DENSE_MAX], *d_act[GN2_DENSE_MAX];
} R(gn2_mlp_space);

typedef struct R(gn2_space) {
    gn2_capacity capacity;
    int64_t tile; /* pair rows worked on at a time */
    char *block;
    size_t bytes; /* of the block */
    R(gn2_lane) *lane;

    /* indices of the chunk */
    int64_t *token_offset, *pair_offset;    /* (B+1) */
    int64_t *row_offset[GN2_MAX_SEQUENCES]; /* (B+1) */
    int64_t *row_token[GN2_MAX_SEQUENCES];  /* (N) */
    int32_t *label;                         /* (N) or (B) */

    real *x_in[GN2_MAX_SEQUENCES]; /* (N, jet + own inputs), normalised */
    R(gn2_mlp_space) init[GN2_MAX_SEQUENCES];
    R(gn2_layer_space) *layer;               /* (L+1): [L].x is the encoder's end */
    real *final_mean, *final_rstd, *final_y; /* (T), (T), (T, E) */
    real *z0, *z;                            /* (T, o): before, after the post norm */
    R(gn2_pool_rows) pool;
    real *pooled; /* (B, o) */

    R(gn2_mlp_space) head[GN2_TASK_COUNT];
    real *head_pooled[GN2_TASK_COUNT]; /* (B, o), dropped; = pooled without dropout */
    real *head_z[GN2_TASK_COUNT];      /* (N, o) constituents of the task, dropped */
    real *context;                     /* (B, hidden) part[0] of a head */
    real *pair_a, *pair_b;             /* (N, hidden) parts of the pair head */
    real *pair_logits;                 /* (pairs) */
    real *pair_target, *pair_weight;   /* (tile) */

    /* gradients, training only */
    real *d_x, *d_y, *d_wide;                   /* (T, E), (T, E), (T, max(3E, M)) */
    real *d_z, *d_z0, *d_rows;                  /* (T, o) */
    real *d_pooled, *d_context, *d_head_pooled; /* (B, o), (B, hidden), (B, o) */
    real *d_pair_a, *d_pair_b;                  /* (N, hidden) */
    real *scratch;                              /* attention, pooling */
} R(gn2_space);

gn2_status R(gn2_space_create)(const R(gn2_net) *net, const gn2_capacity *capacity,
                               R(gn2_space) **out_space);
void R(gn2_space_free)(R(gn2_space) *space);
/* Bytes a space of this capacity has, lane included only when it exists. */
size_t R(gn2_space_plan)(const R(gn2_net) *net, const gn2_capacity *capacity);

/* ---- passes over one chunk ---- */

/* Σ of class weights of labelled jets and constituents, positive pairs: what the
 * losses are divided by, over the whole batch. */
typedef struct gn2_totals {
    double value[GN2_TASK_COUNT];
} gn2_totals;

typedef struct gn2_losses {
    double value[GN2_TASK_COUNT]; /* times the task weights */
} gn2_losses;

typedef struct R(gn2_pass) {
    const R(gn2_net) *net;
    R(gn2_space) *space;
    R(gn2_context) ctx;
    const R(gn2_batch) *batch;
    gn2_chunk chunk;
    const gn2_truth *truth;   /* NULL: no losses */
    const gn2_totals *totals; /* with truth */
    uint64_t step_key;        /* of the dropout */
    int dropping;             /* dropout on */
    gn2_losses losses;        /* += */
} R(gn2_pass);

/* Inputs → tokens z and pooled vector. */
void R(gn2_pass_trunk)(R(gn2_pass) *pass);
#define GN2_ALL_TASKS ((1u << GN2_TASK_COUNT) - 1)
/* Heads forward; with truth the losses; with ctx.grads also their backward pass,
 * which sets d_z and d_pooled. tasks: bit set of gn2_task_id. */
void R(gn2_pass_heads)(R(gn2_pass) *pass, unsigned tasks);
/* Backward from d_z and d_pooled to the inputs; gradients accumulate. */
void R(gn2_pass_trunk_backward)(R(gn2_pass) *pass);

/* parts of gn2_pass_heads */
void R(gn2_head_jets)(R(gn2_pass) *pass);
void R(gn2_head_origin)(R(gn2_pass) *pass);
void R(gn2_head_vertex)(R(gn2_pass) *pass);
/* parts of the trunk */
void R(gn2_inputs_fwd)(R(gn2_pass) *pass);
void R(gn2_inputs_bwd)(R(gn2_pass) *pass);
void R(gn2_encoder_fwd)(R(gn2_pass) *pass);
void R(gn2_encoder_bwd)(R(gn2_pass) *pass);

/* Shared by the heads: constituents of the task and the pooled vector, dropped. */
void R(gn2_head_inputs)(R(gn2_pass) *pass, gn2_task_id id);
/* d_z += of the task's constituents; d_pooled += , both through the dropout. */
void R(gn2_head_inputs_bwd)(R(gn2_pass) *pass, gn2_task_id id, real *d_rows);

/* Number of the task's constituents in the chunk. */
int64_t R(gn2_pass_rows)(const R(gn2_pass) *pass, int sequence);
/* Number in the data of the chunk's constituent r. */
int64_t R(gn2_pass_row)(const R(gn2_pass) *pass, int sequence, int64_t r);

/* Places of dropout: one number each, layers of a perceptron follow. */
enum {
    GN2_PLACE_INIT = 0,                                    /* + 16·sequence */
    GN2_PLACE_HEAD = 16 * GN2_MAX_SEQUENCES,               /* + 32·task */
    GN2_PLACE_LAYER = GN2_PLACE_HEAD + 32 * GN2_TASK_COUNT /* + 2·layer */
};

/* First layer with a value that is not finite after a pass in a training space,
 * or NULL: "init net", "encoder layer 2", … (written to text). */
const char *R(gn2_pass_first_non_finite)(const R(gn2_pass) *pass, char text[64]);

#endif
