/* SPDX-License-Identifier: Apache-2.0 */
/* Making and freeing the core; running the shards of a batch. */
#include "train/core.h"

#include <math.h>
#include <string.h>

#include "util/alloc.h"
#include "util/rng.h"

/* Chunks a shard has room for at first. */
#define CHUNKS_A_SHARD 16

static gn2_status create_net(R(gn2_core) *core)
{
    gn2_net_options options = {.product = core->options.product,
                               .training = 1,
                               .replace_non_finite = core->h->replace_non_finite};
    options.product.max_rows = core->options.chunk_tokens;
    return R(gn2_net_create)(core->h, core->params, &options, &core->net);
}

static gn2_status create_arrays(R(gn2_core) *core)
{
    const size_t shards = (size_t)core->options.shards, total = (size_t)core->stride;
    size_t all;
    if (!gn2_mul_size(shards, total, &all)) return gn2_fail_memory();
    core->weights = gn2_alloc(total, sizeof(real));
    core->grads = gn2_alloc(all, sizeof(real));
    if (core->options.keep_updates) core->previous = gn2_alloc(total, sizeof(real));
    core->squares = gn2_alloc(core->pieces.count, sizeof *core->squares);
    core->shard = gn2_alloc(shards, sizeof *core->shard);
    core->chunk_capacity = (int64_t)shards * CHUNKS_A_SHARD;
    core->chunk = gn2_alloc((size_t)core->chunk_capacity, sizeof *core->chunk);
    core->space = gn2_alloc((size_t)core->workers, sizeof *core->space);
    const int all_there = core->weights && core->grads && core->squares &&
                          core->shard && core->chunk && core->space &&
                          (core->previous || !core->options.keep_updates);
    return all_there ? GN2_OK : gn2_fail_memory();
}

static gn2_status create_optimizer(R(gn2_core) *core)
{
    core->optimizer = (R(gn2_optimizer)){.options = core->options.optim,
                                         .params = core->params,
                                         .pieces = &core->pieces,
                                         .kernels = core->net->kernels};
    return R(gn2_optimizer_create)(&core->optimizer);
}

gn2_status R(gn2_core_create)(const gn2_hparams *h, const gn2_params *params,
                              const gn2_core_options *options, R(gn2_core) **out_core)
{
    gn2_status status = GN2_OK;
    R(gn2_core) *core = gn2_alloc(1, sizeof *core);
    if (!core) return gn2_fail_memory();
    core->h = h;
    core->params = params;
    core->options = *options;
    core->workers = gn2_pool_workers(options->pool);
    core->stride = (params->total + GN2_ALIGN - 1) / GN2_ALIGN * GN2_ALIGN;
    GN2_TRY_GOTO(gn2_pieces_create(params, &core->pieces));
    GN2_TRY_GOTO(create_net(core));
    GN2_TRY_GOTO(create_arrays(core));
    GN2_TRY_GOTO(create_optimizer(core));
    GN2_TRY_GOTO(R(gn2_core_reserve)(core, 1));
    *out_core = core;
    return GN2_OK;
fail:
    R(gn2_core_free)(core);
    return status;
}

void R(gn2_core_free)(R(gn2_core) *core)
{
    if (!core) return;
    for (int32_t i = 0; core->space && i < core->workers; i++)
        R(gn2_space_free)(core->space[i]);
    R(gn2_optimizer_destroy)(&core->optimizer);
    R(gn2_net_free)(core->net);
    gn2_pieces_free(&core->pieces);
    gn2_free(core->space);
    gn2_free(core->chunk);
    gn2_free(core->shard);
    gn2_free(core->squares);
    gn2_free(core->grads);
    gn2_free(core->previous);
    gn2_free(core->weights);
    gn2_free(core);
}

size_t R(gn2_core_bytes)(const R(gn2_core) *core)
{
    const size_t arenas = (size_t)core->options.shards + (core->previous ? 2 : 1);
    const size_t moments = core->optimizer.v ? 2 : 1;
    size_t bytes = sizeof *core + R(gn2_net_bytes)(core->net);
    bytes += arenas * (size_t)core->stride * sizeof(real);
    bytes += moments * (size_t)core->params->total * sizeof(real);
    bytes += core->pieces.count * (sizeof *core->pieces.piece + sizeof *core->squares);
    bytes += (size_t)core->options.shards * sizeof *core->shard;
    bytes += (size_t)core->chunk_capacity * sizeof *core->chunk;
    bytes += (size_t)core->workers * sizeof *core->space;
    for (int32_t i = 0; i < core->workers; i++)
        if (core->space[i])
            bytes += sizeof **core->space + core->space[i]->bytes +
                     R(gn2_lane_bytes)(core->space[i]->lane);
    return bytes;
}

void R(gn2_core_set_weights)(R(gn2_core) *core, const real *weights)
{
    memcpy(core->weights, weights, (size_t)core->params->total * sizeof(real));
    R(gn2_net_pack)(core->net, core->weights);
}

/* ---- running the shards ---- */

/* What all shards of a batch share. */
typedef struct job {
    R(gn2_core) *core;
    const R(gn2_batch) *batch;
    const gn2_truth *truth;
    const R(gn2_visitor) *visitor; /* NULL: none */
    int training;                  /* gradients and dropout */
} job;

