/* SPDX-License-Identifier: Apache-2.0 */
#include "net/hparams.h"

#include <string.h>

int gn2_hparams_task(const gn2_hparams *h, const char *name)
{
    for (int k = 0; k < h->task_count; k++)
        if (strcmp(h->task[k].name, name) == 0) return k;
    return -1;
}

gn2_block_shape gn2_hparams_block(const gn2_hparams *h)
{
    return (gn2_block_shape){
        .width = h->embed_dim,
        .hidden = h->ffn_hidden,
        .attention = {h->num_heads, h->head_dim, h->attn_scale},
        .norm_eps = h->norm_eps,
        .dropout = h->dropout_ffn,
        .affine = h->legacy,
        .zero_query = h->zero_query,
    };
}

gn2_readout_shape gn2_hparams_readout(const gn2_hparams *h)
{
    return (gn2_readout_shape){
        .in = h->embed_dim,
        .out = h->out_dim,
        .norm = h->final_norm,
        .norm_eps = h->norm_eps,
        .mult = h->readout_mult,
        .affine = h->legacy,
        .zero_start = h->zero_readout,
    };
}
