/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of several updates: schedule, optimiser, parametrisation together. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "checks.h"
#include "common/need.h"
#include "golden_train.h"
#include "optim/schedule.h"
#include "util/alloc.h"

/* Tolerances of README.md. */
#define SCHEDULE_SHARE 1e-11
#define F64_LOSSES 1e-10
#define F32_LOSS_SHARE 1e-5
#define F64_PARAMS 2e-9
#define F32_PARAMS 5e-6
#define F64_NORMS 1e-9
#define F32_NORM_SHARE 1e-5

#define MAX_BATCHES 8

static const golden_trainer *const trainers[] = {&golden_trainer_f64,
                                                 &golden_trainer_f32};

static gn2_schedule read_schedule(golden_id file, const char *group)
{
    return (gn2_schedule){
        .kind = gn2_schedule_find("onecycle"),
        .steps = (int64_t)golden_number(file, group, "S"),
        .initial = golden_number(file, group, "initial"),
        .max = golden_number(file, group, "max"),
        .end = golden_number(file, group, "end"),
        .pct_start = golden_number(file, group, "pct"),
        .beta1_max = 0.95, /* torch OneCycleLR's defaults */
        .beta1_min = 0.85,
    };
}

/* lr and beta1 of rows whose steps are given (NULL: 0, 1, …). */
static void check_rates(golden_report *r, const char *group, const gn2_schedule *s,
                        const golden_array *steps)
{
    static const char *const names[] = {"lr", "beta1"};
    for (int which = 0; which < 2; which++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", group, names[which]);
        golden_array wanted = golden_read(r->file, path);
        double dev = 0;
        for (int64_t i = 0; i < wanted.count; i++) {
            double rate[2];
            gn2_schedule_at(s, steps ? (int64_t)steps->x[i] : i, &rate[0], &rate[1]);
            const double d = fabs(rate[which] / wanted.x[i] - 1);
            if (!(d <= dev)) dev = d;
        }
        golden_line(r, "f64", path, dev, SCHEDULE_SHARE);
        golden_array_free(&wanted);
    }
}

/* Where torch divides by zero, ours begins at the largest rate and ends at the last. */
static double off_ends(const gn2_schedule *s)
{
    double first, last, beta1;
    gn2_schedule_at(s, 0, &first, &beta1);
    gn2_schedule_at(s, s->steps - 1, &last, &beta1);
    return fabs(first / s->max - 1) + (s->steps > 1 ? fabs(last / s->end - 1) : 0);
}

void golden_check_onecycle(golden_report *r)
{
    golden_text cases = golden_members(r->file, "/");
    for (int64_t i = 0; i < cases.count; i++) {
        char status[64], path[128];
        const char *group = cases.item[i];
        const gn2_schedule s = read_schedule(r->file, group);
        golden_string(r->file, group, "status", status);
        if (strcmp(status, "ok") != 0) {
            snprintf(path, sizeof path, "%s, which torch refuses", group);
            golden_line(r, "f64", path, off_ends(&s), SCHEDULE_SHARE);
            continue;
        }
        snprintf(path, sizeof path, "%s/step", group);
        golden_array steps = golden_read(r->file, path);
        need_true(steps.count > 0, path);
        check_rates(r, group, &s, &steps);
        golden_array_free(&steps);
    }
    golden_text_free(&cases);
}

/* ---- a run ---- */

/* One run in one precision. */
typedef struct training {
    golden_report *report;
    const golden_trainer *trainer;
    testmodel *model;
    const char *group;
    void *engine;
    double *weights; /* after the last step */
} training;

/* Losses of a step beside row `row` of losses (steps, 4); the largest deviation
 * over its tolerance, in units of it. */
static double loss_share(const training *t, const double *wanted,
                         const double losses[TASK_COUNT])
{
    double share = 0, total = 0;
    for (int id = 0; id <= TASK_COUNT; id++) {
        const double have = id < TASK_COUNT ? losses[id] : total;
        const double tolerance =
            t->trainer->is_double ? F64_LOSSES : F32_LOSS_SHARE * fabs(wanted[id]);
        const double s = fabs(have - wanted[id]) / tolerance;
        if (!(s <= share)) share = s;
        if (id < TASK_COUNT) total += losses[id];
    }
    return share;
}

/* Is element i of a tensor one that only rounding moves? */
static int is_flat(const training *t, const gn2_tensor *tensor, int64_t i)
{
    int64_t first, end;
    if (t->trainer->is_double) return 0;
    golden_flat_direction(tensor, &first, &end);
    return i >= first && i < end;
}

