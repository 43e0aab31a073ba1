/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics of every module's output on a batch: the coordinate check of a
 * parametrisation looks at them over widths. Passes keep activations; what they fuse
 * away (values before ReLU, branches before the residual sum) is made again here.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "train/trainer.h"
#include "util/alloc.h"

typedef struct module {
    const char *name;
    int64_t layer, count;
    double sum_abs, sum_squares, max_abs;
} module;

typedef struct probe {
    module *module;
    size_t count;
    size_t next; /* of the chunk under way */
} probe;

/* Modules come in the same order in every chunk. layer −1: not of a layer. */
static module *next_module(probe *p, const char *name, int64_t layer)
{
    module *m = &p->module[p->next++];
    m->name = name;
    m->layer = layer;
    if (p->next > p->count) p->count = p->next;
    return m;
}

static void add_value(module *m, double x)
{
    const double size = fabs(x);
    m->count++;
    m->sum_abs += size;
    m->sum_squares += x * x;
    if (size > m->max_abs || isnan(size)) m->max_abs = size;
}

static void add_values(module *m, const float *x, int64_t count)
{
    for (int64_t i = 0; i < count; i++) add_value(m, (double)x[i]);
}

/* Branch: end − start of a residual sum. */
static void add_branch(module *m, const float *end, const float *start, int64_t count)
{
    for (int64_t i = 0; i < count; i++) add_value(m, (double)end[i] - (double)start[i]);
}

static void probe_inputs(probe *p, const gn2_pass_f32 *pass)
{
    const gn2_hparams *h = pass->net->h;
    module *before = next_module(p, "init_pre", -1),
           *after = next_module(p, "init", -1);
    for (int k = 0; k < h->sequence_count; k++) {
        const gn2_mlp_space_f32 *s = &pass->space->init[k];
        const int64_t rows = gn2_pass_rows_f32(pass, k);
        gn2_linear_fwd_f32(&pass->ctx, &pass->net->init[k].layer[0], s->d_act[0],
                           pass->space->x_in[k], NULL, 0, rows);
        add_values(before, s->d_act[0], rows * h->init[k].size[1]);
        add_values(after, s->act[h->init[k].depth - 1], rows * h->embed_dim);
    }
}

static void probe_layer(probe *p, const gn2_pass_f32 *pass, int64_t i)
{
    const gn2_hparams *h = pass->net->h;
    const gn2_layer_space_f32 *l = &pass->space->layer[i];
    float *wide = pass->space->d_wide;
    const int64_t tokens = pass->chunk.tokens, count = tokens * h->embed_dim;
    add_branch(next_module(p, "attn", i), l->x_mid, l->x, count);
    gn2_linear_fwd_f32(&pass->ctx, &pass->net->layer[i].ffn_in, wide, l->y2, NULL, 0,
                       tokens);
    add_values(next_module(p, "ffn_pre", i), wide, tokens * h->ffn_hidden);
    add_branch(next_module(p, "ffn", i), l[1].x, l->x_mid, count);
    add_values(next_module(p, "layer", i), l[1].x, count);
}

static void probe_heads(probe *p, const gn2_pass_f32 *pass)
{
    static const char *const names[] = {"jet_logits", "origin_logits"};
    const gn2_hparams *h = pass->net->h;
    const gn2_space_f32 *s = pass->space;
    const int64_t rows[] = {pass->chunk.jets,
                            gn2_pass_rows_f32(pass, h->task[GN2_TASK_ORIGIN].sequence)};
    for (int id = 0; id < GN2_TASK_VERTEX; id++) {
        const gn2_dense *net = &h->task[id].net;
        if (h->task[id].on)
            add_values(next_module(p, names[id], -1), s->head[id].act[net->depth - 1],
                       rows[id] * net->size[net->depth]);
    }
    if (h->task[GN2_TASK_VERTEX].on)
        add_values(next_module(p, "pair_logits", -1), s->pair_logits,
                   pass->chunk.pairs);
}

static void visit(void *user, const gn2_pass_f32 *pass)
{
    probe *p = user;
    const gn2_hparams *h = pass->net->h;
    const gn2_space_f32 *s = pass->space;
    const int64_t tokens = pass->chunk.tokens;
    p->next = 0;
    probe_inputs(p, pass);
    for (int64_t i = 0; i < h->num_layers; i++) probe_layer(p, pass, i);
    add_values(next_module(p, "readout", -1), s->z0, tokens * h->out_dim);
    add_values(next_module(p, "tokens", -1), s->z, tokens * h->out_dim);
    add_values(next_module(p, "gate", -1), s->pool.logit, tokens);
    add_values(next_module(p, "pooled", -1), s->pooled, pass->chunk.jets * h->out_dim);
    probe_heads(p, pass);
}

static void report(const probe *p, gn2_probe_fn fn, void *user)
{
    for (size_t i = 0; i < p->count; i++) {
        const module *m = &p->module[i];
        const double n = m->count ? (double)m->count : 1;
        char name[32];
        if (m->layer < 0)
            snprintf(name, sizeof name, "%s", m->name);
        else
            snprintf(name, sizeof name, "%s%lld", m->name, (long long)m->layer);
        fn(user, name, m->count, m->sum_abs / n, sqrt(m->sum_squares / n), m->max_abs);
    }
}

gn2_status gn2_train_probe(gn2_trainer *t, const gn2_jets *jets, gn2_probe_fn fn,
                           void *user)
{
    gn2_batch_f32 batch;
    GN2_TRY(gn2_input_read(&t->input, t->model, NULL, jets, &batch));
    /* two before the layers, four each, four behind, three heads */
    const size_t modules = (size_t)(2 + 4 * t->h.num_layers + 4 + GN2_TASK_COUNT);
    probe p = {.module = gn2_alloc(modules, sizeof *p.module)};
    if (!p.module) return gn2_fail_memory();
    const gn2_visitor_f32 visitor = {.fn = visit, .user = &p, .ordered = 1};
    const gn2_status status = gn2_core_forward_f32(t->core, &batch, NULL, &visitor);
    if (status == GN2_OK) report(&p, fn, user);
    gn2_free(p.module);
    return status;
}
