/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The object behind gn2_trainer. The public functions in abi/abi_trainer.c check
 * pointers and struct sizes, then call these.
 */
#ifndef GN2_TRAIN_TRAINER_H
#define GN2_TRAIN_TRAINER_H

#include <gn2/trainer.h>
#include <stdatomic.h>

#include "group/agree.h"
#include "net/jets.h"
#include "optim/schedule.h"
#include "train/engine.h"
#include "train/metrics.h"
#include "util/use.h"

struct gn2_trainer {
    gn2_use use;
    gn2_model *model;   /* names, normalisation, config; weights are the engine's */
    gn2_config *config; /* of the training */
    gn2_hparams h;      /* the model's with this training's dropout */
    gn2_params *params; /* the model's with this optimiser's multipliers */
    gn2_pool *pool;
    int32_t threads; /* asked for: the pool has no more than shards */
    gn2_engine_f32 *engine;
    gn2_input input;
    gn2_schedule schedule;
    double step_losses[GN2_MAX_TASKS]; /* of the last step */
    gn2_figures figures;               /* of the last evaluation */
    int64_t epoch, batch;              /* of the next step of gn2_train_fit() */
    int64_t batch_size, batches;       /* jets a batch and batches an epoch of the run;
                                        * 0: not known */
    double best_loss;                  /* least of the validations; HUGE_VAL: none */
    int64_t waited;                    /* validations since then */
    int64_t validated;                 /* steps at the last one inside an epoch */
    atomic_int stop;
    gn2_group *group;              /* borrowed; NULL: alone */
    atomic_int joined;             /* there is one: any thread may look */
    _Atomic(const char *) refused; /* a call of all ranks that came into another one */
    int running;                   /* inside gn2_train_fit() */
};

gn2_status gn2_train_new(const gn2_model *model, const gn2_config *config,
                         gn2_trainer **out_trainer);
void gn2_train_delete(gn2_trainer *trainer);
size_t gn2_train_memory(const gn2_trainer *trainer);
gn2_status gn2_train_snapshot(const gn2_trainer *trainer, gn2_model **out_model);

/* Fills every field of *out_stats; NULL if not wanted. Columns stand as the binding
 * says; NULL: in the model's order. */
gn2_status gn2_train_step_bound(gn2_trainer *trainer, const gn2_jets *jets,
                                const gn2_labels *labels, const gn2_binding *binding,
                                gn2_step_stats *out_stats);
static inline gn2_status gn2_train_step(gn2_trainer *trainer, const gn2_jets *jets,
                                        const gn2_labels *labels,
                                        gn2_step_stats *out_stats)
{
    return gn2_train_step_bound(trainer, jets, labels, NULL, out_stats);
}
gn2_status gn2_train_join(gn2_trainer *trainer, gn2_group *group);
gn2_status gn2_train_fit(gn2_trainer *trainer, gn2_dataset *train, gn2_dataset *val,
                         gn2_progress_fn fn, void *user);
gn2_status gn2_train_evaluate(gn2_trainer *trainer, gn2_dataset *dataset,
                              gn2_metrics *out_metrics);
/* The same within a run: a loss that is not known is an error. */
gn2_status gn2_train_validate(gn2_trainer *trainer, gn2_dataset *dataset,
                              gn2_metrics *out_metrics);
gn2_status gn2_train_probe(gn2_trainer *trainer, const gn2_jets *jets, gn2_probe_fn fn,
                           void *user);
gn2_status gn2_train_save(const gn2_trainer *trainer, const char *path);
gn2_status gn2_train_load(gn2_trainer *trainer, const char *path);

/* Steps done. */
static inline int64_t gn2_train_steps(const gn2_trainer *trainer)
{
    return trainer->engine->optimizer.steps;
}

/* GN2_ERR_STATE after an update that left weights or moments that are not finite. */
gn2_status gn2_train_check_whole(const gn2_trainer *trainer);

/* Do the weights of a run with this config depend on the option? */
int gn2_train_shapes_run(const gn2_config *config, const char *key);

/* What `train.precision` was settled to, or taken from a checkpoint: f32 or bf16. */
const char *gn2_train_precision(const gn2_trainer *trainer);
/* Says that threads have nothing to do where there are more than `shards`. */
void gn2_train_note_idle(const gn2_trainer *trainer, int32_t shards);

/* Options of an engine as the trainer's config has them. */
gn2_status gn2_train_engine_options(const gn2_trainer *trainer,
                                    gn2_engine_options *out);
/* An engine with the model's normalisation and class weights, weights zero. One that a
 * failure leaves in *out_engine, NULL before, is to be freed. */
gn2_status gn2_train_engine_new(const gn2_trainer *trainer,
                                const gn2_engine_options *options,
                                gn2_engine_f32 **out_engine);

/* ---- as one rank of a group: together.c ----
 * Everything that can fail on one rank alone is done before an agreement, whose
 * `status` is that of what led up to it; behind it all ranks do the same. Alone:
 * `status`. */

/* Before a step, a batch of an evaluation or its end: place says which, and its count.
 * Without GN2_OK there is no batch. GN2_ERR_CANCELLED when a rank was asked to stop a
 * run or an evaluation. */
gn2_status gn2_train_agree_batch(gn2_trainer *t, gn2_status status, gn2_place place,
                                 const gn2_batch_f32 *batch,
                                 const gn2_batch_labels *labels);
/* A call of all ranks that was refused before it got here: the others hear of it.
 * Returns the failure. */
gn2_status gn2_train_refused(gn2_trainer *t, gn2_status status);
/* Ends a call of all ranks: failures that they do not know of yet are told. */
gn2_status gn2_train_agree_end(gn2_trainer *t, gn2_status status);
/* Compares lines that describe a run. */
gn2_status gn2_train_agree_run(gn2_trainer *t, gn2_status status,
                               const gn2_text *lines);
/* Makes a new engine, not the trainer's yet, that of this rank, and compares it with
 * the others'. On failure it is to be thrown away. */
gn2_status gn2_train_agree_engine(gn2_trainer *t, gn2_status status,
                                  gn2_engine_f32 *engine);

#endif
