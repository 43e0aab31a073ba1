/* SPDX-License-Identifier: Apache-2.0 */
/* A batch through a network, chunk by chunk; built once a precision. */
#include <string.h>

#include "common/need.h"
#include "common/testreal.h"
#include "net/head.h"
#include "net/tasks.h"
#include "util/alloc.h"

/* One run: everything in the run's precision. */
typedef struct run {
    const testmodel *model;
    const testbatch *source;
    const testoptions *options;
    R(gn2_net) *net;
    R(gn2_space) *space;
    R(gn2_batch) batch;
    real *weights, *grads;
    gn2_batch_labels labels;
    gn2_totals totals;
    gn2_chunk *chunks;
    int64_t chunk_count;
    testresult *result;
} run;

static double *doubles(int64_t rows, int64_t cols)
{
    return need_memory((size_t)(rows * cols), sizeof(double));
}

static void make_net(run *r)
{
    const testmodel *m = r->model;
    const gn2_net_options options = {
        .product = {.cap = r->options->cap,
                    .backend = r->options->backend,
                    .max_rows = 64}, /* one choice whatever the chunks, as taggers */
        .training = r->options->training,
    };
    need_ok(R(gn2_net_create)(&m->h, &options, &r->net), "network");
    R(gn2_net_configure)(r->net, m->config);
    r->weights = R(testreal)(m->weights, m->params->total);
    R(gn2_net_pack)(r->net, r->weights);
    if (r->options->training)
        r->grads = need_memory((size_t)m->params->total, sizeof(real));
}

/* ---- batch ---- */

static void make_batch(run *r)
{
    const testbatch *b = r->source;
    R(testreal_batch)(&r->batch, b);
    r->labels = testbatch_labels(&r->model->h, b);
    if (b->flavour) r->totals = testbatch_totals(r->model, b);
}

static void make_chunks(run *r)
{
    const gn2_hparams *h = &r->model->h;
    const gn2_chunk start = {0};
    gn2_capacity capacity = {0};
    int64_t all, limit = r->options->chunk_tokens;
    R(gn2_batch_measure)(h, &r->batch, &capacity.longest, &all);
    if (limit == 0) limit = all + r->batch.jets + 1;
    r->chunks = need_memory((size_t)r->batch.jets + 1, sizeof *r->chunks);
    r->chunk_count = R(gn2_batch_cut)(h, &r->batch, &start, r->batch.jets, limit,
                                      r->chunks, r->batch.jets);
    for (int64_t k = 0; k < r->chunk_count; k++) {
        const gn2_chunk *c = &r->chunks[k];
        if (c->jets > capacity.jets) capacity.jets = c->jets;
        if (c->tokens > capacity.tokens) capacity.tokens = c->tokens;
    }
    if (capacity.tokens == 0) capacity.tokens = 1;
    if (capacity.longest == 0) capacity.longest = 1;
    need_ok(R(gn2_space_create)(r->net, &capacity, &r->space), "space");
}

/* ---- results ---- */

static void make_heads_result(run *r)
{
    const gn2_hparams *h = &r->model->h;
    testresult *t = r->result;
    for (int id = 0; id < TASK_COUNT; id++) {
        if (test_task(h, id) < 0) continue;
        const gn2_task *task = &h->task[test_task(h, id)];
        const int s = id == TASK_JETS ? 0 : task->sequence;
        const int64_t rows[] = {t->jets, t->rows[s], t->pairs};
        t->logits[id] = doubles(rows[id], task->net.size[task->net.depth]);
        if (id != TASK_VERTEX)
            t->probs[id] = doubles(rows[id], task->net.size[task->net.depth]);
    }
}

static int64_t rows_of(const run *r, const gn2_task *task)
{
    if (task->rows == GN2_OVER_JETS) return r->result->jets;
    if (task->rows == GN2_OVER_PAIRS) return r->result->pairs;
    return r->result->rows[task->sequence];
}

