/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What would a training step take on many cores? A model of measured parts: each shard,
 * the sums over shards, the update and the packing are run in one thread, with the
 * memory of the number of threads in question, and shared out as the pool does it.
 *
 *   bench_cores [-f jets.h5] [-w width] [-b batch] [-g GB/s] [-k us] [key=value] …
 *
 * Not measured, but reckoned: that lanes wake as a tree, by the time that one thread
 * takes to wake another (measured, or -k, as a busy machine lets it wait), and that
 * memory gives no more than -g GB/s (200), from which gradients are cleared, added to,
 * summed, and weights updated. Caches that cores share, clocks that fall when all work,
 * and distant memory are left out. Seconds are the processor's, the least of some
 * turns. File: one of -f, $GN2_SHARED/data/jets_train.h5.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench_common.h"
#include "net/labels.h"
#include "peak.h"
#include "train/trainer.h"
#include "util/alloc.h"

#define TURNS 3
#define MOST 128 /* threads */
#define RUNS 4   /* of the pool in a step: shards, sums, update, packing */
#define MAX_SHARDS 1024
#define MAX_LINEARS 1024

typedef struct setup {
    const char *file;
    int64_t width, batch;
    double gigabytes; /* a second */
    double wake;      /* microseconds; 0: measured */
    char *const *options;
    int option_count;
} setup;

/* A batch, and who learns from it. */
typedef struct bench {
    bench_jets all;
    bench_view view;
    gn2_trainer *trainer;
    gn2_batch_labels labels;
    gn2_batch_f32 batch;
} bench;

/* Seconds in one thread. */
typedef struct parts {
    int32_t shards, linears;
    double read, plan; /* for all jets, by the caller alone */
    double shard[MAX_SHARDS], linear[MAX_LINEARS];
    double fold;           /* one gradient into another, within a block */
    double sum_1, sum_all; /* over one and over all shards' gradients */
    double update;         /* without packing */
    double wake;           /* one thread by another */
    double bytes;          /* of a gradient */
    int64_t pieces;
} parts;

static double processor(void)
{
    return gn2_bench_seconds(CLOCK_THREAD_CPUTIME_ID);
}

/* A scheduler that runs nothing: all is left to the caller. */
static void leave_all(void *user, int64_t count,
                      void (*task)(void *context, int64_t index), void *context)
{
    (void)user;
    (void)count;
    (void)task;
    (void)context;
}

/* ---- one thread at work ---- */

typedef gn2_status work_fn(bench *b, int64_t index);

static gn2_status least(bench *b, work_fn *work, int64_t index, double *out)
{
    *out = 1e30;
    for (int i = 0; i < TURNS; i++) {
        const double start = processor();
        GN2_TRY(work(b, index));
        const double spent = processor() - start;
        if (spent < *out) *out = spent;
    }
    return GN2_OK;
}

static gn2_status read_batch(bench *b, int64_t index)
{
    (void)index;
    gn2_trainer *t = b->trainer;
    GN2_TRY(gn2_labels_by_task(&t->h, &b->view.labels, &b->labels));
    GN2_TRY(gn2_input_read(&t->input, t->model, NULL, &b->view.jets, &b->batch));
    return gn2_labels_check_f32(&t->h, &b->batch, &b->labels);
}

static gn2_status plan(bench *b, int64_t index)
{
    gn2_engine_f32 *e = b->trainer->engine;
    (void)index;
    GN2_TRY(gn2_engine_plan_f32(e, &b->batch));
    gn2_labels_totals_f32(e->net, &b->batch, &b->labels, &e->totals);
    return GN2_OK;
}

static gn2_status learn(bench *b, int64_t index)
{
    (void)index;
    return gn2_engine_gradient_f32(b->trainer->engine, &b->batch, &b->labels);
}

/* One shard alone; with it comes planning, and the sum over one. */
static gn2_status learn_from(bench *b, int64_t index)
{
    gn2_share_f32 *share = &b->trainer->engine->share, all = *share;
    share->first = (int32_t)index;
    share->count = share->blocks = share->block = 1;
    const gn2_status status = learn(b, index);
    *share = all;
    return status;
}

