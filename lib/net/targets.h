/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all kinds of regressions share: options, scaling, rows, checks, metrics.
 *   s = (t − mean) / std  or  t / denominator, an input of the same row
 * A target that is NaN, or whose denominator is 0, is not there.
 */
#ifndef GN2_NET_TARGETS_H
#define GN2_NET_TARGETS_H

#include "net/tasks.h"

/* Options read here, for gn2_task_kind.options. */
#define GN2_TARGET_OPTIONS \
    "targets", "target_mean", "target_std", "target_denominators", "sample_weight"

/* Reads targets and their scaling into the task. */
gn2_status gn2_targets_read(const gn2_task_reader *r, gn2_task *task);

/* A row of a task: number of a jet, or of a row of data. */
typedef struct R(gn2_target_row) {
    const R(gn2_net) *net;
    const R(gn2_batch) *batch;
    const gn2_task *task;
    const gn2_task_labels *labels; /* NULL: none */
    int64_t row;
    const real *x; /* logits of the row; NULL outside a pass */
} R(gn2_target_row);

/* Row r of the chunk. */
R(gn2_target_row) R(gn2_target_row_of)(const R(gn2_pass) *pass, int k, int64_t r);

/* A value in the target's own units = size · what the network gives + shift. */
typedef struct gn2_target_unit {
    double size, shift;
} gn2_target_unit;

gn2_target_unit R(gn2_target_unit_of)(const R(gn2_target_row) *p, int64_t t);
/* Logit t in the target's own units, rounded as the output is: the prediction of kinds
 * whose first logits, one a target, are the values themselves. */
real R(gn2_target_prediction)(const R(gn2_target_row) *p, int64_t t);
/* The target in its own units. */
double R(gn2_target_value)(const R(gn2_target_row) *p, int64_t t);
/* The target as the network should give it; 0: it is not there. */
int R(gn2_target_scaled)(const R(gn2_target_row) *p, int64_t t, double *out);
/* What the losses of a row are multiplied by. */
double R(gn2_target_factor)(const R(gn2_pass) *pass, int k, const R(gn2_target_row) *p);

/* `run` of a kind: forward, the loss of each row r (d: gradient of all logits, NULL
 * without), backward. */
typedef double (*R(gn2_target_loss))(const R(gn2_pass) *pass, int k, int64_t r,
                                     real *d);
void R(gn2_targets_run)(R(gn2_pass) *pass, int k, R(gn2_target_loss) loss);

/* What a kind says of target t, in its own units, rounded as the outputs are. */
typedef struct R(gn2_target_outputs) {
    real (*value)(const R(gn2_target_row) *p, int64_t t);
    real (*spread)(const R(gn2_target_row) *p, int64_t t); /* NULL: none */
} R(gn2_target_outputs);

/* `observe` and `conclude`, in the targets' units: metrics are the mean of |e|, the
 * root mean square, the mean of e and, for kinds with a spread, the root mean square
 * of e / spread; e = value − target. */
#define GN2_TARGET_METRICS "mae", "rmse", "bias"
void R(gn2_targets_observe)(const R(gn2_pass) *pass, int k, int64_t b,
                            const R(gn2_target_outputs) *of, double *sums);
void R(gn2_targets_conclude)(const double *sums, double *out_values);

/* `check` and `total` of a kind: finite targets or NaN; the number of targets that are
 * there. */
gn2_status R(gn2_targets_check)(const R(gn2_label_place) *p);
double R(gn2_targets_total)(const R(gn2_net) *net, const R(gn2_label_place) *p);

#endif
