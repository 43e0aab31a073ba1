/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file trainer.h
 * @brief Training: steps on caller memory, or whole runs over datasets.
 *
 * A trainer owns a private copy of the weights. Results depend on the config, the
 * data and the seeds only, never on the number of threads, to the bit, for one
 * build of the library and of oneDNN on one ISA.
 *
 * @thread One call at a time, a second one gets GN2_ERR_BUSY, but
 * gn2_trainer_request_stop(), which any thread may call.
 */
#ifndef GN2_TRAINER_H
#define GN2_TRAINER_H

#include <gn2/dataset.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Trains a model. */
typedef struct gn2_trainer gn2_trainer;

/** Outcome of one optimiser step; losses are already times their weights. */
typedef struct gn2_step_stats {
    uint32_t struct_size;      /**< sizeof(gn2_step_stats), set by the caller */
    uint32_t flags;            /**< zero */
    int64_t step;              /**< steps done, this one included */
    int64_t jets;              /**< jets of the batch */
    int64_t tokens;            /**< constituents and registers of the batch */
    double loss;               /**< total, before the update */
    const double *task_losses; /**< (task_count), in the order of `model.tasks`; 0 where
                                    no row of the batch counts for the task, which then
                                    adds nothing to the step. The trainer's, until its
                                    next call */
    int32_t task_count;        /**< tasks of the model */
    uint32_t unused;           /**< zero */
    double learning_rate;      /**< used by this update, before multipliers */
    double beta1;              /**< AdamW β1 or SGD momentum used by this update */
    double gradient_norm;      /**< L2, before clipping */
    uint64_t reserved[4];      /**< zero */
} gn2_step_stats;

/** b-efficiencies of gn2_metrics::rejection. */
#define GN2_WORKING_POINTS 4 /**< 65 %, 70 %, 77 %, 85 % */

/** A figure of merit. This struct does not grow. */
typedef struct gn2_metric {
    const char *name; /**< see gn2_metrics; the trainer's */
    double value;     /**< NaN where the sample tells nothing of it */
} gn2_metric;

/**
 * Quality of a model on a dataset. What every model has is told by name in `metrics`:
 * - of each task `TASK.accuracy` (classification: share of labelled rows whose largest
 *   probability is right), `TASK.pair_efficiency` and `TASK.pair_purity` (vertexing:
 * true pairs of constituents that were found, found ones that are true), `TASK.mae`,
 *   `TASK.rmse`, `TASK.bias` (regressions, in the target's units), `TASK.pull_rms`
 *   (gaussian_regression)
 * - of each discriminant D and class `D.auc_CLASS` (area under the ROC curve of its
 * signal against the class), `D.cut_77` and `D.rejection_77_CLASS` (likewise 65, 70,
 * 85)
 *
 * Rejections are 1/efficiency at fixed efficiency of the signal: Inf when no jet
 * passes, NaN when the sample has no such jet. The fields behind `metrics` are those of
 * b-tagging with the model's D_b, NaN for models without: one row a working point,
 * columns light, c, tau (classes ujets, cjets, taujets).
 */
typedef struct gn2_metrics {
    uint32_t struct_size; /**< sizeof(gn2_metrics), set by the caller */
    uint32_t flags;       /**< zero */
    int64_t jets;         /**< jets evaluated */
    double loss;          /**< sum of `task_losses`: NaN as soon as one of them is, so
                               that totals of the same tasks only are compared */
    /** (task_count) times the weights, in the order of `model.tasks`: mean over the
     *  batches in which a row counts for the task; NaN where that is none, for want of
     *  labels (of a vertexing with `pair_weights` also those of its `origin_task`) or
     *  because all are negative. The trainer's, until it evaluates again. */
    const double *task_losses;
    int32_t task_count;        /**< tasks of the model */
    uint32_t unused;           /**< zero */
    int64_t metric_count;      /**< elements of `metrics` */
    const gn2_metric *metrics; /**< borrowed as task_losses is */
    double auc_b_light;        /**< area under the ROC curve of D_b: its signal, b if
                                    no option makes it another, against light */
    double auc_b_c;            /**< the same, b against c */
    double cut[GN2_WORKING_POINTS];          /**< cut on D_b */
    double rejection[GN2_WORKING_POINTS][3]; /**< light, c, tau */
    uint64_t reserved[4];                    /**< zero */
} gn2_metrics;

/**
 * A metric by name, NaN if there is none.
 * @param[out] out_value the value
 * @return GN2_OK; GN2_ERR_NOT_FOUND (the message lists the names);
 *   GN2_ERR_INVALID_ARG; GN2_ERR_ABI. @thread Safe. @since 0.1
 */
GN2_API gn2_status gn2_metrics_find(const gn2_metrics *metrics, const char *name,
                                    double *out_value);