/* Over `blocks` gradients. */
static gn2_status sum_up(bench *b, int64_t blocks)
{
    gn2_share_f32 *share = &b->trainer->engine->share, all = *share;
    share->blocks = (int32_t)blocks;
    const gn2_status status = gn2_engine_reduce_f32(b->trainer->engine);
    *share = all;
    return status;
}

static gn2_status fold(bench *b, int64_t index)
{
    const gn2_engine_f32 *e = b->trainer->engine;
    float *to = e->share.grads, *from = to + index * e->stride;
    for (int64_t at = 0; at < e->stride; at += 4096) {
        const int64_t left = e->stride - at, count = left < 4096 ? left : 4096;
        e->net->kernels->add(to + at, from + at, count);
        memset(from + at, 0, (size_t)count * sizeof *from);
    }
    return GN2_OK;
}

static gn2_status update(bench *b, int64_t index)
{
    (void)index;
    gn2_engine_update_f32(b->trainer->engine, 0, 0.9);
    return GN2_OK;
}

static gn2_status pack(bench *b, int64_t index)
{
    const gn2_engine_f32 *e = b->trainer->engine;
    gn2_linear_pack_f32(e->net->linears[index], e->weights);
    return GN2_OK;
}

static void stamp(void *context, int64_t index, int32_t worker)
{
    (void)worker;
    ((double *)context)[index] = gn2_bench_now();
    while (index == 0 && ((volatile double *)context)[1] == 0) continue;
}

/* Until a thread that sleeps has begun, the least of many turns. */
static gn2_status time_waking(double *out)
{
    gn2_pool *pool;
    GN2_TRY(gn2_pool_create(2, &pool));
    *out = 1e30;
    for (int i = 0; i < 100; i++) {
        double at[2] = {0, 0};
        nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL);
        const double start = gn2_bench_now();
        gn2_pool_run(pool, 2, stamp, at);
        const double last = at[1] > at[0] ? at[1] : at[0];
        if (i && last - start < *out) *out = last - start;
    }
    gn2_pool_free(pool);
    return GN2_OK;
}

static gn2_status measure(bench *b, parts *p)
{
    const gn2_engine_f32 *e = b->trainer->engine;
    double packing = 0;
    int32_t order[MAX_SHARDS]; /* in which shards are handed out */
    p->shards = e->share.count;
    p->linears = (int32_t)e->net->linear_count;
    p->pieces = (int64_t)e->pieces.count;
    p->bytes = (double)e->stride * sizeof(float);
    if (p->shards > MAX_SHARDS || p->linears > MAX_LINEARS || e->share.block > 1)
        return gn2_fail(GN2_ERR_UNSUPPORTED, "more shards than this program knows");
    GN2_TRY(least(b, read_batch, 0, &p->read));
    GN2_TRY(least(b, plan, 0, &p->plan));
    GN2_TRY(learn(b, 0)); /* every gradient is there */
    GN2_TRY(least(b, sum_up, 1, &p->sum_1));
    GN2_TRY(least(b, sum_up, p->shards, &p->sum_all));
    GN2_TRY(least(b, fold, p->shards - 1, &p->fold));
    for (int32_t i = 0; i < p->shards; i++) order[i] = e->share.order[i].block;
    for (int32_t i = 0; i < p->shards; i++) {
        GN2_TRY(least(b, learn_from, order[i], &p->shard[i]));
        p->shard[i] -= p->plan + p->sum_1;
    }
    for (int32_t i = 0; i < p->linears; i++) {
        GN2_TRY(least(b, pack, i, &p->linear[i]));
        packing += p->linear[i];
    }
    GN2_TRY(least(b, update, 0, &p->update));
    p->update = p->update > packing ? p->update - packing : 0;
    return time_waking(&p->wake);
}

/* ---- many threads ---- */

typedef enum stage { READ, PLAN, SHARDS, SUMS, UPDATE, PACK, WAKE, STAGES } stage;

static const char *const names[STAGES] = {"read",   "plan", "shards", "sums",
                                          "update", "pack", "wake"};

/* Pieces go to whoever is free, in their order: until the last one is done. `joined`
 * of them in a row are one. */
