/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network in motion: packed weights (shared), working space (one a lane) and
 * the passes over one chunk of jets. Nothing here allocates or fails once net and
 * space exist.
 */
#ifndef GN2_NET_NET_H
#define GN2_NET_NET_H

#include "layers/pool.h"
#include "layers/split.h"
#include "net/hparams.h"

/* ---- the packed network ---- */

/* The head of a task. Over constituents and pairs the first layer is split by what
 * it reads; mlp.layer[0] then has no products. */
typedef struct R(gn2_head) {
    R(gn2_mlp) mlp;
    R(gn2_split) split; /* parts 0: not split */
    int weighted;       /* by class_weight; else classes weigh 1 */
    real class_weight[GN2_MAX_CLASSES];
} R(gn2_head);

typedef struct R(gn2_net) {
    const gn2_hparams *h; /* borrowed: outlives the net */
    int training;         /* products and space of a backward pass */
    int keep;             /* a space keeps every activation; training implies it */
    const R(gn2_kernels) *kernels;
    R(gn2_mlp) init[GN2_MAX_SEQUENCES];
    /* jet, then own inputs; fallback: for non-finite ones. One block each, mean's. */
    real *mean[GN2_MAX_SEQUENCES], *std[GN2_MAX_SEQUENCES];
    real *fallback[GN2_MAX_SEQUENCES];
    int64_t registers; /* in the arena, −1: none */
    R(gn2_readout) readout;
    R(gn2_pool) pool;
    R(gn2_head) head[GN2_MAX_TASKS];
    R(gn2_product) **products; /* all of them, for lanes */
    size_t product_count;
    R(gn2_linear) **linears; /* all of them, to be packed by any thread, one each */
    size_t linear_count;
    R(gn2_block) block[]; /* (L) */
} R(gn2_net);

typedef struct gn2_net_options {
    gn2_product_options product;
    int training;
    int keep;
} gn2_net_options;

gn2_status R(gn2_net_create)(const gn2_hparams *h, const gn2_net_options *options,
                             R(gn2_net) **out_net);
void R(gn2_net_free)(R(gn2_net) *net);
/* Shapes only: what gn2_net_declare() needs. */
gn2_status R(gn2_net_new)(const gn2_hparams *h, R(gn2_net) **out_net);
/* Declares all parameters in the order of the arena. */
void R(gn2_net_declare)(R(gn2_net) *net, gn2_declaration *d);
/* Packs the weights after they changed; no pass may be under way. */
void R(gn2_net_pack)(const R(gn2_net) *net, const real *weights);
size_t R(gn2_net_bytes)(const R(gn2_net) *net);
/* Sets normalisation, defaults and class weights, of the config that `h` was read
 * from; a new net has mean 0, deviation 1 and weighs classes alike. */
void R(gn2_net_configure)(R(gn2_net) *net, const gn2_config *config);

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

/* Where valid row i, counted over the batch, lies in data. */
static inline int64_t R(gn2_rows_at)(const R(gn2_rows) *rows, int64_t i)
{
    return rows->row ? rows->row[i] : i;
}

typedef struct R(gn2_batch) {
    int64_t jets;
    R(gn2_rows) jet;
    R(gn2_rows) sequence[GN2_MAX_SEQUENCES];
} R(gn2_batch);

/* Labels of one task in the caller's layout: by jet, or by row of data as R(gn2_rows)
 * finds it. NULL: none. */
typedef struct gn2_task_labels {
    const int32_t *index; /* classes or vertices */
    const float *target;  /* (rows, targets) of a regression, NaN: none */
    const float *weight;  /* (rows) of each row in the loss; NULL: 1 */
} gn2_task_labels;

static inline int gn2_task_labelled(const gn2_task_labels *l)
{
    return l->index || l->target;
}

typedef struct gn2_batch_labels {
    gn2_task_labels task[GN2_MAX_TASKS];
} gn2_batch_labels;

