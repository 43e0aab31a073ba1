/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads over jets and constituents. The first layer over [G, z] is split,
 * W·[G, z] = W_G G + W_z z, so that G is multiplied once a jet.
 */
#include "net/head.h"

#include <string.h>

void R(gn2_head_declare)(gn2_declaration *d, R(gn2_head) *head, const gn2_task *task,
                         int drops)
{
    R(gn2_mlp_declare)(d, &head->mlp, &task->net, drops, GN2_GROWS_NONE);
    head->split.parts = 0;
    if (task->rows != GN2_OVER_JETS)
        R(gn2_split_make)(&head->split, &head->mlp.layer[0], (int)task->rows);
}

void R(gn2_head_each)(R(gn2_head) *head, R(gn2_linear_fn) fn, void *user)
{
    R(gn2_mlp_each)(&head->mlp, head->split.parts > 0, fn, user);
    R(gn2_split_each)(&head->split, fn, user);
}

void R(gn2_head_carve)(gn2_carver *c, const R(gn2_net) *net, int k, R(gn2_space) *space)
{
    const gn2_task *task = &net->h->task[k];
    const R(gn2_head) *head = &net->head[k];
    R(gn2_head_space) *s = &space->head[k];
    const int64_t rows[] = {
        [GN2_OVER_JETS] = c->jets,
        [GN2_OVER_CONSTITUENTS] = c->tokens,
        [GN2_OVER_PAIRS] = space->tile,
    };
    const int64_t o = net->h->out_dim;
    const int own = c->training && net->h->dropout_heads > 0;
    R(gn2_mlp_carve)(c, &head->mlp, &s->mlp, rows[task->rows]);
    s->logits = s->mlp.act[task->net.depth - 1];
    s->pooled = own ? R(gn2_carve)(c, c->jets, o) : space->pool.pooled;
    if (task->rows == GN2_OVER_JETS) return;
    s->z = R(gn2_carve)(c, c->tokens, o);
    R(gn2_split_carve)(c, &head->split, &s->split);
}

int64_t R(gn2_head_rows)(const R(gn2_pass) *pass, int k)
{
    const gn2_task *task = &pass->net->h->task[k];
    if (task->rows == GN2_OVER_JETS) return pass->chunk.jets;
    if (task->rows == GN2_OVER_PAIRS) return pass->chunk.pairs;
    return R(gn2_pass_rows)(pass, task->sequence);
}

int64_t R(gn2_head_rows_before)(const R(gn2_pass) *pass, int k, int64_t b)
{
    const gn2_task *task = &pass->net->h->task[k];
    return task->rows == GN2_OVER_JETS ? b : pass->space->row_offset[task->sequence][b];
}

int64_t R(gn2_head_label_row)(const R(gn2_pass) *pass, int k, int64_t r)
{
    const gn2_task *task = &pass->net->h->task[k];
    if (task->rows == GN2_OVER_JETS) return pass->chunk.first + r;
    return R(gn2_pass_row)(pass, task->sequence, r);
}

void R(gn2_head_show)(const R(gn2_pass) *pass, int k, R(gn2_show) *show)
{
    const gn2_task *task = &pass->net->h->task[k];
    const R(gn2_shown) logits = {
        .module = task->name,
        .layer = -1,
        .x = pass->space->head[k].logits,
        .rows = R(gn2_head_rows)(pass, k),
        .cols = gn2_task_columns(task),
    };
    R(gn2_show_add)(show, logits);
}

real R(gn2_head_factor)(const R(gn2_pass) *pass, int k)
{
    const double total = pass->totals->value[k];
    return total > 0 ? (real)(pass->net->h->task[k].weight / total) : 0;
}

/* ---- dropout and inputs ---- */

