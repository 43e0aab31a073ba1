/* SPDX-License-Identifier: Apache-2.0 */
#include "util/rng.h"

#include <math.h>

double gn2_rng_normal(uint64_t key, uint64_t counter)
{
    const double two_pi = 6.283185307179586476925;
    const double u = gn2_rng_uniform(key, 2 * counter);
    const double v = gn2_rng_uniform(key, 2 * counter + 1);
    return sqrt(-2.0 * log(u)) * cos(two_pi * v);
}

void gn2_rng_permutation(uint64_t key, int64_t *index, int64_t count)
{
    for (int64_t i = 0; i < count; i++) index[i] = i;
    for (int64_t i = count - 1; i > 0; i--) {
        const int64_t j = (int64_t)gn2_rng_below(key, (uint64_t)i, (uint64_t)i + 1);
        const int64_t swap = index[i];
        index[i] = index[j];
        index[j] = swap;
    }
}
