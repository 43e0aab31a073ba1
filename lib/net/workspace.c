/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Working space of one lane: planned once for a capacity, carved from one block.
 * A net that keeps (as all that train) has every activation; inference lets the
 * layers share one set.
 */
#include "net/net.h"

#include <string.h>

#include "util/alloc.h"
#include "util/error.h"

/* Pair rows worked on at a time: 512 rows of 128 floats fill a quarter of a
 * typical 1 MB second-level cache. */
#define PAIR_TILE 512

typedef struct carver {
    gn2_arena arena;
    const R(gn2_net) *net;
    R(gn2_space) *s;
} carver;

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static real *reals(carver *c, int64_t rows, int64_t cols)
{
    size_t count;
    if (!gn2_mul_size((size_t)rows, (size_t)cols, &count)) count = SIZE_MAX;
    return gn2_arena_take(&c->arena, count, sizeof(real));
}

static int64_t *integers(carver *c, int64_t count)
{
    return gn2_arena_take(&c->arena, (size_t)count, sizeof(int64_t));
}

static void carve_indices(carver *c)
{
    R(gn2_space) *s = c->s;
    s->token_offset = integers(c, s->capacity.jets + 1);
    s->pair_offset = integers(c, s->capacity.jets + 1);
    for (int k = 0; k < c->net->h->sequence_count; k++) {
        s->row_offset[k] = integers(c, s->capacity.jets + 1);
        s->row_token[k] = integers(c, s->capacity.tokens);
    }
    s->label =
        gn2_arena_take(&c->arena, (size_t)max64(s->capacity.tokens, s->capacity.jets),
                       sizeof(int32_t));
}

static void carve_mlp(carver *c, const gn2_dense *dense, R(gn2_mlp_space) *mlp,
                      int64_t rows)
{
    for (int k = 0; k < dense->depth; k++) {
        mlp->act[k] = reals(c, rows, dense->size[k + 1]);
        if (c->net->training) mlp->d_act[k] = reals(c, rows, dense->size[k + 1]);
    }
}

static void carve_layer(carver *c, R(gn2_layer_space) *l)
{
    const gn2_hparams *h = c->net->h;
    const int64_t tokens = c->s->capacity.tokens, w = h->embed_dim;
    l->mean1 = reals(c, tokens, 1);
    l->rstd1 = reals(c, tokens, 1);
    l->y1 = reals(c, tokens, w);
    l->qkv = reals(c, tokens, 3 * w);
    l->p = reals(c, h->num_heads * tokens, c->s->capacity.longest);
    l->o = reals(c, tokens, w);
    l->mean2 = reals(c, tokens, 1);
    l->rstd2 = reals(c, tokens, 1);
    l->y2 = reals(c, tokens, w);
    l->f = reals(c, tokens, h->ffn_hidden);
}

static void carve_encoder(carver *c)
{
    const gn2_hparams *h = c->net->h;
    R(gn2_space) *s = c->s;
    const int64_t tokens = s->capacity.tokens, w = h->embed_dim, layers = h->num_layers;
    R(gn2_layer_space) *first = s->layer;
    for (int64_t i = 0; i < layers; i++) {
        R(gn2_layer_space) *l = &s->layer[i];
        if (!c->net->keep && i > 0) {
            *l = *first; /* inference: in place, layer after layer */
            continue;
        }
        carve_layer(c, l);
        l->x = reals(c, tokens, w);
        l->x_mid = c->net->keep ? reals(c, tokens, w) : l->x;
    }
    const int own_end = c->net->keep || layers == 0;
    s->layer[layers].x = own_end ? reals(c, tokens, w) : first->x;
    s->final_mean = reals(c, tokens, 1);
    s->final_rstd = reals(c, tokens, 1);
    s->final_y = reals(c, tokens, w);
    s->z0 = reals(c, tokens, h->out_dim);
    s->z = h->final_norm == GN2_FINAL_POST && c->net->keep
               ? reals(c, tokens, h->out_dim)
               : s->z0;
}