/** Where a run stands, given to the callback of gn2_trainer_fit(). More events may
 *  come with an option that asks for them: pass over those you do not know. */
typedef struct gn2_progress {
    uint32_t struct_size; /**< sizeof(gn2_progress) of the library */
    int32_t event;        /**< GN2_EVENT_* */
    int64_t epoch;        /**< current epoch, from 0 */
    int64_t epochs;       /**< epochs planned */
    int64_t step;         /**< steps done in the run */
    int64_t steps;        /**< steps planned in the run */
    double seconds;       /**< since gn2_trainer_fit() was called */
    /** Last step; where this call has done none yet (a run that goes on with a
     *  validation) its counts are 0, its figures NaN and its task_losses NULL. */
    const gn2_step_stats *stats;
    const gn2_metrics *validation; /**< NULL at GN2_EVENT_STEP and without val data */
    uint64_t reserved[4];          /**< zero */
} gn2_progress;

#define GN2_EVENT_STEP 1  /**< after a step */
#define GN2_EVENT_EPOCH 2 /**< after an epoch and its validation */
/** The last of a run that ends by `train.early_stopping`, behind GN2_EVENT_EPOCH or
 *  GN2_EVENT_VALIDATION and with its values. */
#define GN2_EVENT_EARLY_STOP 3
/** After a validation inside an epoch, behind GN2_EVENT_STEP of its step: every
 *  `train.validate_steps` steps. At an epoch's end there is one validation, which
 *  GN2_EVENT_EPOCH tells of. @since 0.1 */
#define GN2_EVENT_VALIDATION 4

/**
 * Called on the thread that called gn2_trainer_fit(), between steps. It may save a
 * checkpoint, take a snapshot and probe, ask to stop and read gn2_trainer_memory();
 * other calls on the trainer and those on the datasets get GN2_ERR_BUSY. It may not
 * throw or longjmp().
 * @return 0 to go on, anything else to stop with GN2_ERR_CANCELLED.
 */
typedef int32_t (*gn2_progress_fn)(void *user, const gn2_progress *progress);

/**
 * Makes a trainer.
 * Reads `optim.*`, `schedule.*`, `train.*` and `model.dropout_*`.
 * `train.precision` = `bf16` multiplies matrices in bfloat16 with sums in f32; `auto`
 * does so where the model of processor was measured to gain by it at this width, and is
 * `f32` elsewhere. What it came to is kept in checkpoints, and a run goes on with it.
 * `train.shards` = 0 stands for a number that `data.batch_size` gives, with 10
 * constituents a jet; gn2_dataset_setup() replaces it by one that the data gives. A
 * warning to the log tells of threads that have nothing to do for lack of shards.
 * @param[in] model  start of the weights; kept alive, never changed
 * @param[in] config options; NULL for what a file of the model keeps (`model.*`,
 *   `optim.name`, …; doc/format.md) and defaults for the rest, whatever config the
 * model was made with: the same before and after it was saved
 * @param[out] out_trainer freed by gn2_trainer_free(); NULL on failure
 * @return GN2_OK; GN2_ERR_INVALID_ARG; GN2_ERR_NO_MEMORY; GN2_ERR_UNSUPPORTED
 * (precision not available here). What the model fixes (`model.*` but dropout,
 * `inputs.*`, `norm.*`, `task.*`, `input.*`, `discriminant.*` but signal and fractions,
 *   `optim.decay_scaling`) is the model's: where `config` sets it to neither the
 * model's value nor the default, a warning to the log says so. @since 0.1
 */
GN2_API gn2_status gn2_trainer_create(const gn2_model *model, const gn2_config *config,
                                      gn2_trainer **out_trainer);

/** Frees a trainer; NULL is allowed. @since 0.1 */
GN2_API void gn2_trainer_free(gn2_trainer *trainer);

/**
 * One optimiser step on a batch in caller memory. The schedule needs
 * `schedule.steps`, set by the config or by gn2_trainer_fit().
 * @param[in] jets,labels the batch, columns in the model's order; not kept
 * @param[in,out] out_stats struct_size set by the caller; NULL if not wanted
 * @return GN2_OK; GN2_ERR_INVALID_ARG (label out of range, named; no labels of a task,
 *   or without the weights that the model's `task.NAME.sample_weight` asks for);
 *   GN2_ERR_NUMERIC: an input is more than GN2_NORMALISED_MAX standard deviations from
 *   its mean, or an input, the loss or a gradient is not finite: the message names the
 *   place, the weights are unchanged. Also when the update leaves weights or
 *   moments that are not finite (the tensor is named): then steps, snapshots and
 *   checkpoints get GN2_ERR_STATE until a checkpoint is loaded; GN2_ERR_STATE after the
 *   last step of the schedule; GN2_ERR_ABI; GN2_ERR_BUSY; GN2_ERR_NO_MEMORY. @since 0.1
 */
