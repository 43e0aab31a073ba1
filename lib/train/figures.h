/* SPDX-License-Identifier: Apache-2.0 */
/* A list of named figures of merit. */
#ifndef GN2_TRAIN_FIGURES_H
#define GN2_TRAIN_FIGURES_H

#include <gn2/trainer.h>

#include "net/hparams.h"

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
