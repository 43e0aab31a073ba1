/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dD/dx of a discriminant D by every input x of its jet.
 *   back from dD/dlogits (gn2_discriminant_gradient) to the first layer of the init
 *   nets, then d_x = d_pre W / σ, as x̂ = (x − μ) / σ
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
        if (g->space) gn2_space_free_f32(g->space[i]);
        if (g->weights) gn2_free(g->weights[i]);
    }
    gn2_free(g->space);
    gn2_free(g->weights);
    gn2_net_free_f32(g->net);
    *g = (gn2_tag_gradients){0};
}

size_t gn2_tag_gradients_memory(const gn2_tag_gradients *g)
{
    size_t bytes = 0;
    for (int32_t i = 0; i < g->workers; i++) bytes += g->space[i]->bytes;
    return bytes;
}

static gn2_status make_net(gn2_tag_gradients *g, const gn2_model *model,
                           const gn2_product_options *product, int64_t rows)
{
    gn2_net_options options = {.product = *product,
                               .training = 1,
                               .replace_non_finite = model->h.replace_non_finite};
    options.product.storage = GN2_STORAGE_F32;
    options.product.arithmetic = GN2_ARITHMETIC_F32;
    options.product.max_rows = rows;
    GN2_TRY(gn2_net_create_f32(&model->h, &options, &g->net));
    GN2_TRY(gn2_model_fill_net(model, g->net));
    gn2_net_pack_f32(g->net, model->weights);
    return GN2_OK;
}

static gn2_status make_spaces(gn2_tag_gradients *g, const gn2_model *model,
                              const gn2_capacity *capacity, int32_t workers)
{
    g->space = gn2_alloc((size_t)workers, sizeof(gn2_space_f32 *));
    g->weights = gn2_alloc((size_t)workers, sizeof(float *));
    if (!g->space || !g->weights) return gn2_fail_memory();
    g->workers = workers;
    for (int32_t i = 0; i < workers; i++) {
        GN2_TRY(gn2_space_create_f32(g->net, capacity, &g->space[i]));
        g->weights[i] = gn2_alloc((size_t)model->params->total, sizeof(float));
        if (!g->weights[i]) return gn2_fail_memory();
    }
    g->capacity = *capacity;
    return GN2_OK;
}

gn2_status gn2_tag_gradients_prepare(gn2_tag_gradients *g, const gn2_model *model,
                                     const gn2_product_options *product,
                                     const gn2_capacity *capacity, int32_t workers)
{
    if (g->workers == workers && g->capacity.jets == capacity->jets &&
        g->capacity.tokens == capacity->tokens &&
        g->capacity.longest == capacity->longest)
        return GN2_OK;
    gn2_status status = GN2_OK;
    gn2_tag_gradients_clear(g);
    GN2_TRY_GOTO(make_net(g, model, product, capacity->tokens));
    GN2_TRY_GOTO(make_spaces(g, model, capacity, workers));
    return GN2_OK;
fail:
    gn2_tag_gradients_clear(g);
    return status;
}

/* ---- the pass ---- */

static int asks_for(const gn2_tag_call *call, int rule)
{
    for (size_t i = 0; i < call->count; i++) {
        const gn2_tag_output *o = &call->all->item[call->outputs[i].id];
        if (o->write == gn2_write_gradient && (rule < 0 || o->item == rule)) return 1;
    }
    return 0;
}

int gn2_tag_wants_gradients(const gn2_tag_call *call)
{
    return asks_for(call, -1);
}

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

/* d_x̂ of sequence k, in place of its inputs, which are not needed any more. */
static void inputs_bwd(gn2_pass_f32 *pass, int k)
{
    const gn2_linear_f32 *first = &pass->net->init[k].layer[0];
    gn2_space_f32 *s = pass->space;
    gn2_linear_bwd_input_f32(&pass->ctx, first, s->x_in[k], s->init[k].d_act[0], NULL,
                             gn2_pass_rows_f32(pass, k));
}

void gn2_tag_run_gradients(const gn2_tag_gradients *g, const gn2_tag_call *call,
                           const gn2_pass_f32 *pass, int32_t worker)
{
    const int task = g->net->h->flavour;
    gn2_pass_f32 mine = *pass;
    mine.net = g->net;
    mine.space = g->space[worker];
    mine.ctx.lane = mine.space->lane;
    mine.ctx.grads = g->weights[worker];
    for (int rule = 0; rule < (int)call->all->rules->count; rule++) {
        if (!asks_for(call, rule)) continue;
        gn2_pass_trunk_f32(&mine);
        gn2_pass_heads_f32(&mine, 1u << task);
        logits_bwd(&mine, &call->all->rules->rule[rule]);
        gn2_head_bwd_f32(&mine, task);
        gn2_pass_trunk_backward_f32(&mine);
        for (int k = 0; k < g->net->h->sequence_count; k++) inputs_bwd(&mine, k);
        gn2_tag_write_gradients(call, &mine, rule);
    }
}
