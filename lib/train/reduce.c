/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums the shards by a fixed binary tree: at distance 1, 2, 4 … shard i takes in
 * shard i + distance. Pieces of the arena are independent, so any thread may sum any
 * of them.
 */
#include <math.h>

#include "train/core.h"

static void reduce_piece(void *context, int64_t index, int32_t worker)
{
    R(gn2_core) *core = context;
    const gn2_piece *p = &core->pieces.piece[index];
    const int64_t shards = core->options.shards;
    real *base = core->grads + p->offset;
    (void)worker;
    for (int64_t d = 1; d < shards; d *= 2)
        for (int64_t i = 0; i + d < shards; i += 2 * d)
            core->net->kernels->add(base + i * core->stride,
                                    base + (i + d) * core->stride, p->count);
    core->squares[index] = core->net->kernels->sum_squares(base, p->count);
}

static void reduce_losses(R(gn2_core) *core)
{
    const int64_t shards = core->options.shards;
    for (int64_t d = 1; d < shards; d *= 2)
        for (int64_t i = 0; i + d < shards; i += 2 * d)
            for (int id = 0; id < GN2_TASK_COUNT; id++)
                core->shard[i].losses.value[id] += core->shard[i + d].losses.value[id];
    core->losses = core->shard[0].losses;
}

void R(gn2_core_reduce)(R(gn2_core) *core)
{
    double sum = 0;
    gn2_pool_run(core->options.pool, (int64_t)core->pieces.count, reduce_piece, core);
    for (size_t i = 0; i < core->pieces.count; i++) sum += core->squares[i];
    core->gradient_norm = sqrt(sum);
    reduce_losses(core);
}
