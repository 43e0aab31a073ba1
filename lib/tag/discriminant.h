/* SPDX-License-Identifier: Apache-2.0 */
/* Discriminants: signal over the weighted other classes. */
#ifndef GN2_TAG_DISCRIMINANT_H
#define GN2_TAG_DISCRIMINANT_H

#include "net/model.h"

typedef enum gn2_discriminant_id {
    GN2_D_B = 0,
    GN2_D_C = 1,
    GN2_D_TAU = 2
} gn2_discriminant_id;

typedef struct gn2_discriminant_rule {
    int64_t signal; /* class, −1: the model has no such class */
    int32_t form;   /* GN2_FORM_* */
    double fraction[GN2_MAX_CLASSES];
} gn2_discriminant_rule;

/* Rule with the model's stored fractions: what is left of 1 goes to the light
 * class; a class the model lacks takes its fraction with it. */
void gn2_discriminant_of(const gn2_model *model, gn2_discriminant_id id,
                         gn2_discriminant_rule *out);

/* D of one jet, finite for finite p: a zero numerator or denominator counts as FLT_MIN.
 * NaN among p gives NaN. */
float gn2_discriminant_value(const float *p, int64_t classes, int64_t signal,
                             const double *fraction, int32_t form);

#endif
