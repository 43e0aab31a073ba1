/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs, losses and gradients of one network, in double and in float. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "checks.h"
#include "common/need.h"
#include "tag/discriminant.h"
#include "util/alloc.h"

#include <gn2/tagger.h>

/* Tolerances of README.md. */
#define F64_VALUES 1e-11
#define F64_SINE_W256 1e-8 /* a rank-2 network of large sums */
#define F32_OUTPUT_SHARE 2e-5
#define F32_LOSS_SHARE 2e-6
#define F32_GRAD_SHARE 2e-4
#define F32_GRAD_FLOOR 1e-7

typedef struct precision {
    const char *name;
    testrun_fn run;
    int is_double;
} precision;

static const precision precisions[] = {{"f64", testrun_f64, 1},
                                       {"f32", testrun_f32, 0}};

/* One precision of one file. */
typedef struct comparison {
    golden_report *report;
    const testmodel *model;
    const precision *p;
    const testresult *result;
    double f64_outputs;
} comparison;

/* ---- outputs ---- */

static double largest(const golden_array *a)
{
    double most = 0;
    for (int64_t i = 0; i < a->count; i++) most = fmax(most, fabs(a->x[i]));
    return most;
}

/* Largest deviation over tolerance, with both: the column that is closest to it. */
typedef struct worst {
    double dev, tolerance;
} worst;

static worst compare_columns(const golden_array *wanted, const double *x,
                             const golden_array *maxdiff, double share)
{
    const int64_t cols = maxdiff->count > 1 ? maxdiff->count : 1;
    worst w = {.dev = -1, .tolerance = 1};
    for (int64_t c = 0; c < cols; c++) {
        const double f32 = maxdiff->count ? 10 * maxdiff->x[c] : 0;
        const double tolerance = fmax(share * largest(wanted), f32);
        double dev = 0;
        for (int64_t i = c; i < wanted->count; i += cols) {
            const double d = fabs(wanted->x[i] - x[i]);
            if (!(d <= dev)) dev = d;
            if (isnan(dev)) return (worst){dev, tolerance};
        }
        if (dev * w.tolerance > w.dev * tolerance) w = (worst){dev, tolerance};
    }
    return w;
}

static void compare_output(const comparison *c, const char *path, const double *x,
                           int64_t count)
{
    golden_array wanted = golden_read(c->report->file, path);
    golden_array maxdiff = {0};
    worst w = {.tolerance = c->f64_outputs};
    if (golden_has_attr(c->report->file, path, "f32_maxdiff"))
        maxdiff = golden_read_attr(c->report->file, path, "f32_maxdiff");
    need_true(wanted.count == count, path);
    if (c->p->is_double)
        w.dev = test_max_diff(wanted.x, x, count);
    else
        w = compare_columns(&wanted, x, &maxdiff, F32_OUTPUT_SHARE);
    golden_line(c->report, c->p->name, path, w.dev, w.tolerance);
    golden_array_free(&wanted);
    golden_array_free(&maxdiff);
}

static void compare_encoder(const comparison *c)
{
    const testresult *t = c->result;
    const gn2_hparams *h = &c->model->h;
    compare_output(c, "outputs/init", t->init[0], t->rows[0] * h->embed_dim);
    for (int64_t i = 0; i < t->layers; i++) {
        char path[64];
        snprintf(path, sizeof path, "outputs/layer%d", (int)i);
        compare_output(c, path, t->layer[i], t->tokens * h->embed_dim);
    }
    compare_output(c, "outputs/tokens", t->z, t->tokens * h->out_dim);
    compare_output(c, "outputs/gate", t->alpha, t->tokens);
    compare_output(c, "outputs/pooled", t->pooled, t->jets * h->out_dim);
}

