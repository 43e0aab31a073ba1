/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole runs: epochs over a dataset, validation, checkpoints, progress. The position
 * (epoch, batch) lies in the trainer, so a run goes on where it was left.
 */
#include <inttypes.h>
#include <math.h>
#include <time.h>

#include "train/bind.h"
#include "train/trainer.h"
#include "util/alloc.h"

typedef struct run {
    gn2_trainer *trainer;
    gn2_dataset *val;
    gn2_bound train;
    gn2_progress_fn fn;
    void *user;
    int64_t epochs, steps; /* planned */
    int64_t patience;      /* validations without a better one; 0: any */
    int64_t checkpoint_steps, validate_steps;
    double start;
    gn2_step_stats stats; /* of the last step */
} run;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static gn2_status check_without_validation(const run *r)
{
    static const char *const keys[] = {"train.early_stopping", "train.validate_steps"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const int64_t value = gn2_config_i64(r->trainer->config, keys[i]);
        if (value)
            return gn2_fail(GN2_ERR_INVALID_ARG, "%s = %lld needs validation data",
                            keys[i], (long long)value);
    }
    return GN2_OK;
}

/* Refused at once, not after a whole epoch. */
static gn2_status check_validation(const run *r)
{
    gn2_dataset_info info = {.struct_size = sizeof info};
    gn2_bound bound;
    if (!r->val) return check_without_validation(r);
    gn2_dataset_info_impl(r->val, &info);
    if (info.batch_count == 0)
        return gn2_fail(GN2_ERR_INVALID_ARG, "the validation data has no jets");
    gn2_status status = gn2_bound_make(r->trainer->model, r->val, &bound);
    if (status == GN2_OK) status = gn2_bound_check_labels(&bound, "validation");
    gn2_bound_clear(&bound);
    return status;
}

/* Where a run stands is counted in batches: they must be what they were. */
static gn2_status check_batches(const run *r, const gn2_dataset_info *info)
{
    const gn2_trainer *t = r->trainer;
    if (info->batch_count == 0)
        return gn2_fail(GN2_ERR_INVALID_ARG, "the training data has no jets");
    if (t->epoch == 0 && t->batch == 0) return GN2_OK;
    if (t->batch_size && t->batch_size != info->batch_size)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "data.batch_size is %lld, the run that is to go on has batches "
                        "of %lld jets: open the dataset with that",
                        (long long)info->batch_size, (long long)t->batch_size);
    if (!t->batches || t->batches == info->batch_count) return GN2_OK;
    return gn2_fail(
        GN2_ERR_INVALID_ARG,
        "an epoch of the dataset has %lld batches, of the run that is to "
        "go on %lld: give it the same jets (data.max_jets, data.selection, files)",
        (long long)info->batch_count, (long long)t->batches);
}

static void plan(run *r, const gn2_dataset_info *info)
{
    gn2_trainer *t = r->trainer;
    t->batches = info->batch_count;
    t->batch_size = info->batch_size;
    r->steps = r->epochs * t->batches;
    if (gn2_config_i64(t->config, "schedule.steps") == 0) t->schedule.steps = r->steps;
    const int64_t length = gn2_schedule_length(&t->schedule);
    if (length < r->steps) r->steps = length;
}

static int is_out_of_steps(const run *r)
{
    const gn2_trainer *t = r->trainer;
    return gn2_train_steps(t) >= gn2_schedule_length(&t->schedule);
}

static int is_out_of_patience(const run *r)
{
    return r->patience && r->trainer->waited >= r->patience;
}

static int finished(const run *r)
{
    return r->trainer->epoch >= r->epochs || is_out_of_steps(r) ||
           is_out_of_patience(r);
}

/* All its batches are done, but not what comes at its end. */
static int is_epoch_open(const run *r)
{
    const gn2_trainer *t = r->trainer;
    return t->epoch < r->epochs && t->batch > 0 &&
           (t->batch >= t->batches || is_out_of_steps(r));
}

/* Inside an epoch; one at its end is the epoch's. A run that goes on from between the
 * step and its validation makes up for it. */
static int is_validation_due(const run *r)
{
    const gn2_trainer *t = r->trainer;
    const int64_t steps = gn2_train_steps(t);
    return r->validate_steps && t->batch > 0 && steps % r->validate_steps == 0 &&
           t->validated != steps;
}

