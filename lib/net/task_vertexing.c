/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vertexing: a logit for every ordered pair i ≠ j of a jet's constituents (salt's
 * VertexingTask).
 *   first layer, split   h_ij = relu(a_i + b_j),  a_i = W_G G + b + W_i z_i,
 *                        b_j = W_j z_j   (three small products instead of n(n−1)
 *                        rows of 3o), exact up to rounding, backward too:
 *                        d_a_i = Σ_j d_h_ij,  d_b_j = Σ_i d_h_ij
 *   loss   λ Σ u_ij BCE(x_ij, m_ij) / Σ m_ij,  m = same vertex ≥ 0,
 *          u = 1 + (s_i & s_j) on signed integers
 * Pairs are worked through in tiles; forward, loss and backward of a tile follow
 * each other, so nothing of the size of all pairs is kept but the logits.
 */
#include <math.h>
#include <string.h>

#include "net/head.h"
#include "net/tasks.h"

/* How pairs are weighed, by the origins of both: gn2_task.option. */
typedef enum pair_rule { RULE_SALT, RULE_SYMMETRIC, RULE_NONE } pair_rule;

/* ---- options ---- */

static gn2_status read(const gn2_task_reader *r, gn2_task *task, int64_t *out_columns)
{
    static const char *const rules[] = {"salt", "symmetric", "none"};
    char key[128];
    const char *rule = gn2_config_str(r->config, gn2_task_key(r, "pair_weights", key));
    for (int i = 0; i < 3; i++)
        if (strcmp(rules[i], rule) == 0) task->option = i;
    *out_columns = 1;
    return GN2_OK;
}

/* The task whose labels are the origins, if the model has it. */
static gn2_status link_origins(const gn2_task_reader *r, gn2_task *task)
{
    char key[128];
    const char *name = gn2_config_str(r->config, gn2_task_key(r, "origin_task", key));
    const int k = gn2_hparams_task(r->h, name);
    if (k < 0 || task->option == RULE_NONE) return GN2_OK;
    const gn2_task *other = &r->h->task[k];
    if (other->sequence != task->sequence || other->rows != GN2_OVER_CONSTITUENTS)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "%s = %s: that task is not about the same constituents; name "
                        "one that is, or set task.%s.pair_weights = none",
                        key, name, task->name);
    task->partner = k;
    return GN2_OK;
}

/* ---- what a pass works with ---- */

typedef struct pairs {
    R(gn2_pass) *pass;
    int k;
    const gn2_task *task;
    const R(gn2_mlp) *mlp;
    const R(gn2_head_space) *s;
    const int64_t *offset; /* (B+1) of the constituents */
    int64_t hidden;        /* columns of the first layer */
    const int32_t *vertex; /* labels, NULL: none */
    const int32_t *origin; /* of the constituents, NULL: pairs weigh 1 */
} pairs;

static pairs pairs_of(R(gn2_pass) *pass, int k)
{
    const gn2_task *task = &pass->net->h->task[k];
    const gn2_task_labels *labels = pass->labels ? pass->labels->task : NULL;
    return (pairs){
        .pass = pass,
        .k = k,
        .task = task,
        .mlp = &pass->net->head[k].mlp,
        .s = &pass->space->head[k],
        .offset = pass->space->row_offset[task->sequence],
        .hidden = task->net.size[1],
        .vertex = labels ? labels[k].index : NULL,
        .origin = labels && task->partner >= 0 ? labels[task->partner].index : NULL,
    };
}

static void carve(gn2_carver *c, const R(gn2_net) *net, int k, R(gn2_space) *space)
{
    R(gn2_head_space) *s = &space->head[k];
    R(gn2_pair_space) *p = &s->pair;
    const int64_t hidden = net->h->task[k].net.size[1];
    s->logits = R(gn2_carve)(c, c->tokens, c->longest); /* those of all pairs */
    p->a = R(gn2_carve)(c, c->tokens, hidden);
    p->b = R(gn2_carve)(c, c->tokens, hidden);
    p->target = R(gn2_carve)(c, space->tile, 1);
    p->weight = R(gn2_carve)(c, space->tile, 1);
    if (!c->training) return;
    p->d_a = R(gn2_carve)(c, c->tokens, hidden);
    p->d_b = R(gn2_carve)(c, c->tokens, hidden);
}

