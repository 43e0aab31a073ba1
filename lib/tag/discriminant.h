/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Discriminants: signal over the weighted other classes. The keys `discriminant.*`
 * become rules here and nowhere else; so do the formula and the check of fractions.
 */
#ifndef GN2_TAG_DISCRIMINANT_H
#define GN2_TAG_DISCRIMINANT_H

#include "net/hparams.h"

#define GN2_MAX_DISCRIMINANTS 16
#define GN2_DISCRIMINANT_NAME_SIZE 72

typedef struct gn2_discriminant_rule {
    char name[GN2_DISCRIMINANT_NAME_SIZE]; /* "D_b" */
    int64_t signal;                        /* class */
    int64_t rest; /* class that gets what is left of 1; −1: none */
    int32_t form; /* GN2_FORM_* */
    double fraction[GN2_MAX_CLASSES]; /* 0 of the signal */
} gn2_discriminant_rule;

typedef struct gn2_discriminants {
    size_t count;
    gn2_discriminant_rule rule[GN2_MAX_DISCRIMINANTS];
} gn2_discriminants;

/*
 * Discriminants of the classes and keys of a model's config: D_b, D_c, D_tau where it
 * has the class, then those defined by `discriminant.NAME.signal`, by name. A signal
 * or fractions set in `more` (NULL: none) come before the model's.
 */
gn2_status gn2_discriminants_read(const gn2_config *model, const gn2_config *more,
                                  gn2_discriminants *out);

/* NULL if there is none of that name. */
const gn2_discriminant_rule *gn2_discriminant_find(const gn2_discriminants *all,
                                                   const char *name);

/* Refuses fractions that are negative, not finite, or sum to more than 1; `name` is
 * named. The signal's does not count. */
gn2_status gn2_fractions_check(const char *name, const double *fraction,
                               int64_t classes, int64_t signal);

/* D of one jet, finite for finite p: a zero numerator or denominator counts as FLT_MIN.
 * NaN among p gives NaN. */
float gn2_discriminant_value(const float *p, int64_t classes, int64_t signal,
                             const double *fraction, int32_t form);

/* dD/dz_j of the jet's logits z, by the probabilities p that they make. */
void gn2_discriminant_gradient(const float *p, int64_t classes,
                               const gn2_discriminant_rule *rule, float *out);

#endif
