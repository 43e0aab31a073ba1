/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of the fixed tree that lies above the ranks. A rank has the sum of its own
 * shards, which are a subtree because their number is a power of two; here the sums of
 * ranks 0+1, 2+3, …; 01+23, … are made by exchanges, so that each number is added to
 * the same other one as by a single process.
 */
#include <string.h>

#include "train/engine.h"
#include "util/alloc.h"

/* Elements that one thread adds at a time. */
#define BLOCK 65536

/* Blocks for each thread, so that those which end early find more to do. */
#define BLOCKS_A_THREAD 8

/* A block is one shard where threads need them all, all where there is one thread. */
static void set_blocks(R(gn2_share) *share, int32_t workers)
{
    const int64_t least = (int64_t)BLOCKS_A_THREAD * workers;
    share->block = 1;
    while (workers == 1 ? share->block < share->count
                        : 2 * share->block * least <= share->count) {
        share->block *= 2;
        share->levels++;
    }
    share->blocks = (share->count + share->block - 1) / share->block;
}

/* In one block; base NULL: its size alone. */
static size_t lay_out(const R(gn2_engine) *engine, R(gn2_share) *share, void *base)
{
    const size_t arena = (size_t)engine->stride * sizeof(real);
    const size_t under_way = (size_t)engine->workers * (size_t)share->levels;
    const size_t blocks = (size_t)share->blocks;
    gn2_arena a = {.base = base};
    share->grads = gn2_arena_take(&a, blocks, arena);
    share->under_way = gn2_arena_take(&a, under_way, arena);
    share->order = gn2_arena_take(&a, blocks, sizeof *share->order);
    share->fresh = gn2_arena_take(&a, under_way, 1);
    if (base) memset(share->fresh, 1, under_way);
    if (gn2_group_ranks(share->group) == 1) return a.used;
    share->incoming = gn2_arena_take(&a, 1, arena);
    share->losses =
        gn2_arena_take(&a, (size_t)engine->options.shards, sizeof *share->losses);
    return a.used;
}

gn2_status R(gn2_share_create)(const R(gn2_engine) *engine, gn2_group *group,
                               R(gn2_share) *out)
{
    const int32_t count = engine->options.shards / gn2_group_ranks(group);
    *out = (R(gn2_share)){
        .group = group, .first = gn2_group_me(group) * count, .count = count};
    set_blocks(out, engine->workers);
    out->bytes = lay_out(engine, out, NULL);
    /* whoever works on a shard clears its arena: none is written to here */
    void *block = gn2_alloc_untouched(out->bytes, 1);
    if (!block) return gn2_fail_memory();
    lay_out(engine, out, block);
    return GN2_OK;
}

void R(gn2_share_clear)(R(gn2_share) *share)
{
    gn2_free(share->grads);
    *share = (R(gn2_share)){0};
}

void R(gn2_share_set)(R(gn2_engine) *engine, R(gn2_share) *share)
{
    R(gn2_share_clear)(&engine->share);
    engine->share = *share;
    engine->updated = 0; /* the gradient it told of is gone */
    *share = (R(gn2_share)){0};
}

/* Elements of an arena. */
typedef struct span {
    int64_t first, count;
} span;

/* What comes in is added to `to`, part by part. */
typedef struct sum {
    const R(gn2_kernels) *kernels;
    gn2_pool *pool;
    real *to;
    const real *from;
    int64_t done, end; /* elements that are added, and are there */
    int64_t count;
} sum;

static void add_block(void *context, int64_t index, int32_t worker)
{
    const sum *s = context;
    const int64_t first = s->done + index * BLOCK, left = s->end - first;
    (void)worker;
    s->kernels->add(s->to + first, s->from + first, left < BLOCK ? left : BLOCK);
}

/* Of an element that is there in part, the rest is waited for. */
static void add_arrived(void *context, size_t size)
{
    sum *s = context;
    const int64_t there = (int64_t)(size / sizeof(real));
    s->end = there < s->count ? there : s->count;
    if (s->end <= s->done) return;
    gn2_pool_run(s->pool, (s->end - s->done + BLOCK - 1) / BLOCK, add_block, s);
    s->done = s->end;
}

/* Exchanges, and adds what comes in for a span while more is on its way. */
static gn2_status exchange_sum(R(gn2_engine) *engine, int32_t peer, const gn2_parcel *p,
                               span to)
{
    sum s = {.kernels = engine->net->kernels,
             .pool = engine->options.pool,
             .to = engine->share.grads + to.first,
             .from = engine->share.incoming,
             .count = to.count};
    const gn2_taker taker = {add_arrived, &s};
    return gn2_group_exchange(engine->share.group, peer, p, &taker);
}

