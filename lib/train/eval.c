/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Losses and metrics on a dataset, without dropout. Losses are means over batches of
 * the batches' losses, as salt logs them, of those batches in which a row counts for
 * the task; metrics are over all jets. What a task counts its kind says; sums are added
 * in the order of the jets, so that they do not depend on threads. Of a group each rank
 * works on its own shards of a batch; what they tell of a jet is gathered first.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/dataset.h"
#include "net/labels.h"
#include "tag/discriminant.h"
#include "train/bind.h"
#include "train/metrics.h"
#include "train/trainer.h"
#include "util/alloc.h"

typedef struct evaluation {
    gn2_trainer *trainer;
    gn2_bound bound;
    gn2_discriminants discriminants;
    int64_t classes;
    double *sums; /* (jets, tasks, GN2_MAX_SUMS) of the batch */
    float *value; /* (jets, discriminants) of the batch */
    size_t sums_capacity, value_capacity;
    double all[GN2_MAX_TASKS][GN2_MAX_SUMS]; /* over all jets */
    gn2_scores *scores;                      /* (discriminants, classes) */
    int64_t jets;
    int64_t batches[GN2_MAX_TASKS]; /* in which a row counts for the task */
    gn2_losses losses;              /* summed over them */
} evaluation;

static gn2_status begin(evaluation *e, gn2_trainer *trainer, gn2_dataset *dataset)
{
    *e = (evaluation){.trainer = trainer, .classes = trainer->h.classes};
    GN2_TRY(gn2_bound_make(trainer->model, dataset, &e->bound));
    GN2_TRY(gn2_discriminants_read(trainer->model->config, trainer->config,
                                   &e->discriminants));
    if (trainer->h.flavour < 0) e->discriminants.count = 0;
    e->scores =
        gn2_alloc(e->discriminants.count * (size_t)e->classes, sizeof *e->scores);
    return e->scores ? GN2_OK : gn2_fail_memory();
}

/* Of task k and jet b of the batch. */
static double *sums_of(const evaluation *e, int64_t b, int k)
{
    return e->sums + (b * e->trainer->h.task_count + k) * GN2_MAX_SUMS;
}

static gn2_scores *scores_of(const evaluation *e, size_t d, int64_t class_index)
{
    return &e->scores[(int64_t)d * e->classes + class_index];
}

static void end(evaluation *e)
{
    const size_t count = e->discriminants.count * (size_t)e->classes;
    for (size_t i = 0; e->scores && i < count; i++) gn2_free(e->scores[i].value);
    gn2_bound_clear(&e->bound);
    gn2_free(e->scores);
    gn2_free(e->sums);
    gn2_free(e->value);
}

/* ---- what a chunk tells, on any thread ---- */

