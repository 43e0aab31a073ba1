/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Losses and metrics on a dataset, without dropout. Losses are means over batches of
 * the batches' losses, as salt logs them; metrics are over all jets.
 */
#include <math.h>
#include <string.h>

#include "data/dataset.h"
#include "tag/discriminant.h"
#include "train/metrics.h"
#include "train/trainer.h"
#include "util/alloc.h"

/* D_b of the jets of a role, by class. */
typedef enum sample {
    SAMPLE_B,
    SAMPLE_LIGHT,
    SAMPLE_C,
    SAMPLE_TAU,
    SAMPLE_COUNT
} sample;

static const char *const sample_class[SAMPLE_COUNT] = {"bjets", "ujets", "cjets",
                                                       "taujets"};

typedef struct evaluation {
    gn2_trainer *trainer;
    gn2_discriminants discriminants;
    const gn2_discriminant_rule *d; /* D_b, NULL: the model has none */
    int64_t class_of[SAMPLE_COUNT]; /* −1: the model has none */
    double *sums;                   /* (jets, tasks, GN2_MAX_SUMS) of the batch */
    int64_t sums_capacity;
    double all[GN2_MAX_TASKS][GN2_MAX_SUMS]; /* over all jets, in their order */
    float *d_b;                              /* of the batch */
    int64_t d_b_capacity;
    gn2_scores scores[SAMPLE_COUNT];
    int64_t score_capacity[SAMPLE_COUNT];
    int64_t jets, batches;
    gn2_losses losses; /* summed over batches */
} evaluation;

static int64_t find_class(const gn2_model *model, const char *name)
{
    for (int64_t i = 0; i < model->h.classes; i++)
        if (strcmp(gn2_config_list_item(model->config, "model.classes", (size_t)i),
                   name) == 0)
            return i;
    return -1;
}

static gn2_status begin(evaluation *e, gn2_trainer *trainer)
{
    *e = (evaluation){.trainer = trainer};
    for (int s = 0; s < SAMPLE_COUNT; s++)
        e->class_of[s] = find_class(trainer->model, sample_class[s]);
    GN2_TRY(gn2_discriminants_read(trainer->model->config, NULL, &e->discriminants));
    e->d = gn2_discriminant_find(&e->discriminants, "D_b");
    if (e->d) e->class_of[SAMPLE_B] = e->d->signal;
    return GN2_OK;
}

/* Of task k and jet b of the batch. */
static double *sums_of(const evaluation *e, int64_t b, int k)
{
    return e->sums + (b * e->trainer->h.task_count + k) * GN2_MAX_SUMS;
}

static void end(evaluation *e)
{
    gn2_free(e->sums);
    gn2_free(e->d_b);
    for (int s = 0; s < SAMPLE_COUNT; s++) gn2_free(e->scores[s].value);
}

/* ---- what a chunk tells, on any thread ---- */

static void visit_scores(evaluation *e, const gn2_pass_f32 *pass)
{
    const int64_t classes = pass->net->h->classes;
    if (!e->d) return;
    for (int64_t b = 0; b < pass->chunk.jets; b++) {
        float p[GN2_MAX_CLASSES];
        const float *logits = pass->space->head[pass->net->h->flavour].logits;
        pass->ctx.kernels->softmax(p, logits + b * classes, 1, classes);
        e->d_b[pass->chunk.first + b] = gn2_discriminant_value(
            p, classes, e->d->signal, e->d->fraction, e->d->form);
    }
}

/* Jets are disjoint; they are added up later, in order. */
static void visit(void *user, const gn2_pass_f32 *pass)
{
    evaluation *e = user;
    const gn2_hparams *h = pass->net->h;
    visit_scores(e, pass);
    for (int k = 0; k < h->task_count; k++) {
        if (!gn2_task_labelled(&pass->labels->task[k])) continue;
        for (int64_t b = 0; b < pass->chunk.jets; b++)
            gn2_task_kind_of_f32(&h->task[k])
                ->observe(pass, k, b, sums_of(e, pass->chunk.first + b, k));
    }
}

/* ---- batch by batch ---- */

static gn2_status reserve(float **values, int64_t *capacity, int64_t used,
                          int64_t count)
{
    if (count <= *capacity) return GN2_OK;
    const int64_t more = count + count / 2;
    if (!gn2_grow((void **)values, (size_t)used, (size_t)more, sizeof **values))
        return gn2_fail_memory();
    *capacity = more;
    return GN2_OK;
}

static gn2_status reserve_sums(evaluation *e, int64_t jets)
{
    const int64_t count = jets * e->trainer->h.task_count * GN2_MAX_SUMS;
    if (count > e->sums_capacity) {
        gn2_free(e->sums);
        e->sums_capacity = 0;
        e->sums = gn2_alloc((size_t)count, sizeof *e->sums);
        if (!e->sums) return gn2_fail_memory();
        e->sums_capacity = count;
    }
    memset(e->sums, 0, (size_t)count * sizeof *e->sums);
    return GN2_OK;
}

static void add_sums(evaluation *e, int64_t jets)
{
    for (int64_t b = 0; b < jets; b++)
        for (int k = 0; k < e->trainer->h.task_count; k++)
            for (int i = 0; i < GN2_MAX_SUMS; i++) e->all[k][i] += sums_of(e, b, k)[i];
}

