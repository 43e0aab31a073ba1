/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jet and origin heads: logits, losses, gradients.
 *   jets    L = λ Σ_b c[y_b] CE_b / Σ_b c[y_b]              on the pooled vector G
 *   origin  the same over constituents with a label ≥ 0      on [G, z_t]
 * The origin head's first layer is split, W·[G, z] = W_G G + W_z z, so that G is
 * multiplied once a jet. With ctx.grads the backward pass follows at once.
 */
#include <string.h>

#include "net/net.h"

static real factor_of(const R(gn2_pass) *pass, gn2_task_id id)
{
    const double total = pass->totals->value[id];
    return total > 0 ? (real)(pass->net->h->task[id].weight / total) : 0;
}

static gn2_mlp_dropout head_dropout(const R(gn2_pass) *pass, gn2_task_id id,
                                    int64_t first)
{
    const gn2_mlp_dropout drop = {
        .p = pass->dropping ? pass->net->h->dropout_heads : 0,
        .step_key = pass->step_key,
        .place = GN2_PLACE_HEAD + 32 * (uint64_t)id,
        .first = first,
    };
    return drop;
}

/* Places of the first layer's inputs; those of hidden layers start at +1. */
static gn2_dropout input_dropout(const R(gn2_pass) *pass, gn2_task_id id, int part)
{
    const gn2_mlp_dropout drop = head_dropout(pass, id, 0);
    return gn2_dropout_make(drop.p, drop.step_key,
                            drop.place + 16 + (uint64_t)(part > 0));
}

void R(gn2_head_inputs)(R(gn2_pass) *pass, gn2_task_id id)
{
    R(gn2_space) *s = pass->space;
    const int64_t o = pass->net->h->out_dim, jets = pass->chunk.jets;
    const int sequence = pass->net->h->task[id].sequence;
    if (s->head_pooled[id] != s->pooled) {
        const gn2_dropout drop = input_dropout(pass, id, 0);
        memcpy(s->head_pooled[id], s->pooled, (size_t)(jets * o) * sizeof(real));
        R(gn2_dropout_rows)
        (&pass->ctx, &drop, s->head_pooled[id], pass->chunk.first, jets, o);
    }
    if (id == GN2_TASK_JETS) return;
    const int64_t rows = R(gn2_pass_rows)(pass, sequence);
    const gn2_dropout drop = input_dropout(pass, id, 1);
    for (int64_t r = 0; r < rows; r++)
        memcpy(s->head_z[id] + r * o, s->z + s->row_token[sequence][r] * o,
               (size_t)o * sizeof(real));
    R(gn2_dropout_rows)
    (&pass->ctx, &drop, s->head_z[id],
     pass->batch->sequence[sequence].offset[pass->chunk.first], rows, o);
}

void R(gn2_head_inputs_bwd)(R(gn2_pass) *pass, gn2_task_id id, real *d_rows)
{
    R(gn2_space) *s = pass->space;
    const int64_t o = pass->net->h->out_dim, jets = pass->chunk.jets;
    const int sequence = pass->net->h->task[id].sequence;
    const gn2_dropout drop_g = input_dropout(pass, id, 0);
    R(gn2_dropout_rows)
    (&pass->ctx, &drop_g, s->d_head_pooled, pass->chunk.first, jets, o);
    pass->ctx.kernels->add(s->d_pooled, s->d_head_pooled, jets * o);
    if (id == GN2_TASK_JETS) return;
    const int64_t rows = R(gn2_pass_rows)(pass, sequence);
    const gn2_dropout drop_z = input_dropout(pass, id, 1);
    R(gn2_dropout_rows)
    (&pass->ctx, &drop_z, d_rows,
     pass->batch->sequence[sequence].offset[pass->chunk.first], rows, o);
    for (int64_t r = 0; r < rows; r++)
        pass->ctx.kernels->add(s->d_z + s->row_token[sequence][r] * o, d_rows + r * o,
                               o);
}

/* Cross-entropy of rows of logits against space->label. */
static void classify(R(gn2_pass) *pass, gn2_task_id id, int64_t rows)
{
    R(gn2_space) *s = pass->space;
    const int last = pass->net->h->task[id].net.depth - 1;
    real *d = pass->ctx.grads ? s->head[id].d_act[last] : NULL;
    pass->losses.value[id] += pass->ctx.kernels->cross_entropy(
        d, s->head[id].act[last], s->label, pass->net->head[id].class_weights,
        factor_of(pass, id), rows, pass->net->h->task[id].net.size[last + 1]);
}

void R(gn2_head_jets)(R(gn2_pass) *pass)
{
    R(gn2_space) *s = pass->space;
    R(gn2_mlp_space) *b = &s->head[GN2_TASK_JETS];
    const R(gn2_mlp) *mlp = &pass->net->head[GN2_TASK_JETS].mlp;
    const int64_t jets = pass->chunk.jets;
    const gn2_mlp_dropout drop = head_dropout(pass, GN2_TASK_JETS, pass->chunk.first);
    R(gn2_head_inputs)(pass, GN2_TASK_JETS);
    const real *x = s->head_pooled[GN2_TASK_JETS];
    R(gn2_mlp_fwd)(&pass->ctx, mlp, 0, b->act, x, &drop, jets);
    if (!pass->truth) return;
    memcpy(s->label, pass->truth->flavour + pass->chunk.first,
           (size_t)jets * sizeof(int32_t));
    classify(pass, GN2_TASK_JETS, jets);
    if (!pass->ctx.grads) return;
    R(gn2_mlp_bwd)
    (&pass->ctx, mlp, 0, b->d_act, s->d_head_pooled, b->act, x, drop.p, jets);
    R(gn2_head_inputs_bwd)(pass, GN2_TASK_JETS, NULL);
}