GN2_API gn2_status gn2_trainer_step(gn2_trainer *trainer, const gn2_jets *jets,
                                    const gn2_labels *labels,
                                    gn2_step_stats *out_stats);

/**
 * Trains for `train.epochs` epochs, from where the trainer stands (a checkpoint
 * goes on in the middle of an epoch, or with its validation), and evaluates `val` after
 * each, and also after every `train.validate_steps` steps, counted from the first of
 * the training: a validation at step s tells what gn2_trainer_evaluate() tells of a
 * snapshot there, and moves nothing of the training, to the bit.
 * With `train.early_stopping` it ends after so many validations in turn, inside epochs
 * or at their ends, without a smaller loss; the weights are then the last ones, not the
 * best. Checkpoints keep the count; those of inside epochs are counted only with
 * `train.early_stopping`, and leave no trace in later checkpoints otherwise.
 *
 * With `train.checkpoint` a checkpoint is written every `train.checkpoint_steps` steps,
 * at the end of every epoch, before and behind its validation, and where the run is
 * stopped on request or ends early. Those of steps and epochs are written behind the
 * callback: what it was told covers all that a checkpoint has done.
 *
 * Inputs, constituent types, classes and targets of a dataset are found by name: their
 * order may be another than the model's, and there may be more of them. Refused are
 * classes that the model lacks, a task of the model's name that is of another kind or
 * object, and with `input.non_finite = default` other replacements than the model's.
 * @param[in] train   batches; reset by the call
 * @param[in] val     validation data, which may be `train`, or NULL, which
 *   `train.early_stopping` and `train.validate_steps` do not allow
 * @param[in] fn,user progress callback, or NULL
 * @return GN2_OK; GN2_ERR_CANCELLED when stopped, a state to go on from;
 *   GN2_ERR_STATE when no step is left to do; GN2_ERR_INVALID_ARG when a dataset lacks
 *   what the model needs (both lists are named), `train` or `val` the labels of a task
 *   (files, dataset and field are named), `val` any labelled row of one, or when a run
 * that goes on gets batches of another size or number; GN2_ERR_BUSY when the trainer or
 * a dataset is in use; else as gn2_trainer_step() and gn2_dataset_next(). @since 0.1
 */
GN2_API gn2_status gn2_trainer_fit(gn2_trainer *trainer, gn2_dataset *train,
                                   gn2_dataset *val, gn2_progress_fn fn, void *user);

/**
 * Losses and metrics of the present weights on a dataset (without dropout), which is
 * matched by name as in gn2_trainer_fit().
 * @param[in,out] out_metrics struct_size set by the caller
 * @return as gn2_dataset_next(); GN2_ERR_INVALID_ARG (no labels of any task, no batch,
 * a label out of range, an input or class that is missing); GN2_ERR_NUMERIC also when
 * the loss is not finite; GN2_ERR_CANCELLED when stopped. @since 0.1
 */
GN2_API gn2_status gn2_trainer_evaluate(gn2_trainer *trainer, gn2_dataset *dataset,
                                        gn2_metrics *out_metrics);

/**
 * Writes weights, optimiser moments, schedule and sampler position, atomically.
 * @return as gn2_model_save(); GN2_ERR_BUSY. @since 0.1
 */
GN2_API gn2_status gn2_trainer_checkpoint_save(const gn2_trainer *trainer,
                                               const char *path);

/**
 * Goes back to a checkpoint of the same architecture, to the bit. On failure the
 * trainer is unchanged. What it holds is checked: finite numbers, second moments of 0
 * or more, a position that a run can reach.
 * @return as gn2_model_load(); GN2_ERR_INVALID_ARG (another optimiser, or another
 *   `train.shards` but 0, `train.chunk_tokens`, `train.seed`, `train.precision` asked
 * for than it was made with); GN2_ERR_UNSUPPORTED (it was made in bf16, which is not
 * available here); GN2_ERR_BUSY. @since 0.1
 */
GN2_API gn2_status gn2_trainer_checkpoint_load(gn2_trainer *trainer, const char *path);

/** A model with the present weights. @param[out] out_model new.
 * @return GN2_OK, GN2_ERR_BUSY, GN2_ERR_NO_MEMORY. @since 0.1 */
GN2_API gn2_status gn2_trainer_snapshot(const gn2_trainer *trainer,
                                        gn2_model **out_model);

/** Asks gn2_trainer_fit() to stop after the step, or the batch of the validation, under
 * way, and gn2_trainer_evaluate() after the batch.
 * @thread Any thread, and signal handlers. @since 0.1 */
GN2_API void gn2_trainer_request_stop(gn2_trainer *trainer);

/** What `train.precision` came to, "f32" or "bf16": `auto` is settled when the trainer
 * is made, and gn2_trainer_checkpoint_load() takes the file's; "" for NULL. @since 0.1
 */
