/* SPDX-License-Identifier: Apache-2.0 */
/*
 * With e1 = pct·S − 1 (a real number) the end of the warm-up and e2 = S − 1:
 *   warm-up  k ≤ e1   p = k/e1
 *   descent  k > e1   p = (k − e1)/(e2 − e1)
 * A schedule is a function and a row of the table below it.
 * Source of e1 and of the cosine: torch.optim.lr_scheduler.OneCycleLR.
 */
#include "optim/schedule.h"

#include <math.h>
#include <string.h>

#include "util/error.h"

#define PI 3.14159265358979323846

static double cosine(double from, double to, double p)
{
    return to + (from - to) / 2 * (1 + cos(PI * p));
}

static double line(double from, double to, double p)
{
    return from + (to - from) * p;
}

static double warm_end(const gn2_schedule *s)
{
    return s->pct_start * (double)s->steps - 1;
}

/* Is step k in the warm-up, and how far? */
static int is_warming(const gn2_schedule *s, double k, double *out_p)
{
    const double e1 = warm_end(s);
    if (k > e1 || e1 <= 0) return 0;
    *out_p = k / e1;
    return 1;
}

/* How far step k is in a descent that begins at `start`. */
static double descent(const gn2_schedule *s, double k, double start)
{
    const double last = (double)(s->steps - 1);
    return k > start && last > start ? (k - start) / (last - start) : 0;
}

/* ---- the schedules ---- */

typedef struct rates {
    double lr, beta1;
} rates;

/* torch OneCycleLR, two cosine phases; keeps torch's negative e1. Where e1 is 0 torch
 * divides by zero: the only step of that warm-up is its end, at `max`, as it is in the
 * limit of torch's own e1 < 0. */
static rates onecycle(const gn2_schedule *s, double k)
{
    double p;
    if (is_warming(s, k, &p))
        return (rates){cosine(s->initial, s->max, p),
                       cosine(s->beta1_max, s->beta1_min, p)};
    p = descent(s, k, warm_end(s));
    return (rates){cosine(s->max, s->end, p), cosine(s->beta1_min, s->beta1_max, p)};
}

/* Linear warm-up, without one `max` at step 0; then along `curve` from `start` on, or
 * the end of the warm-up, down to `end`. */
static rates warm_up(const gn2_schedule *s, double k, double start,
                     double (*curve)(double from, double to, double p))
{
    double p;
    if (is_warming(s, k, &p)) return (rates){line(s->initial, s->max, p), s->beta1_max};
    p = descent(s, k, fmax(start, fmax(warm_end(s), 0)));
    return (rates){curve(s->max, s->end, p), s->beta1_max};
}

static rates warm_cosine(const gn2_schedule *s, double k)
{
    return warm_up(s, k, 0, cosine);
}

static rates linear(const gn2_schedule *s, double k)
{
    return warm_up(s, k, 0, line);
}

/* Linear warm-up, stable, line down to `end`. */
static rates wsd(const gn2_schedule *s, double k)
{
    const double steps = (double)s->steps;
    return warm_up(s, k, steps - 1 - s->decay_share * steps, line);
}

/* `max` at every step, endless. */
static rates constant(const gn2_schedule *s, double k)
{
    (void)k;
    return (rates){s->max, s->beta1_max};
}

struct gn2_schedule_kind {
    const char *name;
    rates (*at)(const gn2_schedule *s, double k);
    int endless; /* needs no number of steps */
};

static const gn2_schedule_kind kinds[] = {
    {.name = "onecycle", .at = onecycle},
    {.name = "cosine", .at = warm_cosine},
    {.name = "constant", .at = constant, .endless = 1},
    {.name = "linear", .at = linear},
    {.name = "wsd", .at = wsd},
};
#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

/* ---- what they have in common ---- */

const char *gn2_schedule_name(size_t i)
{
    return i < KIND_COUNT ? kinds[i].name : NULL;
}

const gn2_schedule_kind *gn2_schedule_find(const char *name)
{
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (strcmp(kinds[i].name, name) == 0) return &kinds[i];
    return NULL;
}

void gn2_schedule_read(const gn2_config *config, gn2_schedule *out)
{
    *out = (gn2_schedule){
        .kind = gn2_schedule_find(gn2_config_str(config, "schedule.name")),
        .steps = gn2_config_i64(config, "schedule.steps"),
        .initial = gn2_config_f64(config, "schedule.initial"),
        .max = gn2_config_f64(config, "schedule.max"),
        .end = gn2_config_f64(config, "schedule.end"),
        .pct_start = gn2_config_f64(config, "schedule.pct_start"),
        .decay_share = gn2_config_f64(config, "schedule.decay_share"),
        .beta1_max = gn2_config_f64(config, "schedule.beta1_max"),
        .beta1_min = gn2_config_f64(config, "schedule.beta1_min"),
    };
}

gn2_status gn2_schedule_check(const gn2_schedule *s)
{
    if (s->kind->endless || s->steps >= 1) return GN2_OK;
    return gn2_fail(GN2_ERR_STATE,
                    "schedule.steps is not set: the %s schedule needs its length",
                    s->kind->name);
}

int64_t gn2_schedule_length(const gn2_schedule *s)
{
    return s->kind->endless ? INT64_MAX : s->steps;
}

void gn2_schedule_at(const gn2_schedule *s, int64_t step, double *out_lr,
                     double *out_beta1)
{
    const rates r = s->kind->at(s, (double)step);
    *out_lr = r.lr;
    *out_beta1 = r.beta1;
}