static void carve_heads(carver *c)
{
    const gn2_hparams *h = c->net->h;
    R(gn2_space) *s = c->s;
    const int64_t jets = s->capacity.jets, tokens = s->capacity.tokens, o = h->out_dim;
    const int64_t rows[GN2_TASK_COUNT] = {jets, tokens, s->tile};
    const int own = c->net->training && h->dropout_heads > 0;
    s->pool.logit = reals(c, tokens, 1);
    s->pool.alpha = reals(c, tokens, 1);
    s->pooled = s->pool.pooled = reals(c, jets, o);
    s->pool.z = s->z;
    int64_t hidden = 1;
    for (int id = 0; id < GN2_TASK_COUNT; id++) {
        if (!h->task[id].on) continue;
        carve_mlp(c, &h->task[id].net, &s->head[id], rows[id]);
        s->head_pooled[id] = own ? reals(c, jets, o) : s->pooled;
        if (id != GN2_TASK_JETS) s->head_z[id] = reals(c, tokens, o);
        hidden = max64(hidden, h->task[id].net.size[1]);
    }
    s->context = reals(c, jets, hidden);
    if (c->net->training) s->d_context = reals(c, jets, hidden);
    if (!h->task[GN2_TASK_VERTEX].on) return;
    const int64_t pair_hidden = h->task[GN2_TASK_VERTEX].net.size[1];
    s->pair_a = reals(c, tokens, pair_hidden);
    s->pair_b = reals(c, tokens, pair_hidden);
    s->pair_logits = reals(c, tokens, s->capacity.longest);
    s->pair_target = reals(c, s->tile, 1);
    s->pair_weight = reals(c, s->tile, 1);
    if (!c->net->training) return;
    s->d_pair_a = reals(c, tokens, pair_hidden);
    s->d_pair_b = reals(c, tokens, pair_hidden);
}

static void carve_gradients(carver *c)
{
    const gn2_hparams *h = c->net->h;
    R(gn2_space) *s = c->s;
    const int64_t tokens = s->capacity.tokens, w = h->embed_dim, o = h->out_dim;
    s->d_x = reals(c, tokens, w);
    s->d_y = reals(c, tokens, w);
    s->d_wide = reals(c, tokens, max64(3 * w, h->ffn_hidden));
    s->d_z = reals(c, tokens, o);
    s->d_z0 = reals(c, tokens, o);
    s->d_rows = reals(c, tokens, o);
    s->d_pooled = reals(c, s->capacity.jets, o);
    s->d_head_pooled = reals(c, s->capacity.jets, o);
    s->scratch = reals(c, 1,
                       s->capacity.longest +
                           gn2_attention_scratch(s->capacity.longest, h->head_dim));
}

static size_t carve(R(gn2_space) *s, const R(gn2_net) *net)
{
    carver c = {.arena = {.base = s->block}, .net = net, .s = s};
    s->tile = max64(PAIR_TILE, s->capacity.longest);
    carve_indices(&c);
    for (int k = 0; k < net->h->sequence_count; k++) {
        s->x_in[k] = reals(&c, s->capacity.tokens, net->h->init[k].size[0]);
        carve_mlp(&c, &net->h->init[k], &s->init[k], s->capacity.tokens);
    }
    carve_encoder(&c);
    carve_heads(&c);
    if (net->training) carve_gradients(&c);
    return c.arena.used;
}

static R(gn2_space) *new_space(const R(gn2_net) *net, const gn2_capacity *capacity)
{
    R(gn2_space) *s = gn2_alloc(1, sizeof *s);
    if (!s) return NULL;
    s->capacity = *capacity;
    s->layer = gn2_alloc((size_t)net->h->num_layers + 1, sizeof *s->layer);
    if (s->layer) return s;
    gn2_free(s);
    return NULL;
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
    s->block = gn2_alloc(s->bytes, 1);
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

void R(gn2_space_free)(R(gn2_space) *space)
{
    if (!space) return;
    R(gn2_lane_free)(space->lane);
    gn2_free(space->block);
    gn2_free(space->layer);
    gn2_free(space);
}