/* Jets first … first+jets−1 of a batch, and what lies before them in it. */
typedef struct gn2_chunk {
    int64_t first, jets;
    int64_t tokens, longest; /* longest: most tokens of a jet */
    int64_t pairs;           /* of the task over pairs */
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

/* Of the first layer over pairs: (N, hidden) each, and a tile's targets. */
typedef struct R(gn2_pair_space) {
    real *a, *b, *d_a, *d_b;
    real *target, *weight; /* (tile) */
} R(gn2_pair_space);

typedef struct R(gn2_head_space) {
    R(gn2_mlp_space) mlp;
    R(gn2_split_space) split;
    real *pooled; /* (B, o), dropped; the space's own without dropout */
    real *z;      /* (N, o) constituents of the task, dropped */
    real *logits; /* (rows, columns), all rows of the chunk */
    R(gn2_pair_space) pair;
} R(gn2_head_space);

typedef struct R(gn2_space) {
    gn2_capacity capacity;
    int64_t tile; /* pair rows worked on at a time */
    char *block;
    size_t bytes; /* of the block */
    int fresh;    /* nothing has been written to it */
    R(gn2_lane) *lane;

    /* indices of the chunk */
    int64_t *token_offset, *pair_offset;    /* (B+1) */
    int64_t *row_offset[GN2_MAX_SEQUENCES]; /* (B+1) */
    int64_t *row_token[GN2_MAX_SEQUENCES];  /* (N) */
    int32_t *label;                         /* (N) or (B) */

    real *x_in[GN2_MAX_SEQUENCES]; /* (N, jet + own inputs), normalised */
    R(gn2_mlp_space) init[GN2_MAX_SEQUENCES];
    R(gn2_readout_space) readout;
    R(gn2_pool_space) pool;
    R(gn2_head_space) head[GN2_MAX_TASKS];

    /* gradients, training only */
    R(gn2_block_grads) grads;
    real *d_z, *d_rows;             /* (T, o) */
    real *d_pooled, *d_head_pooled; /* (B, o) */

    R(gn2_block_space) layer[]; /* (L+1): [L].x is the encoder's end */
} R(gn2_space);

gn2_status R(gn2_space_create)(const R(gn2_net) *net, const gn2_capacity *capacity,
                               R(gn2_space) **out_space);
/* A pass does this first: memory that is used for the first time is cleared by the
 * thread whose it is, and comes to lie near its processor. */
void R(gn2_space_use)(R(gn2_space) *space);
void R(gn2_space_free)(R(gn2_space) *space);
/* Bytes a space of this capacity has, lane included only when it exists. */
size_t R(gn2_space_plan)(const R(gn2_net) *net, const gn2_capacity *capacity);

/* ---- passes over one chunk ---- */

/* What the loss of each task is divided by, over the whole batch. */
typedef struct gn2_totals {
    double value[GN2_MAX_TASKS];
} gn2_totals;

typedef struct gn2_losses {
    double value[GN2_MAX_TASKS]; /* times the task weights */
} gn2_losses;

typedef struct R(gn2_pass) {
    const R(gn2_net) *net;
    R(gn2_space) *space;
    R(gn2_context) ctx;
    const R(gn2_batch) *batch;
    gn2_chunk chunk;
    const gn2_batch_labels *labels; /* NULL: no losses */
    const gn2_totals *totals;       /* with labels */
    uint64_t step_key;              /* of the dropout */
    int dropping;                   /* dropout on */
    gn2_losses losses;              /* += */
} R(gn2_pass);

#define GN2_ALL_TASKS ((1u << GN2_MAX_TASKS) - 1)

/* Inputs → tokens z and pooled vector. */
void R(gn2_pass_trunk)(R(gn2_pass) *pass);
/* Heads forward; with labels the losses; with ctx.grads also their backward pass,
 * which sets d_z and d_pooled. tasks: bit set of task numbers. */
void R(gn2_pass_heads)(R(gn2_pass) *pass, unsigned tasks);
/* Backward from d_z and d_pooled to the inputs; gradients accumulate. What the pass
 * forward made stays, so that it may go back again, after this: */
void R(gn2_pass_trunk_backward)(R(gn2_pass) *pass);
/* d_z = d_pooled = 0, as heads add to them; the trunk's pass forward has done so. */
void R(gn2_pass_clear_gradients)(const R(gn2_pass) *pass);
/* Output of every module of a finished pass in a space that keeps activations, in
 * order, the same for every chunk. Values that were fused away are made again in the
 * space, in place of what the next layer read. */
void R(gn2_pass_show)(const R(gn2_pass) *pass, R(gn2_show) *show);
/* First layer with a value that is not finite after a pass in a training space,
 * or NULL: "init net", "encoder layer 2", … (written to text). */
const char *R(gn2_pass_first_non_finite)(const R(gn2_pass) *pass, char text[96]);

/* The constituents of a sequence, as layers see them. */
gn2_tokens R(gn2_pass_constituents)(const R(gn2_pass) *pass, int sequence);
/* Number of a sequence's constituents in the chunk. */
int64_t R(gn2_pass_rows)(const R(gn2_pass) *pass, int sequence);
/* Number in the data of the chunk's constituent r. */
int64_t R(gn2_pass_row)(const R(gn2_pass) *pass, int sequence, int64_t r);

/* parts of the trunk */
void R(gn2_inputs_fwd)(R(gn2_pass) *pass);
void R(gn2_inputs_bwd)(R(gn2_pass) *pass);
void R(gn2_inputs_show)(const R(gn2_pass) *pass, R(gn2_show) *show);

/* Multiply-adds of a chunk's parts, up to a common factor. */
typedef struct gn2_price {
    int64_t token, pair;
} gn2_price;

gn2_price gn2_net_price(const gn2_hparams *h);

/* Places of dropout: one number each, layers of a perceptron follow. */
enum {
    GN2_PLACE_INIT = 0,                                /* + 16·sequence */
    GN2_PLACE_HEAD = 16 * GN2_MAX_SEQUENCES,           /* + 32·task, the first three */
    GN2_PLACE_LAYER = GN2_PLACE_HEAD + 32 * 3,         /* + 2·layer */
    GN2_PLACE_MORE_HEADS = GN2_PLACE_LAYER + (1 << 20) /* + 32·task */
};

#endif
