/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See infer_stages.h. The kernels of a network are reached through tables, so the
 * tables are copied with clocks put in front of each entry; the code that runs is
 * the library's own.
 */
#include "infer_stages.h"

#include <stdio.h>
#include <string.h>

#include "kernels/product_backend.h"
#include "peak.h"
#include "tag/tagger.h"
#include "util/error.h"

#define MAX_SHAPES 64
#define MAX_OPS 4
#define PASSES 5
#define MOST_JETS 500 /* more would say the same */

typedef enum stage { ATTENTION, NORMS, POOLING, PAIRS, ROWS, SOFTMAX, STAGES } stage;

static const char *const stage_names[STAGES] = {"attention", "norms",    "pooling",
                                                "pair sums", "add rows", "softmax"};

typedef struct shape_time {
    int64_t k, n;
    double seconds, flop;
    long calls;
} shape_time;

/* What one pass over the jets has cost. */
typedef struct costs {
    double stage[STAGES];
    long calls[STAGES];
    shape_time shape[MAX_SHAPES];
    int shapes;
    double seconds; /* of all calls */
} costs;

static struct {
    costs now;
    const gn2_kernels_f32 *kernels; /* the originals */
    gn2_kernels_f32 timed;
    const gn2_product_ops_f32 *ops[MAX_OPS];
    gn2_product_ops_f32 timed_ops[MAX_OPS];
    int op_count;
} t;

static void charge(stage s, double start)
{
    t.now.stage[s] += gn2_bench_now() - start;
    t.now.calls[s]++;
}

/* ---- kernels ---- */

#define TIMED(stage, call)                    \
    do {                                      \
        const double start = gn2_bench_now(); \
        t.kernels->call;                      \
        charge(stage, start);                 \
    } while (0)

static void layernorm_fwd(float *y, float *mean, float *rstd, const float *x,
                          const float *gain, const float *bias, int64_t rows,
                          int64_t cols, float eps)
{
    TIMED(NORMS, layernorm_fwd(y, mean, rstd, x, gain, bias, rows, cols, eps));
}

static void attention_fwd(float *o, float *p, const float *qkv, int64_t n,
                          int64_t heads, int64_t head_dim, float scale)
{
    TIMED(ATTENTION, attention_fwd(o, p, qkv, n, heads, head_dim, scale));
}

static void pool_fwd(float *pooled, float *alpha, float *logit, const float *z,
                     const float *w, float b, int64_t n, int64_t cols)
{
    TIMED(POOLING, pool_fwd(pooled, alpha, logit, z, w, b, n, cols));
}

static void pair_fwd(float *h, const float *a, const float *b, int64_t i, int64_t n,
                     int64_t cols)
{
    TIMED(PAIRS, pair_fwd(h, a, b, i, n, cols));
}

static void add_row(float *y, const float *v, int64_t rows, int64_t cols, int relu)
{
    TIMED(ROWS, add_row(y, v, rows, cols, relu));
}

static void softmax(float *p, const float *logit, int64_t rows, int64_t cols)
{
    TIMED(SOFTMAX, softmax(p, logit, rows, cols));
}

static void wrap_kernels(gn2_net_f32 *net)
{
    t.kernels = net->kernels;
    t.timed = *net->kernels;
    t.timed.layernorm_fwd = layernorm_fwd;
    t.timed.attention_fwd = attention_fwd;
    t.timed.pool_fwd = pool_fwd;
    t.timed.pair_fwd = pair_fwd;
    t.timed.add_row = add_row;
    t.timed.softmax = softmax;
    net->kernels = &t.timed;
}

/* ---- products ---- */

static shape_time *shape_of(const gn2_product_f32 *p)
{
    costs *c = &t.now;
    int i = 0;
    while (i < c->shapes && (c->shape[i].k != p->k || c->shape[i].n != p->n)) i++;
    if (i == MAX_SHAPES) i = MAX_SHAPES - 1;
    if (i == c->shapes) c->shape[c->shapes++] = (shape_time){.k = p->k, .n = p->n};
    return &c->shape[i];
}

static void run_product(const gn2_product_f32 *p, gn2_lane_view_f32 lane,
                        const gn2_mul_args_f32 *args)
{
    const gn2_product_ops_f32 *original = t.ops[p->ops - t.timed_ops];
    const double start = gn2_bench_now();
    original->run(p, lane, args);
    shape_time *s = shape_of(p);
    s->seconds += gn2_bench_now() - start;
    s->flop += 2.0 * (double)(args->m * p->k * p->n);
    s->calls++;
}

/* Products of one back end share one wrapped table. */
static const gn2_product_ops_f32 *wrapped(const gn2_product_ops_f32 *ops)
{
    int i = 0;
    while (i < t.op_count && t.ops[i] != ops) i++;
    if (i == MAX_OPS) return ops;
    if (i == t.op_count) {
        t.ops[t.op_count++] = ops;
        t.timed_ops[i] = *ops;
        t.timed_ops[i].run = run_product;
    }
    return &t.timed_ops[i];
}

