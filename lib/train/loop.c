/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole runs: epochs over a dataset, validation, checkpoints, progress. The position
 * (epoch, batch) lies in the trainer, so a run goes on where it was left.
 */
#include <time.h>

#include "data/dataset.h"
#include "train/trainer.h"

typedef struct run {
    gn2_trainer *trainer;
    gn2_dataset *train, *val;
    gn2_progress_fn fn;
    void *user;
    int64_t epochs, steps, batches; /* planned; batches of an epoch */
    double start;
    gn2_step_stats stats;   /* of the last step */
    const char *checkpoint; /* NULL: none */
    int64_t checkpoint_steps;
} run;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static gn2_status begin(run *r)
{
    gn2_trainer *t = r->trainer;
    gn2_dataset_info info = {.struct_size = sizeof info};
    const char *path = gn2_config_str(t->config, "train.checkpoint");
    if (r->val) {
        gn2_dataset_info_impl(r->val, &info);
        if (!info.has_labels) /* not after a whole epoch */
            return gn2_fail(GN2_ERR_INVALID_ARG, "the validation data has no labels");
    }
    gn2_dataset_info_impl(r->train, &info);
    r->start = now();
    r->batches = info.batch_count;
    r->epochs = gn2_config_i64(t->config, "train.epochs");
    r->checkpoint = *path ? path : NULL;
    r->checkpoint_steps = gn2_config_i64(t->config, "train.checkpoint_steps");
    if (gn2_config_i64(t->config, "schedule.steps") == 0)
        t->schedule.steps = r->epochs * r->batches;
    r->steps = r->epochs * r->batches;
    const int64_t length = gn2_schedule_length(&t->schedule);
    if (length < r->steps) r->steps = length;
    r->stats.struct_size = (uint32_t)sizeof r->stats;
    r->stats.step = gn2_train_steps(t);
    return gn2_schedule_check(&t->schedule);
}

static int finished(const run *r)
{
    const gn2_trainer *t = r->trainer;
    return t->epoch >= r->epochs ||
           gn2_train_steps(t) >= gn2_schedule_length(&t->schedule);
}

static gn2_status tell(const run *r, int32_t event, const gn2_metrics *validation)
{
    const gn2_trainer *t = r->trainer;
    if (!r->fn) return GN2_OK;
    const gn2_progress progress = {
        .struct_size = (uint32_t)sizeof progress,
        .event = event,
        .epoch = event == GN2_EVENT_EPOCH ? t->epoch - 1 : t->epoch,
        .epochs = r->epochs,
        .step = gn2_train_steps(t),
        .steps = r->steps,
        .seconds = now() - r->start,
        .stats = &r->stats,
        .validation = validation,
    };
    if (r->fn(r->user, &progress) == 0) return GN2_OK;
    return gn2_fail(GN2_ERR_CANCELLED, "stopped by the progress callback");
}

static gn2_status save(const run *r)
{
    return r->checkpoint ? gn2_train_save(r->trainer, r->checkpoint) : GN2_OK;
}

/* The position is moved before anybody is told, so that a checkpoint made in the
 * callback goes on with the next batch. */
static gn2_status one_step(run *r, const gn2_jets *jets, const gn2_labels *labels)
{
    gn2_trainer *t = r->trainer;
    GN2_TRY(gn2_train_step(t, jets, labels, &r->stats));
    t->batch++;
    const int64_t every = r->checkpoint_steps;
    if (every && gn2_train_steps(t) % every == 0) GN2_TRY(save(r));
    return tell(r, GN2_EVENT_STEP, NULL);
}

static gn2_status stop_if_asked(const run *r)
{
    if (!atomic_exchange(&r->trainer->stop, 0)) return GN2_OK;
    GN2_TRY(save(r));
    return gn2_fail(GN2_ERR_CANCELLED, "stopped on request after step %lld",
                    (long long)gn2_train_steps(r->trainer));
}

static gn2_status train_epoch(run *r)
{
    gn2_trainer *t = r->trainer;
    GN2_TRY(gn2_dataset_reset_impl(r->train, t->epoch, t->batch));
    while (t->batch < r->batches && !finished(r)) {
        gn2_jets jets;
        gn2_labels labels;
        GN2_TRY(gn2_dataset_next_impl(r->train, &jets, &labels));
        if (jets.count == 0) break;
        GN2_TRY(one_step(r, &jets, &labels));
        GN2_TRY(stop_if_asked(r));
    }
    return GN2_OK;
}

/* Saved before the validation, which may take long and be killed. */
static gn2_status end_epoch(run *r)
{
    gn2_trainer *t = r->trainer;
    gn2_metrics metrics = {0};
    t->epoch++;
    t->batch = 0;
    GN2_TRY(save(r));
    if (r->val) GN2_TRY(gn2_train_evaluate(t, r->val, &metrics));
    return tell(r, GN2_EVENT_EPOCH, r->val ? &metrics : NULL);
}

gn2_status gn2_train_fit(gn2_trainer *trainer, gn2_dataset *train, gn2_dataset *val,
                         gn2_progress_fn fn, void *user)
{
    run r = {.trainer = trainer, .train = train, .val = val, .fn = fn, .user = user};
    GN2_TRY(begin(&r));
    while (!finished(&r)) {
        GN2_TRY(train_epoch(&r));
        GN2_TRY(end_epoch(&r));
        GN2_TRY(stop_if_asked(&r));
    }
    return GN2_OK;
}