static gn2_parcel parcel(const R(gn2_engine) *engine, span give, real *into, span take)
{
    return (gn2_parcel){engine->share.grads + give.first,
                        (size_t)give.count * sizeof(real), into,
                        (size_t)take.count * sizeof(real)};
}

/* Halves of a span: `index` 0 or 1. */
static span half(span s, int index)
{
    const int64_t lower = s.count / 2;
    return index ? (span){s.first + lower, s.count - lower} : (span){s.first, lower};
}

/* Ranks a power of two: at distance 1, 2, 4 … two ranks take a half each of what they
 * both have, and add the other's; then they give it back the other way round. */
static gn2_status sum_by_halves(R(gn2_engine) *engine)
{
    gn2_group *group = engine->share.group;
    const int32_t ranks = gn2_group_ranks(group), me = gn2_group_me(group);
    span level[32] = {{0, engine->params->total}};
    int n = 0;
    for (int32_t d = 1; d < ranks; d *= 2, n++) {
        const int upper = (me & d) != 0;
        const span mine = half(level[n], upper);
        const gn2_parcel p =
            parcel(engine, half(level[n], !upper), engine->share.incoming, mine);
        GN2_TRY(exchange_sum(engine, me ^ d, &p, mine));
        level[n + 1] = mine;
    }
    for (int32_t d = ranks / 2; d >= 1; d /= 2) {
        n--;
        const int upper = (me & d) != 0;
        const span mine = half(level[n], upper), theirs = half(level[n], !upper);
        const gn2_parcel p =
            parcel(engine, mine, engine->share.grads + theirs.first, theirs);
        GN2_TRY(gn2_group_exchange(group, me ^ d, &p, NULL));
    }
    return GN2_OK;
}

/* Any number of ranks: whole arenas go down the tree to rank 0. */
static gn2_status sum_down(R(gn2_engine) *engine)
{
    gn2_group *group = engine->share.group;
    const int32_t ranks = gn2_group_ranks(group), me = gn2_group_me(group);
    const span all = {0, engine->params->total}, none = {0, 0};
    const gn2_parcel send = parcel(engine, all, NULL, none);
    const gn2_parcel receive = parcel(engine, none, engine->share.incoming, all);
    for (int32_t d = 1; d < ranks; d *= 2) {
        if (me % (2 * d) == d) return exchange_sum(engine, me - d, &send, none);
        if (me + d < ranks) GN2_TRY(exchange_sum(engine, me + d, &receive, all));
    }
    return GN2_OK;
}

gn2_status R(gn2_ranks_losses)(R(gn2_engine) *engine)
{
    const R(gn2_share) *s = &engine->share;
    const int32_t shards = engine->options.shards;
    if (gn2_group_ranks(s->group) == 1) return GN2_OK;
    for (int32_t i = s->first; i < s->first + s->count; i++)
        s->losses[i] = engine->shard[i].losses;
    GN2_TRY(
        gn2_group_gather(s->group, s->losses, (size_t)s->count * sizeof *s->losses));
    for (int32_t i = 0; i < shards; i++) engine->shard[i].losses = s->losses[i];
    return GN2_OK;
}

/* Jets of the batch in front of a shard's. */
static int64_t jets_before(const R(gn2_engine) *engine, int32_t shard)
{
    const gn2_shard *last = &engine->shard[engine->options.shards - 1];
    const int64_t chunks = shard < engine->options.shards ? engine->shard[shard].first
                                                          : last->first + last->count;
    if (chunks == 0) return 0;
    const gn2_chunk *before = &engine->chunk[chunks - 1];
    return before->first + before->jets;
}

gn2_status R(gn2_ranks_rows)(const R(gn2_engine) *engine, void *rows, size_t row)
{
    const R(gn2_share) *s = &engine->share;
    const int32_t ranks = gn2_group_ranks(s->group);
    size_t at[GN2_MAX_RANKS + 1];
    for (int32_t r = 0; r <= ranks; r++)
        at[r] = (size_t)jets_before(engine, r * s->count) * row;
    return gn2_group_gather_parts(s->group, rows, at);
}

gn2_status R(gn2_ranks_sum)(R(gn2_engine) *engine)
{
    gn2_group *group = engine->share.group;
    const int32_t ranks = gn2_group_ranks(group);
    GN2_TRY(R(gn2_ranks_losses)(engine));
    if ((ranks & (ranks - 1)) == 0) return sum_by_halves(engine);
    GN2_TRY(sum_down(engine));
    return gn2_group_spread(group, engine->share.grads,
                            (size_t)engine->params->total * sizeof(real), 0);
}