static R(gn2_pass) make_pass(const job *j, int32_t worker)
{
    R(gn2_core) *core = j->core;
    return (R(gn2_pass)){
        .net = core->net,
        .space = core->space[worker],
        .ctx = {.kernels = core->net->kernels,
                .lane = core->space[worker]->lane,
                .weights = core->weights},
        .batch = j->batch,
        .truth = j->truth,
        .totals = &core->totals,
        .step_key = gn2_rng_key(core->options.seed, (uint64_t)core->optimizer.steps),
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

static void run_shard(void *context, int64_t index, int32_t worker)
{
    const job *j = context;
    R(gn2_core) *core = j->core;
    gn2_shard *shard = &core->shard[index];
    R(gn2_pass) pass = make_pass(j, worker);
    if (j->training) {
        pass.ctx.grads = core->grads + index * core->stride;
        memset(pass.ctx.grads, 0, (size_t)core->stride * sizeof(real));
    }
    for (int64_t i = 0; i < shard->count; i++)
        run_chunk(j, &pass, &core->chunk[shard->first + i]);
    shard->losses = pass.losses;
}

static gn2_status run_batch(job *j)
{
    R(gn2_core) *core = j->core;
    GN2_TRY(R(gn2_core_plan)(core, j->batch));
    core->totals = (gn2_totals){0};
    if (j->truth) R(gn2_truth_totals)(core->net, j->batch, j->truth, &core->totals);
    const int ordered = j->visitor && j->visitor->ordered;
    gn2_pool_run(ordered ? NULL : core->options.pool, core->options.shards, run_shard,
                 j);
    return GN2_OK;
}

/* ---- what went wrong ---- */

static int finite_losses(const gn2_losses *losses)
{
    for (int id = 0; id < GN2_TASK_COUNT; id++)
        if (!isfinite(losses->value[id])) return 0;
    return 1;
}

/* First layer with a value that is not finite: runs the chunks again, one by one. */
static gn2_status blame_layer(const job *j)
{
    R(gn2_core) *core = j->core;
    const gn2_shard *last = &core->shard[core->options.shards - 1];
    R(gn2_pass) pass = make_pass(j, 0);
    for (int64_t i = 0; i < last->first + last->count; i++) {
        char text[64];
        const gn2_chunk *chunk = &core->chunk[i];
        run_chunk(j, &pass, chunk);
        const char *layer = R(gn2_pass_first_non_finite)(&pass, text);
        if (layer)
            return gn2_fail(GN2_ERR_NUMERIC,
                            "%s: output is not finite (jets %lld to %lld of the batch)",
                            layer, (long long)chunk->first,
                            (long long)(chunk->first + chunk->jets - 1));
    }
    return GN2_OK;
}

static gn2_status blame_tensor(const R(gn2_core) *core)
{
    for (size_t i = 0; i < core->params->count; i++) {
        const gn2_tensor *t = &core->params->tensor[i];
        if (!core->net->kernels->all_finite(core->grads + t->offset, t->count))
            return gn2_fail(GN2_ERR_NUMERIC, "gradient of tensor '%s' is not finite",
                            t->name);
    }
    return gn2_fail(GN2_ERR_NUMERIC, "the loss is not finite");
}

gn2_status R(gn2_core_gradient)(R(gn2_core) *core, const R(gn2_batch) *batch,
                                const gn2_truth *truth)
{
    job j = {.core = core, .batch = batch, .truth = truth, .training = 1};
    core->updated = 0;
    GN2_TRY(run_batch(&j));
    R(gn2_core_reduce)(core);
    if (isfinite(core->gradient_norm) && finite_losses(&core->losses)) return GN2_OK;
    GN2_TRY(blame_layer(&j));
    return blame_tensor(core);
}

static void pack_one(void *context, int64_t index, int32_t worker)
{
    const R(gn2_core) *core = context;
    (void)worker;
    R(gn2_net_pack_one)(core->net, (size_t)index, core->weights);
}

void R(gn2_core_update)(R(gn2_core) *core, double lr, double beta1)
{
    const R(gn2_update) update = {
        .weights = core->weights,
        .grads = core->grads,
        .lr = lr,
        .beta1 = beta1,
        .clip = gn2_optim_clip(&core->options.optim, core->gradient_norm),
    };
    if (core->previous)
        memcpy(core->previous, core->weights,
               (size_t)core->params->total * sizeof(real));
    R(gn2_optimizer_step)(&core->optimizer, &update, core->options.pool);
    core->updated = 1;
    gn2_pool_run(core->options.pool, (int64_t)core->net->linear_count, pack_one, core);
}

gn2_status R(gn2_core_forward)(R(gn2_core) *core, const R(gn2_batch) *batch,
                               const gn2_truth *truth, const R(gn2_visitor) *visitor)
{
    job j = {.core = core, .batch = batch, .truth = truth, .visitor = visitor};
    GN2_TRY(run_batch(&j));
    core->losses = (gn2_losses){0};
    for (int32_t s = 0; s < core->options.shards; s++)
        for (int id = 0; id < GN2_TASK_COUNT; id++)
            core->losses.value[id] += core->shard[s].losses.value[id];
    if (finite_losses(&core->losses)) return GN2_OK;
    j.visitor = NULL; /* it has seen every chunk */
    GN2_TRY(blame_layer(&j));
    return gn2_fail(GN2_ERR_NUMERIC, "the loss is not finite");
}
