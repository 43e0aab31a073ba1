/* SPDX-License-Identifier: Apache-2.0 */
/* Inverted dropout (torch.nn.Dropout): keep with probability 1−p, scale by
 * 1/(1−p). The mask is a function of step, place and element, so any thread makes
 * the same one and nothing is stored. */
#include <math.h>

#include "layers/layer.h"
#include "util/rng.h"

gn2_dropout gn2_dropout_make(double p, uint64_t step_key, uint64_t place)
{
    gn2_dropout drop = {.key = gn2_rng_key(step_key, place), .scale = 1};
    if (p <= 0) return drop;
    drop.threshold = (uint32_t)fmin(p * 0x1p32, 0x1p32 - 1);
    drop.scale = 1 / (1 - p);
    return drop;
}
