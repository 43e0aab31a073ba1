/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AdamW as in torch.optim: decoupled decay; the bias correction takes the present
 * β1 to the power t although β1 is cycled. With the tensor's multipliers l (rate)
 * and w (decay):
 *   p ← p − lr·l·λ·w·p, then the Adam step at rate lr·l
 */
#include "optim/adamw.h"

#include <math.h>

enum { BIAS1, INV_BIAS2 }; /* 1 − β1^t, 1/√(1 − β2^t) */

static void read(const gn2_config *config, gn2_optim_options *out)
{
    out->weight_decay = gn2_config_f64(config, "optim.weight_decay");
    out->beta2 = gn2_config_f64(config, "optim.beta2");
    out->eps = gn2_config_f64(config, "optim.eps");
}

/* The moments decay by the rounded β, so their weights sum to 1 − β^t of that one:
 * (1 − 0.999f) is off by 1e-5. */
static void begin(R(gn2_optim_step) *s)
{
    const real beta2 = (real)s->options->beta2;
    s->own[BIAS1] = 1 - pow((double)s->beta1, (double)s->number);
    s->own[INV_BIAS2] = 1 / sqrt(1 - pow((double)beta2, (double)s->number));
}

static void update(const R(gn2_optim_step) *s, const gn2_piece *p)
{
    const double lr = s->lr * p->lr_mult;
    const double decay = lr * s->options->weight_decay * p->wd_mult;
    s->kernels->adamw(s->weights + p->offset, s->moment[0] + p->offset,
                      s->moment[1] + p->offset, s->grads + p->offset, (real)s->clip,
                      (real)decay, s->beta1, (real)s->options->beta2,
                      (real)(lr / s->own[BIAS1]), (real)s->own[INV_BIAS2],
                      (real)s->options->eps, p->count);
}

const R(gn2_optimizer_kind) R(gn2_adamw) = {
    .name = "adamw",
    .rule = GN2_UPDATE_ADAPTIVE,
    .moment = {"m", "v"},
    .positive = {0, 1},
    .read = read,
    .begin = begin,
    .update = update,
};
