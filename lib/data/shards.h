/* SPDX-License-Identifier: Apache-2.0 */
/* How many shards `train.shards` = 0 stands for. */
#ifndef GN2_DATA_SHARDS_H
#define GN2_DATA_SHARDS_H

#include <stdint.h>

/* Constituents of a jet where no data was asked: ATLAS's jets have 8 to 12 tracks. */
#define GN2_USUAL_CONSTITUENTS 10.0

/* A power of two that depends on its arguments alone: the largest up to 128 that leaves
 * a shard of a batch 64 tokens or more, one of each jet included; at least 1. */
int32_t gn2_shards_of(int64_t batch_size, double constituents);

#endif
