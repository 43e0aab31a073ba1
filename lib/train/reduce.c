/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums the shards by a fixed binary tree: at distance 1, 2, 4 … shard i takes in
 * shard i + distance. Pieces of the arena are independent, so any thread may sum any
 * of them. With a group those of this rank are summed here, the rest in ranks.c.
 */
#include <math.h>

#include "train/engine.h"

static void square_piece(void *context, int64_t index, int32_t worker)
{
    R(gn2_engine) *engine = context;
    const gn2_piece *p = &engine->pieces.piece[index];
    (void)worker;
    engine->squares[index] =
        engine->net->kernels->sum_squares(engine->share.grads + p->offset, p->count);
}

/* Elements that all shards have in a second-level cache (256 kB) while they are summed;
 * the sum of one does not depend on its neighbours. */
#define CACHED 65536
#define LEAST 64

static void sum_shards(const R(gn2_engine) *engine, real *base, int64_t count)
{
    const int64_t shards = engine->share.count;
    for (int64_t d = 1; d < shards; d *= 2)
        for (int64_t i = 0; i + d < shards; i += 2 * d)
            engine->net->kernels->add(base + i * engine->stride,
                                      base + (i + d) * engine->stride, count);
}

static void reduce_piece(void *context, int64_t index, int32_t worker)
{
    R(gn2_engine) *engine = context;
    const gn2_piece *p = &engine->pieces.piece[index];
    const int64_t fit = CACHED / engine->share.count / LEAST * LEAST;
    const int64_t block = fit > LEAST ? fit : LEAST;
    for (int64_t at = 0; at < p->count; at += block) {
        const int64_t left = p->count - at;
        sum_shards(engine, engine->share.grads + p->offset + at,
                   left < block ? left : block);
    }
    if (gn2_group_ranks(engine->share.group) == 1) square_piece(context, index, worker);
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

gn2_status R(gn2_engine_reduce)(R(gn2_engine) *engine)
{
    const int64_t pieces = (int64_t)engine->pieces.count;
    double sum = 0;
    gn2_pool_run(engine->options.pool, pieces, reduce_piece, engine);
    if (gn2_group_ranks(engine->share.group) > 1) {
        GN2_TRY(R(gn2_ranks_sum)(engine));
        gn2_pool_run(engine->options.pool, pieces, square_piece, engine);
    }
    for (size_t i = 0; i < engine->pieces.count; i++) sum += engine->squares[i];
    engine->gradient_norm = sqrt(sum);
    reduce_losses(engine);
    return GN2_OK;
}