static void check_params(const training *t, int64_t step)
{
    char group[160], path[320];
    double dev = 0;
    snprintf(group, sizeof group, "%s/params_step%d", t->group, (int)step);
    if (!golden_has(t->report->file, group)) return;
    t->trainer->weights(t->engine, t->weights);
    for (size_t k = 0; k < t->model->params->count; k++) {
        const gn2_tensor *tensor = &t->model->params->tensor[k];
        snprintf(path, sizeof path, "%s/%s", group, tensor->name);
        golden_array wanted = golden_read(t->report->file, path);
        need_true(wanted.count == tensor->count, path);
        for (int64_t i = 0; i < wanted.count; i++) {
            const double d = fabs(t->weights[tensor->offset + i] - wanted.x[i]);
            if (!is_flat(t, tensor, i) && !(d <= dev)) dev = d;
        }
        golden_array_free(&wanted);
    }
    golden_line(t->report, t->trainer->precision, group, dev,
                t->trainer->is_double ? F64_PARAMS : F32_PARAMS);
}

static void train_run(training *t, testbatch *const *batches, int64_t batch_count)
{
    const gn2_schedule s = read_schedule(t->report->file, t->group);
    char path[128];
    snprintf(path, sizeof path, "%s/losses", t->group);
    golden_array wanted = golden_read(t->report->file, path);
    double share = 0;
    for (int64_t k = 0; k < wanted.dim[0]; k++) {
        double losses[TASK_COUNT], lr, beta1;
        gn2_schedule_at(&s, k, &lr, &beta1);
        t->trainer->step(t->engine, batches[k % batch_count], lr, beta1, losses);
        share = fmax(share, loss_share(t, wanted.x + 4 * k, losses));
        check_params(t, k + 1);
    }
    /* in units of the tolerance */
    golden_line(t->report, t->trainer->precision, path, share, 1);
    golden_array_free(&wanted);
}

static void check_run(golden_report *report, testmodel *model, const char *name,
                      testbatch *const *batches, int64_t batch_count)
{
    char group[96];
    snprintf(group, sizeof group, "runs/%s", name);
    const gn2_schedule s = read_schedule(report->file, group);
    check_rates(report, group, &s, NULL);
    const gn2_optim_options options = {
        .weight_decay = golden_number(report->file, group, "wd"),
        .beta2 = golden_number(report->file, group, "beta2"),
        .eps = golden_number(report->file, group, "eps"),
    };
    for (int i = 0; i < 2; i++) {
        training t = {
            report, trainers[i], model, group, trainers[i]->create(model, &options),
            NULL};
        t.weights = need_memory((size_t)model->params->total, sizeof *t.weights);
        train_run(&t, batches, batch_count);
        t.trainer->free(t.engine);
        gn2_free(t.weights);
    }
}

void golden_check_train(golden_report *report)
{
    const golden_form form = {.parametrization = "sp", .optimiser = "adamw"};
    const int64_t count = (int64_t)golden_number(report->file, "/", "n_batches");
    testmodel *model = golden_model_create(report->file, &form);
    testbatch *batches[MAX_BATCHES];
    need_true(count <= MAX_BATCHES, "few batches");
    golden_weights_read(report->file, "params", model);
    for (int64_t k = 0; k < count; k++) {
        char group[32];
        snprintf(group, sizeof group, "batches/%d/", (int)k);
        batches[k] = golden_batch_packed(report->file, group, model);
    }
    golden_text runs = golden_members(report->file, "runs");
    for (int64_t i = 0; i < runs.count; i++)
        check_run(report, model, runs.item[i], batches, count);
    golden_text_free(&runs);
    for (int64_t k = 0; k < count; k++) testbatch_free(batches[k]);
    testmodel_free(model);
}

/* ---- runs of the parametrisations: one batch, a constant rate ---- */

/* Mean |x| of every place the network keeps, beside row `row` of l1. */
static double l1_share(const training *t, const golden_array *wanted, int64_t row,
                       const golden_l1 *place)
{
    double share = 0;
    for (int64_t i = 0; i < wanted->dim[1]; i++) {
        const double want = wanted->x[row * wanted->dim[1] + i];
        const int flat = !t->trainer->is_double && strcmp(place[i].name, "gate") == 0;
        if (!place[i].have || flat) continue;
        const double tolerance =
            t->trainer->is_double ? F64_NORMS : F32_NORM_SHARE * want;
        const double s = fabs(place[i].sum / place[i].count - want) / tolerance;
        if (!(s <= share)) share = s;
    }
    return share;
}

