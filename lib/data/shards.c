/* SPDX-License-Identifier: Apache-2.0 */
#include "data/shards.h"

/* Products of fewer rows are slower. */
#define LEAST_TOKENS 64
/* With more than 8 threads each has a gradient of its own: 1.2 GB at width 256. */
#define MOST_SHARDS 128

int32_t gn2_shards_of(int64_t batch_size, double constituents)
{
    const double tokens = (double)batch_size * (1 + constituents);
    int32_t shards = 1;
    while (shards < MOST_SHARDS && tokens >= 2.0 * shards * LEAST_TOKENS) shards *= 2;
    return shards;
}
