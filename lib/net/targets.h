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

/* A value in the target's own units = size · what the network gives + shift. */
typedef struct gn2_target_unit {
    double size, shift;
} gn2_target_unit;

gn2_target_unit R(gn2_target_unit_of)(const R(gn2_target_row) *p, int64_t t);
/* Logit t in the target's own units, rounded as the output is: the prediction of kinds
 * whose first logits, one a target, are the values themselves. */
real R(gn2_target_prediction)(const R(gn2_target_row) *p, int64_t t);
/* The target as the network should give it; 0: it is not there. */
int R(gn2_target_scaled)(const R(gn2_target_row) *p, int64_t t, double *out);

/* Fields of a kind in common. It has yet to give name, options, read, row_loss, check,
 * outputs (the values, then their spreads where it has any) and metrics: the mean of
 * |e|, the root mean square, the mean of e, of kinds with spreads the root mean square
 * of e / spread; e = value − target in the target's units, rounded as outputs are. */
#define GN2_TARGET_KIND                                               \
    .label = GN2_LABEL_TARGETS, .run = R(gn2_targets_run),            \
    .total = R(gn2_targets_total), .observe = R(gn2_targets_observe), \
    .conclude = R(gn2_targets_conclude)
#define GN2_TARGET_METRICS "mae", "rmse", "bias"
void R(gn2_targets_run)(R(gn2_pass) *pass, int k);
/* Finite targets or NaN; the number of targets that are there. */
gn2_status R(gn2_targets_check)(const R(gn2_label_place) *p, int64_t b, int64_t i);
double R(gn2_targets_total)(const R(gn2_net) *net, const R(gn2_label_place) *p);
void R(gn2_targets_observe)(const R(gn2_pass) *pass, int k, int64_t b, double *sums);
void R(gn2_targets_conclude)(const double *sums, double *out_values);

#endif