/* ---- tiles ---- */

/* Rows (b, i) of pairs that fill one tile: jet, constituent, and where it starts. */
typedef struct cursor {
    int64_t jet, i;
} cursor;

typedef struct tile {
    cursor begin;
    int64_t rows;
    int64_t first; /* number of its first pair in the chunk */
} tile;

/* Skips jets that have no pairs left; 0 at the end. */
static int settle(const pairs *p, cursor *c)
{
    while (c->jet < p->pass->chunk.jets) {
        const int64_t n = p->offset[c->jet + 1] - p->offset[c->jet];
        if (n > 1 && c->i < n) return 1;
        c->jet++;
        c->i = 0;
    }
    return 0;
}

/* A constituent i of a jet, whose constituents are `start` … `start`+n−1 of the
 * chunk, and the row of its first pair in the tile. */
typedef struct group {
    int64_t start, n, i, row;
} group;

typedef void (*group_fn)(const pairs *p, const group *g);

/* Calls fn for every group of a tile. */
static void each_group(const pairs *p, const tile *t, group_fn fn)
{
    cursor c = t->begin;
    group g = {.row = 0};
    for (; g.row < t->rows && settle(p, &c); c.i++) {
        g.start = p->offset[c.jet];
        g.n = p->offset[c.jet + 1] - g.start;
        g.i = c.i;
        fn(p, &g);
        g.row += g.n - 1;
    }
}

/* Next tile behind `t`; 0 when all pairs are done. */
static int next_tile(const pairs *p, tile *t, cursor *next)
{
    t->first += t->rows;
    t->rows = 0;
    if (!settle(p, next)) return 0;
    t->begin = *next;
    while (settle(p, next)) {
        const int64_t count = p->offset[next->jet + 1] - p->offset[next->jet] - 1;
        if (t->rows + count > p->pass->space->tile) break;
        t->rows += count;
        next->i++;
    }
    return 1;
}

static void group_fwd(const pairs *p, const group *g)
{
    const R(gn2_head_space) *s = p->s;
    p->pass->ctx.kernels->pair_fwd(
        s->mlp.act[0] + g->row * p->hidden, s->pair.a + (g->start + g->i) * p->hidden,
        s->pair.b + g->start * p->hidden, g->i, g->n, p->hidden);
}

static void group_bwd(const pairs *p, const group *g)
{
    const R(gn2_head_space) *s = p->s;
    p->pass->ctx.kernels->pair_bwd(
        s->pair.d_a + (g->start + g->i) * p->hidden, s->pair.d_b + g->start * p->hidden,
        s->mlp.d_act[0] + g->row * p->hidden, s->mlp.act[0] + g->row * p->hidden, g->i,
        g->n, p->hidden);
}

/* ---- loss ---- */

/* Class of a constituent in the pair weights: heavy flavour, fake, other; numbers of
 * ATLAS's truth origins, as salt has them. */
static int32_t pair_class(int32_t origin)
{
    if (origin >= 3 && origin <= 5) return 1; /* FromB, FromBC, FromC */
    return origin == 1 ? -1 : 0;              /* Fake */
}

static real pair_weight(pair_rule rule, int32_t a, int32_t b)
{
    /* two's complement: HF & fake = 1, fake & fake = −1 */
    if (rule == RULE_SALT) return (real)(1 + (a & b));
    if (a < 0 || b < 0) return 0;
    return a > 0 && b > 0 ? 2 : 1;
}

static void group_targets(const pairs *p, const group *g)
{
    const int32_t *vertex = p->vertex, *origin = p->origin;
    const int64_t mine = R(gn2_pass_row)(p->pass, p->task->sequence, g->start + g->i);
    const int32_t v = vertex[mine];
    int64_t row = g->row;
    for (int64_t j = 0; j < g->n; j++) {
        if (j == g->i) continue;
        const int64_t other = R(gn2_pass_row)(p->pass, p->task->sequence, g->start + j);
        p->s->pair.target[row] = v >= 0 && v == vertex[other] ? 1 : 0;
        p->s->pair.weight[row] =
            origin ? pair_weight((pair_rule)p->task->option, pair_class(origin[mine]),
                                 pair_class(origin[other]))
                   : 1;
        row++;
    }
}

