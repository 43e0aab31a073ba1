/* SPDX-License-Identifier: Apache-2.0 */
#include "train/metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/alloc.h"
#include "util/error.h"

/* NaN last, so that the order is one. */
static int ascending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    if (isnan(x) || isnan(y)) return (isnan(x) != 0) - (isnan(y) != 0);
    return (x > y) - (x < y);
}

void gn2_scores_sort(gn2_scores *scores)
{
    if (scores->count > 1)
        qsort(scores->value, scores->count, sizeof *scores->value, ascending);
}

/* A figure of scores of which one is not known is not known either. */
static int has_nan(const gn2_scores *sorted)
{
    return sorted->count > 0 && isnan(sorted->value[sorted->count - 1]);
}

double gn2_metric_auc(const gn2_scores *signal, const gn2_scores *background)
{
    /* twice the number of ordered pairs: exact in double up to 2^52 */
    double twice = 0;
    size_t below = 0, upto = 0;
    if (signal->count == 0 || background->count == 0) return (double)NAN;
    if (has_nan(signal) || has_nan(background)) return (double)NAN;
    for (size_t i = 0; i < signal->count; i++) {
        const float x = signal->value[i];
        while (below < background->count && background->value[below] < x) below++;
        while (upto < background->count && background->value[upto] <= x) upto++;
        twice += (double)(below + upto);
    }
    return twice / 2 / (double)signal->count / (double)background->count;
}

double gn2_metric_cut(const gn2_scores *signal, double efficiency)
{
    if (signal->count == 0 || has_nan(signal)) return (double)NAN;
    const double index = floor((1 - efficiency) * (double)signal->count);
    return (double)signal->value[(size_t)index];
}

double gn2_metric_rejection(const gn2_scores *background, double cut)
{
    size_t below = 0;
    if (background->count == 0 || isnan(cut) || has_nan(background)) return (double)NAN;
    while (below < background->count && (double)background->value[below] < cut) below++;
    const size_t pass = background->count - below;
    return pass ? (double)background->count / (double)pass : HUGE_VAL;
}

/* ---- the list ---- */

void gn2_figures_clear(gn2_figures *figures)
{
    gn2_free(figures->metric);
    gn2_free(figures->name);
    memset(figures, 0, sizeof *figures);
}

/* The names move when there are more of them. */
static gn2_status grow(gn2_figures *f)
{
    const size_t more = 2 * f->capacity + 64;
    if (!gn2_grow(&f->name, f->count, more, sizeof *f->name) ||
        !gn2_grow(&f->metric, f->count, more, sizeof *f->metric))
        return gn2_fail_memory();
    for (size_t i = 0; i < f->count; i++) f->metric[i].name = f->name[i];
    f->capacity = more;
    return GN2_OK;
}

gn2_status gn2_figures_add(gn2_figures *f, const char *owner, const char *what,
                           const char *of, double value)
{
    if (f->count == f->capacity) GN2_TRY(grow(f));
    char *name = f->name[f->count];
    snprintf(name, GN2_FIGURE_NAME_SIZE, "%s.%s%s%s", owner, what, of ? "_" : "",
             of ? of : "");
    f->metric[f->count++] = (gn2_metric){.name = name, .value = value};
    return GN2_OK;
}

double gn2_figures_value(const gn2_figures *f, const char *name)
{
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->metric[i].name, name) == 0) return f->metric[i].value;
    return (double)NAN;
}
