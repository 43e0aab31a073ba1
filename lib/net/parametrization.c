/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standard and maximal update parametrisation: roles and multipliers of Tensor
 * Programs V (tables 3 and 8). Adding one: a function pair and a row.
 */
#include "net/parametrization.h"

#include <gn2/model.h>
#include <math.h>

static double width_ratio(const gn2_hparams *h)
{
    return (double)h->embed_dim / (double)h->base_width;
}

/* ---- sp: nothing is scaled ---- */

static void sp_forward(gn2_hparams *h, double base_head_dim)
{
    (void)base_head_dim;
    h->block.attention.scale = 1 / sqrt((double)h->block.attention.head_dim);
}

static void sp_tensor(const gn2_hparams *h, gn2_tensor *t)
{
    (void)h;
    (void)t;
}

/* ---- mup: relative to a base, table 8: readout as a multiplier, wd·lr constant ----
 */

/* (1/√d_h0)·(d_h0/d_h): to the bit SP's 1/√d_h where the head size is the base's,
 * be it that the width is or that heads were added. */
static void mup_forward(gn2_hparams *h, double base_head_dim)
{
    h->block.attention.scale =
        1 / sqrt(base_head_dim) * (base_head_dim / (double)h->block.attention.head_dim);
    if (h->readout.norm != GN2_FINAL_POST)
        h->readout.mult = (double)h->base_width / (double)h->embed_dim;
}

static void mup_tensor(const gn2_hparams *h, gn2_tensor *t)
{
    const double m = width_ratio(h);
    /* random biases: of the same size at every width, whatever grows */
    if (t->form == GN2_FORM_BIAS && t->growth & GN2_GROWS_IN) t->init_std *= sqrt(m);
    if (t->role == GN2_ROLE_FINITE) return;
    if (t->role == GN2_ROLE_HIDDEN && h->rule == GN2_UPDATE_ADAPTIVE)
        t->lr_mult = 1 / m;
    /* only its inputs grow: rate as of a hidden tensor where a norm follows */
    if (t->role != GN2_ROLE_HIDDEN && h->rule == GN2_UPDATE_GRADIENT) t->lr_mult = m;
    if (t->role == GN2_ROLE_OUTPUT) {
        t->forward_mult = 1 / m;
        t->init_std *= sqrt(m);
    }
    t->wd_mult = 1 / t->lr_mult;
}

/* ---- mup_absolute: table 3 with base width 1 ---- */

static void absolute_forward(gn2_hparams *h, double base_head_dim)
{
    (void)base_head_dim;
    h->block.attention.scale = 1 / (double)h->block.attention.head_dim;
}

static void absolute_tensor(const gn2_hparams *h, gn2_tensor *t)
{
    const double in = (double)t->fan_in, out = (double)t->fan_out;
    if (t->role == GN2_ROLE_HIDDEN && h->rule == GN2_UPDATE_ADAPTIVE)
        t->lr_mult = 1 / in;
    if (t->role == GN2_ROLE_OUTPUT) {
        t->lr_mult = 1 / in;
        t->init_std = 1 / in;
    }
    if ((t->role == GN2_ROLE_INPUT || t->role == GN2_ROLE_BIAS) &&
        h->rule == GN2_UPDATE_GRADIENT)
        t->lr_mult = out;
    t->wd_mult = 1 / t->lr_mult;
}

const gn2_parametrization gn2_parametrizations[] = {
    {"sp", 0, 0, sp_forward, sp_tensor},
    {"mup", 1, 1, mup_forward, mup_tensor},
    {"mup_absolute", 1, 0, absolute_forward, absolute_tensor},
    {0},
};

/* Weights by what grows; biases and gains are vectors of what comes out. */
static int32_t role_of(const gn2_tensor *t)
{
    static const int32_t weights[] = {GN2_ROLE_FINITE, GN2_ROLE_INPUT, GN2_ROLE_OUTPUT,
                                      GN2_ROLE_HIDDEN};
    if (t->form == GN2_FORM_WEIGHT) return weights[t->growth];
    return t->growth & GN2_GROWS_OUT ? GN2_ROLE_BIAS : GN2_ROLE_FINITE;
}

void gn2_parametrization_scale(const void *user, gn2_tensor *t)
{
    const gn2_hparams *h = user;
    t->role = role_of(t);
    gn2_parametrizations[h->parametrization].tensor(h, t);
    if (h->plain_decay) t->wd_mult = 1;
}