static void tile_loss(const pairs *p, const tile *t, const real *logits)
{
    each_group(p, t, group_targets);
    p->pass->losses.value[p->k] += p->pass->ctx.kernels->binary_cross_entropy(
        R(gn2_head_d_logits)(p->pass, p->k), logits, p->s->pair.target,
        p->s->pair.weight, R(gn2_head_factor)(p->pass, p->k), t->rows);
}

/* ---- the network ---- */

static gn2_dropout tile_dropout(const pairs *p, const tile *t)
{
    return R(gn2_head_dropout)(p->pass, p->k, p->pass->chunk.first_pair + t->first);
}

static void tile_fwd(const pairs *p, const tile *t, real *const *act)
{
    const gn2_dropout drop = tile_dropout(p, t);
    each_group(p, t, group_fwd);
    R(gn2_mlp_fwd)(&p->pass->ctx, p->mlp, 1, act, act[0], &drop, t->rows);
}

/* The ReLU's mask is applied where pairs are summed. */
static void tile_bwd(const pairs *p, const tile *t, real *const *act)
{
    real *const *d_act = p->s->mlp.d_act;
    const R(gn2_context) *ctx = &p->pass->ctx;
    const gn2_dropout drop = tile_dropout(p, t);
    R(gn2_mlp_bwd)(ctx, p->mlp, 1, d_act, d_act[0], act, act[0], &drop, t->rows);
    if (drop.p > 0)
        ctx->kernels->scale(d_act[0], (real)(1 / (1 - drop.p)), t->rows * p->hidden);
    each_group(p, t, group_bwd);
}

static void run_tiles(const pairs *p, int learns)
{
    const int last = p->task->net.depth - 1;
    tile t = {.rows = 0};
    cursor next = {0, 0};
    while (next_tile(p, &t, &next)) {
        real *act[GN2_DENSE_MAX];
        memcpy(act, p->s->mlp.act, sizeof act);
        act[last] = p->s->logits + t.first;
        tile_fwd(p, &t, act);
        if (!p->vertex) continue;
        tile_loss(p, &t, act[last]);
        if (learns) tile_bwd(p, &t, act);
    }
}

static void run(R(gn2_pass) *pass, int k)
{
    const pairs p = pairs_of(pass, k);
    const R(gn2_pair_space) *s = &p.s->pair;
    const size_t bytes = (size_t)(p.offset[pass->chunk.jets] * p.hidden) * sizeof(real);
    const int learns = p.vertex && pass->ctx.grads;
    R(gn2_head_first)(pass, k, s->a, s->b, 0);
    if (learns) {
        memset(s->d_a, 0, bytes);
        memset(s->d_b, 0, bytes);
    }
    run_tiles(&p, learns);
    if (learns) R(gn2_head_first_bwd)(pass, k, s->d_a, s->d_b);
}

/* ---- labels of a batch ---- */

/* Constituents i+1 … end−1 that share the vertex of i; a negative number is none. */
static int64_t partners(const R(gn2_rows) *rows, const int32_t *vertex, int64_t i,
                        int64_t end)
{
    const int32_t v = vertex[R(gn2_rows_at)(rows, i)];
    int64_t count = 0;
    if (v < 0) return 0;
    for (int64_t j = i + 1; j < end; j++) count += vertex[R(gn2_rows_at)(rows, j)] == v;
    return count;
}

/* What pairs shall weigh is not known: then no pair counts. */
static int lacks_origins(const gn2_task *task, const gn2_batch_labels *labels)
{
    return task->partner >= 0 && !labels->task[task->partner].index;
}