static void wrap(infer_run *r)
{
    union {
        const gn2_net_f32 *in;
        gn2_net_f32 *out;
    } net = {.in = r->tagger->net}; /* not const where it was made */
    memset(&t, 0, sizeof t);
    wrap_kernels(net.out);
    for (size_t i = 0; i < net.out->product_count; i++)
        net.out->products[i]->ops = wrapped(net.out->products[i]->ops);
}

static void unwrap(infer_run *r)
{
    union {
        const gn2_net_f32 *in;
        gn2_net_f32 *out;
    } net = {.in = r->tagger->net};
    net.out->kernels = t.kernels;
    for (size_t i = 0; i < net.out->product_count; i++) {
        gn2_product_f32 *p = net.out->products[i];
        p->ops = t.ops[p->ops - t.timed_ops];
    }
}

/* ---- the report ---- */

static void print_line(const char *name, double seconds, double all, double jets)
{
    printf("    %-20s %8.2f us a jet  %5.1f %%", name, 1e6 * seconds / jets,
           100 * seconds / all);
}

static void print_shapes(const costs *c, double jets)
{
    char name[64];
    for (int i = 0; i < c->shapes; i++) {
        const shape_time *s = &c->shape[i];
        snprintf(name, sizeof name, "  %lld -> %lld", (long long)s->k, (long long)s->n);
        print_line(name, s->seconds, c->seconds, jets);
        printf("  %6.1f GFLOP/s, %.1f rows a call\n", s->flop / s->seconds * 1e-9,
               s->flop / (2.0 * (double)(s->k * s->n)) / (double)s->calls);
    }
}

static void print_stages(const costs *c, double jets)
{
    double products = 0, known = 0;
    for (int i = 0; i < c->shapes; i++) products += c->shape[i].seconds;
    print_line("matrix products", products, c->seconds, jets);
    printf("\n");
    print_shapes(c, jets);
    for (int s = 0; s < STAGES; s++) {
        known += c->stage[s];
        if (!c->calls[s]) continue;
        print_line(stage_names[s], c->stage[s], c->seconds, jets);
        printf("\n");
    }
    print_line("rest", c->seconds - products - known, c->seconds, jets);
    printf("  (checks, indices, normalisation, copies, clocks)\n");
}

static void add_costs(costs *sum, const costs *c)
{
    for (int s = 0; s < STAGES; s++) {
        sum->stage[s] += c->stage[s];
        sum->calls[s] += c->calls[s];
    }
    for (int i = 0; i < c->shapes; i++) { /* the shapes come in the same order */
        if (i >= sum->shapes) sum->shape[sum->shapes++] = (shape_time){.k = 0};
        sum->shape[i].k = c->shape[i].k;
        sum->shape[i].n = c->shape[i].n;
        sum->shape[i].seconds += c->shape[i].seconds;
        sum->shape[i].flop += c->shape[i].flop;
        sum->shape[i].calls += c->shape[i].calls;
    }
    sum->seconds += c->seconds;
}

/* Of several calls of a group the quickest: the one least disturbed by others. */
static gn2_status best_call(const infer_run *r, const bench_view *v, infer_tasks tasks,
                            costs *best)
{
    for (int i = 0; i < PASSES; i++) {
        t.now = (costs){0};
        GN2_TRY(infer_time(r, v, tasks, &t.now.seconds));
        if (i == 0 || t.now.seconds < best->seconds) *best = t.now;
    }
    return GN2_OK;
}

static int64_t stage_jets(const bench_jets *jets)
{
    return jets->jets.count < MOST_JETS ? jets->jets.count : MOST_JETS;
}

static gn2_status run_groups(const infer_run *r, const bench_jets *jets,
                             infer_tasks tasks, int64_t group, costs *sum)
{
    static costs best;
    *sum = (costs){0};
    for (int64_t at = 0; at + group <= stage_jets(jets); at += group) {
        bench_view v;
        GN2_TRY(bench_view_make(jets, at, group, &v));
        const gn2_status status = best_call(r, &v, tasks, &best);
        bench_view_free(&v);
        GN2_TRY(status);
        add_costs(sum, &best);
    }
    return GN2_OK;
}

gn2_status infer_stages(infer_run *r, const bench_jets *jets, infer_tasks tasks,
                        int64_t group)
{
    static costs sum;
    wrap(r);
    const gn2_status status = run_groups(r, jets, tasks, group, &sum);
    unwrap(r);
    GN2_TRY(status);
    const double done = (double)(stage_jets(jets) / group * group);
    printf("  stages, %s, %lld jets a call: %.1f us a jet\n", infer_task_names[tasks],
           (long long)group, 1e6 * sum.seconds / done);
    print_stages(&sum, done);
    return GN2_OK;
}
