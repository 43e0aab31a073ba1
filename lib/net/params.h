/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of parameters: one row a tensor, in one arena, as the layers declare
 * them. Everything that must know names, shapes, roles, starts or multipliers reads
 * it here.
 */
#ifndef GN2_NET_PARAMS_H
#define GN2_NET_PARAMS_H

#include <gn2/model.h>

#include "net/hparams.h"

typedef struct gn2_params {
    gn2_tensor *tensor; /* (count) */
    size_t count;
    int64_t total; /* elements of the arena */
} gn2_params;

/* One block, freed by gn2_free(). */
gn2_status gn2_params_create(const gn2_hparams *h, gn2_params **out_params);
/* Row of a tensor, or NULL. */
const gn2_tensor *gn2_params_find(const gn2_params *params, const char *name);
/* Random start; each tensor has a stream of its own, by name. */
void gn2_params_start(const gn2_params *params, uint64_t seed, float *weights);

#endif
