/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Learning rate and β1 (momentum) as functions of the step, in double. A schedule
 * knows nothing of tensors: it is one factor times multipliers that were fixed
 * when the model was made, so no schedule can wipe a parametrisation.
 */
#ifndef GN2_OPTIM_SCHEDULE_H
#define GN2_OPTIM_SCHEDULE_H

#include "config/config.h"

/* A row of the table, its name the word of schedule.name. */
typedef struct gn2_schedule_kind gn2_schedule_kind;

typedef struct gn2_schedule {
    const gn2_schedule_kind *kind;
    int64_t steps; /* S; 0: not known yet */
    double initial, max, end;
    double pct_start;   /* share of S in the warm-up */
    double decay_share; /* wsd: share of S in the decay */
    double beta1_max, beta1_min;
} gn2_schedule;

/* Name of row i of the table; NULL after the last. */
const char *gn2_schedule_name(size_t i);
/* Row of a name, NULL if there is none. */
const gn2_schedule_kind *gn2_schedule_find(const char *name);

/* Keys `schedule.*`; `steps` may still be 0. Nothing is checked. */
void gn2_schedule_read(const gn2_config *config, gn2_schedule *out);

/* Can rates be asked for? GN2_ERR_STATE without steps. */
gn2_status gn2_schedule_check(const gn2_schedule *s);

/* Steps there are rates for; INT64_MAX if endless. */
int64_t gn2_schedule_length(const gn2_schedule *s);

/* Rates of step 0 … S−1 of a schedule that was checked. */
void gn2_schedule_at(const gn2_schedule *s, int64_t step, double *out_lr,
                     double *out_beta1);

#endif