static void visit_scores(evaluation *e, const gn2_pass_f32 *pass)
{
    const size_t count = e->discriminants.count;
    for (int64_t b = 0; b < pass->chunk.jets && count; b++) {
        float p[GN2_MAX_CLASSES];
        const float *logits = pass->space->head[pass->net->h->flavour].logits;
        float *value = e->value + (size_t)(pass->chunk.first + b) * count;
        pass->ctx.kernels->softmax(p, logits + b * e->classes, 1, e->classes);
        for (size_t d = 0; d < count; d++) {
            const gn2_discriminant_rule *rule = &e->discriminants.rule[d];
            value[d] = gn2_discriminant_value(p, e->classes, rule->signal,
                                              rule->fraction, rule->form);
        }
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

static gn2_status reserve(evaluation *e, int64_t jets)
{
    const size_t classes = e->discriminants.count * (size_t)e->classes;
    const size_t values = (size_t)jets * e->discriminants.count;
    const size_t sums = (size_t)(jets * e->trainer->h.task_count) * GN2_MAX_SUMS;
    int there =
        gn2_reserve(&e->value, &e->value_capacity, 0, values, sizeof *e->value) &&
        gn2_reserve(&e->sums, &e->sums_capacity, 0, sums, sizeof *e->sums);
    for (size_t i = 0; i < classes && there; i++) {
        gn2_scores *s = &e->scores[i];
        there = gn2_reserve(&s->value, &s->capacity, s->count, s->count + (size_t)jets,
                            sizeof *s->value);
    }
    if (!there) return gn2_fail_memory();
    memset(e->sums, 0, sums * sizeof *e->sums);
    return GN2_OK;
}

static void add_sums(evaluation *e, int64_t jets)
{
    for (int64_t b = 0; b < jets; b++)
        for (int k = 0; k < e->trainer->h.task_count; k++)
            for (int i = 0; i < GN2_MAX_SUMS; i++) e->all[k][i] += sums_of(e, b, k)[i];
}

static void keep_scores(evaluation *e, const int32_t *flavour, int64_t jets)
{
    const size_t count = e->discriminants.count;
    for (int64_t b = 0; b < jets; b++)
        for (size_t d = 0; d < count && flavour[b] >= 0; d++) {
            gn2_scores *scores = scores_of(e, d, flavour[b]);
            scores->value[scores->count++] = e->value[(size_t)b * count + d];
        }
}

static gn2_status read_labels(const gn2_hparams *h, const gn2_labels *labels,
                              gn2_batch_labels *out)
{
    GN2_TRY(gn2_labels_by_task(h, labels, out));
    int any = 0;
    for (int k = 0; k < h->task_count; k++) any |= gn2_task_labelled(&out->task[k]);
    if (any) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG, "the dataset has no labels of any task");
}

static void add_losses(evaluation *e)
{
    const gn2_engine_f32 *engine = e->trainer->engine;
    for (int k = 0; k < e->trainer->h.task_count; k++) {
        if (!(engine->totals.value[k] > 0)) continue;
        e->losses.value[k] += engine->losses.value[k];
        e->batches[k]++;
    }
}

static gn2_status stop_if_asked(const evaluation *e)
{
    if (e->trainer->group) return GN2_OK; /* the agreement asks */
    if (!atomic_exchange(&e->trainer->stop, 0)) return GN2_OK;
    return gn2_fail(GN2_ERR_CANCELLED,
                    "stopped on request after %lld jets of an evaluation",
                    (long long)e->jets);
}

/* A batch as the engine takes it, and room for what it tells; no jets: the end. */
static gn2_status read_batch(evaluation *e, gn2_batch_f32 *batch,
                             gn2_batch_labels *labels)
{
    gn2_trainer *t = e->trainer;
    gn2_jets jets;
    gn2_labels given;
    batch->jets = 0;
    GN2_TRY(stop_if_asked(e));
    GN2_TRY(gn2_bound_next(&e->bound, &jets, &given));
    if (jets.count == 0) return GN2_OK;
    GN2_TRY(read_labels(&t->h, &given, labels));
    GN2_TRY(gn2_input_read(&t->input, t->model, &e->bound.columns, &jets, batch));
    GN2_TRY(gn2_labels_check_f32(&t->h, batch, labels));
    return reserve(e, jets.count);
}

/* What this rank has of its jets becomes that of all ranks of all jets. */
static gn2_status gather(evaluation *e)
{
    const gn2_engine_f32 *engine = e->trainer->engine;
    const size_t tasks = (size_t)e->trainer->h.task_count;
    if (gn2_group_ranks(engine->share.group) == 1) return GN2_OK;
    GN2_TRY(gn2_ranks_rows_f32(engine, e->value,
                               e->discriminants.count * sizeof *e->value));
    return gn2_ranks_rows_f32(engine, e->sums, tasks * GN2_MAX_SUMS * sizeof *e->sums);
}

static gn2_status evaluate_batch(evaluation *e, const gn2_batch_f32 *batch,
                                 const gn2_batch_labels *labels)
{
    gn2_trainer *t = e->trainer;
    const gn2_visitor_f32 visitor = {.fn = visit, .user = e, .together = 1};
    GN2_TRY(gn2_engine_forward_f32(t->engine, batch, labels, &visitor));
    GN2_TRY(gather(e));
    if (t->h.flavour >= 0 && labels->task[t->h.flavour].index)
        keep_scores(e, labels->task[t->h.flavour].index, batch->jets);
    add_sums(e, batch->jets);
    add_losses(e);
    e->jets += batch->jets;
    return GN2_OK;
}

static gn2_status evaluate_all(evaluation *e)
{
    gn2_batch_f32 batch;
    gn2_batch_labels labels;
    GN2_TRY(gn2_dataset_reset_impl(e->bound.dataset, 0, 0));
    GN2_TRY(
        gn2_dataset_serve_impl(e->bound.dataset, gn2_pool_workers(e->trainer->pool)));
    for (;;) {
        const gn2_status status = read_batch(e, &batch, &labels);
        const gn2_place place = {.kind = GN2_PLACE_EVALUATION, .count = e->jets};
        GN2_TRY(gn2_train_agree_batch(e->trainer, status, place, &batch, &labels));
        if (batch.jets == 0) break;
        GN2_TRY(evaluate_batch(e, &batch, &labels));
    }
    if (e->jets) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG, "the dataset has no batch to evaluate");
}

/* ---- metrics ---- */

static const double points[GN2_WORKING_POINTS] = {0.65, 0.70, 0.77, 0.85};
static const char *const point_names[GN2_WORKING_POINTS] = {"65", "70", "77", "85"};

/* Metrics of a task without labels are NaN, as 0/0 is. */
static gn2_status list_task(const evaluation *e, int k, gn2_figures *out)
{
    const gn2_task *task = &e->trainer->h.task[k];
    const gn2_task_kind_f32 *kind = gn2_task_kind_of_f32(task);
    double values[GN2_MAX_SUMS];
    kind->conclude(e->all[k], values);
    for (int i = 0; kind->metrics[i]; i++)
        GN2_TRY(gn2_figures_add(out, task->name, kind->metrics[i], NULL, values[i]));
    return GN2_OK;
}

static const char *class_name(const evaluation *e, int64_t c)
{
    return gn2_config_list_item(e->trainer->model->config, "model.classes", (size_t)c);
}