static void make_all_heads_result(run *r)
{
    testresult *t = r->result;
    for (int k = 0; k < r->model->h.task_count; k++) {
        const gn2_task *task = &r->model->h.task[k];
        t->head_rows[k] = rows_of(r, task);
        t->head_logits[k] = doubles(t->head_rows[k], gn2_task_columns(task));
        for (int item = 0; item < 2; item++)
            t->head_values[k][item] = doubles(t->head_rows[k], task->targets);
    }
}

static void make_result(run *r)
{
    const gn2_hparams *h = &r->model->h;
    testresult *t = r->result = need_memory(1, sizeof *t);
    for (int64_t k = 0; k < r->chunk_count; k++) {
        t->tokens += r->chunks[k].tokens;
        t->pairs += r->chunks[k].pairs;
    }
    t->jets = r->batch.jets;
    t->z = doubles(t->tokens, h->out_dim);
    t->alpha = doubles(t->tokens, 1);
    t->pooled = doubles(t->jets, h->out_dim);
    for (int s = 0; s < h->sequence_count; s++)
        t->rows[s] = r->source->sequence[s].rows;
    make_heads_result(r);
    make_all_heads_result(r);
    if (!r->options->training) return;
    t->layers = h->num_layers;
    t->layer = need_memory((size_t)t->layers, sizeof *t->layer);
    for (int64_t i = 0; i < t->layers; i++)
        t->layer[i] = doubles(t->tokens, h->embed_dim);
    for (int s = 0; s < h->sequence_count; s++)
        t->init[s] = doubles(t->rows[s], h->embed_dim);
    t->grads = doubles(r->model->params->total, 1);
}

static void keep_activations(run *r, const gn2_chunk *c)
{
    const gn2_hparams *h = &r->model->h;
    const int64_t w = h->embed_dim;
    for (int64_t i = 0; i < h->num_layers; i++) R(testreal_back)
    (r->result->layer[i] + c->first_token * w, r->space->layer[i + 1].x, c->tokens * w);
    for (int s = 0; s < h->sequence_count; s++) {
        const int64_t *offset = r->source->sequence[s].offset + c->first;
        R(testreal_back)
        (r->result->init[s] + offset[0] * w,
         r->space->init[s].act[h->init[s].depth - 1],
         (offset[c->jets] - offset[0]) * w);
    }
}

/* Logits of one head and, for a classification, their softmax. */
static void keep_head(run *r, int id, int64_t first, int64_t rows)
{
    const int k = test_task(&r->model->h, id);
    if (k < 0) return;
    const int64_t cols = gn2_task_columns(&r->model->h.task[k]);
    const real *logits = r->space->head[k].logits;
    R(testreal_back)(r->result->logits[id] + first * cols, logits, rows * cols);
    if (id == TASK_VERTEX) return;
    real *probs = need_memory((size_t)(rows * cols), sizeof *probs);
    r->net->kernels->softmax(probs, logits, rows, cols);
    R(testreal_back)(r->result->probs[id] + first * cols, probs, rows * cols);
    gn2_free(probs);
}

/* Outputs of form GN2_OUT_VALUES, one behind the other. */
static void keep_values(const R(gn2_pass) *pass, int k, int64_t first, testresult *t)
{
    const gn2_task *task = &pass->net->h->task[k];
    const R(gn2_task_kind) *kind = R(gn2_task_kind_of)(task);
    double **to = t->head_values[k];
    for (const R(gn2_task_output) *o = kind->outputs; o->suffix; o++) {
        if (o->form != GN2_OUT_VALUES) continue;
        for (int64_t r = 0; r < R(gn2_head_rows)(pass, k); r++) {
            real row[GN2_MAX_TARGETS];
            R(gn2_task_values)(pass, k, r, o, row);
            R(testreal_back)(*to + (first + r) * task->targets, row, task->targets);
        }
        to++;
    }
}

/* What every head gave, behind the rows of earlier chunks. */
static void keep_heads(run *r, const R(gn2_pass) *pass, int64_t *done)
{
    for (int k = 0; k < r->model->h.task_count; k++) {
        const int64_t rows = R(gn2_head_rows)(pass, k);
        const int64_t cols = gn2_task_columns(&r->model->h.task[k]);
        R(testreal_back)
        (r->result->head_logits[k] + done[k] * cols, r->space->head[k].logits,
         rows * cols);
        keep_values(pass, k, done[k], r->result);
        r->result->head_loss[k] += pass->losses.value[k];
        done[k] += rows;
    }
}

