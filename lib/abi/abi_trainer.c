/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of trainer.h: checks, then train/trainer.h does the work. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "abi/guard.h"
#include "abi/jets.h"
#include "data/dataset.h"
#include "io/model_file.h"
#include "net/labels.h"
#include "train/trainer.h"
#include "util/str.h"

/* As GN2_TRY_HELD(), for what the callback of gn2_trainer_fit() may do too. */
#define TRY_BETWEEN(use, expr)                                   \
    do {                                                         \
        int before;                                              \
        GN2_TRY(gn2_use_take_between((use), __func__, &before)); \
        const gn2_status status = (expr);                        \
        gn2_use_put_back((use), before);                         \
        if (status != GN2_OK) return status;                     \
    } while (0)

/* Takes the trainer for a call of all ranks. One that comes into another call fails,
 * and the ranks that wait for it are told: by the call under way where that lets
 * something in, else behind it. */
static gn2_status take_together(gn2_trainer *t, const char *function)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    const gn2_status status = gn2_use_take(&t->use, function);
    if (status == GN2_OK || !atomic_load(&t->joined)) return status;
    while (gn2_use_is_elsewhere(&t->use)) nanosleep(&pause, NULL);
    if (gn2_use_take(&t->use, function) != GN2_OK) {
        atomic_store(&t->refused, function);
        return status;
    }
    const gn2_status told = gn2_train_refused(t, gn2_use_fail_busy(function));
    gn2_use_give_back(&t->use);
    return told;
}

/* The same of a dataset, inside such a call. */
static gn2_status take_data(gn2_trainer *t, gn2_dataset *dataset, const char *function)
{
    const gn2_status status = gn2_use_take(gn2_dataset_use(dataset), function);
    return status == GN2_OK ? GN2_OK : gn2_train_refused(t, status);
}

/* Bad arguments of such a call. Their message stays: what takes the trainer says
 * nothing. */
static gn2_status refuse(gn2_trainer *t, const char *function, gn2_status status)
{
    if (!atomic_load(&t->joined)) return status;
    GN2_TRY(take_together(t, function));
    status = gn2_train_refused(t, status);
    gn2_use_give_back(&t->use);
    return status;
}

/* As GN2_TRY_HELD() and GN2_REQUIRE(), for calls of all ranks. */
#define TRY_TOGETHER(trainer, expr)                    \
    do {                                               \
        GN2_TRY(take_together((trainer), __func__));   \
        const gn2_status held_status = (expr);         \
        gn2_use_give_back(&(trainer)->use);            \
        if (held_status != GN2_OK) return held_status; \
    } while (0)

