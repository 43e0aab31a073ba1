/* SPDX-License-Identifier: Apache-2.0 */
/* First layer of a head over [G, z_i] or [G, z_i, z_j], multiplied part by part. */
#ifndef GN2_LAYERS_SPLIT_H
#define GN2_LAYERS_SPLIT_H

#include "layers/linear.h"

/* Parts 2: G and the constituent; 3: G, constituent i, constituent j. */
typedef struct R(gn2_split) {
    int parts;
    R(gn2_linear) part[3]; /* columns of one weight; the bias goes with the first */
} R(gn2_split);

typedef struct R(gn2_split_space) {
    real *context, *d_context; /* (B, hidden): part 0 */
} R(gn2_split_space);

/* What the layer reads: pooled (B, o), z (N, o). */
typedef struct R(gn2_split_input) {
    const real *pooled, *z;
} R(gn2_split_input);

/* The parts of a linear map over [G, z, …] that was declared whole. */
void R(gn2_split_make)(R(gn2_split) *split, const R(gn2_linear) *whole, int parts);
void R(gn2_split_each)(R(gn2_split) *split, R(gn2_linear_fn) fn, void *user);
void R(gn2_split_carve)(gn2_carver *c, const R(gn2_split) *split,
                        R(gn2_split_space) *s);

/* a (N, hidden) = W_i z + (W_G G + b) of the jet [relu]; b (N, hidden) = W_j z with
 * three parts, else NULL. */
void R(gn2_split_fwd)(const R(gn2_context) *ctx, const R(gn2_split) *split,
                      const R(gn2_split_space) *s, real *a, real *b,
                      const R(gn2_split_input) *in, int relu, const gn2_tokens *n);
/* d_pooled (B, o) = …, d_z (N, o) = … from d_a, d_b. */
void R(gn2_split_bwd)(const R(gn2_context) *ctx, const R(gn2_split) *split,
                      const R(gn2_split_space) *s, real *d_pooled, real *d_z,
                      const real *d_a, const real *d_b, const R(gn2_split_input) *in,
                      const gn2_tokens *n);

#endif
