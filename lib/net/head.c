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
    const int64_t rows = R(gn2_head_rows)(pass, k), cols = gn2_task_columns(task);
    const real *x = pass->space->head[k].logits;
    R(gn2_show_add)(show, (R(gn2_shown)){task->name, -1, x, NULL, rows, cols, -1});
}

real R(gn2_head_factor)(const R(gn2_pass) *pass, int k)
{
    const double total = pass->totals->value[k];
    return total > 0 ? (real)(pass->net->h->task[k].weight / total) : 0;
}

/* ---- dropout and inputs ---- */

gn2_dropout R(gn2_head_dropout)(const R(gn2_pass) *pass, int k, int64_t first)
{
    const uint64_t base = k < 3 ? GN2_PLACE_HEAD : GN2_PLACE_MORE_HEADS;
    return (gn2_dropout){
        .p = pass->dropping ? pass->net->h->dropout_heads : 0,
        .step_key = pass->step_key,
        .place = base + 32 * (uint64_t)k,
        .first = first,
    };
}

/* Steps of the dropout of what a head reads, behind those of its perceptron. */
enum { DROP_POOLED = 16, DROP_Z };

static void pooled_fwd(R(gn2_pass) *pass, int k)
{
    const real *from = pass->space->pool.pooled;
    real *pooled = pass->space->head[k].pooled;
    const int64_t o = pass->net->h->out_dim, jets = pass->chunk.jets;
    const gn2_dropout drop = R(gn2_head_dropout)(pass, k, pass->chunk.first);
    if (pooled == from) return;
    memcpy(pooled, from, (size_t)(jets * o) * sizeof(real));
    R(gn2_dropout_rows)(&pass->ctx, &drop, DROP_POOLED, pooled, jets, o);
}

static void pooled_bwd(R(gn2_pass) *pass, int k)
{
    const R(gn2_space) *s = pass->space;
    const int64_t o = pass->net->h->out_dim, jets = pass->chunk.jets;
    const gn2_dropout drop = R(gn2_head_dropout)(pass, k, pass->chunk.first);
    R(gn2_dropout_rows)(&pass->ctx, &drop, DROP_POOLED, s->d_head_pooled, jets, o);
    pass->ctx.kernels->add(s->d_pooled, s->d_head_pooled, jets * o);
}

void R(gn2_head_first)(R(gn2_pass) *pass, int k, real *a, real *b, int relu)
{
    const R(gn2_head_space) *s = &pass->space->head[k];
    const int sequence = pass->net->h->task[k].sequence;
    const int64_t o = pass->net->h->out_dim, *token = pass->space->row_token[sequence];
    const gn2_tokens n = R(gn2_pass_constituents)(pass, sequence);
    const gn2_dropout drop = R(gn2_head_dropout)(pass, k, n.first);
    const R(gn2_split_input) in = {s->pooled, s->z};
    pooled_fwd(pass, k);
    for (int64_t r = 0; r < n.rows; r++)
        memcpy(s->z + r * o, pass->space->readout.z + token[r] * o,
               (size_t)o * sizeof(real));
    R(gn2_dropout_rows)(&pass->ctx, &drop, DROP_Z, s->z, n.rows, o);
    R(gn2_split_fwd)
    (&pass->ctx, &pass->net->head[k].split, &s->split, a, b, &in, relu, &n);
}

void R(gn2_head_first_bwd)(R(gn2_pass) *pass, int k, const real *d_a, const real *d_b)
{
    const R(gn2_space) *s = pass->space;
    const R(gn2_head_space) *own = &s->head[k];
    const int sequence = pass->net->h->task[k].sequence;
    const int64_t o = pass->net->h->out_dim, *token = s->row_token[sequence];
    const gn2_tokens n = R(gn2_pass_constituents)(pass, sequence);
    const gn2_dropout drop = R(gn2_head_dropout)(pass, k, n.first);
    const R(gn2_split_input) in = {own->pooled, own->z};
    R(gn2_split_bwd)
    (&pass->ctx, &pass->net->head[k].split, &own->split, s->d_head_pooled, s->d_rows,
     d_a, d_b, &in, &n);
    pooled_bwd(pass, k);
    R(gn2_dropout_rows)(&pass->ctx, &drop, DROP_Z, s->d_rows, n.rows, o);
    for (int64_t r = 0; r < n.rows; r++)
        pass->ctx.kernels->add(s->d_z + token[r] * o, s->d_rows + r * o, o);
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
    const gn2_dropout drop = R(gn2_head_dropout)(pass, k, pass->chunk.first);
    pooled_fwd(pass, k);
    R(gn2_mlp_fwd)
    (&pass->ctx, &pass->net->head[k].mlp, 0, s->mlp.act, s->pooled, &drop,
     pass->chunk.jets);
}

static void constituents_fwd(R(gn2_pass) *pass, int k)
{
    const R(gn2_mlp) *mlp = &pass->net->head[k].mlp;
    real *const *act = pass->space->head[k].mlp.act;
    const gn2_tokens n = R(gn2_pass_constituents)(pass, pass->net->h->task[k].sequence);
    const gn2_dropout drop = R(gn2_head_dropout)(pass, k, n.first);
    R(gn2_head_first)(pass, k, act[0], NULL, mlp->depth > 1);
    R(gn2_mlp_fwd)(&pass->ctx, mlp, 1, act, act[0], &drop, n.rows);
}

void R(gn2_head_fwd)(R(gn2_pass) *pass, int k)
{
    const int of_jets = pass->net->h->task[k].rows == GN2_OVER_JETS;
    (of_jets ? jets_fwd : constituents_fwd)(pass, k);
}

static void jets_bwd(R(gn2_pass) *pass, int k)
{
    const R(gn2_head_space) *s = &pass->space->head[k];
    const gn2_dropout drop = R(gn2_head_dropout)(pass, k, pass->chunk.first);
    R(gn2_mlp_bwd)
    (&pass->ctx, &pass->net->head[k].mlp, 0, s->mlp.d_act, pass->space->d_head_pooled,
     s->mlp.act, s->pooled, &drop, pass->chunk.jets);
    pooled_bwd(pass, k);
}

static void constituents_bwd(R(gn2_pass) *pass, int k)
{
    const R(gn2_mlp) *mlp = &pass->net->head[k].mlp;
    const R(gn2_mlp_space) *s = &pass->space->head[k].mlp;
    const int64_t rows = R(gn2_head_rows)(pass, k);
    const gn2_dropout drop = R(gn2_head_dropout)(pass, k, 0);
    R(gn2_mlp_bwd)
    (&pass->ctx, mlp, 1, s->d_act, s->d_act[0], s->act, s->act[0], &drop, rows);
    if (mlp->depth > 1) R(gn2_dropout_relu_bwd)
    (&pass->ctx, &drop, s->d_act[0], s->act[0], rows * mlp->layer[0].out);
    R(gn2_head_first_bwd)(pass, k, s->d_act[0], NULL);
}

void R(gn2_head_bwd)(R(gn2_pass) *pass, int k)
{
    const int of_jets = pass->net->h->task[k].rows == GN2_OVER_JETS;
    (of_jets ? jets_bwd : constituents_bwd)(pass, k);
}
