/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cutting a batch: shards of about equal cost, chunks of a shard; and the room they
 * need. Sizes only grow, so memory is flat once the largest batch has been seen.
 */
#include <math.h>

#include "train/engine.h"
#include "util/alloc.h"

/* Tokens of a jet there is room for at first: ATLAS keeps 40 tracks. */
#define LONGEST_AT_FIRST 48

static int64_t jet_cost(const gn2_hparams *h, const R(gn2_batch) *batch,
                        const gn2_price *p, int64_t b)
{
    const int64_t cost = p->token * (1 + R(gn2_batch_tokens)(h, batch, b));
    if (h->pairs < 0) return cost;
    const int64_t *offset = batch->sequence[h->task[h->pairs].sequence].offset + b;
    const int64_t n = offset[1] - offset[0];
    return cost + p->pair * n * (n - 1);
}

/* Jets from `first` on that bring the cost so far to `goal`; *cost goes along. */
static int64_t shard_end(const R(gn2_engine) *engine, const R(gn2_batch) *batch,
                         const gn2_price *p, int64_t first, double goal, double *cost)
{
    int64_t b = first;
    for (; b < batch->jets && *cost < goal; b++)
        *cost += (double)jet_cost(engine->h, batch, p, b);
    return b;
}

/* Cuts into chunks; returns how many there are, more than fit being counted only. */
static int64_t cut(R(gn2_engine) *engine, const R(gn2_batch) *batch)
{
    const gn2_price p = gn2_net_price(engine->h);
    const int32_t shards = engine->options.shards;
    const int64_t capacity = (int64_t)engine->chunk_capacity;
    double all = 0, cost = 0; /* whole numbers: differences are exact */
    shard_end(engine, batch, &p, 0, HUGE_VAL, &all);
    gn2_chunk start = {0};
    int64_t used = 0;
    for (int32_t s = 0; s < shards; s++) {
        const double goal = s + 1 < shards ? all * (s + 1) / shards : HUGE_VAL;
        const double before = cost;
        const int64_t end = shard_end(engine, batch, &p, start.first, goal, &cost);
        const int64_t room = capacity - used;
        gn2_chunk *to = engine->chunk + (room > 0 ? used : 0);
        const int64_t count =
            R(gn2_batch_cut)(engine->h, batch, &start, end,
                             engine->options.chunk_tokens, to, room > 0 ? room : 0);
        engine->shard[s] =
            (gn2_shard){.first = used, .count = count, .cost = cost - before};
        used += count;
        if (count && used <= capacity) {
            const gn2_chunk *last = &engine->chunk[used - 1];
            start.first_token = last->first_token + last->tokens;
            start.first_pair = last->first_pair + last->pairs;
        }
        start.first = end;
    }
    return used;
}

static gn2_status make_chunks(R(gn2_engine) *engine, const R(gn2_batch) *batch)
{
    const size_t needed = (size_t)cut(engine, batch);
    if (needed <= engine->chunk_capacity) return GN2_OK;
    if (!gn2_reserve(&engine->chunk, &engine->chunk_capacity, 0, needed,
                     sizeof *engine->chunk))
        return gn2_fail_memory();
    cut(engine, batch);
    return GN2_OK;
}

/* What is begun last ends last: it had better be short. Nothing is allocated, as by
 * qsort() of the C library. */
void R(gn2_engine_order)(R(gn2_engine) *engine)
{
    const R(gn2_share) *share = &engine->share;
    gn2_turn *order = share->order;
    for (int32_t i = 0; i < share->blocks; i++) {
        gn2_turn turn = {.block = i};
        const int32_t first = i * share->block, left = share->count - first;
        for (int32_t s = 0; s < share->block && s < left; s++)
            turn.cost += engine->shard[share->first + first + s].cost;
        int32_t at = i;
        for (; at > 0 && order[at - 1].cost < turn.cost; at--)
            order[at] = order[at - 1];
        order[at] = turn;
    }
}

static gn2_status make_spaces(R(gn2_engine) *engine, const gn2_capacity *capacity)
{
    for (int32_t i = 0; i < engine->workers; i++) {
        R(gn2_space) *space = NULL;
        GN2_TRY(R(gn2_space_create)(engine->net, capacity, &space));
        R(gn2_space_free)(engine->space[i]);
        engine->space[i] = space;
    }
    engine->capacity = *capacity;
    return GN2_OK;
}

gn2_status R(gn2_engine_reserve)(R(gn2_engine) *engine, int64_t longest)
{
    if (engine->capacity.jets && longest <= engine->capacity.longest) return GN2_OK;
    const int64_t tokens = engine->options.chunk_tokens;
    gn2_capacity c = {.jets = tokens, .tokens = tokens, .longest = LONGEST_AT_FIRST};
    while (c.longest < longest) c.longest *= 2;
    if (c.tokens < c.longest) c.tokens = c.longest;
    return make_spaces(engine, &c);
}

gn2_status R(gn2_engine_plan)(R(gn2_engine) *engine, const R(gn2_batch) *batch)
{
    int64_t longest;
    R(gn2_batch_measure)(engine->h, batch, &longest, &engine->tokens);
    GN2_TRY(R(gn2_engine_reserve)(engine, longest));
    return make_chunks(engine, batch);
}
