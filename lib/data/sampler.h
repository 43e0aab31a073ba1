/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which jets make batch k of epoch e: a function of the seed, k and e alone, so
 * any place can be gone to without reading what comes before it.
 */
#ifndef GN2_DATA_SAMPLER_H
#define GN2_DATA_SAMPLER_H

#include "data/source.h"

typedef struct gn2_sampler gn2_sampler;

/* *out_sampler is to be freed whatever comes. */
gn2_status gn2_sampler_create(gn2_source *source, const gn2_config *config,
                              gn2_sampler **out_sampler);
/* NULL is allowed. */
void gn2_sampler_free(gn2_sampler *sampler);

int64_t gn2_sampler_jet_count(const gn2_sampler *sampler);
int64_t gn2_sampler_batch_size(const gn2_sampler *sampler);
int64_t gn2_sampler_batch_count(const gn2_sampler *sampler);

/* Fills `rows` with a batch; cheapest in rising order. */
gn2_status gn2_sampler_batch(gn2_sampler *sampler, int64_t epoch, int64_t batch,
                             gn2_rows *rows);

#endif
