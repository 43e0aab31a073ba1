/* SPDX-License-Identifier: Apache-2.0 */
/* A small learnable problem: jets of 0 to 12 tracks whose class, origins and
 * vertices show in their variables. */
#ifndef GN2_TESTS_TOY_H
#define GN2_TESTS_TOY_H

#include "../unit/unit.h"
#include "train/trainer.h"

#define TOY_JET_INPUTS 2
#define TOY_TRACK_INPUTS 19

typedef struct toy {
    gn2_jets jets;
    gn2_labels labels;
    gn2_label label[3];
    gn2_sequence tracks;
    float *features, *values;
    int64_t *offsets;
    int32_t *flavour, *origin, *vertex;
} toy;

/* `count` jets drawn from `seed`; every fifth has no track. */
toy *toy_create(int64_t count, uint64_t seed);
void toy_free(toy *t);
/* Sets its labels. */
void toy_label(toy *t, const int32_t *flavour, const int32_t *origin,
               const int32_t *vertex);
/* Jets first … first+count−1 of `all`, as views into it. */
void toy_batch(const toy *all, int64_t first, int64_t count, toy *out);

/* Config of a small model and of its training; options: "key=value" …, NULL. */
gn2_config *toy_config(const char *const *options);
gn2_model *toy_model(const gn2_config *config);
/* Trainer on a fresh model of the config. */
gn2_trainer *toy_trainer(const gn2_config *config);
/* The same from options alone. */
gn2_trainer *toy_trainer_of(const char *const *options);

/* Weights of two trainers are the same, to the bit. */
void assert_same_weights(const gn2_trainer *a, const gn2_trainer *b);

#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

#endif
