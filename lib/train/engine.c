/* SPDX-License-Identifier: Apache-2.0 */
/* Making and freeing the engine; running the shards of a batch. */
#include "train/engine.h"

#include <math.h>
#include <string.h>

#include "util/alloc.h"
#include "util/rng.h"

/* Chunks a shard has room for at first. */
#define CHUNKS_A_SHARD 16

static gn2_status create_net(R(gn2_engine) *engine)
{
    gn2_net_options options = {.product = engine->options.product, .training = 1};
    options.product.max_rows = engine->options.chunk_tokens;
    return R(gn2_net_create)(engine->h, &options, &engine->net);
}

/* What does not grow, in one block; base NULL: its size alone. */
static size_t lay_out(R(gn2_engine) *engine, void *base)
{
    const size_t arena = (size_t)engine->stride * sizeof(real);
    gn2_arena a = {.base = base};
    engine->weights = gn2_arena_take(&a, 1, arena);
    if (engine->options.keep_updates) engine->previous = gn2_arena_take(&a, 1, arena);
    engine->squares = gn2_arena_take(&a, engine->pieces.count, sizeof *engine->squares);
    engine->shard =
        gn2_arena_take(&a, (size_t)engine->options.shards, sizeof *engine->shard);
    engine->space = gn2_arena_take(&a, (size_t)engine->workers, sizeof *engine->space);
    return a.used;
}

static gn2_status create_arrays(R(gn2_engine) *engine)
{
    GN2_TRY(R(gn2_share_create)(engine, NULL, &engine->share));
    engine->chunk_capacity = (size_t)engine->options.shards * CHUNKS_A_SHARD;
    engine->chunk = gn2_alloc(engine->chunk_capacity, sizeof *engine->chunk);
    engine->bytes = lay_out(engine, NULL);
    void *block = gn2_alloc(engine->bytes, 1);
    if (block) lay_out(engine, block);
    return block && engine->chunk ? GN2_OK : gn2_fail_memory();
}

static gn2_status create_optimizer(R(gn2_engine) *engine)
{
    engine->optimizer = (R(gn2_optimizer)){.options = engine->options.optim,
                                           .total = engine->params->total,
                                           .pieces = &engine->pieces,
                                           .kernels = engine->net->kernels};
    return R(gn2_optimizer_create)(&engine->optimizer);
}

/* Elements of a piece: the gradients of 8 shards (256 kB) fit a second-level
 * cache, and a width-256 model still makes some 300 pieces. */
#define PIECE 8192

gn2_status R(gn2_pieces_create)(const gn2_params *params, gn2_pieces *out)
{
    size_t count = 0;
    for (size_t i = 0; i < params->count; i++)
        count += (size_t)((params->tensor[i].count + PIECE - 1) / PIECE);
    *out = (gn2_pieces){.piece = gn2_alloc(count, sizeof *out->piece)};
    if (!out->piece) return gn2_fail_memory();
    for (size_t i = 0; i < params->count; i++) {
        const gn2_tensor *t = &params->tensor[i];
        for (int64_t at = 0; at < t->count; at += PIECE) {
            const int64_t left = t->count - at;
            out->piece[out->count++] = (gn2_piece){
                t->offset + at, left < PIECE ? left : PIECE, t->lr_mult, t->wd_mult};
        }
    }
    return GN2_OK;
}

gn2_status R(gn2_engine_create)(const gn2_hparams *h, const gn2_params *params,
                                const gn2_engine_options *options,
                                R(gn2_engine) **out_engine)
{
    gn2_status status = GN2_OK;
    R(gn2_engine) *engine = gn2_alloc(1, sizeof *engine);
    if (!engine) return gn2_fail_memory();
    engine->h = h;
    engine->params = params;
    engine->options = *options;
    engine->workers = gn2_pool_workers(options->pool);
    engine->stride = (params->total + GN2_ALIGN - 1) / GN2_ALIGN * GN2_ALIGN;
    GN2_TRY_GOTO(R(gn2_pieces_create)(params, &engine->pieces));
    GN2_TRY_GOTO(create_net(engine));
    GN2_TRY_GOTO(create_arrays(engine));
    GN2_TRY_GOTO(create_optimizer(engine));
    GN2_TRY_GOTO(R(gn2_engine_reserve)(engine, 1));
    *out_engine = engine;
    return GN2_OK;
fail:
    R(gn2_engine_free)(engine);
    return status;
}

