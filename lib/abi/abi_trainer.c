/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of trainer.h: checks, then train/trainer.h does the work. */
#include <math.h>
#include <string.h>

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

/* A trainer that is only read is held all the same: others may be changing it. */
static gn2_use *use_of(const gn2_trainer *trainer)
{
    return (gn2_use *)(uintptr_t)&trainer->use;
}

gn2_status gn2_trainer_create(const gn2_model *model, const gn2_config *config,
                              gn2_trainer **out_trainer)
{
    GN2_REQUIRE(out_trainer);
    *out_trainer = NULL;
    GN2_REQUIRE(model);
    if (config) return gn2_train_new(model, config, out_trainer);
    gn2_config *own;
    GN2_TRY(gn2_model_file_config(model, &own));
    const gn2_status status = gn2_train_new(model, own, out_trainer);
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
    if (status != GN2_OK)
        GN2_TRY_HELD(&trainer->use, gn2_train_step_refused(trainer, status));
    GN2_TRY_HELD(&trainer->use,
                 gn2_train_step(trainer, &in.view.jets, &in.labels.labels, &stats));
    if (out_stats) gn2_guard_out(GN2_GUARD(gn2_step_stats), out_stats, &stats);
    return GN2_OK;
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
    gn2_use *other = val && val != train ? gn2_dataset_use(val) : NULL;
    if (other) GN2_TRY(gn2_use_take(other, "gn2_trainer_fit"));
    const gn2_status status =
        gn2_train_fit(w->trainer, train, val, w->fn ? tell : NULL, w);
    if (other) gn2_use_give_back(other);
    return status;
}

static gn2_status fit_data(watched *w, gn2_dataset *train, gn2_dataset *val)
{
    GN2_TRY_HELD(gn2_dataset_use(train), fit_held(w, train, val));
    return GN2_OK;
}

gn2_status gn2_trainer_fit(gn2_trainer *trainer, gn2_dataset *train, gn2_dataset *val,
                           gn2_progress_fn fn, void *user)
{
    GN2_REQUIRE(trainer);
    GN2_REQUIRE(train);
    watched w = {trainer, fn, user};
    GN2_TRY_HELD(&trainer->use, fit_data(&w, train, val));
    return GN2_OK;
}

static gn2_status evaluate(gn2_trainer *trainer, gn2_dataset *dataset,
                           gn2_metrics *metrics)
{
    GN2_TRY_HELD(gn2_dataset_use(dataset),
                 gn2_train_evaluate(trainer, dataset, metrics));
    return GN2_OK;
}

gn2_status gn2_trainer_evaluate(gn2_trainer *trainer, gn2_dataset *dataset,
                                gn2_metrics *out_metrics)
{
    gn2_metrics metrics;
    GN2_REQUIRE(trainer);
    GN2_REQUIRE(dataset);
    GN2_REQUIRE(out_metrics);
    GN2_TRY(gn2_guard_out_check(GN2_GUARD(gn2_metrics), out_metrics));
    GN2_TRY_HELD(&trainer->use, evaluate(trainer, dataset, &metrics));
    gn2_guard_out(GN2_GUARD(gn2_metrics), out_metrics, &metrics);
    return GN2_OK;
}

gn2_status gn2_trainer_checkpoint_save(const gn2_trainer *trainer, const char *path)
{
    GN2_REQUIRE(trainer);
    GN2_REQUIRE(path);
    TRY_BETWEEN(use_of(trainer), gn2_train_save(trainer, path));
    return GN2_OK;
}

gn2_status gn2_trainer_checkpoint_load(gn2_trainer *trainer, const char *path)
{
    GN2_REQUIRE(trainer);
    GN2_REQUIRE(path);
    GN2_TRY_HELD(&trainer->use, gn2_train_load(trainer, path));
    return GN2_OK;
}

gn2_status gn2_trainer_snapshot(const gn2_trainer *trainer, gn2_model **out_model)
{
    GN2_REQUIRE(out_model);
    *out_model = NULL;
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

gn2_status gn2_trainer_probe(gn2_trainer *trainer, const gn2_jets *jets,
                             gn2_probe_fn fn, void *user)
{
    gn2_jets_view view;
    GN2_REQUIRE(trainer);
    GN2_REQUIRE(jets);
    GN2_REQUIRE(fn);
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
    GN2_REQUIRE(metrics);
    GN2_REQUIRE(name);
    GN2_TRY(gn2_guard_in(GN2_GUARD(gn2_metrics), &mine, metrics));
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
