/* SPDX-License-Identifier: Apache-2.0 */
#include "golden_head.h"

#include "common/need.h"
#include "common/testreal.h"
#include "net/head.h"
#include "net/tasks.h"
#include "util/alloc.h"

/* One chunk through the head. */
typedef struct run {
    const golden_head_input *in;
    R(gn2_net) *net;
    R(gn2_space) *space;
    R(gn2_batch) batch;
    gn2_batch_labels labels;
    gn2_totals totals;
    real *weights, *grads;
    gn2_chunk chunk;
} run;

static double *doubles(int64_t rows, int64_t cols)
{
    return need_memory((size_t)(rows * cols), sizeof(double));
}

static void make_net(run *r)
{
    const testmodel *m = r->in->model;
    const gn2_net_options options = {.product = {.cap = GN2_ISA_BEST, .max_rows = 64},
                                     .training = 1};
    need_ok(R(gn2_net_create)(&m->h, &options, &r->net), "network");
    R(gn2_net_configure)(r->net, m->config);
    r->weights = R(testreal)(m->weights, m->params->total);
    r->grads = need_memory((size_t)m->params->total, sizeof(real));
    R(gn2_net_pack)(r->net, r->weights);
}

static void make_batch(run *r)
{
    const gn2_hparams *h = &r->in->model->h;
    const gn2_chunk start = {0};
    gn2_capacity capacity = {0};
    R(testreal_batch)(&r->batch, r->in->batch);
    R(gn2_batch_measure)(h, &r->batch, &capacity.longest, &capacity.tokens);
    need_true(R(gn2_batch_cut)(h, &r->batch, &start, r->batch.jets, 1 << 20, &r->chunk,
                               1) == 1,
              "one chunk");
    capacity.jets = r->batch.jets;
    need_ok(R(gn2_space_create)(r->net, &capacity, &r->space), "space");
}

static void make_labels(run *r)
{
    const gn2_hparams *h = &r->in->model->h;
    const R(gn2_task_kind) *kind = R(gn2_task_kind_of)(&h->task[0]);
    r->labels = testbatch_labels(h, r->in->batch);
    const R(gn2_label_place) place = {h, &r->batch, &r->labels, 0};
    for (int64_t b = 0; b < r->batch.jets; b++)
        for (int64_t i = R(gn2_label_rows)(&place, b);
             i < R(gn2_label_rows)(&place, b + 1); i++)
            need_ok(kind->check(&place, b, i), "labels");
    r->totals.value[0] = kind->total(r->net, &place);
}

/* What the trunk made becomes what is given. */
static void give(const run *r)
{
    const gn2_hparams *h = &r->in->model->h;
    const int64_t o = h->out_dim;
    for (int64_t i = 0; i < r->batch.jets * o; i++)
        r->space->pool.pooled[i] = (real)r->in->pooled[i];
    for (int64_t n = 0; r->in->z && n < r->in->batch->sequence[0].rows; n++)
        for (int64_t i = 0; i < o; i++)
            r->space->readout.z[r->space->row_token[0][n] * o + i] =
                (real)r->in->z[n * o + i];
}

static void keep_values(const R(gn2_pass) *pass, golden_head_result *t)
{
    const gn2_task *task = &pass->net->h->task[0];
    const R(gn2_task_kind) *kind = R(gn2_task_kind_of)(task);
    int item = 0;
    for (const R(gn2_task_output) *o = kind->outputs; o->suffix; o++) {
        if (o->form != GN2_OUT_VALUES) continue;
        t->values[item] = doubles(t->rows, task->targets);
        for (int64_t r = 0; r < t->rows; r++) {
            real row[GN2_MAX_TARGETS];
            R(gn2_task_values)(pass, 0, r, o, row);
            R(testreal_back)(t->values[item] + r * task->targets, row, task->targets);
        }
        item++;
    }
}

static golden_head_result *keep(const run *r, const R(gn2_pass) *pass)
{
    const int64_t o = r->net->h->out_dim, tracks = r->in->batch->sequence[0].rows;
    const int64_t arena = r->in->model->params->total;
    golden_head_result *t = need_memory(1, sizeof *t);
    t->rows = R(gn2_head_rows)(pass, 0);
    t->columns = gn2_task_columns(&r->net->h->task[0]);
    t->logits = doubles(t->rows, t->columns);
    R(testreal_back)(t->logits, r->space->head[0].logits, t->rows * t->columns);
    keep_values(pass, t);
    t->loss = pass->losses.value[0];
    t->total = r->totals.value[0];
    t->grads = doubles(arena, 1);
    R(testreal_back)(t->grads, r->grads, arena);
    t->d_pooled = doubles(r->batch.jets, o);
    R(testreal_back)(t->d_pooled, r->space->d_pooled, r->batch.jets * o);
    t->d_z = doubles(tracks, o);
    for (int64_t n = 0; n < tracks; n++) R(testreal_back)
    (t->d_z + n * o, r->space->d_z + r->space->row_token[0][n] * o, o);
    return t;
}

static golden_head_result *run_head(const golden_head_input *input)
{
    run r = {.in = input};
    make_net(&r);
    make_batch(&r);
    make_labels(&r);
    R(gn2_pass)
    pass = {
        .net = r.net,
        .space = r.space,
        .ctx = {r.net->kernels, r.space->lane, r.weights, r.grads},
        .batch = &r.batch,
        .chunk = r.chunk,
        .labels = &r.labels,
        .totals = &r.totals,
    };
    R(gn2_pass_trunk)(&pass);
    give(&r);
    R(gn2_pass_heads)(&pass, GN2_ALL_TASKS);
    golden_head_result *result = keep(&r, &pass);
    R(testreal_batch_free)(&r.batch);
    R(gn2_space_free)(r.space);
    R(gn2_net_free)(r.net);
    gn2_free(r.weights);
    gn2_free(r.grads);
    return result;
}

const golden_head R(golden_head) = {
    .precision = sizeof(real) == sizeof(double) ? "f64" : "f32",
    .is_double = sizeof(real) == sizeof(double),
    .run = run_head,
};

#ifndef GN2_REAL_DOUBLE
void golden_head_result_free(golden_head_result *result)
{
    gn2_free(result->logits);
    gn2_free(result->values[0]);
    gn2_free(result->values[1]);
    gn2_free(result->grads);
    gn2_free(result->d_pooled);
    gn2_free(result->d_z);
    gn2_free(result);
}
#endif