static void compare_heads(const comparison *c)
{
    static const char *const logits[] = {"outputs/jet_logits", "outputs/origin_logits",
                                         "outputs/pair_logits"};
    static const char *const probs[] = {"outputs/jet_probs", "outputs/origin_probs"};
    const testresult *t = c->result;
    const int64_t count[] = {t->jets * c->model->h.classes,
                             t->rows[0] * test_origins(&c->model->h), t->pairs};
    for (int id = 0; id < TASK_COUNT; id++)
        compare_output(c, logits[id], t->logits[id], count[id]);
    for (int id = 0; id < TASK_VERTEX; id++)
        compare_output(c, probs[id], t->probs[id], count[id]);
}

static void compare_vertices(const comparison *c)
{
    golden_array offsets = golden_read(c->report->file, "inputs/offsets");
    golden_array wanted = golden_read(c->report->file, "outputs/vertex_index");
    const int64_t wrong =
        golden_vertex_differences(c->result->logits[TASK_VERTEX], &offsets, &wanted);
    need_true(wanted.count == c->result->rows[0], "a vertex for every track");
    golden_line(c->report, c->p->name, "outputs/vertex_index", (double)wrong, 0);
    golden_array_free(&offsets);
    golden_array_free(&wanted);
}

/* log(p_b / (f_c p_c + f_tau p_tau + (1 − f_c − f_tau) p_u)), the classes in the
 * order of the file: b, c, u [, tau]. */
static void compare_discriminant(const comparison *c, const char *path, double f_c,
                                 double f_tau)
{
    const int64_t classes = c->model->h.classes, jets = c->result->jets;
    const double fraction[] = {0, f_c, 1 - f_c - f_tau, f_tau};
    double *d = need_memory((size_t)jets, sizeof *d);
    need_true(classes == 3 || classes == 4, "classes b, c, u and perhaps tau");
    for (int64_t b = 0; b < jets; b++) {
        float p[4];
        for (int64_t k = 0; k < classes; k++)
            p[k] = (float)c->result->probs[TASK_JETS][b * classes + k];
        d[b] = (double)gn2_discriminant_value(p, classes, 0, fraction, GN2_FORM_LOG);
    }
    compare_output(c, path, d, jets);
    gn2_free(d);
}

static void compare_inference(const comparison *c)
{
    compare_vertices(c);
    if (c->p->is_double) return; /* discriminants take floats */
    compare_discriminant(c, "outputs/Db_fc0.018_ftau0", 0.018, 0);
    compare_discriminant(c, "outputs/Db_fc0.2_ftau0.01", 0.2, 0.01);
}

static void compare_losses(const comparison *c)
{
    static const char *const paths[] = {"losses/jets", "losses/origin", "losses/vertex",
                                        "losses/total"};
    for (int i = 0; i <= TASK_COUNT; i++) {
        const double *loss = i < TASK_COUNT ? &c->result->losses[i] : &c->result->total;
        const double wanted = golden_number(c->report->file, paths[i], NULL);
        const double tolerance =
            c->p->is_double ? F64_VALUES : F32_LOSS_SHARE * fabs(wanted);
        golden_line(c->report, c->p->name, paths[i], fabs(*loss - wanted), tolerance);
    }
}

/* ---- gradients ---- */

static int ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

void golden_flat_direction(const gn2_tensor *t, int64_t *first, int64_t *end)
{
    *first = *end = 0;
    if (ends_with(t->name, "gate_nn.bias") || ends_with(t->name, "linear_k.bias"))
        *end = t->count;
    if (!ends_with(t->name, "in_proj_bias")) return;
    *first = t->count / 3;
    *end = 2 * *first;
}

static void compare_grad(const comparison *c, const gn2_tensor *t)
{
    char path[160];
    snprintf(path, sizeof path, "grads/%s", t->name);
    golden_array wanted = golden_read(c->report->file, path);
    const double *x = c->result->grads + t->offset;
    const double norm = golden_number(c->report->file, path, "l2_norm");
    int64_t flat, flat_end;
    double dev = 0, squares = 0;
    golden_flat_direction(t, &flat, &flat_end);
    if (c->p->is_double) flat = flat_end = 0;
    need_true(wanted.count <= t->count, path);
    for (int64_t i = 0; i < t->count; i++) {
        if (i >= flat && i < flat_end) continue;
        squares += x[i] * x[i];
        if (i < wanted.count && !(fabs(x[i] - wanted.x[i]) <= dev))
            dev = fabs(x[i] - wanted.x[i]);
    }
    const double tolerance =
        c->p->is_double ? F64_VALUES : F32_GRAD_SHARE * norm + F32_GRAD_FLOOR;
    /* the file's norm counts the flat part, which is rounding */
    dev = fmax(dev, fabs(sqrt(squares) - norm));
    if (isnan(squares)) dev = squares;
    golden_line(c->report, c->p->name, path, dev, tolerance);
    golden_array_free(&wanted);
}