#define REQUIRE_TOGETHER(trainer, pointer)                                            \
    do {                                                                              \
        if (!(pointer))                                                               \
            return refuse(                                                            \
                (trainer), __func__,                                                  \
                gn2_fail(GN2_ERR_INVALID_ARG, "%s: %s is NULL", __func__, #pointer)); \
    } while (0)

/* A trainer that is only read is held all the same: others may be changing it. */
static gn2_use *use_of(const gn2_trainer *trainer)
{
    return (gn2_use *)(uintptr_t)&trainer->use;
}

gn2_status gn2_trainer_create(const gn2_model *model, const gn2_config *config,
                              gn2_trainer **out_trainer)
{
    GN2_REQUIRE_OUT(out_trainer);
    GN2_REQUIRE(model);
    gn2_config *own = NULL;
    if (!config) GN2_TRY(gn2_model_file_config(model, &own));
    const gn2_status status = gn2_train_new(model, config ? config : own, out_trainer);
    gn2_config_delete(own);
    return status;
}

void gn2_trainer_free(gn2_trainer *trainer)
{
    gn2_train_delete(trainer);
}

/* What a step is given. */
typedef struct step_input {
    gn2_jets_view view;
    gn2_labels_view labels;
} step_input;

static gn2_status read_step(const gn2_trainer *trainer, const gn2_jets *jets,
                            const gn2_labels *labels, const gn2_step_stats *stats,
                            step_input *out)
{
    GN2_CHECK(jets, "gn2_trainer_step: jets is NULL");
    GN2_CHECK(labels, "gn2_trainer_step: labels is NULL");
    GN2_TRY(gn2_jets_read(&out->view, jets));
    GN2_TRY(gn2_labels_read(&out->labels, labels));
    GN2_TRY(gn2_labels_check_names(&trainer->model->h, &out->labels.labels));
    return stats ? gn2_guard_out_check(GN2_GUARD(gn2_step_stats), stats) : GN2_OK;
}

gn2_status gn2_trainer_step(gn2_trainer *trainer, const gn2_jets *jets,
                            const gn2_labels *labels, gn2_step_stats *out_stats)
{
    step_input in;
    gn2_step_stats stats;
    GN2_REQUIRE(trainer);
    const gn2_status status = read_step(trainer, jets, labels, out_stats, &in);
    if (status != GN2_OK) return refuse(trainer, __func__, status);
    TRY_TOGETHER(trainer,
                 gn2_train_step(trainer, &in.view.jets, &in.labels.labels, &stats));
    return out_stats ? gn2_guard_out(GN2_GUARD(gn2_step_stats), out_stats, &stats)
                     : GN2_OK;
}

/* The callback comes between steps: meanwhile its thread may look at the trainer. */
typedef struct watched {
    gn2_trainer *trainer;
    gn2_progress_fn fn;
    void *user;
} watched;

static int32_t tell(void *user, const gn2_progress *progress)
{
    const watched *w = user;
    gn2_use_open(&w->trainer->use);
    const int32_t answer = w->fn(w->user, progress);
    gn2_use_close(&w->trainer->use);
    return answer;
}

/* One dataset may be both: it is gone back to an epoch's start each time. */
static gn2_status fit_held(watched *w, gn2_dataset *train, gn2_dataset *val)
{
    gn2_dataset *other = val != train ? val : NULL;
    if (other) GN2_TRY(take_data(w->trainer, other, "gn2_trainer_fit"));
    const gn2_status status =
        gn2_train_fit(w->trainer, train, val, w->fn ? tell : NULL, w);
    if (other) gn2_use_give_back(gn2_dataset_use(other));
    return status;
}

static gn2_status fit_data(watched *w, gn2_dataset *train, gn2_dataset *val)
{
    GN2_TRY(take_data(w->trainer, train, "gn2_trainer_fit"));
    const gn2_status status = fit_held(w, train, val);
    gn2_use_give_back(gn2_dataset_use(train));
    return status;
}

gn2_status gn2_trainer_fit(gn2_trainer *trainer, gn2_dataset *train, gn2_dataset *val,
                           gn2_progress_fn fn, void *user)
{
    GN2_REQUIRE(trainer);
    REQUIRE_TOGETHER(trainer, train);
    watched w = {trainer, fn, user};
    TRY_TOGETHER(trainer, fit_data(&w, train, val));
    return GN2_OK;
}

static gn2_status evaluate(gn2_trainer *trainer, gn2_dataset *dataset,
                           gn2_metrics *metrics)
{
    GN2_TRY(take_data(trainer, dataset, "gn2_trainer_evaluate"));
    const gn2_status status = gn2_train_evaluate(trainer, dataset, metrics);
    gn2_use_give_back(gn2_dataset_use(dataset));
    return status;
}

gn2_status gn2_trainer_evaluate(gn2_trainer *trainer, gn2_dataset *dataset,
                                gn2_metrics *out_metrics)
{
    gn2_metrics metrics;
    GN2_REQUIRE(trainer);
    REQUIRE_TOGETHER(trainer, dataset);
    REQUIRE_TOGETHER(trainer, out_metrics);
    const gn2_status status = gn2_guard_out_check(GN2_GUARD(gn2_metrics), out_metrics);
    if (status != GN2_OK) return refuse(trainer, __func__, status);
    TRY_TOGETHER(trainer, evaluate(trainer, dataset, &metrics));
    return gn2_guard_out(GN2_GUARD(gn2_metrics), out_metrics, &metrics);
}

gn2_status gn2_trainer_checkpoint_save(const gn2_trainer *trainer, const char *path)
{
    GN2_REQUIRE(trainer, path);
    TRY_BETWEEN(use_of(trainer), gn2_train_save(trainer, path));
    return GN2_OK;
}

gn2_status gn2_trainer_checkpoint_load(gn2_trainer *trainer, const char *path)
{
    GN2_REQUIRE(trainer);
    REQUIRE_TOGETHER(trainer, path);
    TRY_TOGETHER(trainer, gn2_train_load(trainer, path));
    return GN2_OK;
}

gn2_status gn2_trainer_snapshot(const gn2_trainer *trainer, gn2_model **out_model)
{
    GN2_REQUIRE_OUT(out_model);
    GN2_REQUIRE(trainer);
    TRY_BETWEEN(use_of(trainer), gn2_train_snapshot(trainer, out_model));
    return GN2_OK;
}

void gn2_trainer_request_stop(gn2_trainer *trainer)
{
    if (trainer) atomic_store(&trainer->stop, 1);
}

size_t gn2_trainer_memory(const gn2_trainer *trainer)
{
    return trainer ? gn2_train_memory(trainer) : 0;
}

const char *gn2_trainer_precision(const gn2_trainer *trainer)
{
    return trainer ? gn2_train_precision(trainer) : "";
}

gn2_status gn2_trainer_probe(gn2_trainer *trainer, const gn2_jets *jets,
                             gn2_probe_fn fn, void *user)
{
    gn2_jets_view view;
    GN2_REQUIRE(trainer, jets);
    GN2_CHECK(fn, "%s: fn is NULL", __func__);
    GN2_TRY(gn2_jets_read(&view, jets));
    TRY_BETWEEN(&trainer->use, gn2_train_probe(trainer, &view.jets, fn, user));
    return GN2_OK;
}

gn2_status gn2_metrics_find(const gn2_metrics *metrics, const char *name,
                            double *out_value)
{
    gn2_metrics mine;
    char list[GN2_NAME_LIST_SIZE] = "";
    GN2_REQUIRE(out_value);
    *out_value = (double)NAN;
    GN2_REQUIRE(metrics, name);
    GN2_TRY(gn2_guard_in(GN2_GUARD(gn2_metrics), &mine, metrics));
    GN2_CHECK(mine.metrics || mine.metric_count <= 0,
              "%s: metrics is NULL, metric_count = %lld", __func__,
              (long long)mine.metric_count);
    for (int64_t i = 0; i < mine.metric_count; i++) {
        const char *known = mine.metrics[i].name;
        if (strcmp(known, name) == 0) {
            *out_value = mine.metrics[i].value;
            return GN2_OK;
        }
        gn2_name_list_add(list, known);
    }
    return gn2_fail(GN2_ERR_NOT_FOUND, "no metric '%.100s'; there are%s", name, list);
}