void R(gn2_engine_free)(R(gn2_engine) *engine)
{
    if (!engine) return;
    for (int32_t i = 0; engine->space && i < engine->workers; i++)
        R(gn2_space_free)(engine->space[i]);
    R(gn2_optimizer_destroy)(&engine->optimizer);
    R(gn2_net_free)(engine->net);
    R(gn2_share_clear)(&engine->share);
    gn2_free(engine->pieces.piece);
    gn2_free(engine->chunk);
    gn2_free(engine->weights);
    gn2_free(engine);
}

size_t R(gn2_engine_bytes)(const R(gn2_engine) *engine)
{
    size_t bytes = sizeof *engine + engine->bytes + engine->share.bytes;
    bytes += R(gn2_net_bytes)(engine->net) + engine->optimizer.bytes;
    bytes += engine->pieces.count * sizeof *engine->pieces.piece;
    bytes += engine->chunk_capacity * sizeof *engine->chunk;
    for (int32_t i = 0; i < engine->workers; i++)
        if (engine->space[i])
            bytes += sizeof **engine->space + engine->space[i]->bytes +
                     R(gn2_lane_bytes)(engine->space[i]->lane);
    return bytes;
}

void R(gn2_engine_set_weights)(R(gn2_engine) *engine, const real *weights)
{
    memcpy(engine->weights, weights, (size_t)engine->params->total * sizeof(real));
    R(gn2_net_pack)(engine->net, engine->weights);
}

/* ---- running the shards ---- */

/* What all shards of a batch share. */
typedef struct job {
    R(gn2_engine) *engine;
    const R(gn2_batch) *batch;
    const gn2_batch_labels *labels;
    const R(gn2_visitor) *visitor; /* NULL: none */
    int training;                  /* gradients and dropout */
    int together;                  /* shards of this rank alone */
    int32_t first;                 /* of the shards that are run */
} job;

static R(gn2_pass) make_pass(const job *j, int32_t worker)
{
    R(gn2_engine) *engine = j->engine;
    return (R(gn2_pass)){
        .net = engine->net,
        .space = engine->space[worker],
        .ctx = {.kernels = engine->net->kernels,
                .lane = engine->space[worker]->lane,
                .weights = engine->weights},
        .batch = j->batch,
        .labels = j->labels,
        .totals = &engine->totals,
        .step_key =
            gn2_rng_key(engine->options.seed, (uint64_t)engine->optimizer.steps),
        .dropping = j->training,
    };
}

static void run_chunk(const job *j, R(gn2_pass) *pass, const gn2_chunk *chunk)
{
    pass->chunk = *chunk;
    R(gn2_pass_trunk)(pass);
    R(gn2_pass_heads)(pass, GN2_ALL_TASKS);
    if (pass->ctx.grads) R(gn2_pass_trunk_backward)(pass);
    if (j->visitor) j->visitor->fn(j->visitor->user, pass);
}

/* Shard `index` of those that are run; grads, all 0, only in training. */
static void run_shard(const job *j, int64_t index, int32_t worker, real *grads)
{
    R(gn2_engine) *engine = j->engine;
    gn2_shard *shard = &engine->shard[j->first + index];
    R(gn2_pass) pass = make_pass(j, worker);
    pass.ctx.grads = grads;
    for (int64_t i = 0; i < shard->count; i++)
        run_chunk(j, &pass, &engine->chunk[shard->first + i]);
    shard->losses = pass.losses;
}

static void look_at_shard(void *context, int64_t index, int32_t worker)
{
    run_shard(context, index, worker, NULL);
}

static void learn_from_block(void *context, int64_t index, int32_t worker)
{
    const job *j = context;
    R(gn2_engine) *engine = j->engine;
    const R(gn2_share) *share = &engine->share;
    const int64_t block = share->order[index].block;
    const int64_t first = block * share->block, left = share->count - first;
    gn2_sum_stack stack = {.block = block,
                           .count = left < share->block ? left : share->block,
                           .worker = worker};
    for (int64_t i = 0; i < stack.count; i++) {
        real *grads = R(gn2_sum_place)(engine, &stack);
        run_shard(j, first + i, worker, grads);
        R(gn2_sum_take)(engine, &stack, i);
    }
}

static gn2_status run_batch(job *j)
{
    R(gn2_engine) *engine = j->engine;
    const R(gn2_share) *share = &engine->share;
    GN2_TRY(R(gn2_engine_plan)(engine, j->batch));
    engine->totals = (gn2_totals){0};
    if (j->labels)
        R(gn2_labels_totals)(engine->net, j->batch, j->labels, &engine->totals);
    const int ordered = j->visitor && j->visitor->ordered;
    gn2_pool *pool = ordered ? NULL : engine->options.pool;
    j->first = j->together ? share->first : 0;
    if (j->training) {
        R(gn2_engine_order)(engine);
        gn2_pool_run(pool, share->blocks, learn_from_block, j);
    } else {
        gn2_pool_run(pool, j->together ? share->count : engine->options.shards,
                     look_at_shard, j);
    }
    return GN2_OK;
}

