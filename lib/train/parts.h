/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a forward pass over a chunk computed, module by module, for the probe. It only
 * says where the values are; statistics are the probe's.
 */
#ifndef GN2_TRAIN_PARTS_H
#define GN2_TRAIN_PARTS_H

#include "net/net.h"

/* Output of a module x − minus (rows, cols), minus NULL: x. A module with several
 * constituent types has a part for each, one behind the other. */
typedef struct gn2_part {
    const char *module; /* "attn" … */
    int64_t layer;      /* −1: not of a layer */
    const float *x, *minus;
    int64_t rows, cols;
    int64_t unit; /* before a ReLU: number of its first unit among all; else −1 */
} gn2_part;

/* Parts every pass has, and units before a ReLU in them. */
size_t gn2_parts_count(const gn2_hparams *h);
size_t gn2_parts_units(const gn2_hparams *h);

/*
 * Lists the parts of a finished pass in order, the same for every chunk. Values that
 * were fused away are made again in the pass's space: pre-activations of the init nets
 * and the feed-forward in place of what the ReLU left, attention logits in place of
 * the probabilities. The net must keep its activations.
 */
void gn2_parts_list(const gn2_pass_f32 *pass, gn2_part *out_parts);

#endif
