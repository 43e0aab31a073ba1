/* SPDX-License-Identifier: Apache-2.0 */
/* The object behind gn2_model: config, architecture, weights; counted. */
#ifndef GN2_NET_MODEL_H
#define GN2_NET_MODEL_H

#include <gn2/model.h>
#include <pthread.h>
#include <stdatomic.h>

#include "net/net.h"
#include "net/params.h"

/* Factors of the forward pass, as files name them. */
#define GN2_SCALE_ATTENTION "scale.attention"
#define GN2_SCALE_READOUT "scale.readout"

/* The jets or a constituent type: names, of the config; normalisation, what an input
 * may be (GN2_NORMALISED_MAX; never NaN or Inf), and what stands for one that is not
 * finite: (inputs) each, of one block. */
typedef struct gn2_object_inputs {
    const char *name;
    const char *const *inputs;
    float *mean, *std, *low, *high, *fallback;
} gn2_object_inputs;

struct gn2_model {
    atomic_int references;
    atomic_int shared; /* a tagger or trainer uses it: weights are fixed */
    gn2_config *config;
    gn2_hparams h;
    char attention_text[32], readout_text[32]; /* the scales of h */
    gn2_params *params;
    float *weights;                                  /* arena (params->total) */
    gn2_object_inputs object[1 + GN2_MAX_SEQUENCES]; /* 0: jets, then sequences */
    pthread_mutex_t mutex;                           /* guards `net` */
    /* packed weights for taggers by instruction set, back end, storage and
     * arithmetic, made at first use */
    gn2_net_f32 *net[GN2_ISA_BEST + 1][GN2_BACKEND_ONEDNN + 1][GN2_STORAGE_BF16 + 1]
                    [GN2_ARITHMETIC_BF16 + 1];
};

/* A model of a config (copied), weights zero. */
gn2_status gn2_model_new(const gn2_config *config, gn2_model **out_model);
/* The same with its random start. */
gn2_status gn2_model_random(const gn2_config *config, gn2_model **out_model);
/* One more owner; a model that is only read has counters and a lock all the same. */
gn2_model *gn2_model_share(const gn2_model *model);
void gn2_model_unref(gn2_model *model);

/* Scales that are a file's, not today's formulas'. */
void gn2_model_set_scales(gn2_model *model, double attention, double readout);
/* Text of a config key, or of a scale. */
gn2_status gn2_model_metadata(const gn2_model *model, const char *key,
                              const char **out_text);

/* Is it an option that says what a model is? */
int gn2_model_is_option(const char *key);
/* The model's value of an option that a config sets to neither that nor the default,
 * though it has no effect there, being the model's; NULL: another option, or not so. A
 * config knows no more of what was set. */
gn2_status gn2_model_differs(const gn2_model *model, const gn2_config *config,
                             const char *key, const char **out_own);

/* Name of object 0 (jets) or of sequence i−1, and of its inputs. */
const char *gn2_model_object_name(const gn2_model *model, int object);
/* Number of the object with a name, −1 if there is none. */
int gn2_model_object_find(const gn2_model *model, const char *name);
int64_t gn2_model_object_inputs(const gn2_model *model, int object);
const char *gn2_model_object_input(const gn2_model *model, int object, size_t index);

#endif
