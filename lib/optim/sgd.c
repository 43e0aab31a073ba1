/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SGD with momentum (β1 of the schedule) as in torch.optim. With the tensor's
 * multipliers l (rate) and w (decay):
 *   g ← g + λ·w·p, rate lr·l
 */
#include "optim/sgd.h"

static void read(const gn2_config *config, gn2_optim_options *out)
{
    out->weight_decay = gn2_config_f64(config, "optim.weight_decay");
}

static void update(const R(gn2_optim_step) *s, const gn2_piece *p)
{
    s->kernels->sgd(s->weights + p->offset, s->moment[0] + p->offset,
                    s->grads + p->offset, (real)s->clip, (real)(s->lr * p->lr_mult),
                    (real)(s->options->weight_decay * p->wd_mult), s->beta1, p->count);
}

const R(gn2_optimizer_kind) R(gn2_sgd) = {
    .name = "sgd",
    .rule = GN2_UPDATE_GRADIENT,
    .moment = {"m"},
    .read = read,
    .update = update,
};
