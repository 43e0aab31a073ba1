/* SPDX-License-Identifier: Apache-2.0 */
#include "golden_train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/need.h"
#include "common/testreal.h"
#include "util/alloc.h"

static void *create(const testmodel *model, const gn2_optim_options *optim)
{
    const gn2_engine_options options = {.shards = 2,
                                        .chunk_tokens = 64,
                                        .product = {.cap = GN2_ISA_BEST},
                                        .optim = *optim};
    R(gn2_engine) *engine;
    need_ok(R(gn2_engine_create)(&model->h, model->params, &options, &engine), "core");
    R(gn2_net_configure)(engine->net, model->config);
    real *weights = R(testreal)(model->weights, model->params->total);
    R(gn2_engine_set_weights)(engine, weights);
    gn2_free(weights);
    return engine;
}

static void free_core(void *engine)
{
    R(gn2_engine_free)(engine);
}

static void step(void *user, const testbatch *source, double lr, double beta1,
                 double losses[TASK_COUNT])
{
    R(gn2_engine) *engine = user;
    R(gn2_batch) batch;
    const gn2_batch_labels labels = testbatch_labels(engine->h, source);
    R(testreal_batch)(&batch, source);
    need_ok(R(gn2_labels_check)(engine->h, &batch, &labels), "labels");
    need_ok(R(gn2_engine_gradient)(engine, &batch, &labels), "gradient");
    for (int id = 0; id < TASK_COUNT; id++) {
        const int k = test_task(engine->h, id);
        losses[id] = k < 0 ? 0 : engine->losses.value[k];
    }
    R(gn2_engine_update)(engine, lr, beta1);
    R(testreal_batch_free)(&batch);
}

static void weights(const void *user, double *out)
{
    const R(gn2_engine) *engine = user;
    R(testreal_back)(out, engine->weights, engine->params->total);
}

/* ---- mean |x| ---- */

typedef struct places {
    golden_l1 *place;
    int64_t count;
} places;

/* Σ|x − y|, y NULL: 0. */
static void add(golden_l1 *to, const real *x, const real *y, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to->sum += fabs((double)x[i] - (y ? (double)y[i] : 0));
    to->count += (double)count;
    to->have = 1;
}

static int is(const golden_l1 *to, const char *name)
{
    return strcmp(to->name, name) == 0;
}

/* Number behind a prefix, −1: another name. */
static int layer_of(const golden_l1 *to, const char *prefix)
{
    const size_t length = strlen(prefix);
    const char *tail = to->name + length;
    if (strncmp(to->name, prefix, length) || *tail < '0' || *tail > '9') return -1;
    return atoi(tail);
}

static void add_layers(const R(gn2_pass) *pass, golden_l1 *to)
{
    const R(gn2_block_space) *layer = pass->space->layer;
    const int64_t count = pass->chunk.tokens * pass->net->h->embed_dim;
    int i = layer_of(to, "attn");
    if (i >= 0) add(to, layer[i].x_mid, layer[i].x, count);
    i = layer_of(to, "ffn");
    if (i >= 0) add(to, layer[i + 1].x, layer[i].x_mid, count);
    i = layer_of(to, "layer");
    if (i >= 0) add(to, layer[i + 1].x, NULL, count);
}

static void add_ends(const R(gn2_pass) *pass, golden_l1 *to)
{
    const gn2_hparams *h = pass->net->h;
    const R(gn2_space) *s = pass->space;
    const gn2_chunk *c = &pass->chunk;
    const int64_t rows = R(gn2_pass_rows)(pass, 0);
    if (is(to, "init"))
        add(to, s->init[0].act[h->init[0].depth - 1], NULL, rows * h->embed_dim);
    if (is(to, "readout")) add(to, s->readout.z0, NULL, c->tokens * h->out_dim);
    if (is(to, "tokens")) add(to, s->readout.z, NULL, c->tokens * h->out_dim);
    if (is(to, "gate")) add(to, s->pool.logit, NULL, c->tokens);
    if (is(to, "pooled")) add(to, s->pool.pooled, NULL, c->jets * h->out_dim);
    if (is(to, "jet_logits"))
        add(to, s->head[TASK_JETS].logits, NULL, c->jets * h->classes);
    if (is(to, "origin_logits"))
        add(to, s->head[TASK_ORIGIN].logits, NULL, rows * test_origins(h));
    if (is(to, "pair_logits")) add(to, s->head[TASK_VERTEX].logits, NULL, c->pairs);
}

static void visit(void *user, const R(gn2_pass) *pass)
{
    const places *p = user;
    for (int64_t i = 0; i < p->count; i++) {
        add_layers(pass, &p->place[i]);
        add_ends(pass, &p->place[i]);
    }
}

static void probe(void *user, const testbatch *source, golden_l1 *place, int64_t n)
{
    R(gn2_engine) *engine = user;
    R(gn2_batch) batch;
    places p = {place, n};
    const R(gn2_visitor) visitor = {.fn = visit, .user = &p};
    R(testreal_batch)(&batch, source);
    for (int64_t i = 0; i < n; i++) place[i].sum = place[i].count = 0;
    need_ok(R(gn2_engine_forward)(engine, &batch, NULL, &visitor), "forward");
    R(testreal_batch_free)(&batch);
}

const golden_trainer R(golden_trainer) = {
    .precision = sizeof(real) == sizeof(double) ? "f64" : "f32",
    .is_double = sizeof(real) == sizeof(double),
    .create = create,
    .free = free_core,
    .step = step,
    .probe = probe,
    .weights = weights,
};
