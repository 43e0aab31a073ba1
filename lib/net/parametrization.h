/* SPDX-License-Identifier: Apache-2.0 */
/* Parametrisations: what a tensor's growth with the width means for it. */
#ifndef GN2_NET_PARAMETRIZATION_H
#define GN2_NET_PARAMETRIZATION_H

#include "net/hparams.h"

typedef struct gn2_parametrization {
    const char *name;
    int grows;    /* it says how a network grows: zero starts count */
    int relative; /* to a base: its shape must fit */
    /* Sets the factors of attention and readout, the latter unless it is 1;
     * base_head_dim: size of a head at base_width. */
    void (*forward)(gn2_hparams *h, double base_head_dim);
    /* Sets multipliers of a tensor whose role is known, and may change its start. */
    void (*tensor)(const gn2_hparams *h, gn2_tensor *t);
} gn2_parametrization;

/* One row each, ended by a row without a name. */
extern const gn2_parametrization gn2_parametrizations[];

/* Role and multipliers of a tensor, for a declaration with `h` as its user. */
void gn2_parametrization_scale(const void *user, gn2_tensor *t);

#endif