gn2_mlp_dropout R(gn2_head_dropout)(const R(gn2_pass) *pass, int k, int64_t first)
{
    const uint64_t base = k < 3 ? GN2_PLACE_HEAD : GN2_PLACE_MORE_HEADS;
    const gn2_mlp_dropout drop = {
        .p = pass->dropping ? pass->net->h->dropout_heads : 0,
        .step_key = pass->step_key,
        .place = base + 32 * (uint64_t)k,
        .first = first,
    };
    return drop;
}

/* Places of the first layer's inputs; those of hidden layers start at +1. */
static gn2_dropout input_dropout(const R(gn2_pass) *pass, int k, int part)
{
    const gn2_mlp_dropout drop = R(gn2_head_dropout)(pass, k, 0);
    return gn2_dropout_make(drop.p, drop.step_key,
                            drop.place + 16 + (uint64_t)(part > 0));
}

static int64_t first_row(const R(gn2_pass) *pass, int sequence)
{
    return pass->batch->sequence[sequence].offset[pass->chunk.first];
}

void R(gn2_head_inputs)(R(gn2_pass) *pass, int k)
{
    R(gn2_space) *s = pass->space;
    R(gn2_head_space) *head = &s->head[k];
    const int64_t o = pass->net->h->out_dim, jets = pass->chunk.jets;
    const gn2_task *task = &pass->net->h->task[k];
    if (head->pooled != s->pool.pooled) {
        const gn2_dropout drop = input_dropout(pass, k, 0);
        memcpy(head->pooled, s->pool.pooled, (size_t)(jets * o) * sizeof(real));
        R(gn2_dropout_rows)
        (&pass->ctx, &drop, head->pooled, pass->chunk.first, jets, o);
    }
    if (task->rows == GN2_OVER_JETS) return;
    const int64_t rows = R(gn2_pass_rows)(pass, task->sequence);
    const int64_t *token = s->row_token[task->sequence];
    const gn2_dropout drop = input_dropout(pass, k, 1);
    for (int64_t r = 0; r < rows; r++)
        memcpy(head->z + r * o, s->readout.z + token[r] * o, (size_t)o * sizeof(real));
    R(gn2_dropout_rows)
    (&pass->ctx, &drop, head->z, first_row(pass, task->sequence), rows, o);
}

void R(gn2_head_inputs_bwd)(R(gn2_pass) *pass, int k, real *d_rows)
{
    R(gn2_space) *s = pass->space;
    const int64_t o = pass->net->h->out_dim, jets = pass->chunk.jets;
    const gn2_task *task = &pass->net->h->task[k];
    const gn2_dropout drop_g = input_dropout(pass, k, 0);
    R(gn2_dropout_rows)
    (&pass->ctx, &drop_g, s->d_head_pooled, pass->chunk.first, jets, o);
    pass->ctx.kernels->add(s->d_pooled, s->d_head_pooled, jets * o);
    if (task->rows == GN2_OVER_JETS) return;
    const int64_t rows = R(gn2_pass_rows)(pass, task->sequence);
    const int64_t *token = s->row_token[task->sequence];
    const gn2_dropout drop_z = input_dropout(pass, k, 1);
    R(gn2_dropout_rows)
    (&pass->ctx, &drop_z, d_rows, first_row(pass, task->sequence), rows, o);
    for (int64_t r = 0; r < rows; r++)
        pass->ctx.kernels->add(s->d_z + token[r] * o, d_rows + r * o, o);
}

/* ---- the network ---- */

real *R(gn2_head_d_logits)(const R(gn2_pass) *pass, int k)
{
    const int last = pass->net->h->task[k].net.depth - 1;
    return pass->ctx.grads ? pass->space->head[k].mlp.d_act[last] : NULL;
}

static void jets_fwd(R(gn2_pass) *pass, int k)
{
    const R(gn2_head_space) *s = &pass->space->head[k];
    const gn2_mlp_dropout drop = R(gn2_head_dropout)(pass, k, pass->chunk.first);
    R(gn2_mlp_fwd)
    (&pass->ctx, &pass->net->head[k].mlp, 0, s->mlp.act, s->pooled, &drop,
     pass->chunk.jets);
}