static double total(const R(gn2_net) *net, const R(gn2_label_place) *p)
{
    const R(gn2_rows) *rows = &p->batch->sequence[p->h->task[p->task].sequence];
    const gn2_task *task = &p->h->task[p->task];
    const int32_t *vertex = p->labels->task[p->task].index;
    int64_t count = 0;
    (void)net;
    if (lacks_origins(task, p->labels)) return 0;
    for (int64_t b = 0; b < p->batch->jets; b++)
        for (int64_t i = rows->offset[b]; i < rows->offset[b + 1]; i++)
            count += partners(rows, vertex, i, rows->offset[b + 1]);
    return 2 * (double)count; /* ordered */
}

/* ---- vertices: connected components of the pairs that match ---- */

/* Number of the ordered pair (i, j), i ≠ j, among the n(n−1) of a jet. */
static int64_t pair_index(int64_t i, int64_t j, int64_t n)
{
    return i * (n - 1) + (j < i ? j : j - 1);
}

/* Union–find in place: label[i] is the parent, never larger than i. */
static int32_t root(int32_t *label, int32_t i)
{
    while (label[i] != i) {
        label[i] = label[label[i]];
        i = label[i];
    }
    return i;
}

static void join(int32_t *label, int32_t a, int32_t b)
{
    a = root(label, a);
    b = root(label, b);
    if (a < b) label[b] = a;
    if (b < a) label[a] = b;
}

void R(gn2_vertex_assign)(int32_t *label, const real *logits, int64_t n)
{
    for (int64_t i = 0; i < n; i++) label[i] = (int32_t)i;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i + 1; j < n; j++) {
            const real mean =
                (logits[pair_index(i, j, n)] + logits[pair_index(j, i, n)]) / 2;
            if (mean >= 0) join(label, (int32_t)i, (int32_t)j);
        }
    for (int64_t i = 0; i < n; i++) label[i] = root(label, (int32_t)i);
}

/* ---- metrics: unordered pairs ---- */

enum { TRUE_PAIRS, FOUND, BOTH };

static void observe(const R(gn2_pass) *pass, int k, int64_t b, double *sums)
{
    const int sequence = pass->net->h->task[k].sequence;
    const R(gn2_space) *s = pass->space;
    const int64_t start = s->row_offset[sequence][b];
    const int64_t n = s->row_offset[sequence][b + 1] - start;
    const int32_t *vertex = pass->labels->task[k].index;
    int32_t *found = s->label + start;
    R(gn2_vertex_assign)(found, s->head[k].logits + s->pair_offset[b], n);
    for (int64_t i = 0; i < n; i++) {
        const int32_t v = vertex[R(gn2_pass_row)(pass, sequence, start + i)];
        for (int64_t j = i + 1; j < n; j++) {
            const int64_t other = R(gn2_pass_row)(pass, sequence, start + j);
            const int same = v >= 0 && vertex[other] == v, guess = found[i] == found[j];
            sums[TRUE_PAIRS] += same;
            sums[FOUND] += guess;
            sums[BOTH] += same && guess;
        }
    }
}

static void conclude(const double *sums, double *out_values)
{
    out_values[0] = sums[BOTH] / sums[TRUE_PAIRS]; /* NaN: there is no such pair */
    out_values[1] = sums[BOTH] / sums[FOUND];
}

/* ---- outputs ---- */

/* As salt calls it; a model has one such task. */
static void name_field(const gn2_task_column *c, gn2_text *out_name)
{
    (void)c;
    gn2_text_add(out_name, "VertexIndex");
}

static const R(gn2_task_output) outputs[] = {
    {"", GN2_OUT_VERTICES, name_field, NULL},
    {"_logits", GN2_OUT_LOGITS, NULL, NULL},
    {0},
};

const R(gn2_task_kind) R(gn2_kind_vertexing) = {
    .name = "vertexing",
    .options = (const char *const[]){"label", "pair_weights", "origin_task", NULL},
    .pairs = 1,
    .read = read,
    .link = link_origins,
    .carve = carve,
    .run = run,
    .total = total,
    .outputs = outputs,
    .metrics = (const char *const[]){"pair_efficiency", "pair_purity", NULL},
    .observe = observe,
    .conclude = conclude,
};
