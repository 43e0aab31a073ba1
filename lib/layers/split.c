/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split first layer: W·[G, z_i, z_j] = W_G G + W_i z_i + W_j z_j, so that G is
 * multiplied once a jet and z once a constituent instead of once a pair.
 *   forward   a_i = W_i z_i + W_G G + b,  b_j = W_j z_j
 *   backward  d_G = W_Gᵀ Σ_i d_a_i,  d_z = W_iᵀ d_a + W_jᵀ d_b
 * Exact up to rounding. Nothing is cached but what the caller keeps.
 */
#include "layers/split.h"

#include <string.h>

void R(gn2_split_make)(R(gn2_split) *split, const R(gn2_linear) *whole, int parts)
{
    const int64_t in = whole->in / parts;
    split->parts = parts;
    for (int i = 0; i < parts; i++)
        split->part[i] = (R(gn2_linear)){.in = in,
                                         .out = whole->out,
                                         .ld = whole->in,
                                         .weight = whole->weight + i * in,
                                         .bias = i == 0 ? whole->bias : -1};
}

void R(gn2_split_each)(R(gn2_split) *split, R(gn2_linear_fn) fn, void *user)
{
    for (int i = 0; i < split->parts; i++) fn(&split->part[i], user);
}

void R(gn2_split_carve)(gn2_carver *c, const R(gn2_split) *split, R(gn2_split_space) *s)
{
    s->context = R(gn2_carve)(c, c->jets, split->part[0].out);
    if (c->training) s->d_context = R(gn2_carve)(c, c->jets, split->part[0].out);
}

void R(gn2_split_fwd)(const R(gn2_context) *ctx, const R(gn2_split) *split,
                      const R(gn2_split_space) *s, real *a, real *b,
                      const R(gn2_split_input) *in, int relu, const gn2_tokens *n)
{
    const R(gn2_linear) *part = split->part;
    const int64_t hidden = part[0].out;
    R(gn2_linear_fwd)(ctx, &part[0], s->context, in->pooled, NULL, 0, n->jets);
    R(gn2_linear_fwd)(ctx, &part[1], a, in->z, NULL, 0, n->rows);
    if (b) R(gn2_linear_fwd)(ctx, &part[2], b, in->z, NULL, 0, n->rows);
    for (int64_t j = 0; j < n->jets; j++)
        ctx->kernels->add_row(a + n->offset[j] * hidden, s->context + j * hidden,
                              n->offset[j + 1] - n->offset[j], hidden, relu);
}

void R(gn2_split_bwd)(const R(gn2_context) *ctx, const R(gn2_split) *split,
                      const R(gn2_split_space) *s, real *d_pooled, real *d_z,
                      const real *d_a, const real *d_b, const R(gn2_split_input) *in,
                      const gn2_tokens *n)
{
    const R(gn2_linear) *part = split->part;
    const int64_t hidden = part[0].out;
    memset(s->d_context, 0, (size_t)(n->jets * hidden) * sizeof(real));
    for (int64_t j = 0; j < n->jets; j++)
        ctx->kernels->sum_rows(s->d_context + j * hidden, d_a + n->offset[j] * hidden,
                               n->offset[j + 1] - n->offset[j], hidden, hidden);
    R(gn2_linear_bwd_weight)(ctx, &part[0], s->d_context, in->pooled, n->jets);
    R(gn2_linear_bwd_input)(ctx, &part[0], d_pooled, s->d_context, NULL, n->jets);
    R(gn2_linear_bwd_weight)(ctx, &part[1], d_a, in->z, n->rows);
    R(gn2_linear_bwd_input)(ctx, &part[1], d_z, d_a, NULL, n->rows);
    if (!d_b) return;
    R(gn2_linear_bwd_weight)(ctx, &part[2], d_b, in->z, n->rows);
    R(gn2_linear_bwd_input)(ctx, &part[2], d_z, d_b, d_z, n->rows);
}
