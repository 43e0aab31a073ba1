/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cutting a batch: shards of about equal cost, chunks of a shard; and the room they
 * need. Sizes only grow, so memory is flat once the largest batch has been seen.
 */
#include "train/core.h"
#include "util/alloc.h"

/* Tokens of a jet there is room for at first: ATLAS keeps 40 tracks. */
#define LONGEST_AT_FIRST 48

static int64_t products_of(const gn2_dense *dense, int from)
{
    int64_t sum = 0;
    for (int k = from; k < dense->depth; k++)
        sum += dense->size[k] * dense->size[k + 1];
    return sum;
}

/* Multiply-adds a token and an ordered pair cost, up to a common factor. */
typedef struct price {
    int64_t token, pair;
} price;

static price price_of(const gn2_hparams *h)
{
    const int64_t w = h->embed_dim;
    price p = {.token = h->num_layers * (4 * w * w + 2 * w * h->ffn_hidden) +
                        w * h->out_dim + products_of(&h->init[0], 0)};
    const gn2_task *vertex = &h->task[GN2_TASK_VERTEX];
    if (vertex->on) {
        p.pair = products_of(&vertex->net, 1);
        p.token += 2 * h->out_dim * vertex->net.size[1];
    }
    if (h->task[GN2_TASK_ORIGIN].on)
        p.token += products_of(&h->task[GN2_TASK_ORIGIN].net, 0);
    return p;
}

static int64_t jet_cost(const gn2_hparams *h, const R(gn2_batch) *batch, const price *p,
                        int64_t b)
{
    const int64_t *offset =
        batch->sequence[h->task[GN2_TASK_VERTEX].sequence].offset + b;
    const int64_t n = offset[1] - offset[0];
    return p->token * (1 + R(gn2_batch_tokens)(h, batch, b)) + p->pair * n * (n - 1);
}

/* Jets from `first` on that bring the cost so far to `goal`; *cost goes along. */
static int64_t shard_end(const R(gn2_core) *core, const R(gn2_batch) *batch,
                         const price *p, int64_t first, double goal, double *cost)
{
    int64_t b = first;
    for (; b < batch->jets && *cost < goal; b++)
        *cost += (double)jet_cost(core->h, batch, p, b);
    return b;
}

/* Cuts into chunks; returns how many there are, more than fit being counted only. */
static int64_t cut(R(gn2_core) *core, const R(gn2_batch) *batch)
{
    const price p = price_of(core->h);
    const int32_t shards = core->options.shards;
    double all = 0, cost = 0;
    for (int64_t b = 0; b < batch->jets; b++)
        all += (double)jet_cost(core->h, batch, &p, b);
    gn2_chunk start = {0};
    int64_t used = 0;
    for (int32_t s = 0; s < shards; s++) {
        const double goal = all * (s + 1) / shards;
        const int64_t end = s + 1 == shards
                                ? batch->jets
                                : shard_end(core, batch, &p, start.first, goal, &cost);
        const int64_t room = core->chunk_capacity - used;
        gn2_chunk *to = core->chunk + (room > 0 ? used : 0);
        const int64_t count =
            R(gn2_batch_cut)(core->h, batch, &start, end, core->options.chunk_tokens,
                             to, room > 0 ? room : 0);
        core->shard[s] = (gn2_shard){.first = used, .count = count};
        used += count;
        if (count && used <= core->chunk_capacity) {
            const gn2_chunk *last = &core->chunk[used - 1];
            start.first_token = last->first_token + last->tokens;
            start.first_pair = last->first_pair + last->pairs;
        }
        start.first = end;
    }
    return used;
}

static gn2_status make_chunks(R(gn2_core) *core, const R(gn2_batch) *batch)
{
    const int64_t needed = cut(core, batch);
    if (needed <= core->chunk_capacity) return GN2_OK;
    gn2_chunk *more = gn2_alloc((size_t)(2 * needed), sizeof *more);
    if (!more) return gn2_fail_memory();
    gn2_free(core->chunk);
    core->chunk = more;
    core->chunk_capacity = 2 * needed;
    cut(core, batch);
    return GN2_OK;
}

static gn2_status make_spaces(R(gn2_core) *core, const gn2_capacity *capacity)
{
    for (int32_t i = 0; i < core->workers; i++) {
        R(gn2_space) *space = NULL;
        GN2_TRY(R(gn2_space_create)(core->net, capacity, &space));
        R(gn2_space_free)(core->space[i]);
        core->space[i] = space;
    }
    core->capacity = *capacity;
    return GN2_OK;
}

gn2_status R(gn2_core_reserve)(R(gn2_core) *core, int64_t longest)
{
    if (core->capacity.jets && longest <= core->capacity.longest) return GN2_OK;
    const int64_t tokens = core->options.chunk_tokens;
    gn2_capacity c = {.jets = tokens, .tokens = tokens, .longest = LONGEST_AT_FIRST};
    while (c.longest < longest) c.longest *= 2;
    if (c.tokens < c.longest) c.tokens = c.longest;
    return make_spaces(core, &c);
}

gn2_status R(gn2_core_plan)(R(gn2_core) *core, const R(gn2_batch) *batch)
{
    int64_t longest;
    R(gn2_batch_measure)(core->h, batch, &longest, &core->tokens);
    GN2_TRY(R(gn2_core_reserve)(core, longest));
    return make_chunks(core, batch);
}