static gn2_status keep_scores(evaluation *e, const int32_t *flavour, int64_t jets)
{
    for (int s = 0; s < SAMPLE_COUNT; s++) {
        gn2_scores *scores = &e->scores[s];
        GN2_TRY(reserve(&scores->value, &e->score_capacity[s], scores->count,
                        scores->count + jets));
        if (!e->d || e->class_of[s] < 0) continue;
        for (int64_t b = 0; b < jets; b++)
            if (flavour[b] == e->class_of[s])
                scores->value[scores->count++] = e->d_b[b];
    }
    return GN2_OK;
}

static gn2_status evaluate_batch(evaluation *e, const gn2_jets *jets,
                                 const gn2_labels *labels)
{
    gn2_trainer *t = e->trainer;
    const gn2_batch_labels mine = gn2_train_labels(t, labels);
    const gn2_visitor_f32 visitor = {.fn = visit, .user = e};
    gn2_batch_f32 batch;
    if (!labels->flavour)
        return gn2_fail(GN2_ERR_INVALID_ARG, "the dataset has no flavour labels");
    GN2_TRY(gn2_input_read(&t->input, t->model, NULL, jets, &batch));
    GN2_TRY(gn2_labels_check_f32(&t->h, &batch, &mine));
    GN2_TRY(reserve(&e->d_b, &e->d_b_capacity, 0, jets->count));
    GN2_TRY(reserve_sums(e, jets->count));
    GN2_TRY(gn2_engine_forward_f32(t->engine, &batch, &mine, &visitor));
    GN2_TRY(keep_scores(e, labels->flavour, jets->count));
    add_sums(e, jets->count);
    for (int k = 0; k < t->h.task_count; k++)
        e->losses.value[k] += t->engine->losses.value[k];
    e->jets += jets->count;
    e->batches++;
    return GN2_OK;
}

static gn2_status evaluate_all(evaluation *e, gn2_dataset *dataset)
{
    gn2_jets jets;
    gn2_labels labels;
    GN2_TRY(gn2_dataset_reset_impl(dataset, 0, 0));
    for (;;) {
        GN2_TRY(gn2_dataset_next_impl(dataset, &jets, &labels));
        if (jets.count == 0) break;
        GN2_TRY(evaluate_batch(e, &jets, &labels));
    }
    if (e->batches) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG, "the dataset has no batch to evaluate");
}

/* ---- metrics ---- */

static double loss_of(const evaluation *e, int task)
{
    return task < 0 ? 0 : e->losses.value[task] / (double)e->batches;
}

static void fill_losses(const evaluation *e, gn2_metrics *out)
{
    const gn2_hparams *h = &e->trainer->h;
    out->loss_jets = loss_of(e, h->flavour);
    out->loss_origin = loss_of(e, gn2_hparams_task(h, "track_origin"));
    out->loss_vertex = loss_of(e, h->pairs);
    out->loss = out->loss_jets + out->loss_origin + out->loss_vertex;
}

/* Metric i of a task, NaN without the task or its labels. */
static double metric_of(const evaluation *e, int task, int i)
{
    double values[GN2_MAX_SUMS];
    if (task < 0) return (double)NAN;
    gn2_task_kind_of_f32(&e->trainer->h.task[task])->conclude(e->all[task], values);
    return values[i];
}

static void fill_scores(evaluation *e, gn2_metrics *out)
{
    static const double points[GN2_WORKING_POINTS] = {0.65, 0.70, 0.77, 0.85};
    const gn2_scores *b = &e->scores[SAMPLE_B];
    for (int s = 0; s < SAMPLE_COUNT; s++) gn2_scores_sort(&e->scores[s]);
    out->auc_b_light = gn2_metric_auc(b, &e->scores[SAMPLE_LIGHT]);
    out->auc_b_c = gn2_metric_auc(b, &e->scores[SAMPLE_C]);
    for (int p = 0; p < GN2_WORKING_POINTS; p++) {
        out->cut[p] = gn2_metric_cut(b, points[p]);
        for (int s = SAMPLE_LIGHT; s < SAMPLE_COUNT; s++)
            out->rejection[p][s - SAMPLE_LIGHT] =
                gn2_metric_rejection(&e->scores[s], out->cut[p]);
    }
}

static void fill(evaluation *e, gn2_metrics *out)
{
    const gn2_hparams *h = &e->trainer->h;
    *out = (gn2_metrics){.struct_size = (uint32_t)sizeof *out, .jets = e->jets};
    fill_losses(e, out);
    fill_scores(e, out);
    out->accuracy = metric_of(e, h->flavour, 0);
    out->origin_accuracy = metric_of(e, gn2_hparams_task(h, "track_origin"), 0);
    out->pair_efficiency = metric_of(e, h->pairs, 0);
    out->pair_purity = metric_of(e, h->pairs, 1);
}

gn2_status gn2_train_evaluate(gn2_trainer *t, gn2_dataset *dataset,
                              gn2_metrics *out_metrics)
{
    evaluation e;
    gn2_status status = begin(&e, t);
    if (status == GN2_OK) status = evaluate_all(&e, dataset);
    if (status == GN2_OK) fill(&e, out_metrics);
    end(&e);
    return status;
}
