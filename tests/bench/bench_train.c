/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jets a second of whole training steps (checks, forward, backward, reduction,
 * optimiser, packing) on batches in memory, and the share of the multiply-add peak
 * measured in the same run that goes into useful work: packed tokens, no padding,
 * no recomputation; training counts three times forward.
 *
 *   bench_train [-f jets.h5] [-m model.gn2] [-w width] [-t threads] [-b batch]
 *               [turns] [key=value] …
 *
 * Without -w and -t: widths 64 and 256, threads 1 and 2. File: one of -f,
 * $GN2_SHARED/data/jets_train.h5. Weights: random ones, or those of -m.
 *
 * `turns` answers lines on stdin, for benchmarks that take turns with others:
 *   losses    a step on the first batch; the losses of the tasks before its update
 *   N         N steps; the seconds of each
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_common.h"
#include "io/model_file.h"
#include "net/labels.h"
#include "peak.h"
#include "train/trainer.h"
#include "util/alloc.h"

#define BATCHES 8
#define ROUNDS 3

typedef struct setup {
    const char *file, *model;
    int64_t width, threads, batch; /* width, threads 0: all of them */
    int turns;
    char *const *options;
    int option_count;
} setup;

typedef struct sample {
    bench_jets all;
    bench_view batch[BATCHES];
} sample;

static gn2_status read_sample(const setup *u, gn2_config *config, sample *s)
{
    GN2_TRY(bench_jets_read(u->file, u->batch * BATCHES, config, &s->all));
    const int64_t batch = s->all.jets.count / BATCHES;
    for (int i = 0; i < BATCHES; i++)
        GN2_TRY(bench_view_make(&s->all, i * batch, batch, &s->batch[i]));
    return GN2_OK;
}

static void free_sample(sample *s)
{
    for (int i = 0; i < BATCHES; i++) bench_view_free(&s->batch[i]);
    bench_jets_free(&s->all);
}

/* Forward work of a jet of the sample, on average. */
static double mean_flop(const gn2_hparams *h, const sample *s)
{
    double sum = 0, jets = 0;
    for (int i = 0; i < BATCHES; i++) {
        sum += bench_view_flop(h, &s->batch[i], ~0u);
        jets += (double)s->batch[i].jets.count;
    }
    return sum / jets;
}

/* ---- timing ---- */

static gn2_status time_steps(gn2_trainer *t, const sample *s, double *out_seconds)
{
    double seconds[BATCHES * ROUNDS];
    GN2_TRY(gn2_train_step(t, &s->batch[0].jets, &s->batch[0].labels, NULL));
    for (int i = 0; i < BATCHES * ROUNDS; i++) {
        const double start = gn2_bench_now();
        GN2_TRY(gn2_train_step(t, &s->batch[i % BATCHES].jets,
                               &s->batch[i % BATCHES].labels, NULL));
        seconds[i] = gn2_bench_now() - start;
    }
    *out_seconds = gn2_bench_median(seconds, BATCHES * ROUNDS);
    return GN2_OK;
}

typedef enum stage {
    STAGE_READ,
    STAGE_FORWARD,
    STAGE_GRADIENT,
    STAGE_REDUCE,
    STAGE_UPDATE,
    STAGE_PACK,
    STAGE_COUNT
} stage;

/* Stages of one batch; gradient holds forward and reduce, update holds pack. */
static gn2_status time_stages(gn2_trainer *t, const sample *s, int i,
                              double out[STAGE_COUNT])
{
    const gn2_labels *l = &s->batch[i].labels;
    gn2_batch_labels labels;
    GN2_TRY(gn2_labels_by_task(&t->h, l, &labels));
    gn2_batch_f32 batch;
    double at[STAGE_COUNT + 1] = {gn2_bench_now()};
    GN2_TRY(gn2_input_read(&t->input, t->model, NULL, &s->batch[i].jets, &batch));
    GN2_TRY(gn2_labels_check_f32(&t->h, &batch, &labels));
    at[1] = gn2_bench_now();
    GN2_TRY(gn2_engine_forward_f32(t->engine, &batch, &labels, NULL));
    at[2] = gn2_bench_now();
    GN2_TRY(gn2_engine_gradient_f32(t->engine, &batch, &labels));
    at[3] = gn2_bench_now();
    GN2_TRY(gn2_engine_reduce_f32(t->engine));
    at[4] = gn2_bench_now();
    gn2_engine_update_f32(t->engine, 0, 0.9);
    at[5] = gn2_bench_now();
    gn2_net_pack_f32(t->engine->net, t->engine->weights);
    at[6] = gn2_bench_now();
    for (int k = 0; k < STAGE_COUNT; k++) out[k] = at[k + 1] - at[k];
    return GN2_OK;
}

static gn2_status print_stages(gn2_trainer *t, const sample *s)
{
    static const char *const names[STAGE_COUNT] = {
        "read",   "forward",       "forward + backward + reduce",
        "reduce", "update + pack", "pack"};
    double all[STAGE_COUNT][BATCHES];
    for (int i = 0; i < BATCHES; i++) {
        double one[STAGE_COUNT];
        GN2_TRY(time_stages(t, s, i, one));
        for (int k = 0; k < STAGE_COUNT; k++) all[k][i] = one[k];
    }
    printf("   ");
    for (int k = 0; k < STAGE_COUNT; k++)
        printf(" %s %.2f ms%s", names[k], 1e3 * gn2_bench_median(all[k], BATCHES),
               k + 1 < STAGE_COUNT ? "," : "\n");
    return GN2_OK;
}

