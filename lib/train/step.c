/* SPDX-License-Identifier: Apache-2.0 */
/* One optimiser step on a batch in the caller's memory. */
#include <string.h>

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
                             const gn2_batch_labels *labels, gn2_batch_f32 *out)
{
    if (jets->count == 0)
        return gn2_fail(GN2_ERR_INVALID_ARG, "a step needs jets: count = 0");
    GN2_TRY(gn2_labels_complete_f32(&t->h, labels));
    GN2_TRY(gn2_input_read(&t->input, t->model, NULL, jets, out));
    return gn2_labels_check_f32(&t->h, out, labels);
}

/* Loss of the task that a name of gn2_step_stats stands for. */
static double loss_of(const gn2_trainer *t, int task)
{
    return task < 0 ? 0 : t->engine->losses.value[task];
}

static void fill_stats(const gn2_trainer *t, int64_t jets, gn2_step_stats *out)
{
    out->struct_size = (uint32_t)sizeof *out;
    out->step = gn2_train_steps(t);
    out->jets = jets;
    out->tokens = t->engine->tokens;
    out->loss_jets = loss_of(t, t->h.flavour);
    out->loss_origin = loss_of(t, gn2_hparams_task(&t->h, "track_origin"));
    out->loss_vertex = loss_of(t, t->h.pairs);
    out->loss = out->loss_jets + out->loss_origin + out->loss_vertex;
    out->gradient_norm = t->engine->gradient_norm;
}

gn2_batch_labels gn2_train_labels(const gn2_trainer *t, const gn2_labels *labels)
{
    gn2_batch_labels out = {0};
    const int origin = gn2_hparams_task(&t->h, "track_origin");
    if (t->h.flavour >= 0) out.task[t->h.flavour].index = labels->flavour;
    if (origin >= 0) out.task[origin].index = labels->origin;
    if (t->h.pairs >= 0) out.task[t->h.pairs].index = labels->vertex;
    return out;
}

gn2_status gn2_train_step(gn2_trainer *t, const gn2_jets *jets,
                          const gn2_labels *labels, gn2_step_stats *out_stats)
{
    const gn2_batch_labels mine = gn2_train_labels(t, labels);
    gn2_batch_f32 batch;
    gn2_step_stats stats = {0};
    GN2_TRY(check_schedule(t));
    GN2_TRY(read_batch(t, jets, &mine, &batch));
    GN2_TRY(gn2_engine_gradient_f32(t->engine, &batch, &mine));
    gn2_schedule_at(&t->schedule, gn2_train_steps(t), &stats.learning_rate,
                    &stats.beta1);
    gn2_engine_update_f32(t->engine, stats.learning_rate, stats.beta1);
    fill_stats(t, jets->count, &stats);
    if (out_stats) *out_stats = stats;
    return GN2_OK;
}
