/* SPDX-License-Identifier: Apache-2.0 */
/* Options of the optimisers; precision does not matter here. */
#include <string.h>

#include "optim/optimizer.h"

void gn2_optim_options_read(const gn2_config *config, gn2_optim_options *out)
{
    *out = (gn2_optim_options){
        .sgd = strcmp(gn2_config_str(config, "optim.name"), "sgd") == 0,
        .weight_decay = gn2_config_f64(config, "optim.weight_decay"),
        .beta2 = gn2_config_f64(config, "optim.beta2"),
        .eps = gn2_config_f64(config, "optim.eps"),
        .clip_norm = gn2_config_f64(config, "optim.clip_norm"),
    };
}

double gn2_optim_clip(const gn2_optim_options *options, double norm)
{
    const int clips = options->clip_norm > 0 && norm > options->clip_norm;
    return clips ? options->clip_norm / norm : 1;
}