/* Of the width, or, without one, of the file. */
static gn2_status make_model(const char *path, int64_t width, gn2_config *config,
                             gn2_model **out)
{
    if (path) return gn2_model_file_load(path, out);
    GN2_TRY(gn2_config_put_i64(config, "model.embed_dim", width));
    return gn2_model_random(config, out);
}

static gn2_status make_trainer(const setup *u, const gn2_config *config, int64_t width,
                               int64_t threads, gn2_trainer **out)
{
    gn2_config *own = NULL;
    gn2_model *model = NULL;
    GN2_TRY(gn2_config_clone(config, &own));
    gn2_status status = gn2_config_put_i64(own, "train.threads", threads);
    if (!status) status = gn2_config_put_str(own, "schedule.name", "constant");
    if (!status) status = make_model(u->model, width, own, &model);
    if (!status) status = gn2_train_new(model, own, out);
    gn2_model_unref(model);
    gn2_config_delete(own);
    return status;
}

static gn2_status print_rates(gn2_trainer *t, const sample *s, int64_t threads)
{
    double seconds = 0;
    const double before = gn2_bench_peak_gflops((int)threads);
    GN2_TRY(time_steps(t, s, &seconds));
    const double after = gn2_bench_peak_gflops((int)threads);
    const double jets = (double)s->batch[0].jets.count / seconds;
    const double useful = 3 * mean_flop(&t->h, s) * jets * 1e-9;
    const double peak = (before + after) / 2;
    printf("width %lld, %lld threads: %.0f jets/s, %.2f ms a step, %.1f of %.0f "
           "GFLOP/s = %.1f %% of the peak, %.1f MB\n",
           (long long)t->h.embed_dim, (long long)threads, jets, 1e3 * seconds, useful,
           peak, peak > 0 ? 100 * useful / peak : 0,
           1e-6 * (double)gn2_train_memory(t));
    return print_stages(t, s);
}

/* ---- turns ---- */

static gn2_status answer_losses(gn2_trainer *t, const bench_view *batch)
{
    gn2_step_stats stats = {.struct_size = sizeof stats};
    GN2_TRY(gn2_train_step(t, &batch->jets, &batch->labels, &stats));
    for (int32_t k = 0; k < stats.task_count; k++)
        printf(" %.9g", stats.task_losses[k]);
    return GN2_OK;
}

static gn2_status answer_steps(gn2_trainer *t, const sample *s, long first, long count)
{
    for (long i = first; i < first + count; i++) {
        const bench_view *batch = &s->batch[i % BATCHES];
        const double start = gn2_bench_now();
        GN2_TRY(gn2_train_step(t, &batch->jets, &batch->labels, NULL));
        printf(" %.6f", gn2_bench_now() - start);
    }
    return GN2_OK;
}

static gn2_status take_turns(gn2_trainer *t, const sample *s)
{
    char line[64];
    long done = 0;
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        const long count = strtol(line, NULL, 10);
        if (strcmp(line, "losses\n") == 0)
            GN2_TRY(answer_losses(t, &s->batch[0]));
        else
            GN2_TRY(answer_steps(t, s, done, count));
        done += count;
        printf("\n");
        fflush(stdout);
    }
    return GN2_OK;
}

static gn2_status run(const setup *u, const gn2_config *config, const sample *s,
                      int64_t width, int64_t threads)
{
    gn2_trainer *t = NULL;
    GN2_TRY(make_trainer(u, config, width, threads, &t));
    const gn2_status status = u->turns ? take_turns(t, s) : print_rates(t, s, threads);
    gn2_train_delete(t);
    return status;
}

static gn2_status run_all(const setup *u, const gn2_config *config, const sample *s)
{
    static const int64_t widths[] = {64, 256}, threads[] = {1, 2};
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++) {
            if (((u->width || u->model) && i) || (u->threads && k)) continue;
            GN2_TRY(run(u, config, s, u->width ? u->width : widths[i],
                        u->threads ? u->threads : threads[k]));
        }
    return GN2_OK;
}

/* ---- arguments ---- */

static int parse(int argc, char **argv, setup *u)
{
    int i = 1;
    for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
        const char *value = argv[i + 1];
        if (argv[i][1] == 'f') u->file = value;
        if (argv[i][1] == 'm') u->model = value;
        if (argv[i][1] == 'w') u->width = strtol(value, NULL, 10);
        if (argv[i][1] == 't') u->threads = strtol(value, NULL, 10);
        if (argv[i][1] == 'b') u->batch = strtol(value, NULL, 10);
    }
    u->turns = i < argc && strcmp(argv[i], "turns") == 0;
    i += u->turns;
    u->options = argv + i;
    u->option_count = argc - i;
    return u->batch > 0;
}

static gn2_status bench(const setup *u, gn2_config *config)
{
    sample s = {0};
    gn2_status status = GN2_OK;
    for (int i = 0; i < u->option_count && !status; i++)
        status = bench_set_option(config, u->options[i]);
    if (!status) status = read_sample(u, config, &s);
    if (!status) status = run_all(u, config, &s);
    free_sample(&s);
    return status;
}

int main(int argc, char **argv)
{
    char file[4096];
    setup u = {.file = file, .batch = 500};
    gn2_config *config = NULL;
    const int found = bench_find_file("jets_train.h5", file, sizeof file);
    if (!parse(argc, argv, &u) || gn2_config_new(&config)) return 2;
    if (!found && u.file == file) {
        printf("skipped: no %s\n", u.file);
        gn2_config_delete(config);
        return 77;
    }
    const gn2_status status = bench(&u, config);
    gn2_config_delete(config);
    return status ? bench_complain("bench_train") : 0;
}