/* ---- what went wrong ---- */

static int finite_losses(const gn2_losses *losses)
{
    for (int k = 0; k < GN2_MAX_TASKS; k++)
        if (!isfinite(losses->value[k])) return 0;
    return 1;
}

/* First layer with a value that is not finite: runs the chunks again, one by one. */
static gn2_status blame_layer(const job *j)
{
    R(gn2_engine) *engine = j->engine;
    const gn2_shard *last = &engine->shard[engine->options.shards - 1];
    R(gn2_pass) pass = make_pass(j, 0);
    for (int64_t i = 0; i < last->first + last->count; i++) {
        char text[96];
        const gn2_chunk *chunk = &engine->chunk[i];
        run_chunk(j, &pass, chunk);
        const char *layer = R(gn2_pass_first_non_finite)(&pass, text);
        if (layer)
            return gn2_fail_network(
                "%s: output is not finite (jets %lld to %lld of the batch)", layer,
                (long long)chunk->first, (long long)(chunk->first + chunk->jets - 1));
    }
    return GN2_OK;
}

const char *R(gn2_engine_non_finite)(const R(gn2_engine) *engine, const real *arena)
{
    for (size_t i = 0; i < engine->params->count; i++) {
        const gn2_tensor *t = &engine->params->tensor[i];
        if (!engine->net->kernels->all_finite(arena + t->offset, t->count))
            return t->name;
    }
    return NULL;
}

gn2_status R(gn2_engine_gradient)(R(gn2_engine) *engine, const R(gn2_batch) *batch,
                                  const gn2_batch_labels *labels)
{
    job j = {.engine = engine,
             .batch = batch,
             .labels = labels,
             .training = 1,
             .together = 1};
    engine->updated = 0;
    GN2_TRY(run_batch(&j));
    GN2_TRY(R(gn2_engine_reduce)(engine));
    if (isfinite(engine->gradient_norm) && finite_losses(&engine->losses))
        return GN2_OK;
    GN2_TRY(blame_layer(&j));
    const char *tensor = R(gn2_engine_non_finite)(engine, engine->share.grads);
    if (tensor)
        return gn2_fail_network("gradient of tensor '%s' is not finite", tensor);
    return gn2_fail_network("the loss is not finite");
}

static void pack_one(void *context, int64_t index, int32_t worker)
{
    const R(gn2_engine) *engine = context;
    (void)worker;
    R(gn2_linear_pack)(engine->net->linears[index], engine->weights);
}

void R(gn2_engine_update)(R(gn2_engine) *engine, double lr, double beta1)
{
    R(gn2_update) update = {
        .weights = engine->weights,
        .grads = engine->share.grads,
        .lr = lr,
        .beta1 = (real)beta1,
        .clip = gn2_optim_clip(&engine->options.optim, engine->gradient_norm),
    };
    if (engine->previous)
        memcpy(engine->previous, engine->weights,
               (size_t)engine->params->total * sizeof(real));
    R(gn2_optimizer_step)(&engine->optimizer, &update, engine->options.pool);
    engine->updated = 1;
    gn2_pool_run(engine->options.pool, (int64_t)engine->net->linear_count, pack_one,
                 engine);
}

gn2_status R(gn2_engine_forward)(R(gn2_engine) *engine, const R(gn2_batch) *batch,
                                 const gn2_batch_labels *labels,
                                 const R(gn2_visitor) *visitor)
{
    job j = {.engine = engine,
             .batch = batch,
             .labels = labels,
             .visitor = visitor,
             .together = visitor && visitor->together};
    GN2_TRY(run_batch(&j));
    if (j.together) GN2_TRY(R(gn2_ranks_losses)(engine));
    engine->losses = (gn2_losses){0};
    for (int32_t s = 0; s < engine->options.shards; s++)
        for (int k = 0; k < engine->h->task_count; k++)
            engine->losses.value[k] += engine->shard[s].losses.value[k];
    if (finite_losses(&engine->losses)) return GN2_OK;
    j.visitor = NULL; /* it has seen every chunk */
    GN2_TRY(blame_layer(&j));
    return gn2_fail_network("the loss is not finite");
}
