/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dD/dx of discriminants D by every input x of their jet.
 *   forward once; for each D back from dD/dlogits (gn2_discriminant_gradient) to the
 *   first layer of the init nets, then d_x = d_pre W / σ, as x̂ = (x − μ) / σ
 * An input of the jet enters with every constituent: its gradient is their sum. One
 * that was replaced because it is not finite does not matter: 0. Always in float32.
 */
#include "tag/gradient.h"

#include <math.h>
#include <string.h>

#include "net/backend.h"
#include "net/head.h"
#include "util/alloc.h"
#include "util/error.h"

/* ---- memory ---- */

void gn2_tag_gradients_clear(gn2_tag_gradients *g)
{
    for (int32_t i = 0; i < g->workers; i++) {
        gn2_space_free_f32(g->room[i].space);
        gn2_free(g->room[i].block);
    }
    gn2_free(g->room);
    gn2_net_free_f32(g->net);
    *g = (gn2_tag_gradients){0};
}

size_t gn2_tag_gradients_memory(const gn2_tag_gradients *g)
{
    size_t bytes = 0;
    for (int32_t i = 0; i < g->workers; i++) {
        const gn2_space_f32 *space = g->room[i].space;
        bytes += g->room[i].bytes + space->bytes + gn2_lane_bytes_f32(space->lane);
    }
    return bytes;
}

static gn2_status make_net(gn2_tag_gradients *g, const gn2_model *model,
                           const gn2_product_options *product, int64_t rows)
{
    gn2_net_options options = {.product = *product, .training = 1};
    options.product.storage = GN2_STORAGE_F32;
    options.product.arithmetic = GN2_ARITHMETIC_F32;
    options.product.max_rows = rows;
    GN2_TRY(gn2_net_create_f32(&model->h, &options, &g->net));
    gn2_net_configure_f32(g->net, model->config);
    gn2_net_pack_f32(g->net, model->weights);
    return GN2_OK;
}

/* Lays the room's arrays out in its block; NULL: only counts. */
static size_t carve(gn2_gradient_room *room, const gn2_model *model,
                    const gn2_capacity *capacity)
{
    const gn2_hparams *h = &model->h;
    gn2_arena arena = {.base = room->block};
    room->weights = gn2_arena_take(&arena, (size_t)model->params->total, sizeof(float));
    for (int k = 0; k < h->sequence_count; k++)
        room->d_x[k] = gn2_arena_take(&arena, (size_t)capacity->tokens,
                                      (size_t)h->init[k].size[0] * sizeof(float));
    return arena.used;
}

static gn2_status make_room(const gn2_tag_gradients *g, const gn2_model *model,
                            const gn2_capacity *capacity, gn2_gradient_room *room)
{
    GN2_TRY(gn2_space_create_f32(g->net, capacity, &room->space));
    room->bytes = carve(room, model, capacity);
    room->block = gn2_alloc(room->bytes, 1);
    if (!room->block) return gn2_fail_memory();
    carve(room, model, capacity);
    return GN2_OK;
}

static gn2_status make_rooms(gn2_tag_gradients *g, const gn2_model *model,
                             const gn2_capacity *capacity, int32_t workers)
{
    g->room = gn2_alloc((size_t)workers, sizeof *g->room);
    if (!g->room) return gn2_fail_memory();
    g->workers = workers;
    for (int32_t i = 0; i < workers; i++)
        GN2_TRY(make_room(g, model, capacity, &g->room[i]));
    return GN2_OK;
}

gn2_status gn2_tag_gradients_prepare(gn2_tag_gradients *g, const gn2_model *model,
                                     const gn2_product_options *product,
                                     const gn2_capacity *capacity, int32_t workers)
{
    if (g->workers == workers &&
        !memcmp(&g->room[0].space->capacity, capacity, sizeof *capacity))
        return GN2_OK;
    gn2_tag_gradients_clear(g);
    gn2_status status = make_net(g, model, product, capacity->tokens);
    if (status == GN2_OK) status = make_rooms(g, model, capacity, workers);
    if (status != GN2_OK) gn2_tag_gradients_clear(g);
    return status;
}

/* ---- the pass ---- */

static void logits_bwd(gn2_pass_f32 *pass, const gn2_discriminant_rule *rule)
{
    const gn2_hparams *h = pass->net->h;
    const float *logits = pass->space->head[h->flavour].logits;
    float *d = gn2_head_d_logits_f32(pass, h->flavour);
    for (int64_t b = 0; b < pass->chunk.jets; b++) {
        float p[GN2_MAX_CLASSES];
        pass->ctx.kernels->softmax(p, logits + b * h->classes, 1, h->classes);
        gn2_discriminant_gradient(p, h->classes, rule, d + b * h->classes);
    }
}

/* d_x̂ of every sequence. */
static void inputs_bwd(const gn2_pass_f32 *pass, float *const *d_x)
{
    for (int k = 0; k < pass->net->h->sequence_count; k++)
        gn2_linear_bwd_input_f32(&pass->ctx, &pass->net->init[k].layer[0], d_x[k],
                                 pass->space->init[k].d_act[0], NULL,
                                 gn2_pass_rows_f32(pass, k));
}

/* From the activations of the pass forward, which stay. */
static void go_back(gn2_pass_f32 *pass, const gn2_discriminant_rule *rule,
                    float *const *d_x)
{
    gn2_pass_clear_gradients_f32(pass);
    logits_bwd(pass, rule);
    gn2_head_bwd_f32(pass, pass->net->h->flavour);
    gn2_pass_trunk_backward_f32(pass);
    inputs_bwd(pass, d_x);
}

void gn2_tag_run_gradients(const gn2_tag_gradients *g, const gn2_tag_call *call,
                           const gn2_pass_f32 *pass, int32_t worker)
{
    const gn2_gradient_room *room = &g->room[worker];
    gn2_pass_f32 mine = *pass;
    mine.net = g->net;
    mine.space = room->space;
    mine.ctx.lane = mine.space->lane;
    mine.ctx.grads = room->weights;
    gn2_pass_trunk_f32(&mine);
    gn2_pass_heads_f32(&mine, 1u << g->net->h->flavour);
    for (int rule = 0; rule < (int)call->all->rules->count; rule++) {
        if (!(call->gradients >> rule & 1)) continue;
        go_back(&mine, &call->all->rules->rule[rule], room->d_x);
        gn2_tag_write_outputs(call, &mine, room->d_x, rule);
    }
}