static void compare_grads(const comparison *c)
{
    if (!golden_has(c->report->file, "grads")) return;
    golden_text members = golden_members(c->report->file, "grads");
    need_true(members.count == (int64_t)c->model->params->count, "a gradient each");
    golden_text_free(&members);
    for (size_t k = 0; k < c->model->params->count; k++)
        compare_grad(c, &c->model->params->tensor[k]);
}

/* ---- packed, padded, training, inference: the same bits ---- */

static void same_bits(const comparison *c, const testresult *other, const char *what)
{
    const testresult *t = c->result;
    const gn2_hparams *h = &c->model->h;
    const int64_t count[] = {t->jets * h->classes, t->rows[0] * test_origins(h),
                             t->pairs};
    double dev = test_max_diff(t->pooled, other->pooled, t->jets * h->out_dim);
    for (int id = 0; id < TASK_COUNT; id++) {
        dev = fmax(dev, test_max_diff(t->logits[id], other->logits[id], count[id]));
        dev = fmax(dev, fabs(t->losses[id] - other->losses[id]));
    }
    if (other->grads)
        dev = fmax(dev, test_max_diff(t->grads, other->grads, c->model->params->total));
    golden_line(c->report, c->p->name, what, dev, 0);
}

static void compare_padded(const comparison *c, const testbatch *padded)
{
    const testoptions training = {.cap = GN2_ISA_BEST, .training = 1};
    const testoptions inference = {.cap = GN2_ISA_BEST};
    testresult *t = c->p->run(c->model, padded, &training);
    same_bits(c, t, "padded = packed");
    testresult_free(t);
    t = c->p->run(c->model, padded, &inference);
    same_bits(c, t, "inference = training");
    testresult_free(t);
}

void golden_check_network(golden_report *report, const testmodel *model)
{
    char form[64] = "";
    testbatch *packed = golden_batch_packed(report->file, "", model);
    testbatch *padded = golden_batch_padded(report->file, "", model);
    if (golden_has_attr(report->file, "/", "param_form"))
        golden_string(report->file, "/", "param_form", form);
    const int wide_sine = strcmp(form, "sine") == 0 && model->h.embed_dim >= 256;
    const testoptions training = {.cap = GN2_ISA_BEST, .training = 1};
    for (size_t i = 0; i < sizeof precisions / sizeof *precisions; i++) {
        testresult *result = precisions[i].run(model, packed, &training);
        const comparison c = {.report = report,
                              .model = model,
                              .p = &precisions[i],
                              .result = result,
                              .f64_outputs = wide_sine ? F64_SINE_W256 : F64_VALUES};
        compare_encoder(&c);
        compare_heads(&c);
        compare_inference(&c);
        compare_losses(&c);
        compare_grads(&c);
        compare_padded(&c, padded);
        testresult_free(result);
    }
    testbatch_free(packed);
    testbatch_free(padded);
}

void golden_check_model(golden_report *report)
{
    const golden_form form = {.parametrization = "sp", .optimiser = "adamw"};
    testmodel *model = golden_model_create(report->file, &form);
    if (golden_has(report->file, "params"))
        golden_weights_read(report->file, "params", model);
    else /* sums of up to 200,000 doubles against those of another adding order */
        golden_line(report, "f64", "closed form",
                    golden_weights_generate(report->file, model), 1e-12);
    golden_check_network(report, model);
    testmodel_free(model);
}
