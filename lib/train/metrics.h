/* SPDX-License-Identifier: Apache-2.0 */
/* Figures of merit from scores and labels, and a list of them by name; knows no model.
 * Of scores among which is a NaN every figure is NaN: sorted, it lies last. */
#ifndef GN2_TRAIN_METRICS_H
#define GN2_TRAIN_METRICS_H

#include <gn2/trainer.h>

#include "net/hparams.h"

/* Scores of the jets of one class, ascending once sorted. */
typedef struct gn2_scores {
    float *value;
    size_t count, capacity;
} gn2_scores;

void gn2_scores_sort(gn2_scores *scores);

/* Probability that a signal scores above a background, ties counting half; NaN if
 * one of them is empty. Both sorted. */
double gn2_metric_auc(const gn2_scores *signal, const gn2_scores *background);

/* Score of the signal at index floor((1 − efficiency)·count), so that at least that
 * share lies at or above it; NaN if empty. Sorted. */
double gn2_metric_cut(const gn2_scores *signal, double efficiency);

/* One over the share at or above the cut: Inf if none, NaN if empty or no cut.
 * Sorted. */
double gn2_metric_rejection(const gn2_scores *background, double cut);

#define GN2_FIGURE_NAME_SIZE 192

typedef struct gn2_figures {
    gn2_metric *metric; /* (count), names in `name` */
    char (*name)[GN2_FIGURE_NAME_SIZE];
    size_t count, capacity;
    double task_losses[GN2_MAX_TASKS];
} gn2_figures;

void gn2_figures_clear(gn2_figures *figures);
/* Adds "owner.what", "owner.what_of" if `of` is not NULL. */
gn2_status gn2_figures_add(gn2_figures *figures, const char *owner, const char *what,
                           const char *of, double value);
/* Value of a name, NaN if there is none. */
double gn2_figures_value(const gn2_figures *figures, const char *name);

#endif
