/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of parameters: one row a tensor, in one arena. Everything that must
 * know names, shapes, roles, starts or multipliers reads it here.
 */
#ifndef GN2_NET_PARAMS_H
#define GN2_NET_PARAMS_H

#include <gn2/model.h>

#include "net/hparams.h"

/* How a tensor starts. */
typedef enum gn2_start {
    GN2_START_CONSTANT = 0, /* init_value */
    GN2_START_NORMAL = 1,   /* N(0, init_std²) */
    GN2_START_UNIFORM = 2   /* U(±√3·init_std) */
} gn2_start;

typedef struct gn2_tensor {
    char name[128]; /* salt's state_dict name without "model." */
    int32_t role;   /* GN2_ROLE_* */
    gn2_start start;
    int64_t shape[2]; /* (out, in) or (length, 0) */
    int64_t count;
    int64_t offset; /* in the arena, elements */
    int64_t fan_in, fan_out;
    double init_value, init_std;
    int64_t zeros; /* first elements that start at 0 */
    double lr_mult, wd_mult, forward_mult;
} gn2_tensor;

/* Where a linear map lies in the arena; bias −1: none. */
typedef struct gn2_linear_at {
    int64_t in, out, weight, bias;
} gn2_linear_at;

/* Gain and bias of a LayerNorm, −1 without affine. */
typedef struct gn2_norm_at {
    int64_t gain, bias;
} gn2_norm_at;

typedef struct gn2_layer_at {
    gn2_norm_at norm1, norm2;
    gn2_linear_at qkv; /* (3E, E), contiguous in both encoders */
    gn2_linear_at attn_out, ffn_in, ffn_out;
} gn2_layer_at;

typedef struct gn2_params {
    gn2_tensor *tensor;
    size_t count;
    int64_t total; /* elements of the arena */

    gn2_linear_at init[GN2_MAX_SEQUENCES][GN2_DENSE_MAX];
    int64_t registers; /* (R, E), −1 if R = 0 */
    gn2_layer_at *layer;
    gn2_norm_at final_norm;
    gn2_linear_at out_proj;
    gn2_linear_at gate;
    gn2_linear_at task[GN2_TASK_COUNT][GN2_DENSE_MAX];
} gn2_params;

/* Normalisation and defaults of one object, (inputs) each. */
typedef struct gn2_object_norm {
    float *mean, *std, *fallback;
    float *low, *high; /* what an input may be; see GN2_NORMALISED_MAX */
} gn2_object_norm;

gn2_status gn2_params_create(const gn2_hparams *h, gn2_params **out_params);
void gn2_params_free(gn2_params *params);
/* Row of a tensor, or NULL. */
const gn2_tensor *gn2_params_find(const gn2_params *params, const char *name);
/* Random start from h->seed; each tensor has a stream of its own, by name. */
void gn2_params_start(const gn2_params *params, uint64_t seed, float *weights);

#endif
