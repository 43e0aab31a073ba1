/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums the shards by a fixed binary tree: at distance 1, 2, 4 … shard i takes in
 * shard i + distance. Pieces of the arena are independent, so any thread may sum any
 * of them.
 */
#include <math.h>

#include "train/engine.h"

static void reduce_piece(void *context, int64_t index, int32_t worker)
{
    R(gn2_engine) *engine = context;
    const gn2_piece *p = &engine->pieces.piece[index];
    const int64_t shards = engine->options.shards;
    real *base = engine->grads + p->offset;
    (void)worker;
    for (int64_t d = 1; d < shards; d *= 2)
        for (int64_t i = 0; i + d < shards; i += 2 * d)
            engine->net->kernels->add(base + i * engine->stride,
                                      base + (i + d) * engine->stride, p->count);
    engine->squares[index] = engine->net->kernels->sum_squares(base, p->count);
}

static void reduce_losses(R(gn2_engine) *engine)
{
    const int64_t shards = engine->options.shards;
    for (int64_t d = 1; d < shards; d *= 2)
        for (int64_t i = 0; i + d < shards; i += 2 * d)
            for (int k = 0; k < engine->h->task_count; k++)
                engine->shard[i].losses.value[k] +=
                    engine->shard[i + d].losses.value[k];
    engine->losses = engine->shard[0].losses;
}

void R(gn2_engine_reduce)(R(gn2_engine) *engine)
{
    double sum = 0;
    gn2_pool_run(engine->options.pool, (int64_t)engine->pieces.count, reduce_piece,
                 engine);
    for (size_t i = 0; i < engine->pieces.count; i++) sum += engine->squares[i];
    engine->gradient_norm = sqrt(sum);
    reduce_losses(engine);
}