/* Norm of a tensor without what only rounding moves. */
static double norm_of(const training *t, const gn2_tensor *tensor)
{
    double squares = 0;
    for (int64_t i = 0; i < tensor->count; i++) {
        const double x = t->weights[tensor->offset + i];
        squares += x * x;
    }
    return sqrt(squares);
}

static int has_flat_part(const training *t, const gn2_tensor *tensor)
{
    int64_t first, end;
    golden_flat_direction(tensor, &first, &end);
    return !t->trainer->is_double && end > first;
}

static void check_final_norms(const training *t)
{
    char path[128];
    double share = 0;
    snprintf(path, sizeof path, "%s/final_param_l2", t->group);
    golden_array wanted = golden_read(t->report->file, path);
    golden_text names = golden_read_text(t->report->file, "table/name");
    t->trainer->weights(t->engine, t->weights);
    need_true(names.count == wanted.count, path);
    for (int64_t i = 0; i < names.count; i++) {
        const gn2_tensor *tensor = gn2_params_find(t->model->params, names.item[i]);
        if (has_flat_part(t, tensor)) continue; /* its norm holds the drift */
        const double tolerance =
            t->trainer->is_double ? F64_NORMS : F32_NORM_SHARE * wanted.x[i];
        const double s = fabs(norm_of(t, tensor) - wanted.x[i]) / tolerance;
        if (!(s <= share)) share = s;
    }
    golden_line(t->report, t->trainer->precision, path, share, 1);
    golden_text_free(&names);
    golden_array_free(&wanted);
}

static void mup_run(training *t, const testbatch *batch, double lr, double beta1)
{
    char path[128];
    double losses_share = 0, places_share = 0;
    snprintf(path, sizeof path, "%s/modules", t->group);
    golden_text modules = golden_read_text(t->report->file, path);
    golden_l1 *place = need_memory((size_t)modules.count, sizeof *place);
    for (int64_t i = 0; i < modules.count; i++) place[i].name = modules.item[i];
    snprintf(path, sizeof path, "%s/l1", t->group);
    golden_array l1 = golden_read(t->report->file, path);
    snprintf(path, sizeof path, "%s/losses", t->group);
    golden_array wanted = golden_read(t->report->file, path);
    for (int64_t k = 0; k < wanted.dim[0]; k++) {
        double losses[TASK_COUNT];
        t->trainer->probe(t->engine, batch, place, modules.count);
        t->trainer->step(t->engine, batch, lr, beta1, losses);
        places_share = fmax(places_share, l1_share(t, &l1, k, place));
        losses_share = fmax(losses_share, loss_share(t, wanted.x + 4 * k, losses));
    }
    golden_line(t->report, t->trainer->precision, path, losses_share, 1);
    snprintf(path, sizeof path, "%s/l1", t->group);
    golden_line(t->report, t->trainer->precision, path, places_share, 1);
    check_final_norms(t);
    golden_array_free(&l1);
    golden_array_free(&wanted);
    golden_text_free(&modules);
    gn2_free(place);
}

static testmodel *run_model(golden_id file, const char *group, int sgd)
{
    char word[64];
    golden_string(file, group, "parametrisation", word);
    const golden_form form = {.parametrization = word,
                              .optimiser = sgd ? "sgd" : "adamw"};
    testmodel *model = golden_model_create(file, &form);
    golden_weights_read(file, "params", model);
    if (strcmp(word, "sp") == 0) golden_weights_replace(file, "params_sp", model);
    return model;
}

void golden_check_mup_run(golden_report *report, const char *name)
{
    char group[96], word[64];
    snprintf(group, sizeof group, "runs/%s", name);
    golden_string(report->file, group, "optimiser", word);
    const int sgd = strcmp(word, "sgd") == 0;
    testmodel *model = run_model(report->file, group, sgd);
    testbatch *batch = golden_batch_packed(report->file, "", model);
    const gn2_optim_options options = {
        .name = sgd ? "sgd" : "adamw",
        .weight_decay = golden_number(report->file, group, "wd"),
        .beta2 = golden_number(report->file, group, "beta2"),
        .eps = golden_number(report->file, group, "eps"),
    };
    const double lr = golden_number(report->file, group, "lr");
    /* the runs of SGD have no momentum */
    const double beta1 = sgd ? 0 : golden_number(report->file, group, "beta1");
    for (int i = 0; i < 2; i++) {
        training t = {
            report, trainers[i], model, group, trainers[i]->create(model, &options),
            NULL};
        t.weights = need_memory((size_t)model->params->total, sizeof *t.weights);
        mup_run(&t, batch, lr, beta1);
        t.trainer->free(t.engine);
        gn2_free(t.weights);
    }
    testbatch_free(batch);
    testmodel_free(model);
}