static double makespan(const double *piece, int32_t count, int32_t joined,
                       double between, int32_t threads)
{
    double busy[MOST] = {0}, end = 0;
    for (int32_t i = 0; i < count; i += joined) {
        int32_t free = 0;
        for (int32_t t = 1; t < threads; t++)
            if (busy[t] < busy[free]) free = t;
        for (int32_t k = i; k < count && k < i + joined; k++)
            busy[free] += piece[k] + (k > i ? between : 0);
        if (busy[free] > end) end = busy[free];
    }
    return end;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

/* The same rule as the trainer's. */
static int32_t block_for(int32_t shards, int32_t threads)
{
    int32_t block = 1;
    while (threads == 1 ? block < shards : 16 * block * threads <= shards) block *= 2;
    return block;
}

static void predict(const parts *p, const setup *u, int32_t threads, double out[STAGES])
{
    const int32_t workers = threads < p->shards ? threads : p->shards;
    const int32_t block = block_for(p->shards, workers);
    const int32_t blocks = (p->shards + block - 1) / block;
    const double a_gradient = p->bytes / (1e9 * u->gigabytes);
    const double each = p->shards > 1 ? (p->sum_all - p->sum_1) / (p->shards - 1) : 0;
    const double rounds =
        (double)((p->pieces + workers - 1) / workers) / (double)p->pieces;
    int32_t levels = 0;
    while ((1 << levels) < workers) levels++;
    out[READ] = p->read;
    out[PLAN] = p->plan;
    out[SHARDS] = larger(makespan(p->shard, p->shards, block, p->fold, workers),
                         workers > 1 ? 3 * p->shards * a_gradient : 0);
    out[SUMS] = larger((p->sum_1 + each * (blocks - 1)) * rounds,
                       workers > 1 ? (blocks + 1) * a_gradient : 0);
    out[UPDATE] = larger(p->update * rounds, workers > 1 ? 7 * a_gradient : 0);
    out[PACK] = larger(makespan(p->linear, p->linears, 1, 0, workers),
                       workers > 1 ? 5 * a_gradient : 0);
    out[WAKE] = workers > 1 ? RUNS * p->wake * (levels + 1) : 0;
}

static double total(const double stages[STAGES])
{
    double sum = 0;
    for (int k = 0; k < STAGES; k++) sum += stages[k];
    return sum;
}

/* The stage that is farthest from its share. */
static const char *limit(const double one[STAGES], const double now[STAGES],
                         int32_t threads)
{
    int worst = 0;
    for (int k = 1; k < STAGES; k++)
        if (now[k] - one[k] / threads > now[worst] - one[worst] / threads) worst = k;
    return names[worst];
}

static void print_table(const parts *p, const setup *u)
{
    double one[STAGES];
    predict(p, u, 1, one);
    printf("%7s", "threads");
    for (int k = 0; k < STAGES; k++) printf(" %8s", names[k]);
    printf(" %9s %7s  most lost in\n", "step, ms", "times");
    for (int32_t threads = 1; threads <= MOST; threads *= 2) {
        double now[STAGES];
        predict(p, u, threads, now);
        printf("%7d", (int)threads);
        for (int k = 0; k < STAGES; k++) printf(" %8.3f", 1e3 * now[k]);
        printf(" %9.2f %7.1f  %s\n", 1e3 * total(now), total(one) / total(now),
               threads > 1 ? limit(one, now, threads) : "");
    }
}

static void print_unevenness(const parts *p)
{
    double sum = 0, largest = 0;
    for (int32_t i = 0; i < p->shards; i++) {
        sum += p->shard[i];
        largest = larger(largest, p->shard[i]);
    }
    printf("the largest shard takes %.2f times the mean\n",
           largest / (sum / p->shards));
}

/* ---- the trainer ---- */

static gn2_status make_trainer(gn2_config *config, int64_t threads, gn2_trainer **out)
{
    gn2_model *model = NULL;
    GN2_TRY(gn2_config_put_i64(config, "train.threads", threads));
    gn2_status status = gn2_model_random(config, &model);
    if (!status) status = gn2_train_new(model, config, out);
    gn2_model_unref(model);
    return status;
}

/* Whole steps with real threads, beside what the model says of them. */
static gn2_status check(bench *b, gn2_config *config, const parts *p, const setup *u)
{
    static const int32_t threads[] = {1, 2, 8};
    for (int i = 0; i < 3; i++) {
        double now[STAGES], spent[TURNS], worked[TURNS];
        gn2_trainer *t;
        GN2_TRY(make_trainer(config, threads[i], &t));
        gn2_status status = gn2_train_step(t, &b->view.jets, &b->view.labels, NULL);
        for (int k = 0; k < TURNS && !status; k++) {
            const double start = gn2_bench_now();
            const double before = gn2_bench_seconds(CLOCK_PROCESS_CPUTIME_ID);
            status = gn2_train_step(t, &b->view.jets, &b->view.labels, NULL);
            spent[k] = gn2_bench_now() - start;
            worked[k] = gn2_bench_seconds(CLOCK_PROCESS_CPUTIME_ID) - before;
        }
        gn2_train_delete(t);
        GN2_TRY(status);
        const int32_t cores = gn2_cpu_available();
        predict(p, u, threads[i], now);
        printf("%d threads: %.1f ms by the clock, %.1f of processors, %.1f by the "
               "model%s\n",
               (int)threads[i], 1e3 * gn2_bench_median(spent, TURNS),
               1e3 * gn2_bench_median(worked, TURNS), 1e3 * total(now),
               threads[i] > cores ? ", of as many cores: there are fewer" : "");
    }
    return GN2_OK;
}

static gn2_status run(const setup *u, gn2_config *config, bench *b)
{
    static parts p;
    gn2_status status = GN2_OK;
    for (int i = 0; i < u->option_count && !status; i++)
        status = bench_set_option(config, u->options[i]);
    if (!status) status = gn2_config_put_i64(config, "model.embed_dim", u->width);
    if (!status) status = gn2_config_put_i64(config, "data.batch_size", u->batch);
    if (!status) status = gn2_config_put_str(config, "schedule.name", "constant");
    if (!status) status = bench_jets_read(u->file, u->batch, config, &b->all);
    GN2_TRY(status);
    GN2_TRY(bench_view_make(&b->all, 0, b->all.jets.count, &b->view));
    GN2_TRY(make_trainer(config, MOST, &b->trainer));
    if (b->trainer->pool) gn2_pool_set_foreign(b->trainer->pool, leave_all, NULL);
    GN2_TRY(measure(b, &p));
    if (u->wake > 0) p.wake = 1e-6 * u->wake;
    printf("width %lld, %lld jets, %d shards; memory %.0f GB/s, waking %.1f us; "
           "milliseconds\n",
           (long long)u->width, (long long)b->view.jets.count, (int)p.shards,
           u->gigabytes, 1e6 * p.wake);
    print_table(&p, u);
    print_unevenness(&p);
    fflush(stdout);
    printf("Checked on %d cores only:\n", (int)gn2_cpu_available());
    return check(b, config, &p, u);
}

/* ---- arguments ---- */

static int parse(int argc, char **argv, setup *u)
{
    int i = 1;
    for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
        const char *value = argv[i + 1];
        if (argv[i][1] == 'f') u->file = value;
        if (argv[i][1] == 'w') u->width = strtol(value, NULL, 10);
        if (argv[i][1] == 'b') u->batch = strtol(value, NULL, 10);
        if (argv[i][1] == 'k') u->wake = strtod(value, NULL);
        if (argv[i][1] == 'g') u->gigabytes = strtod(value, NULL);
    }
    u->options = argv + i;
    u->option_count = argc - i;
    return u->batch > 0 && u->width > 0 && u->gigabytes > 0;
}

int main(int argc, char **argv)
{
    char file[4096];
    setup u = {.file = file, .width = 256, .batch = 500, .gigabytes = 200};
    bench b = {.trainer = NULL};
    gn2_config *config = NULL;
    const int found = bench_find_file("jets_train.h5", file, sizeof file);
    if (!parse(argc, argv, &u) || gn2_config_new(&config)) return 2;
    if (!found && u.file == file) {
        printf("skipped: no %s\n", u.file);
        gn2_config_delete(config);
        return 77;
    }
    gn2_status status = gn2_config_put_i64(config, "train.shards", 0);
    if (!status) status = run(&u, config, &b);
    gn2_train_delete(b.trainer);
    bench_view_free(&b.view);
    bench_jets_free(&b.all);
    gn2_config_delete(config);
    return status ? bench_complain("bench_cores") : 0;
}