static gn2_status list_point(const evaluation *e, size_t d, int p, gn2_figures *out)
{
    const gn2_discriminant_rule *rule = &e->discriminants.rule[d];
    const double cut = gn2_metric_cut(scores_of(e, d, rule->signal), points[p]);
    char what[32];
    snprintf(what, sizeof what, "cut_%s", point_names[p]);
    GN2_TRY(gn2_figures_add(out, rule->name, what, NULL, cut));
    snprintf(what, sizeof what, "rejection_%s", point_names[p]);
    for (int64_t c = 0; c < e->classes; c++) {
        if (c == rule->signal) continue;
        const double value = gn2_metric_rejection(scores_of(e, d, c), cut);
        GN2_TRY(gn2_figures_add(out, rule->name, what, class_name(e, c), value));
    }
    return GN2_OK;
}

static gn2_status list_discriminant(const evaluation *e, size_t d, gn2_figures *out)
{
    const gn2_discriminant_rule *rule = &e->discriminants.rule[d];
    for (int64_t c = 0; c < e->classes; c++) gn2_scores_sort(scores_of(e, d, c));
    const gn2_scores *signal = scores_of(e, d, rule->signal);
    for (int64_t c = 0; c < e->classes; c++) {
        if (c == rule->signal) continue;
        const double auc = gn2_metric_auc(signal, scores_of(e, d, c));
        GN2_TRY(gn2_figures_add(out, rule->name, "auc", class_name(e, c), auc));
    }
    for (int p = 0; p < GN2_WORKING_POINTS; p++) GN2_TRY(list_point(e, d, p, out));
    return GN2_OK;
}

/* Of a task for which no row counts nothing is known, so neither of the total. */
static void fill_losses(const evaluation *e, gn2_figures *figures, gn2_metrics *out)
{
    out->task_count = e->trainer->h.task_count;
    out->task_losses = figures->task_losses;
    for (int k = 0; k < out->task_count; k++) {
        const double sum = e->losses.value[k];
        figures->task_losses[k] =
            e->batches[k] ? sum / (double)e->batches[k] : (double)NAN;
        out->loss += figures->task_losses[k];
    }
}

static void fill_b_tagging(const gn2_figures *figures, gn2_metrics *out)
{
    static const char *const backgrounds[] = {"ujets", "cjets", "taujets"};
    out->auc_b_light = gn2_figures_value(figures, "D_b.auc_ujets");
    out->auc_b_c = gn2_figures_value(figures, "D_b.auc_cjets");
    for (int p = 0; p < GN2_WORKING_POINTS; p++) {
        char name[64];
        snprintf(name, sizeof name, "D_b.cut_%s", point_names[p]);
        out->cut[p] = gn2_figures_value(figures, name);
        for (int b = 0; b < 3; b++) {
            snprintf(name, sizeof name, "D_b.rejection_%s_%s", point_names[p],
                     backgrounds[b]);
            out->rejection[p][b] = gn2_figures_value(figures, name);
        }
    }
}

static gn2_status fill(const evaluation *e, gn2_metrics *out)
{
    gn2_figures *figures = &e->trainer->figures;
    figures->count = 0;
    for (int k = 0; k < e->trainer->h.task_count; k++)
        GN2_TRY(list_task(e, k, figures));
    for (size_t d = 0; d < e->discriminants.count; d++)
        GN2_TRY(list_discriminant(e, d, figures));
    *out = (gn2_metrics){.struct_size = (uint32_t)sizeof *out, .jets = e->jets};
    fill_losses(e, figures, out);
    fill_b_tagging(figures, out);
    out->metrics = figures->metric;
    out->metric_count = (int64_t)figures->count;
    return GN2_OK;
}

static gn2_status evaluate(gn2_trainer *t, gn2_dataset *dataset,
                           gn2_metrics *out_metrics)
{
    evaluation e;
    gn2_status status = begin(&e, t, dataset);
    if (status == GN2_OK) status = evaluate_all(&e);
    if (status == GN2_OK) status = fill(&e, out_metrics);
    end(&e);
    return status;
}

gn2_status gn2_train_evaluate(gn2_trainer *t, gn2_dataset *dataset,
                              gn2_metrics *out_metrics)
{
    if (t->group) t->group->told = 0; /* of a failure: it is told by an agreement */
    return gn2_train_agree_end(t, evaluate(t, dataset, out_metrics));
}

/* What a run is steered by must be known in full: that it is not shows when all is
 * read. */
gn2_status gn2_train_validate(gn2_trainer *t, gn2_dataset *dataset,
                              gn2_metrics *out_metrics)
{
    GN2_TRY(evaluate(t, dataset, out_metrics));
    for (int k = 0; k < t->h.task_count; k++)
        if (isnan(out_metrics->task_losses[k]))
            return gn2_fail(GN2_ERR_INVALID_ARG,
                            "the %lld jets of the validation have no label for the "
                            "loss of task '%s': take others, or leave the task out of "
                            "model.tasks",
                            (long long)out_metrics->jets, t->h.task[k].name);
    return GN2_OK;
}
