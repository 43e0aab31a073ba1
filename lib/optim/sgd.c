/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SGD with momentum (β1 of the schedule) as in torch.optim. With the tensor's
 * multipliers l (rate) and w (decay):
 *   g ← g + λ·w·p, rate lr·l
 */
#include "optim/optimizer.h"

static void read(const gn2_config *config, gn2_optim_options *out)
{
    out->weight_decay = gn2_config_f64(config, "optim.weight_decay");
}

static void update(const R(gn2_update) *u, const gn2_piece *p)
{
    const R(gn2_optimizer) *o = u->optimizer;
    o->kernels->sgd(u->weights + p->offset, o->moment[0] + p->offset,
                    u->grads + p->offset, (real)u->clip, (real)(u->lr * p->lr_mult),
                    (real)(o->options.weight_decay * p->wd_mult), u->beta1, p->count);
}

const R(gn2_optimizer_kind) R(gn2_sgd) = {
    .name = "sgd",
    .rule = GN2_UPDATE_GRADIENT,
    .moment = {"m"},
    .read = read,
    .update = update,
};