static void keep_outputs(run *r, const gn2_chunk *c)
{
    const gn2_hparams *h = &r->model->h;
    const int64_t o = h->out_dim;
    const int origin = test_task(h, TASK_ORIGIN);
    const int s = origin < 0 ? 0 : h->task[origin].sequence;
    const int64_t *offset = r->source->sequence[s].offset + c->first;
    R(testreal_back)(r->result->z + c->first_token * o, r->space->readout.z,
                     c->tokens * o);
    R(testreal_back)
    (r->result->alpha + c->first_token, r->space->pool.alpha, c->tokens);
    R(testreal_back)(r->result->pooled + c->first * o, r->space->pool.pooled,
                     c->jets * o);
    keep_head(r, TASK_JETS, c->first, c->jets);
    keep_head(r, TASK_ORIGIN, offset[0], offset[c->jets] - offset[0]);
    keep_head(r, TASK_VERTEX, c->first_pair, c->pairs);
}

static void run_chunk(run *r, const gn2_chunk *c, int64_t *done)
{
    R(gn2_pass)
    pass = {
        .net = r->net,
        .space = r->space,
        .ctx = {r->net->kernels, r->space->lane, r->weights, r->grads},
        .batch = &r->batch,
        .chunk = *c,
        .labels = r->source->flavour ? &r->labels : NULL,
        .totals = &r->totals,
        .step_key = r->options->step_key,
        .dropping = r->options->dropping,
    };
    R(gn2_pass_trunk)(&pass);
    R(gn2_pass_heads)(&pass, GN2_ALL_TASKS);
    keep_outputs(r, c);
    keep_heads(r, &pass, done);
    for (int id = 0; id < TASK_COUNT; id++)
        if (test_task(&r->model->h, id) >= 0)
            r->result->losses[id] += pass.losses.value[test_task(&r->model->h, id)];
    if (!r->options->training) return;
    keep_activations(r, c);
    if (pass.labels) R(gn2_pass_trunk_backward)(&pass);
}

static void finish(run *r)
{
    if (r->grads) R(testreal_back)(r->result->grads, r->grads, r->model->params->total);
    for (int k = 0; k < GN2_MAX_TASKS; k++) r->result->total += r->result->head_loss[k];
    R(testreal_batch_free)(&r->batch);
    R(gn2_space_free)(r->space);
    R(gn2_net_free)(r->net);
    gn2_free(r->chunks);
    gn2_free(r->weights);
    gn2_free(r->grads);
}

testresult *R(testrun)(const testmodel *model, const testbatch *batch,
                       const testoptions *options)
{
    run r = {.model = model, .source = batch, .options = options};
    int64_t done[GN2_MAX_TASKS] = {0};
    make_net(&r);
    make_batch(&r);
    make_chunks(&r);
    make_result(&r);
    for (int64_t k = 0; k < r.chunk_count; k++) run_chunk(&r, &r.chunks[k], done);
    finish(&r);
    return r.result;
}

#ifndef GN2_REAL_DOUBLE
void testresult_free(testresult *result)
{
    if (!result) return;
    for (int64_t i = 0; i < result->layers; i++) gn2_free(result->layer[i]);
    for (int s = 0; s < GN2_MAX_SEQUENCES; s++) gn2_free(result->init[s]);
    for (int id = 0; id < TASK_COUNT; id++) {
        gn2_free(result->logits[id]);
        gn2_free(result->probs[id]);
    }
    for (int k = 0; k < GN2_MAX_TASKS; k++) {
        gn2_free(result->head_logits[k]);
        gn2_free(result->head_values[k][0]);
        gn2_free(result->head_values[k][1]);
    }
    gn2_free(result->layer);
    gn2_free(result->z);
    gn2_free(result->alpha);
    gn2_free(result->pooled);
    gn2_free(result->grads);
    gn2_free(result);
}
#endif
