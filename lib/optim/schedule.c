/* SPDX-License-Identifier: Apache-2.0 */
/*
 * With e1 = pct·S − 1 (a real number) the end of the warm-up and e2 = S − 1:
 *   warm-up  k ≤ e1   p = k/e1
 *   descent  k > e1   p = (k − e1)/(e2 − e1)
 * Source of e1 and of the cosine: torch.optim.lr_scheduler.OneCycleLR.
 */
#include "optim/schedule.h"

#include <math.h>
#include <string.h>

#include "util/error.h"

#define PI 3.14159265358979323846

typedef double (*curve)(double from, double to, double p);

static double cosine(double from, double to, double p)
{
    return to + (from - to) / 2 * (1 + cos(PI * p));
}

static double line(double from, double to, double p)
{
    return from + (to - from) * p;
}

static double flat(double from, double to, double p)
{
    (void)to;
    (void)p;
    return from;
}

/* How each kind goes up and down, and whether β1 moves along. */
static const struct shape {
    const char *name;
    curve up, down;
    int cycles;
} shapes[] = {
    [GN2_SCHEDULE_ONECYCLE] = {"onecycle", cosine, cosine, 1},
    [GN2_SCHEDULE_COSINE] = {"cosine", line, cosine, 0},
    [GN2_SCHEDULE_CONSTANT] = {"constant", NULL, flat, 0},
    [GN2_SCHEDULE_LINEAR] = {"linear", line, line, 0},
    [GN2_SCHEDULE_WSD] = {"wsd", line, line, 0},
};

void gn2_schedule_read(const gn2_config *config, gn2_schedule *out)
{
    const char *name = gn2_config_str(config, "schedule.name");
    *out = (gn2_schedule){
        .steps = gn2_config_i64(config, "schedule.steps"),
        .initial = gn2_config_f64(config, "schedule.initial"),
        .max = gn2_config_f64(config, "schedule.max"),
        .end = gn2_config_f64(config, "schedule.end"),
        .pct_start = gn2_config_f64(config, "schedule.pct_start"),
        .decay_share = gn2_config_f64(config, "schedule.decay_share"),
        .beta1_max = gn2_config_f64(config, "schedule.beta1_max"),
        .beta1_min = gn2_config_f64(config, "schedule.beta1_min"),
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        if (strcmp(shapes[i].name, name) == 0) out->kind = (gn2_schedule_kind)i;
}

static double warm_end(const gn2_schedule *s)
{
    return s->pct_start * (double)s->steps - 1;
}

gn2_status gn2_schedule_check(const gn2_schedule *s)
{
    if (s->kind == GN2_SCHEDULE_CONSTANT) return GN2_OK;
    if (s->steps < 1)
        return gn2_fail(GN2_ERR_STATE,
                        "schedule.steps is not set: the %s schedule needs its length",
                        shapes[s->kind].name);
    if (s->kind == GN2_SCHEDULE_ONECYCLE && warm_end(s) == 0)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "schedule.pct_start %g of %lld steps: a warm-up of exactly one "
                        "step is undefined in a onecycle schedule",
                        s->pct_start, (long long)s->steps);
    return GN2_OK;
}

int64_t gn2_schedule_length(const gn2_schedule *s)
{
    return s->kind == GN2_SCHEDULE_CONSTANT ? INT64_MAX : s->steps;
}

/* Where the descent begins. */
static double descent_start(const gn2_schedule *s)
{
    const double e1 = warm_end(s), last = (double)(s->steps - 1);
    /* onecycle keeps torch's negative e1; the others start at `max` at step 0 */
    if (s->kind == GN2_SCHEDULE_ONECYCLE) return e1;
    const double warm = fmax(e1, 0);
    if (s->kind != GN2_SCHEDULE_WSD) return warm;
    return fmax(last - s->decay_share * (double)s->steps, warm);
}

void gn2_schedule_at(const gn2_schedule *s, int64_t step, double *out_lr,
                     double *out_beta1)
{
    const struct shape *shape = &shapes[s->kind];
    const double k = (double)step, e1 = warm_end(s), last = (double)(s->steps - 1);
    *out_beta1 = s->beta1_max;
    if (shape->up && k <= e1 && e1 > 0) {
        *out_lr = shape->up(s->initial, s->max, k / e1);
        if (shape->cycles) *out_beta1 = shape->up(s->beta1_max, s->beta1_min, k / e1);
        return;
    }
    const double start = descent_start(s);
    const double p = k > start && last > start ? (k - start) / (last - start) : 0;
    *out_lr = shape->down(s->max, s->end, p);
    if (shape->cycles) *out_beta1 = shape->down(s->beta1_min, s->beta1_max, p);
}