static gn2_status check_work(const run *r)
{
    const gn2_trainer *t = r->trainer;
    if (!finished(r) || is_epoch_open(r)) return GN2_OK;
    if (is_out_of_patience(r))
        return gn2_fail(GN2_ERR_STATE,
                        "no step is left: the run ended after %lld validations without "
                        "a better one (train.early_stopping)",
                        (long long)t->waited);
    return gn2_fail(GN2_ERR_STATE,
                    "no step is left: %lld of %lld epochs (train.epochs) and %lld of "
                    "%lld steps (schedule.steps) are done",
                    (long long)t->epoch, (long long)r->epochs,
                    (long long)gn2_train_steps(t), (long long)r->steps);
}

static gn2_status begin(run *r, gn2_dataset *train)
{
    gn2_trainer *t = r->trainer;
    gn2_dataset_info info = {.struct_size = sizeof info};
    r->start = now();
    r->epochs = gn2_config_i64(t->config, "train.epochs");
    r->patience = gn2_config_i64(t->config, "train.early_stopping");
    r->checkpoint_steps = gn2_config_i64(t->config, "train.checkpoint_steps");
    r->validate_steps = gn2_config_i64(t->config, "train.validate_steps");
    GN2_TRY(check_validation(r));
    GN2_TRY(gn2_bound_make(t->model, train, &r->train));
    GN2_TRY(gn2_bound_check_labels(&r->train, "training"));
    gn2_dataset_info_impl(train, &info);
    GN2_TRY(check_batches(r, &info));
    plan(r, &info);
    r->stats = (gn2_step_stats){.struct_size = (uint32_t)sizeof r->stats,
                                .step = gn2_train_steps(t),
                                .loss = (double)NAN,
                                .learning_rate = (double)NAN,
                                .beta1 = (double)NAN,
                                .gradient_norm = (double)NAN};
    GN2_TRY(gn2_schedule_check(&t->schedule));
    GN2_TRY(check_work(r));
    return gn2_dataset_serve_impl(train, gn2_pool_workers(t->pool));
}

