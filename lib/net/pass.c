/* SPDX-License-Identifier: Apache-2.0 */
/* A chunk through the network: trunk, heads, and back. */
#include <stdio.h>
#include <string.h>

#include "net/net.h"

void R(gn2_pass_trunk)(R(gn2_pass) *pass)
{
    const gn2_hparams *h = pass->net->h;
    R(gn2_space) *s = pass->space;
    R(gn2_inputs_fwd)(pass);
    R(gn2_encoder_fwd)(pass);
    R(gn2_pool_jets_fwd)
    (&pass->ctx, &pass->net->gate, &s->pool, s->token_offset, pass->chunk.jets);
    if (!pass->ctx.grads) return;
    memset(s->d_z, 0, (size_t)(pass->chunk.tokens * h->out_dim) * sizeof(real));
    memset(s->d_pooled, 0, (size_t)(pass->chunk.jets * h->out_dim) * sizeof(real));
}

void R(gn2_pass_heads)(R(gn2_pass) *pass, unsigned tasks)
{
    static void (*const heads[GN2_TASK_COUNT])(R(gn2_pass) *) = {
        R(gn2_head_jets), R(gn2_head_origin), R(gn2_head_vertex)};
    for (int id = 0; id < GN2_TASK_COUNT; id++)
        if (tasks >> id & 1 && pass->net->h->task[id].on) heads[id](pass);
}

void R(gn2_pass_trunk_backward)(R(gn2_pass) *pass)
{
    R(gn2_space) *s = pass->space;
    R(gn2_pool_jets_bwd)
    (&pass->ctx, &pass->net->gate, s->d_z, s->scratch, s->d_pooled, &s->pool,
     s->token_offset, pass->chunk.jets);
    R(gn2_encoder_bwd)(pass);
    R(gn2_inputs_bwd)(pass);
}

static int bad(const R(gn2_pass) *pass, const real *x, int64_t count)
{
    return !pass->ctx.kernels->all_finite(x, count);
}

const char *R(gn2_pass_first_non_finite)(const R(gn2_pass) *pass, char text[64])
{
    static const char *const heads[GN2_TASK_COUNT] = {
        "jets_classification head", "track_origin head", "track_vertexing head"};
    const gn2_hparams *h = pass->net->h;
    const R(gn2_space) *s = pass->space;
    const int64_t tokens = pass->chunk.tokens;
    const int64_t rows[GN2_TASK_COUNT] = {
        pass->chunk.jets, R(gn2_pass_rows)(pass, h->task[GN2_TASK_ORIGIN].sequence), 0};
    if (bad(pass, s->layer[0].x, tokens * h->embed_dim)) return "init net";
    for (int64_t i = 0; i < h->num_layers; i++) {
        snprintf(text, 64, "attention of encoder layer %lld", (long long)i);
        if (bad(pass, s->layer[i].x_mid, tokens * h->embed_dim)) return text;
        snprintf(text, 64, "feed-forward of encoder layer %lld", (long long)i);
        if (bad(pass, s->layer[i + 1].x, tokens * h->embed_dim)) return text;
    }
    if (bad(pass, s->z, tokens * h->out_dim)) return "encoder out projection";
    if (bad(pass, s->pooled, pass->chunk.jets * h->out_dim)) return "pooling";
    for (int id = 0; id < GN2_TASK_VERTEX; id++) {
        const int last = h->task[id].net.depth - 1;
        if (h->task[id].on &&
            bad(pass, s->head[id].act[last], rows[id] * h->task[id].net.size[last + 1]))
            return heads[id];
    }
    if (h->task[GN2_TASK_VERTEX].on && bad(pass, s->pair_logits, pass->chunk.pairs))
        return heads[GN2_TASK_VERTEX];
    return NULL;
}
