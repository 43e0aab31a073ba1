/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vertexing head: a logit for every ordered pair i ≠ j of a jet's constituents.
 *   first layer, split   h_ij = relu(a_i + b_j),  a_i = W_G G + b + W_i z_i,
 *                        b_j = W_j z_j   (three small products instead of n(n−1)
 *                        rows of 3o), exact up to rounding, backward too:
 *                        d_a_i = Σ_j d_h_ij,  d_b_j = Σ_i d_h_ij
 *   loss   λ Σ u_ij BCE(x_ij, m_ij) / Σ m_ij,  m = same vertex ≥ 0,
 *          u = 1 + (s_i & s_j) on signed integers (salt's VertexingTask)
 * Pairs are worked through in tiles; forward, loss and backward of a tile follow
 * each other, so nothing of the size of all pairs is kept but the logits.
 */
#include <string.h>

#include "net/net.h"

/* Rows (b, i) of pairs that fill one tile: jet, constituent, and where it starts. */
typedef struct cursor {
    int64_t jet, i;
} cursor;

typedef struct tile {
    cursor begin;
    int64_t rows;
    int64_t first; /* number of its first pair in the chunk */
} tile;

static const int64_t *offsets(const R(gn2_pass) *pass)
{
    return pass->space->row_offset[pass->net->h->task[GN2_TASK_VERTEX].sequence];
}

/* Skips jets that have no pairs left; 0 at the end. */
static int settle(const R(gn2_pass) *pass, cursor *c)
{
    const int64_t *offset = offsets(pass);
    while (c->jet < pass->chunk.jets) {
        const int64_t n = offset[c->jet + 1] - offset[c->jet];
        if (n > 1 && c->i < n) return 1;
        c->jet++;
        c->i = 0;
    }
    return 0;
}

typedef void (*group_fn)(R(gn2_pass) *pass, cursor at, int64_t row);

/* Calls fn for every group (b, i) of a tile with the group's first row. */
static void each_group(R(gn2_pass) *pass, const tile *t, group_fn fn)
{
    const int64_t *offset = offsets(pass);
    cursor c = t->begin;
    for (int64_t row = 0; row < t->rows && settle(pass, &c); c.i++) {
        fn(pass, c, row);
        row += offset[c.jet + 1] - offset[c.jet] - 1;
    }
}

/* Next tile behind `t`; 0 when all pairs are done. */
static int next_tile(const R(gn2_pass) *pass, tile *t, cursor *next)
{
    const int64_t *offset = offsets(pass);
    t->first += t->rows;
    t->rows = 0;
    if (!settle(pass, next)) return 0;
    t->begin = *next;
    while (settle(pass, next)) {
        const int64_t group = offset[next->jet + 1] - offset[next->jet] - 1;
        if (t->rows + group > pass->space->tile) break;
        t->rows += group;
        next->i++;
    }
    return 1;
}

static void group_fwd(R(gn2_pass) *pass, cursor at, int64_t row)
{
    R(gn2_space) *s = pass->space;
    const int64_t start = offsets(pass)[at.jet];
    const int64_t n = offsets(pass)[at.jet + 1] - start;
    const int64_t hidden = pass->net->head[GN2_TASK_VERTEX].part[0].out;
    pass->ctx.kernels->pair_fwd(s->head[GN2_TASK_VERTEX].act[0] + row * hidden,
                                s->pair_a + (start + at.i) * hidden,
                                s->pair_b + start * hidden, at.i, n, hidden);
}

static void group_bwd(R(gn2_pass) *pass, cursor at, int64_t row)
{
    R(gn2_space) *s = pass->space;
    const R(gn2_mlp_space) *b = &s->head[GN2_TASK_VERTEX];
    const int64_t start = offsets(pass)[at.jet];
    const int64_t n = offsets(pass)[at.jet + 1] - start;
    const int64_t hidden = pass->net->head[GN2_TASK_VERTEX].part[0].out;
    pass->ctx.kernels->pair_bwd(
        s->d_pair_a + (start + at.i) * hidden, s->d_pair_b + start * hidden,
        b->d_act[0] + row * hidden, b->act[0] + row * hidden, at.i, n, hidden);
}

/* Class of a constituent in the pair weights: heavy flavour, fake, other. */
static int32_t pair_class(int32_t origin)
{
    if (origin >= 3 && origin <= 5) return 1; /* FromB, FromBC, FromC */
    return origin == 1 ? -1 : 0;              /* Fake */
}

static real pair_weight(gn2_pair_weights rule, int32_t a, int32_t b)
{
    if (rule == GN2_PAIR_NONE) return 1;
    /* two's complement: HF & fake = 1, fake & fake = −1 */
    if (rule == GN2_PAIR_SALT) return (real)(1 + (a & b));
    if (a < 0 || b < 0) return 0;
    return a > 0 && b > 0 ? 2 : 1;
}

static void group_truth(R(gn2_pass) *pass, cursor at, int64_t row)
{
    R(gn2_space) *s = pass->space;
    const gn2_task *task = &pass->net->h->task[GN2_TASK_VERTEX];
    const gn2_truth *truth = pass->truth;
    const int64_t start = offsets(pass)[at.jet];
    const int64_t n = offsets(pass)[at.jet + 1] - start;
    const int64_t mine = R(gn2_pass_row)(pass, task->sequence, start + at.i);
    const gn2_pair_weights rule =
        truth->origin ? pass->net->h->pair_weights : GN2_PAIR_NONE;
    for (int64_t j = 0; j < n; j++) {
        if (j == at.i) continue;
        const int64_t other = R(gn2_pass_row)(pass, task->sequence, start + j);
        const int32_t v = truth->vertex[mine];
        s->pair_target[row] = v >= 0 && v == truth->vertex[other] ? 1 : 0;
        s->pair_weight[row] = rule == GN2_PAIR_NONE
                                  ? 1
                                  : pair_weight(rule, pair_class(truth->origin[mine]),
                                                pair_class(truth->origin[other]));
        row++;
    }
}

/* a (N, hidden), b (N, hidden): the first layer's parts. */
static void first_layer(R(gn2_pass) *pass)
{
    const R(gn2_head) *head = &pass->net->head[GN2_TASK_VERTEX];
    R(gn2_space) *s = pass->space;
    const int64_t *offset = offsets(pass);
    const int64_t rows = offset[pass->chunk.jets], hidden = head->part[0].out;
    const real *z = s->head_z[GN2_TASK_VERTEX];
    R(gn2_linear_fwd)
    (&pass->ctx, &head->part[0], s->context, s->head_pooled[GN2_TASK_VERTEX], NULL, 0,
     pass->chunk.jets);
    R(gn2_linear_fwd)(&pass->ctx, &head->part[1], s->pair_a, z, NULL, 0, rows);
    R(gn2_linear_fwd)(&pass->ctx, &head->part[2], s->pair_b, z, NULL, 0, rows);
    for (int64_t b = 0; b < pass->chunk.jets; b++)
        pass->ctx.kernels->add_row(s->pair_a + offset[b] * hidden,
                                   s->context + b * hidden, offset[b + 1] - offset[b],
                                   hidden, 0);
}

static void first_layer_bwd(R(gn2_pass) *pass)
{
    const R(gn2_head) *head = &pass->net->head[GN2_TASK_VERTEX];
    R(gn2_space) *s = pass->space;
    const int64_t *offset = offsets(pass);
    const int64_t jets = pass->chunk.jets, rows = offset[jets];
    const int64_t hidden = head->part[0].out;
    const real *z = s->head_z[GN2_TASK_VERTEX];
    memset(s->d_context, 0, (size_t)(jets * hidden) * sizeof(real));
    for (int64_t b = 0; b < jets; b++)
        pass->ctx.kernels->sum_rows(s->d_context + b * hidden,
                                    s->d_pair_a + offset[b] * hidden,
                                    offset[b + 1] - offset[b], hidden, hidden);
    R(gn2_linear_bwd_weight)
    (&pass->ctx, &head->part[0], s->d_context, s->head_pooled[GN2_TASK_VERTEX], jets);
    R(gn2_linear_bwd_input)
    (&pass->ctx, &head->part[0], s->d_head_pooled, s->d_context, NULL, jets);
    R(gn2_linear_bwd_weight)(&pass->ctx, &head->part[1], s->d_pair_a, z, rows);
    R(gn2_linear_bwd_weight)(&pass->ctx, &head->part[2], s->d_pair_b, z, rows);
    R(gn2_linear_bwd_input)
    (&pass->ctx, &head->part[1], s->d_rows, s->d_pair_a, NULL, rows);
    R(gn2_linear_bwd_input)
    (&pass->ctx, &head->part[2], s->d_rows, s->d_pair_b, s->d_rows, rows);
    R(gn2_head_inputs_bwd)(pass, GN2_TASK_VERTEX, s->d_rows);
}

static gn2_mlp_dropout tile_dropout(const R(gn2_pass) *pass, const tile *t)
{
    const gn2_mlp_dropout drop = {
        .p = pass->dropping ? pass->net->h->dropout_heads : 0,
        .step_key = pass->step_key,
        .place = GN2_PLACE_HEAD + 32 * GN2_TASK_VERTEX,
        .first = pass->chunk.first_pair + t->first,
    };
    return drop;
}

static void tile_fwd(R(gn2_pass) *pass, const tile *t, real *const *act)
{
    const R(gn2_head) *head = &pass->net->head[GN2_TASK_VERTEX];
    const gn2_mlp_dropout drop = tile_dropout(pass, t);
    const gn2_dropout first = gn2_dropout_make(drop.p, drop.step_key, drop.place + 1);
    each_group(pass, t, group_fwd);
    R(gn2_dropout_rows)
    (&pass->ctx, &first, act[0], drop.first, t->rows, head->part[0].out);
    R(gn2_mlp_fwd)(&pass->ctx, &head->mlp, 1, act, act[0], &drop, t->rows);
}

static void tile_bwd(R(gn2_pass) *pass, const tile *t, real *const *act)
{
    const R(gn2_head) *head = &pass->net->head[GN2_TASK_VERTEX];
    real *const *d_act = pass->space->head[GN2_TASK_VERTEX].d_act;
    const double p = tile_dropout(pass, t).p;
    R(gn2_mlp_bwd)(&pass->ctx, &head->mlp, 1, d_act, d_act[0], act, act[0], p, t->rows);
    if (p > 0)
        pass->ctx.kernels->scale(d_act[0], (real)(1 / (1 - p)),
                                 t->rows * head->part[0].out);
    each_group(pass, t, group_bwd);
}

static void tile_loss(R(gn2_pass) *pass, const tile *t, const real *logits)
{
    R(gn2_space) *s = pass->space;
    const gn2_task *task = &pass->net->h->task[GN2_TASK_VERTEX];
    const double total = pass->totals->value[GN2_TASK_VERTEX];
    const real factor = total > 0 ? (real)(task->weight / total) : 0;
    real *d =
        pass->ctx.grads ? s->head[GN2_TASK_VERTEX].d_act[task->net.depth - 1] : NULL;
    each_group(pass, t, group_truth);
    pass->losses.value[GN2_TASK_VERTEX] += pass->ctx.kernels->binary_cross_entropy(
        d, logits, s->pair_target, s->pair_weight, factor, t->rows);
}

void R(gn2_head_vertex)(R(gn2_pass) *pass)
{
    R(gn2_space) *s = pass->space;
    const int last = pass->net->h->task[GN2_TASK_VERTEX].net.depth - 1;
    const int64_t hidden = pass->net->head[GN2_TASK_VERTEX].part[0].out;
    const size_t bytes =
        (size_t)(offsets(pass)[pass->chunk.jets] * hidden) * sizeof(real);
    const int learns = pass->truth && pass->truth->vertex && pass->ctx.grads;
    R(gn2_head_inputs)(pass, GN2_TASK_VERTEX);
    first_layer(pass);
    if (learns) {
        memset(s->d_pair_a, 0, bytes);
        memset(s->d_pair_b, 0, bytes);
    }
    tile t = {.rows = 0};
    cursor next = {0, 0};
    while (next_tile(pass, &t, &next)) {
        real *act[GN2_DENSE_MAX];
        memcpy(act, s->head[GN2_TASK_VERTEX].act, sizeof act);
        act[last] = s->pair_logits + t.first; /* the logits of all pairs are kept */
        tile_fwd(pass, &t, act);
        if (!pass->truth || !pass->truth->vertex) continue;
        tile_loss(pass, &t, act[last]);
        if (learns) tile_bwd(pass, &t, act);
    }
    if (learns) first_layer_bwd(pass);
}