/* First layer, split: act0 (N, hidden) = W_z z + (W_G G + b) of the jet. */
static void origin_first_layer(R(gn2_pass) *pass, int64_t rows)
{
    const R(gn2_head) *head = &pass->net->head[GN2_TASK_ORIGIN];
    R(gn2_space) *s = pass->space;
    const int64_t *offset = s->row_offset[pass->net->h->task[GN2_TASK_ORIGIN].sequence];
    const int64_t hidden = head->part[0].out;
    real *act = s->head[GN2_TASK_ORIGIN].act[0];
    R(gn2_linear_fwd)
    (&pass->ctx, &head->part[0], s->context, s->head_pooled[GN2_TASK_ORIGIN], NULL, 0,
     pass->chunk.jets);
    R(gn2_linear_fwd)
    (&pass->ctx, &head->part[1], act, s->head_z[GN2_TASK_ORIGIN], NULL, 0, rows);
    for (int64_t b = 0; b < pass->chunk.jets; b++)
        pass->ctx.kernels->add_row(act + offset[b] * hidden, s->context + b * hidden,
                                   offset[b + 1] - offset[b], hidden,
                                   head->mlp.depth > 1);
}

static void origin_first_layer_bwd(R(gn2_pass) *pass, int64_t rows)
{
    const R(gn2_head) *head = &pass->net->head[GN2_TASK_ORIGIN];
    R(gn2_space) *s = pass->space;
    const int64_t *offset = s->row_offset[pass->net->h->task[GN2_TASK_ORIGIN].sequence];
    const int64_t hidden = head->part[0].out, jets = pass->chunk.jets;
    const real *d = s->head[GN2_TASK_ORIGIN].d_act[0];
    memset(s->d_context, 0, (size_t)(jets * hidden) * sizeof(real));
    for (int64_t b = 0; b < jets; b++)
        pass->ctx.kernels->sum_rows(s->d_context + b * hidden, d + offset[b] * hidden,
                                    offset[b + 1] - offset[b], hidden, hidden);
    R(gn2_linear_bwd_weight)
    (&pass->ctx, &head->part[0], s->d_context, s->head_pooled[GN2_TASK_ORIGIN], jets);
    R(gn2_linear_bwd_input)
    (&pass->ctx, &head->part[0], s->d_head_pooled, s->d_context, NULL, jets);
    R(gn2_linear_bwd_weight)
    (&pass->ctx, &head->part[1], d, s->head_z[GN2_TASK_ORIGIN], rows);
    R(gn2_linear_bwd_input)(&pass->ctx, &head->part[1], s->d_rows, d, NULL, rows);
    R(gn2_head_inputs_bwd)(pass, GN2_TASK_ORIGIN, s->d_rows);
}

/* Gradient of the first layer's output → of its pre-activation. */
static void origin_relu_bwd(R(gn2_pass) *pass, double p, int64_t rows)
{
    const R(gn2_head) *head = &pass->net->head[GN2_TASK_ORIGIN];
    R(gn2_mlp_space) *b = &pass->space->head[GN2_TASK_ORIGIN];
    if (head->mlp.depth == 1) return;
    const int64_t count = rows * head->part[0].out;
    pass->ctx.kernels->relu_bwd(b->d_act[0], b->act[0], count);
    if (p > 0) pass->ctx.kernels->scale(b->d_act[0], (real)(1 / (1 - p)), count);
}

void R(gn2_head_origin)(R(gn2_pass) *pass)
{
    R(gn2_space) *s = pass->space;
    R(gn2_mlp_space) *b = &s->head[GN2_TASK_ORIGIN];
    const R(gn2_head) *head = &pass->net->head[GN2_TASK_ORIGIN];
    const int sequence = pass->net->h->task[GN2_TASK_ORIGIN].sequence;
    const int64_t rows = R(gn2_pass_rows)(pass, sequence);
    const gn2_mlp_dropout drop =
        head_dropout(pass, GN2_TASK_ORIGIN,
                     pass->batch->sequence[sequence].offset[pass->chunk.first]);
    R(gn2_head_inputs)(pass, GN2_TASK_ORIGIN);
    origin_first_layer(pass, rows);
    if (head->mlp.depth > 1) {
        const gn2_dropout d0 = gn2_dropout_make(drop.p, drop.step_key, drop.place + 1);
        R(gn2_dropout_rows)
        (&pass->ctx, &d0, b->act[0], drop.first, rows, head->part[0].out);
        R(gn2_mlp_fwd)(&pass->ctx, &head->mlp, 1, b->act, b->act[0], &drop, rows);
    }
    if (!pass->truth || !pass->truth->origin) return;
    for (int64_t r = 0; r < rows; r++)
        s->label[r] = pass->truth->origin[R(gn2_pass_row)(pass, sequence, r)];
    classify(pass, GN2_TASK_ORIGIN, rows);
    if (!pass->ctx.grads) return;
    if (head->mlp.depth > 1) R(gn2_mlp_bwd)
    (&pass->ctx, &head->mlp, 1, b->d_act, b->d_act[0], b->act, b->act[0], drop.p, rows);
    origin_relu_bwd(pass, drop.p, rows);
    origin_first_layer_bwd(pass, rows);
}
