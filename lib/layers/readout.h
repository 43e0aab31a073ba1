/* SPDX-License-Identifier: Apache-2.0 */
/* Read-out of the encoder: out projection with the final norm before or behind it. */
#ifndef GN2_LAYERS_READOUT_H
#define GN2_LAYERS_READOUT_H

#include "config/config.h"
#include "layers/linear.h"
#include "layers/norm.h"

typedef enum gn2_final_norm {
    GN2_FINAL_POST = 0,
    GN2_FINAL_PRE = 1,
    GN2_FINAL_NONE = 2
} gn2_final_norm;

/* The parametrisation sets mult and zero_start. */
typedef struct gn2_readout_shape {
    int64_t in, out; /* E, o */
    gn2_final_norm norm;
    double norm_eps;
    double mult;    /* factor of the projection's input */
    int affine;     /* GN2v01: the norm before has gain and bias */
    int zero_start; /* the projection starts at 0 */
} gn2_readout_shape;

typedef struct R(gn2_readout) {
    gn2_readout_shape shape;
    gn2_norm norm;
    R(gn2_linear) out;
} R(gn2_readout);

typedef struct R(gn2_readout_space) {
    R(gn2_norm_space) norm;
    real *y;      /* (T, E) input of the projection where it is not x */
    real *z0, *z; /* (T, o): before, after a norm behind */
    real *d_z0;   /* (T, o) */
} R(gn2_readout_space);

void gn2_readout_read(const gn2_config *c, gn2_readout_shape *out);
/* readout->shape is set by the caller. */
void R(gn2_readout_declare)(gn2_declaration *d, R(gn2_readout) *readout);
void R(gn2_readout_carve)(gn2_carver *c, const gn2_readout_shape *shape,
                          R(gn2_readout_space) *s);
/* Multiply-adds a token. */
int64_t gn2_readout_cost(const gn2_readout_shape *shape);
void R(gn2_readout_show)(R(gn2_show) *show, const R(gn2_readout) *readout,
                         const R(gn2_readout_space) *s, int64_t rows);

/* x (T, E) → s->z (T, o). */
void R(gn2_readout_fwd)(const R(gn2_context) *ctx, const R(gn2_readout) *readout,
                        const R(gn2_readout_space) *s, const real *x, int64_t rows);
/* d_x (T, E) = … from d_z (T, o); d_y (T, E) is scratch. */
void R(gn2_readout_bwd)(const R(gn2_context) *ctx, const R(gn2_readout) *readout,
                        const R(gn2_readout_space) *s, real *d_x, real *d_y,
                        const real *d_z, const real *x, int64_t rows);

#endif
