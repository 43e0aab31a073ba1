/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The numeric engine of training, in both precisions: a batch → gradient → update.
 * It knows batches and labels in its own form, no public structs, files or clocks.
 *
 * A batch is cut into `shards` groups of jets by cost; each has a gradient of its own,
 * whichever thread works on it, and the gradients are summed by a fixed binary tree. So
 * the bits depend on the data and the number of shards alone. A thread works on a block
 * of shards, a subtree, whose sum it makes on the way: a block has an arena, not a
 * shard.
 */
#ifndef GN2_TRAIN_ENGINE_H
#define GN2_TRAIN_ENGINE_H

#include "group/group.h"
#include "net/params.h"
#include "net/tasks.h"
#include "optim/optimizer.h"

typedef struct gn2_engine_options {
    int32_t shards;
    int64_t chunk_tokens;
    uint64_t seed;               /* of the dropout */
    gn2_product_options product; /* max_rows is filled in */
    gn2_optim_options optim;
    int keep_updates; /* the weights before an update are kept */
    gn2_pool *pool;   /* borrowed; NULL: the caller's thread alone */
} gn2_engine_options;

/* Chunks of one shard and what they gave. */
typedef struct gn2_shard {
    int64_t first, count; /* in the engine's list of chunks */
    double cost;          /* as jets are priced for the cut */
    gn2_losses losses;
} gn2_shard;

/* A block of shards, and what it costs. */
typedef struct gn2_turn {
    double cost;
    int32_t block;
} gn2_turn;

/* Shards first … first+count−1 of a batch, which this rank works on. Alone: all. */
typedef struct R(gn2_share) {
    gn2_group *group; /* borrowed; NULL: alone */
    int32_t first, count;
    int32_t block;        /* shards that a thread works on in a row, a power of two */
    int32_t blocks;       /* of `block` shards, the last one may have fewer */
    int32_t levels;       /* log2 of block: sums under way in one, besides its own */
    size_t bytes;         /* of the block of arrays that begins with the gradients */
    real *grads;          /* (blocks, stride); the sum of all ranks ends in the first */
    real *under_way;      /* (workers, levels, stride); 0 where it is not fresh */
    gn2_turn *order;      /* (blocks) in which they are handed out */
    unsigned char *fresh; /* (workers, levels): nothing was written to it */
    real *incoming;       /* (stride) of another rank; NULL: alone */
    gn2_losses *losses;   /* (shards) of all ranks; NULL: alone */
} R(gn2_share);

typedef struct R(gn2_engine) {
    const gn2_hparams *h;
    const gn2_params *params;
    gn2_engine_options options;
    gn2_pieces pieces; /* each in one tensor, by the shapes alone */
    R(gn2_net) *net;
    R(gn2_optimizer) optimizer;
    R(gn2_share) share;
    int64_t stride;
    size_t bytes;    /* of the block of arrays that begins with the weights */
    real *weights;   /* (total) */
    real *previous;  /* (total) before the last update; NULL: not kept */
    double *squares; /* (pieces) Σ g² */
    gn2_capacity capacity;
    int32_t workers;
    R(gn2_space) **space; /* (workers) */
    gn2_shard *shard;     /* (shards) */
    gn2_chunk *chunk;
    size_t chunk_capacity;

    /* of the last batch */
    gn2_totals totals;
    gn2_losses losses; /* times their weights */
    int64_t tokens;
    double gradient_norm;
    int updated; /* it was the last update: its gradient is in share.grads */
} R(gn2_engine);

/* h and params are borrowed and must outlive the engine. Weights start at 0,
 * normalisation at mean 0, std 1: R(gn2_net_configure)(engine->net, …) changes that. */
gn2_status R(gn2_engine_create)(const gn2_hparams *h, const gn2_params *params,
                                const gn2_engine_options *options,
                                R(gn2_engine) **out_engine);
void R(gn2_engine_free)(R(gn2_engine) *engine);
/* Bytes of everything held. */
size_t R(gn2_engine_bytes)(const R(gn2_engine) *engine);

/* Copies the arena (params->total) in and packs it. */
void R(gn2_engine_set_weights)(R(gn2_engine) *engine, const real *weights);

/* Is there a label for every task that is on, with its weight if rows have some? */
gn2_status R(gn2_labels_complete)(const gn2_hparams *h, const gn2_batch_labels *labels);
/* Are the labels that are there in range? Messages name jet or constituent, and the
 * value. Flavour must be there. */
