/* SPDX-License-Identifier: Apache-2.0 */
#include "train/metrics.h"

#include <math.h>
#include <stdlib.h>

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
        qsort(scores->value, (size_t)scores->count, sizeof *scores->value, ascending);
}

/* A figure of scores of which one is not known is not known either. */
static int has_nan(const gn2_scores *sorted)
{
    return sorted->count > 0 && isnan(sorted->value[sorted->count - 1]);
}

/* Index behind the scores up to x, searched from `at` on. */
static int64_t behind(const gn2_scores *s, int64_t at, float x)
{
    while (at < s->count && s->value[at] <= x) at++;
    return at;
}

double gn2_metric_auc(const gn2_scores *signal, const gn2_scores *background)
{
    /* twice the number of ordered pairs: exact in double up to 2^52 */
    double twice = 0;
    int64_t below = 0, upto = 0;
    if (signal->count == 0 || background->count == 0) return (double)NAN;
    if (has_nan(signal) || has_nan(background)) return (double)NAN;
    for (int64_t i = 0; i < signal->count; i++) {
        const float x = signal->value[i];
        while (below < background->count && background->value[below] < x) below++;
        upto = behind(background, upto, x);
        twice += (double)(below + upto);
    }
    return twice / 2 / (double)signal->count / (double)background->count;
}

double gn2_metric_cut(const gn2_scores *signal, double efficiency)
{
    if (signal->count == 0 || has_nan(signal)) return (double)NAN;
    const double index = floor((1 - efficiency) * (double)signal->count);
    return (double)signal->value[(int64_t)index];
}

double gn2_metric_rejection(const gn2_scores *background, double cut)
{
    int64_t below = 0;
    if (background->count == 0 || isnan(cut) || has_nan(background)) return (double)NAN;
    while (below < background->count && (double)background->value[below] < cut) below++;
    const int64_t pass = background->count - below;
    return pass ? (double)background->count / (double)pass : HUGE_VAL;
}
