/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Working space of one lane: planned once for a capacity, carved from one block.
 * A net that keeps (as all that train) has every activation; inference lets the
 * layers share one set.
 */
#include "net/head.h"
#include "net/tasks.h"

#include <string.h>

#include "util/alloc.h"
#include "util/error.h"

/* Pair rows worked on at a time: 512 rows of 128 floats fill a quarter of a
 * typical 1 MB second-level cache. */
#define PAIR_TILE 512

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t *integers(gn2_carver *c, int64_t count)
{
    return gn2_arena_take(&c->arena, (size_t)count, sizeof(int64_t));
}

static void carve_inputs(gn2_carver *c, const R(gn2_net) *net, R(gn2_space) *s)
{
    s->token_offset = integers(c, c->jets + 1);
    s->pair_offset = integers(c, c->jets + 1);
    s->label =
        gn2_arena_take(&c->arena, (size_t)max64(c->tokens, c->jets), sizeof(int32_t));
    for (int k = 0; k < net->h->sequence_count; k++) {
        s->row_offset[k] = integers(c, c->jets + 1);
        s->row_token[k] = integers(c, c->tokens);
        s->x_in[k] = R(gn2_carve)(c, c->tokens, net->h->init[k].size[0]);
        R(gn2_mlp_carve)(c, &net->init[k], &s->init[k], c->tokens);
    }
}

/* Inference works in place, layer after layer. */
static void carve_blocks(gn2_carver *c, const R(gn2_net) *net, R(gn2_space) *s)
{
    const int64_t w = net->h->embed_dim, layers = net->h->num_layers;
    for (int64_t i = 0; i < layers; i++) {
        R(gn2_block_space) *l = &s->layer[i];
        if (!c->keep && i > 0) {
            *l = s->layer[0];
            continue;
        }
        R(gn2_block_carve)(c, &net->h->block, l);
        l->x = R(gn2_carve)(c, c->tokens, w);
        l->x_mid = c->keep ? R(gn2_carve)(c, c->tokens, w) : l->x;
    }
    const int own_end = c->keep || layers == 0;
    s->layer[layers].x = own_end ? R(gn2_carve)(c, c->tokens, w) : s->layer[0].x;
}

static void carve_gradients(gn2_carver *c, const R(gn2_net) *net, R(gn2_space) *s)
{
    const int64_t o = net->h->out_dim;
    R(gn2_block_carve_grads)(c, &net->h->block, &s->grads);
    s->d_z = R(gn2_carve)(c, c->tokens, o);
    s->d_rows = R(gn2_carve)(c, c->tokens, o);
    s->d_pooled = R(gn2_carve)(c, c->jets, o);
    s->d_head_pooled = R(gn2_carve)(c, c->jets, o);
}

static void carve_heads(gn2_carver *c, const R(gn2_net) *net, R(gn2_space) *s)
{
    for (int k = 0; k < net->h->task_count; k++) {
        const R(gn2_task_kind) *kind = R(gn2_task_kind_of)(&net->h->task[k]);
        R(gn2_head_carve)(c, net, k, s);
        if (kind->carve) kind->carve(c, net, k, s);
    }
}

static size_t carve(R(gn2_space) *s, const R(gn2_net) *net)
{
    gn2_carver c = {
        .arena = {.base = s->block},
        .training = net->training,
        .keep = net->keep,
        .jets = s->capacity.jets,
        .tokens = s->capacity.tokens,
        .longest = s->capacity.longest,
    };
    s->tile = max64(PAIR_TILE, c.longest);
    carve_inputs(&c, net, s);
    carve_blocks(&c, net, s);
    R(gn2_readout_carve)(&c, &net->readout.shape, &s->readout);
    R(gn2_pool_carve)(&c, &net->pool, &s->pool);
    carve_heads(&c, net, s);
    if (net->training) carve_gradients(&c, net, s);
    return c.arena.used;
}

static R(gn2_space) *new_space(const R(gn2_net) *net, const gn2_capacity *capacity)
{
    const size_t layers = (size_t)net->h->num_layers + 1;
    R(gn2_space) *s = gn2_alloc(1, sizeof *s + layers * sizeof *s->layer);
    if (s) s->capacity = *capacity;
    return s;
}

size_t R(gn2_space_plan)(const R(gn2_net) *net, const gn2_capacity *capacity)
{
    R(gn2_space) *s = new_space(net, capacity);
    if (!s) return SIZE_MAX;
    const size_t bytes = carve(s, net);
    R(gn2_space_free)(s);
    return bytes;
}

gn2_status R(gn2_space_create)(const R(gn2_net) *net, const gn2_capacity *capacity,
                               R(gn2_space) **out_space)
{
    gn2_status status = GN2_OK;
    R(gn2_space) *s = new_space(net, capacity);
    if (!s) return gn2_fail_memory();
    s->bytes = carve(s, net);
    s->block = gn2_alloc_untouched(s->bytes, 1);
    s->fresh = 1;
    if (!s->block) {
        status = gn2_fail_memory();
        goto fail;
    }
    carve(s, net);
    GN2_TRY_GOTO(R(gn2_lane_create)(net->products, net->product_count, &s->lane));
    *out_space = s;
    return GN2_OK;
fail:
    R(gn2_space_free)(s);
    return status;
}

void R(gn2_space_use)(R(gn2_space) *space)
{
    if (space->fresh) memset(space->block, 0, space->bytes);
    space->fresh = 0;
}

void R(gn2_space_free)(R(gn2_space) *space)
{
    if (!space) return;
    R(gn2_lane_free)(space->lane);
    gn2_free(space->block);
    gn2_free(space);
}