static gn2_status tell(const run *r, int32_t event, const gn2_metrics *validation)
{
    const gn2_trainer *t = r->trainer;
    if (!r->fn) return GN2_OK;
    const gn2_progress progress = {
        .struct_size = (uint32_t)sizeof progress,
        .event = event,
        .epoch = t->batch > 0 ? t->epoch : t->epoch - 1, /* one that is over */
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

/* One file a run: rank 0's. */
static gn2_status save(const run *r)
{
    const char *path = gn2_config_str(r->trainer->config, "train.checkpoint");
    if (gn2_group_me(r->trainer->group) > 0 || !*path) return GN2_OK;
    return gn2_train_save(r->trainer, path);
}

/* The position is moved before anybody is told, so that a checkpoint made in the
 * callback goes on with the next batch. The run's own is written behind the callback:
 * whoever keeps a record there has no gap before a checkpoint, however a run ends. */
static gn2_status one_step(run *r)
{
    gn2_trainer *t = r->trainer;
    gn2_jets jets;
    gn2_labels labels;
    GN2_TRY(gn2_bound_next(&r->train, &jets, &labels));
    const gn2_status status =
        gn2_train_step_bound(t, &jets, &labels, &r->train.columns, &r->stats);
    if (status == GN2_ERR_CANCELLED) GN2_TRY(save(r)); /* a rank was asked to stop */
    GN2_TRY(status);
    t->batch++;
    GN2_TRY(tell(r, GN2_EVENT_STEP, NULL));
    const int64_t every = r->checkpoint_steps;
    return every && gn2_train_steps(t) % every == 0 ? save(r) : GN2_OK;
}

/* Of a group the next step asks: all stop at the same one. */
static gn2_status stop_if_asked(const run *r)
{
    if (r->trainer->group) return GN2_OK;
    if (!atomic_exchange(&r->trainer->stop, 0)) return GN2_OK;
    GN2_TRY(save(r));
    return gn2_fail(GN2_ERR_CANCELLED, "stopped on request after step %lld",
                    (long long)gn2_train_steps(r->trainer));
}

static void note_loss(gn2_trainer *t, double loss)
{
    t->waited++;
    if (!isfinite(loss) || loss >= t->best_loss) return;
    t->best_loss = loss;
    t->waited = 0;
}

/* Tells of a validation, or of an epoch without one. */
static gn2_status tell_validation(const run *r, int32_t event, const gn2_metrics *found)
{
    GN2_TRY(tell(r, event, found));
    return is_out_of_patience(r) ? tell(r, GN2_EVENT_EARLY_STOP, found) : GN2_OK;
}

/* A checkpoint is left where the run ends with it, or in it: it is made up for. Without
 * early stopping there is no trace of it in later ones. */
static gn2_status validate_inside(run *r)
{
    gn2_trainer *t = r->trainer;
    gn2_metrics metrics = {0};
    const gn2_status status = gn2_train_validate(t, r->val, &metrics);
    if (status == GN2_ERR_CANCELLED) GN2_TRY(save(r));
    GN2_TRY(status);
    if (r->val == r->train.dataset)
        GN2_TRY(gn2_dataset_reset_impl(r->val, t->epoch, t->batch));
    t->validated = gn2_train_steps(t);
    if (r->patience) note_loss(t, metrics.loss);
    GN2_TRY(tell_validation(r, GN2_EVENT_VALIDATION, &metrics));
    return is_out_of_patience(r) ? save(r) : GN2_OK;
}

/* Early stopping may end the run before the epoch. */
static gn2_status train_epoch(run *r)
{
    gn2_trainer *t = r->trainer;
    GN2_TRY(gn2_dataset_reset_impl(r->train.dataset, t->epoch, t->batch));
    while (t->batch < t->batches && !finished(r)) {
        GN2_TRY(is_validation_due(r) ? validate_inside(r) : one_step(r));
        if (!finished(r) || is_epoch_open(r)) GN2_TRY(stop_if_asked(r));
    }
    return GN2_OK;
}

/* Saved before the validation, which may take long, be stopped or killed: a run goes on
 * with it. And behind it, since it says whether the run goes on. */
static gn2_status end_epoch(run *r)
{
    gn2_trainer *t = r->trainer;
    gn2_metrics metrics = {0};
    GN2_TRY(save(r));
    if (r->val) {
        GN2_TRY(gn2_train_validate(t, r->val, &metrics));
        note_loss(t, metrics.loss);
    }
    t->epoch++;
    t->batch = 0;
    GN2_TRY(tell_validation(r, GN2_EVENT_EPOCH, r->val ? &metrics : NULL));
    return save(r);
}

static gn2_status describe(const run *r, gn2_dataset *train, gn2_text *text)
{
    const gn2_trainer *t = r->trainer;
    gn2_dataset_info info = {.struct_size = sizeof info};
    if (r->val) gn2_dataset_info_impl(r->val, &info);
    gn2_text_format(text,
                    "batches an epoch = %" PRId64 "\njets a batch = %" PRId64
                    "\nepochs = %" PRId64 "\nsteps = %" PRId64
                    "\nepochs done = %" PRId64 "\nbatches of the epoch done = %" PRId64
                    "\nbatches of the validation = %" PRId64 "\n",
                    t->batches, t->batch_size, r->epochs, r->steps, t->epoch, t->batch,
                    info.batch_count);
    GN2_TRY(gn2_dataset_identify(train, "training", &t->stop, text));
    return r->val ? gn2_dataset_identify(r->val, "validation", &t->stop, text) : GN2_OK;
}

/* All ranks must have planned the same run, on the same data. */
static gn2_status begin_together(run *r, gn2_dataset *train)
{
    gn2_text text = {0};
    gn2_status status = begin(r, train);
    if (!r->trainer->group) return status;
    if (status == GN2_OK) status = describe(r, train, &text);
    if (status == GN2_ERR_CANCELLED) atomic_store(&r->trainer->stop, 0); /* heard */
    status = gn2_train_agree_run(r->trainer, status, &text);
    gn2_free(text.data);
    return status;
}

static gn2_status go(run *r, gn2_dataset *train)
{
    GN2_TRY(begin_together(r, train));
    while (!finished(r) || is_epoch_open(r)) {
        GN2_TRY(train_epoch(r));
        if (is_epoch_open(r)) GN2_TRY(end_epoch(r));
        if (!finished(r)) GN2_TRY(stop_if_asked(r));
    }
    atomic_store(&r->trainer->stop, 0); /* there is nothing left to stop */
    return GN2_OK;
}

gn2_status gn2_train_fit(gn2_trainer *trainer, gn2_dataset *train, gn2_dataset *val,
                         gn2_progress_fn fn, void *user)
{
    run r = {.trainer = trainer, .val = val, .fn = fn, .user = user};
    trainer->running = 1;
    const gn2_status status = go(&r, train);
    trainer->running = 0;
    gn2_bound_clear(&r.train);
    return gn2_train_agree_end(trainer, status);
}
