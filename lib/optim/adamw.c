/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AdamW as in torch.optim: decoupled decay; the bias correction takes the present
 * β1 to the power t although β1 is cycled. With the tensor's multipliers l (rate)
 * and w (decay):
 *   p ← p − lr·l·λ·w·p, then the Adam step at rate lr·l
 */
#include <math.h>

#include "optim/optimizer.h"

enum { BIAS1, INV_BIAS2 }; /* 1 − β1^t, 1/√(1 − β2^t) */

static void read(const gn2_config *config, gn2_optim_options *out)
{
    out->weight_decay = gn2_config_f64(config, "optim.weight_decay");
    out->beta2 = gn2_config_f64(config, "optim.beta2");
    out->eps = gn2_config_f64(config, "optim.eps");
}

/* The moments decay by the rounded β, so their weights sum to 1 − β^t of that one:
 * (1 − 0.999f) is off by 1e-5. */
static void begin(R(gn2_update) *u)
{
    const R(gn2_optimizer) *o = u->optimizer;
    const real beta2 = (real)o->options.beta2;
    u->own[BIAS1] = 1 - pow((double)u->beta1, (double)o->steps);
    u->own[INV_BIAS2] = 1 / sqrt(1 - pow((double)beta2, (double)o->steps));
}

static void update(const R(gn2_update) *u, const gn2_piece *p)
{
    const R(gn2_optimizer) *o = u->optimizer;
    const double lr = u->lr * p->lr_mult;
    const double decay = lr * o->options.weight_decay * p->wd_mult;
    o->kernels->adamw(u->weights + p->offset, o->moment[0] + p->offset,
                      o->moment[1] + p->offset, u->grads + p->offset, (real)u->clip,
                      (real)decay, u->beta1, (real)o->options.beta2,
                      (real)(lr / u->own[BIAS1]), (real)u->own[INV_BIAS2],
                      (real)o->options.eps, p->count);
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