GN2_API const char *gn2_trainer_precision(const gn2_trainer *trainer);

/** Bytes of working memory held, as planned; 0 for NULL. @since 0.1 */
GN2_API size_t gn2_trainer_memory(const gn2_trainer *trainer);

#define GN2_PROBE_MODULE 1 /**< output of a module, before its non-linearity */
#define GN2_PROBE_TENSOR 2 /**< a parameter tensor */

/**
 * What gn2_trainer_probe() says of one module or tensor. Values of a module are its
 * outputs over all valid rows of the batch, without dropout; those of a tensor are its
 * weights. Means and maxima of no value (count 0) are 0; NaN is said where it may be.
 */
typedef struct gn2_probe_stats {
    uint32_t struct_size;   /**< sizeof(gn2_probe_stats) of the library */
    int32_t kind;           /**< GN2_PROBE_* */
    const char *name;       /**< "layer0", "encoder.out_proj.weight"; not kept */
    int64_t count;          /**< values seen */
    double mean_abs;        /**< mean |x| */
    double rms;             /**< square root of the mean x² */
    double max_abs;         /**< largest |x| */
    double change_mean_abs; /**< mean |x − x₀|, x₀: with the weights of the start */
    double change_rms;      /**< square root of the mean (x − x₀)² */
    double dead_share;    /**< before a ReLU: share of the units that are ≤ 0 in every
                               row of the batch; NaN without rows, and
                               for all others */
    double gradient_rms;  /**< tensor: rms of the last step's gradient, before
                               clipping, or NaN; module: NaN */
    double update_rms;    /**< tensor: rms of what the last step changed, or NaN;
                               module: NaN */
    uint64_t reserved[4]; /**< zero */
} gn2_probe_stats;

/**
 * Receives the statistics of one module or tensor. On the thread that called
 * gn2_trainer_probe(); calls on that trainer get GN2_ERR_BUSY. It may not throw or
 * longjmp().
 * @param[in] stats borrowed, with the name in it, until the callback returns
 */
typedef void (*gn2_probe_fn)(void *user, const gn2_probe_stats *stats);

/**
 * Statistics of every module and tensor on a batch: are activations, updates and
 * gradients of one size whatever the width (a coordinate check)? The batch goes
 * forward twice, with the present weights and with those of the start, the model the
 * trainer was made of; changes are between the two, also after
 * gn2_trainer_checkpoint_load().
 *
 * Told in this order, `<i>` being the layers of the encoder from 0; rows are
 * constituents (N), tokens (T: constituents and registers) or jets (B):
 * - `init_pre` (N, h): first linear map of the init nets, before its ReLU
 * - `init` (N, E): the init nets
 * - `attn_logits<i>` (H, n, n) a jet: scaled q·k of every head, query and key
 * - `attn<i>` (T, E): the attention, before it is added
 * - `ffn_pre<i>` (T, M): first linear map of the feed-forward, before its ReLU
 * - `ffn<i>` (T, E): the feed-forward, before it is added
 * - `layer<i>` (T, E): end of the layer, all added
 * - `readout` (T, o): the out projection
 * - `tokens` (T, o): the same behind the final norm, where that comes last
 * - `gate` (T): logits of the pooling
 * - `pooled` (B, o): the pooled vectors
 * - the logits of each task under its name, in the order of `model.tasks`:
 *   `jets_classification` (B, C), `track_origin` (N, O), `track_vertexing` (ordered
 *   pairs)
 *
 * then the tensors as gn2_model_param_info() lists them.
 *
 * Gradient and update are NaN before the first step, after one that failed for a loss
 * or gradient that is not finite, and after gn2_trainer_checkpoint_load(), each until
 * the next step; the update also unless the trainer was made with
 * `train.probe_updates` = `yes` (default `no`), which holds one more copy of the
 * weights.
 *
 * Training goes on as if there had been no probe, to the bit. It may be called from
 * the callback of gn2_trainer_fit(), which comes between steps. Beside what
 * gn2_trainer_memory() tells, it holds for the call the weights packed once more and
 * the activations of one chunk.
 * @param[in] jets    at least one, columns in the model's order; not kept
 * @param[in] fn,user receives the results; nothing is told on failure
 * @return GN2_OK; GN2_ERR_INVALID_ARG (NULL, no jets, bad sizes); GN2_ERR_NUMERIC (an
 *   input is not finite, named); GN2_ERR_BUSY; GN2_ERR_NO_MEMORY; the trainer is
 *   unchanged.
 * @thread As the trainer: one at a time. @since 0.1
 */
GN2_API gn2_status gn2_trainer_probe(gn2_trainer *trainer, const gn2_jets *jets,
                                     gn2_probe_fn fn, void *user);

#ifdef __cplusplus
}
#endif
#endif
