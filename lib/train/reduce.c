/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums the shards by a fixed binary tree: at distance 1, 2, 4 … shard i takes in
 * shard i + distance. The lowest levels are summed by the thread that works on a block
 * of shards, as soon as both sides are there. Of the levels above, pieces of the arena
 * are independent, so any thread may sum any of them. With a group those of this rank
 * are summed here, the rest in ranks.c.
 */
#include <math.h>
#include <string.h>

#include "train/engine.h"

/* ---- within a block ---- */

/* Elements (16 kB) that are still in the first-level cache when they are cleared. */
#define HOT 4096

static real *arena_of(const R(gn2_engine) *engine, const gn2_sum_stack *s,
                      int32_t depth)
{
    const R(gn2_share) *share = &engine->share;
    if (depth == 0) return share->grads + s->block * engine->stride;
    return share->under_way +
           ((int64_t)s->worker * share->levels + depth - 1) * engine->stride;
}

real *R(gn2_sum_place)(R(gn2_engine) *engine, const gn2_sum_stack *s)
{
    const int32_t level = s->worker * engine->share.levels + s->depth - 1;
    real *arena = arena_of(engine, s, s->depth);
    if (s->depth == 0 || engine->share.fresh[level])
        memset(arena, 0, (size_t)engine->stride * sizeof(real));
    if (s->depth > 0) engine->share.fresh[level] = 0;
    return arena;
}

/* The sum below takes in the newest one, whose arena is 0 again. */
static void fold(R(gn2_engine) *engine, gn2_sum_stack *s)
{
    real *from = arena_of(engine, s, --s->depth);
    real *to = arena_of(engine, s, s->depth - 1);
    for (int64_t at = 0; at < engine->stride; at += HOT) {
        const int64_t left = engine->stride - at, count = left < HOT ? left : HOT;
        engine->net->kernels->add(to + at, from + at, count);
        memset(from + at, 0, (size_t)count * sizeof(real));
    }
}

/* Shard 2k + 1 completes a sum of 2 shards, 4k + 3 one of 4 beside it, and so on. */
void R(gn2_sum_take)(R(gn2_engine) *engine, gn2_sum_stack *s, int64_t index)
{
    s->depth++;
    for (int64_t i = index; i & 1; i >>= 1) fold(engine, s);
    while (index + 1 == s->count && s->depth > 1) fold(engine, s);
}

/* ---- over the blocks ---- */

static void square_piece(void *context, int64_t index, int32_t worker)
{
    R(gn2_engine) *engine = context;
    const gn2_piece *p = &engine->pieces.piece[index];
    (void)worker;
    engine->squares[index] =
        engine->net->kernels->sum_squares(engine->share.grads + p->offset, p->count);
}

/* Elements that all blocks have in a second-level cache (256 kB) while they are summed;
 * the sum of one does not depend on its neighbours. */
#define CACHED 65536
#define LEAST 64

static void sum_blocks(const R(gn2_engine) *engine, real *base, int64_t count)
{
    const int64_t blocks = engine->share.blocks;
    for (int64_t d = 1; d < blocks; d *= 2)
        for (int64_t i = 0; i + d < blocks; i += 2 * d)
            engine->net->kernels->add(base + i * engine->stride,
                                      base + (i + d) * engine->stride, count);
}

static void reduce_piece(void *context, int64_t index, int32_t worker)
{
    R(gn2_engine) *engine = context;
    const gn2_piece *p = &engine->pieces.piece[index];
    const int64_t fit = CACHED / engine->share.blocks / LEAST * LEAST;
    const int64_t block = fit > LEAST ? fit : LEAST;
    for (int64_t at = 0; at < p->count; at += block) {
        const int64_t left = p->count - at;
        sum_blocks(engine, engine->share.grads + p->offset + at,
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
