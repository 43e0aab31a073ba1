/* SPDX-License-Identifier: Apache-2.0 */
/* Means, deviations and class counts over a dataset, in double, by one pass. */
#ifndef GN2_DATA_STATS_H
#define GN2_DATA_STATS_H

#include <stdatomic.h>

#include "data/source.h"

/* Of the finite values of a variable. */
typedef struct gn2_moments {
    double count, mean, squares; /* squares: sum of (x − mean)² */
} gn2_moments;

/* Population standard deviation (numpy's default, as UPP uses). */
double gn2_moments_std(const gn2_moments *moments);

typedef struct gn2_stats {
    gn2_moments *input[1 + GN2_MAX_PARTS]; /* (inputs) of each object */
    int64_t *classes[GN2_MAX_LABELS];      /* (classes) of a label that has some */
    int64_t constituents;                  /* of all types */
} gn2_stats;

/* Reads the first `jets` jets of a source. GN2_ERR_CANCELLED soon after *stop is set,
 * which that resets. */
gn2_status gn2_stats_collect(gn2_source *source, int64_t jets, atomic_int *stop,
                             gn2_stats *out_stats);
void gn2_stats_clear(gn2_stats *stats);

#endif
