/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GN2: a chunk through the network and back.
 *   tokens = init nets of every constituent type, registers
 *   tokens = blocks of attention and feed-forward
 *   z = read-out(tokens);  G = pooling(z) a jet
 *   heads of the tasks on G, [G, z_i] or [G, z_i, z_j]
 */
#include <stdio.h>
#include <string.h>

#include "net/head.h"
#include "net/tasks.h"

static gn2_tokens tokens_of(const R(gn2_pass) *pass)
{
    return (gn2_tokens){
        .offset = pass->space->token_offset,
        .jets = pass->chunk.jets,
        .rows = pass->chunk.tokens,
        .first = pass->chunk.first_token,
        .step_key = pass->step_key,
        .dropping = pass->dropping,
    };
}

void R(gn2_pass_clear_gradients)(const R(gn2_pass) *pass)
{
    const size_t row = (size_t)pass->net->h->out_dim * sizeof(real);
    memset(pass->space->d_z, 0, (size_t)pass->chunk.tokens * row);
    memset(pass->space->d_pooled, 0, (size_t)pass->chunk.jets * row);
}

void R(gn2_pass_trunk)(R(gn2_pass) *pass)
{
    const R(gn2_net) *net = pass->net;
    const gn2_hparams *h = net->h;
    const R(gn2_context) *ctx = &pass->ctx;
    R(gn2_space) *s = pass->space;
    R(gn2_space_use)(s);
    R(gn2_inputs_fwd)(pass);
    const gn2_tokens t = tokens_of(pass);
    for (int64_t i = 0; i < h->num_layers; i++)
        R(gn2_block_fwd)(ctx, &net->block[i], &s->layer[i], s->layer[i + 1].x, &t);
    R(gn2_readout_fwd)
    (ctx, &net->readout, &s->readout, s->layer[h->num_layers].x, t.rows);
    R(gn2_pool_fwd)(ctx, &net->pool, &s->pool, s->readout.z, &t);
    if (ctx->grads) R(gn2_pass_clear_gradients)(pass);
}

void R(gn2_pass_heads)(R(gn2_pass) *pass, unsigned tasks)
{
    const gn2_hparams *h = pass->net->h;
    for (int k = 0; k < h->task_count; k++)
        if (tasks >> k & 1) R(gn2_task_kind_of)(&h->task[k])->run(pass, k);
}

void R(gn2_pass_trunk_backward)(R(gn2_pass) *pass)
{
    const R(gn2_net) *net = pass->net;
    const gn2_hparams *h = net->h;
    const R(gn2_context) *ctx = &pass->ctx;
    const gn2_tokens t = tokens_of(pass);
    const R(gn2_space) *s = pass->space;
    const R(gn2_block_grads) *g = &s->grads;
    R(gn2_pool_bwd)
    (ctx, &net->pool, &s->pool, s->d_z, g->scratch, s->d_pooled, s->readout.z, &t);
    R(gn2_readout_bwd)
    (ctx, &net->readout, &s->readout, g->d_x, g->d_y, s->d_z, s->layer[h->num_layers].x,
     t.rows);
    for (int64_t i = h->num_layers - 1; i >= 0; i--)
        R(gn2_block_bwd)(ctx, &net->block[i], &s->layer[i], g, &t);
    R(gn2_inputs_bwd)(pass);
}

/* ---- what a pass made ---- */

void R(gn2_pass_show)(const R(gn2_pass) *pass, R(gn2_show) *show)
{
    const R(gn2_net) *net = pass->net;
    const R(gn2_space) *s = pass->space;
    const gn2_tokens t = tokens_of(pass);
    R(gn2_inputs_show)(pass, show);
    for (int64_t i = 0; i < net->h->num_layers; i++) R(gn2_block_show)
    (show, &pass->ctx, &net->block[i], &s->layer[i], s->layer[i + 1].x, &t);
    R(gn2_readout_show)(show, &net->readout, &s->readout, t.rows);
    R(gn2_pool_show)(show, &net->pool, &s->pool, &t);
    for (int k = 0; k < net->h->task_count; k++) R(gn2_head_show)(pass, k, show);
}

static int bad(const R(gn2_pass) *pass, const real *x, int64_t count)
{
    return !pass->ctx.kernels->all_finite(x, count);
}

static const char *bad_head(const R(gn2_pass) *pass, char text[96])
{
    const gn2_hparams *h = pass->net->h;
    for (int k = 0; k < h->task_count; k++) {
        const int64_t rows = R(gn2_head_rows)(pass, k);
        const int64_t count = rows * gn2_task_columns(&h->task[k]);
        if (!bad(pass, pass->space->head[k].logits, count)) continue;
        snprintf(text, 96, "%s head", h->task[k].name);
        return text;
    }
    return NULL;
}

const char *R(gn2_pass_first_non_finite)(const R(gn2_pass) *pass, char text[96])
{
    const gn2_hparams *h = pass->net->h;
    const R(gn2_space) *s = pass->space;
    const int64_t tokens = pass->chunk.tokens;
    if (bad(pass, s->layer[0].x, tokens * h->embed_dim)) return "init net";
    for (int64_t i = 0; i < h->num_layers; i++) {
        snprintf(text, 96, "attention of encoder layer %lld", (long long)i);
        if (bad(pass, s->layer[i].x_mid, tokens * h->embed_dim)) return text;
        snprintf(text, 96, "feed-forward of encoder layer %lld", (long long)i);
        if (bad(pass, s->layer[i + 1].x, tokens * h->embed_dim)) return text;
    }
    if (bad(pass, s->readout.z, tokens * h->out_dim)) return "encoder out projection";
    if (bad(pass, s->pool.pooled, pass->chunk.jets * h->out_dim)) return "pooling";
    return bad_head(pass, text);
}

#ifndef GN2_REAL_DOUBLE
gn2_price gn2_net_price(const gn2_hparams *h)
{
    gn2_price p = {.token = h->num_layers * gn2_block_cost(&h->block) +
                            gn2_readout_cost(&h->readout) +
                            gn2_dense_cost(&h->init[0], 0)};
    for (int k = 0; k < h->task_count; k++) {
        const gn2_task *task = &h->task[k];
        if (task->rows == GN2_OVER_CONSTITUENTS)
            p.token += gn2_dense_cost(&task->net, 0);
        if (task->rows != GN2_OVER_PAIRS) continue;
        p.token += 2 * h->out_dim * task->net.size[1];
        p.pair += gn2_dense_cost(&task->net, 1);
    }
    return p;
}
#endif
