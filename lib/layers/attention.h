/* SPDX-License-Identifier: Apache-2.0 */
/* Self-attention over the jets of a chunk; the core of a block, no parameters. */
#ifndef GN2_LAYERS_ATTENTION_H
#define GN2_LAYERS_ATTENTION_H

#include "layers/layer.h"

/* H attention heads of size D; scale: factor of q·k. */
typedef struct gn2_attention {
    int64_t heads, head_dim;
    double scale;
} gn2_attention;

/* p of jet b starts at H·Σ_{a<b} n_a². qkv (T, 3E), o (T, E). */
void R(gn2_attention_fwd)(const R(gn2_context) *ctx, const gn2_attention *a, real *o,
                          real *p, const real *qkv, const gn2_tokens *t);
void R(gn2_attention_bwd)(const R(gn2_context) *ctx, const gn2_attention *a,
                          real *d_qkv, real *scratch, const real *d_o, const real *qkv,
                          const real *p, const gn2_tokens *t);
/* s (jets; H, n, n) = scale·q kᵀ, summed in double; returns how many. */
int64_t R(gn2_attention_logits)(const gn2_attention *a, real *s, const real *qkv,
                                const gn2_tokens *t);

#endif
