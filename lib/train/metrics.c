/* SPDX-License-Identifier: Apache-2.0 */
#include "train/metrics.h"

#include <math.h>
#include <stdlib.h>

static int ascending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

void gn2_scores_sort(gn2_scores *scores)
{
    if (scores->count > 1)
        qsort(scores->value, (size_t)scores->count, sizeof *scores->value, ascending);
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
    if (signal->count == 0) return (double)NAN;
    const double index = floor((1 - efficiency) * (double)signal->count);
    return (double)signal->value[(int64_t)index];
}

double gn2_metric_rejection(const gn2_scores *background, double cut)
{
    int64_t below = 0;
    if (background->count == 0 || isnan(cut)) return (double)NAN;
    while (below < background->count && (double)background->value[below] < cut) below++;
    const int64_t pass = background->count - below;
    return pass ? (double)background->count / (double)pass : HUGE_VAL;
}