gn2_status R(gn2_labels_check)(const gn2_hparams *h, const R(gn2_batch) *batch,
                               const gn2_batch_labels *labels);

/* Losses and gradient of a batch with checked labels, dropout on; losses, tokens
 * and gradient_norm are set. GN2_ERR_NUMERIC names the first layer, or the tensor
 * whose gradient is not finite. Memory is allocated only when a batch exceeds every
 * one before it. */
gn2_status R(gn2_engine_gradient)(R(gn2_engine) *engine, const R(gn2_batch) *batch,
                                  const gn2_batch_labels *labels);

/* Clips, updates and packs the weights; keeps the old ones if that was asked for. */
void R(gn2_engine_update)(R(gn2_engine) *engine, double lr, double beta1);

/* Told of every chunk after its forward pass, on any thread; chunks are disjoint. */
typedef struct R(gn2_visitor) {
    void (*fn)(void *user, const R(gn2_pass) *pass);
    void *user;
    int ordered;  /* chunk after chunk, on the caller's thread */
    int together; /* a call of all ranks: of chunks of this rank's shards alone */
} R(gn2_visitor);

/* Forward pass without dropout; with labels also the losses. visitor may be NULL:
 * every rank does all. */
gn2_status R(gn2_engine_forward)(R(gn2_engine) *engine, const R(gn2_batch) *batch,
                                 const gn2_batch_labels *labels,
                                 const R(gn2_visitor) *visitor);

/* First tensor of an arena with a value that is not finite; NULL: none. */
const char *R(gn2_engine_non_finite)(const R(gn2_engine) *engine, const real *arena);

/* ---- parts ---- */

/* The arena cut into pieces for flat loops: by the shapes alone, so that sums over them
 * are the same for any number of threads. out->piece is the caller's to free. */
gn2_status R(gn2_pieces_create)(const gn2_params *params, gn2_pieces *out);

/* Sums under way in a block of shards: `depth` of them, the oldest in its own arena. */
typedef struct gn2_sum_stack {
    int64_t block, count; /* which block, of so many shards */
    int32_t worker, depth;
} gn2_sum_stack;

/* Σ of class weights of what is labelled, positive pairs. */
void R(gn2_labels_totals)(const R(gn2_net) *net, const R(gn2_batch) *batch,
                          const gn2_batch_labels *labels, gn2_totals *out_totals);
/* Working space for jets of at least so many tokens. */
gn2_status R(gn2_engine_reserve)(R(gn2_engine) *engine, int64_t longest);
/* Cuts the batch into shards and chunks; makes room for them. */
gn2_status R(gn2_engine_plan)(R(gn2_engine) *engine, const R(gn2_batch) *batch);
/* Sorts the blocks of a planned batch: dear ones are handed out first. */
void R(gn2_engine_order)(R(gn2_engine) *engine);
/* Where the gradient of the next shard of a block goes, all 0. */
real *R(gn2_sum_place)(R(gn2_engine) *engine, const gn2_sum_stack *stack);
/* Takes in the gradient of shard `index` of the block; after the last one the block's
 * sum is in its arena. */
void R(gn2_sum_take)(R(gn2_engine) *engine, gn2_sum_stack *stack, int64_t index);
/* Sums the blocks' gradients and all losses over all ranks, sets gradient_norm. Fails
 * only where a group's transport does. */
gn2_status R(gn2_engine_reduce)(R(gn2_engine) *engine);

/* ---- ranks ---- */

/* What a rank needs, whose number divides the shards; then taken over. */
gn2_status R(gn2_share_create)(const R(gn2_engine) *engine, gn2_group *group,
                               R(gn2_share) *out);
void R(gn2_share_clear)(R(gn2_share) *share);
void R(gn2_share_set)(R(gn2_engine) *engine, R(gn2_share) *share);
/* Gathers the losses of all shards. */
gn2_status R(gn2_ranks_losses)(R(gn2_engine) *engine);
/* The same, and sums the first arenas of all ranks. */
gn2_status R(gn2_ranks_sum)(R(gn2_engine) *engine);
/* Rows of `row` bytes, one a jet of the batch: each rank has those of its shards, all
 * get all. */
gn2_status R(gn2_ranks_rows)(const R(gn2_engine) *engine, void *rows, size_t row);

#endif