static void constituents_fwd(R(gn2_pass) *pass, int k)
{
    const R(gn2_head) *head = &pass->net->head[k];
    const R(gn2_head_space) *s = &pass->space->head[k];
    const int sequence = pass->net->h->task[k].sequence, deep = head->mlp.depth > 1;
    const gn2_constituents n = R(gn2_pass_constituents)(pass, sequence);
    const gn2_mlp_dropout drop =
        R(gn2_head_dropout)(pass, k, first_row(pass, sequence));
    const gn2_dropout first = gn2_dropout_make(drop.p, drop.step_key, drop.place + 1);
    const R(gn2_split_input) in = {s->pooled, s->z};
    real *const *act = s->mlp.act;
    R(gn2_split_fwd)
    (&pass->ctx, &head->split, &s->split, act[0], NULL, &in, deep, &n);
    if (!deep) return;
    R(gn2_dropout_rows)
    (&pass->ctx, &first, act[0], drop.first, n.rows, head->mlp.layer[0].out);
    R(gn2_mlp_fwd)(&pass->ctx, &head->mlp, 1, act, act[0], &drop, n.rows);
}

void R(gn2_head_fwd)(R(gn2_pass) *pass, int k)
{
    R(gn2_head_inputs)(pass, k);
    if (pass->net->h->task[k].rows == GN2_OVER_JETS)
        jets_fwd(pass, k);
    else
        constituents_fwd(pass, k);
}

static void jets_bwd(R(gn2_pass) *pass, int k)
{
    const R(gn2_head_space) *s = &pass->space->head[k];
    const double p = R(gn2_head_dropout)(pass, k, 0).p;
    R(gn2_mlp_bwd)
    (&pass->ctx, &pass->net->head[k].mlp, 0, s->mlp.d_act, pass->space->d_head_pooled,
     s->mlp.act, s->pooled, p, pass->chunk.jets);
    R(gn2_head_inputs_bwd)(pass, k, NULL);
}

/* Gradient of the first layer's output → of its pre-activation. */
static void first_relu_bwd(const R(gn2_pass) *pass, int k, int64_t rows)
{
    const R(gn2_mlp_space) *s = &pass->space->head[k].mlp;
    const double p = R(gn2_head_dropout)(pass, k, 0).p;
    const int64_t count = rows * pass->net->head[k].mlp.layer[0].out;
    pass->ctx.kernels->relu_bwd(s->d_act[0], s->act[0], count);
    if (p > 0) pass->ctx.kernels->scale(s->d_act[0], (real)(1 / (1 - p)), count);
}

static void constituents_bwd(R(gn2_pass) *pass, int k)
{
    const R(gn2_head) *head = &pass->net->head[k];
    const R(gn2_head_space) *s = &pass->space->head[k];
    const gn2_constituents n =
        R(gn2_pass_constituents)(pass, pass->net->h->task[k].sequence);
    const double p = R(gn2_head_dropout)(pass, k, 0).p;
    const R(gn2_split_input) in = {s->pooled, s->z};
    real *const *d_act = s->mlp.d_act, *const *act = s->mlp.act;
    if (head->mlp.depth > 1) {
        R(gn2_mlp_bwd)
        (&pass->ctx, &head->mlp, 1, d_act, d_act[0], act, act[0], p, n.rows);
        first_relu_bwd(pass, k, n.rows);
    }
    R(gn2_split_bwd)
    (&pass->ctx, &head->split, &s->split, pass->space->d_head_pooled,
     pass->space->d_rows, d_act[0], NULL, &in, &n);
    R(gn2_head_inputs_bwd)(pass, k, pass->space->d_rows);
}

void R(gn2_head_bwd)(R(gn2_pass) *pass, int k)
{
    if (pass->net->h->task[k].rows == GN2_OVER_JETS)
        jets_bwd(pass, k);
    else
        constituents_bwd(pass, k);
}
