/* SPDX-License-Identifier: Apache-2.0 */
/* One optimiser step on a batch in the caller's memory. */
#include "net/labels.h"
#include "train/trainer.h"

static gn2_status check_schedule(const gn2_trainer *t)
{
    GN2_TRY(gn2_schedule_check(&t->schedule));
    const int64_t length = gn2_schedule_length(&t->schedule);
    if (gn2_train_steps(t) < length) return GN2_OK;
    return gn2_fail(GN2_ERR_STATE, "all %lld steps of the schedule are done",
                    (long long)length);
}

static gn2_status read_batch(gn2_trainer *t, const gn2_jets *jets,
                             const gn2_batch_labels *labels, const gn2_binding *binding,
                             gn2_batch_f32 *out)
{
    if (jets->count == 0)
        return gn2_fail(GN2_ERR_INVALID_ARG, "a step needs jets: count = 0");
    GN2_TRY(gn2_labels_complete_f32(&t->h, labels));
    GN2_TRY(gn2_input_read(&t->input, t->model, binding, jets, out));
    return gn2_labels_check_f32(&t->h, out, labels);
}

gn2_status gn2_train_check_whole(const gn2_trainer *t)
{
    if (!t->engine->optimizer.broken) return GN2_OK;
    return gn2_fail(GN2_ERR_STATE,
                    "step %lld left weights that are not finite: load a checkpoint of "
                    "an earlier step",
                    (long long)gn2_train_steps(t));
}

/* Names the first tensor that an update left with values that are not finite. */
static gn2_status blame_update(const gn2_trainer *t)
{
    const gn2_engine_f32 *e = t->engine;
    const char *what = "weights", *tensor = gn2_engine_non_finite_f32(e, e->weights);
    for (int k = 0; !tensor && e->optimizer.kind->moment[k]; k++) {
        what = "moments";
        tensor = gn2_engine_non_finite_f32(e, e->optimizer.moment[k]);
    }
    return gn2_fail_network("step %lld: %s of tensor '%s' are not finite after the "
                            "update (|gradient| = %g); load a checkpoint of an earlier "
                            "step, take a smaller schedule.max or set optim.clip_norm",
                            (long long)gn2_train_steps(t), what, tensor,
                            e->gradient_norm);
}

static void fill_stats(gn2_trainer *t, int64_t jets, gn2_step_stats *out)
{
    out->struct_size = (uint32_t)sizeof *out;
    out->step = gn2_train_steps(t);
    out->jets = jets;
    out->tokens = t->engine->tokens;
    out->task_count = t->h.task_count;
    out->task_losses = t->step_losses;
    for (int k = 0; k < t->h.task_count; k++) {
        t->step_losses[k] = t->engine->losses.value[k];
        out->loss += t->step_losses[k];
    }
    out->gradient_norm = t->engine->gradient_norm;
}

gn2_status gn2_train_step_bound(gn2_trainer *t, const gn2_jets *jets,
                                const gn2_labels *labels, const gn2_binding *binding,
                                gn2_step_stats *out_stats)
{
    gn2_batch_labels mine;
    gn2_batch_f32 batch;
    gn2_step_stats stats = {0};
    gn2_status status = gn2_train_check_whole(t);
    if (status == GN2_OK) status = check_schedule(t);
    if (status == GN2_OK) status = gn2_labels_by_task(&t->h, labels, &mine);
    if (status == GN2_OK) status = read_batch(t, jets, &mine, binding, &batch);
    const gn2_place place = {.kind = GN2_PLACE_STEP, .count = gn2_train_steps(t)};
    GN2_TRY(gn2_train_agree_batch(t, status, place, &batch, &mine));
    GN2_TRY(gn2_engine_gradient_f32(t->engine, &batch, &mine));
    gn2_schedule_at(&t->schedule, gn2_train_steps(t), &stats.learning_rate,
                    &stats.beta1);
    gn2_engine_update_f32(t->engine, stats.learning_rate, stats.beta1);
    if (t->engine->optimizer.broken) return blame_update(t);
    fill_stats(t, jets->count, &stats);
    if (out_stats) *out_stats = stats;
    return GN2_OK;
}
