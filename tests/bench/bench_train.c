/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jets a second of whole training steps (checks, forward, backward, reduction,
 * optimiser, packing) on batches in memory, and the share of the multiply-add peak
 * measured in the same run that goes into useful work: packed tokens, no padding,
 * no recomputation; training counts three times forward.
 *
 *   bench_train [-f jets.h5] [-w width] [-t threads] [-b batch] [key=value] …
 *
 * Without -w and -t: widths 64 and 256, threads 1 and 2. File: one of -f,
 * $GN2_SHARED/data/jets_train.h5.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_common.h"
#include "net/labels.h"
#include "peak.h"
#include "train/trainer.h"
#include "util/alloc.h"

#define BATCHES 8
#define ROUNDS 3

typedef struct setup {
    const char *file;
    int64_t width, threads, batch; /* width, threads 0: all of them */
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

static gn2_status make_trainer(const gn2_config *config, int64_t width, int64_t threads,
                               gn2_trainer **out)
{
    gn2_config *own = NULL;
    gn2_model *model = NULL;
    GN2_TRY(gn2_config_clone(config, &own));
    gn2_status status = gn2_config_put_i64(own, "model.embed_dim", width);
    if (!status) status = gn2_config_put_i64(own, "train.threads", threads);
    if (!status) status = gn2_config_put_str(own, "schedule.name", "constant");
    if (!status) status = gn2_model_random(own, &model);
    if (!status) status = gn2_train_new(model, own, out);
    gn2_model_unref(model);
    gn2_config_delete(own);
    return status;
}

static gn2_status run(const gn2_config *config, const sample *s, int64_t width,
                      int64_t threads)
{
    gn2_trainer *t = NULL;
    double seconds = 0;
    GN2_TRY(make_trainer(config, width, threads, &t));
    const double before = gn2_bench_peak_gflops((int)threads);
    gn2_status status = time_steps(t, s, &seconds);
    const double after = gn2_bench_peak_gflops((int)threads);
    if (!status) {
        const double jets = (double)s->batch[0].jets.count / seconds;
        const double useful = 3 * mean_flop(&t->h, s) * jets * 1e-9;
        const double peak = (before + after) / 2;
        printf("width %lld, %lld threads: %.0f jets/s, %.2f ms a step, %.1f of %.0f "
               "GFLOP/s = %.1f %% of the peak, %.1f MB\n",
               (long long)width, (long long)threads, jets, 1e3 * seconds, useful, peak,
               peak > 0 ? 100 * useful / peak : 0, 1e-6 * (double)gn2_train_memory(t));
        status = print_stages(t, s);
    }
    gn2_train_delete(t);
    return status;
}

static gn2_status run_all(const setup *u, const gn2_config *config, const sample *s)
{
    static const int64_t widths[] = {64, 256}, threads[] = {1, 2};
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++) {
            if ((u->width && i) || (u->threads && k)) continue;
            GN2_TRY(run(config, s, u->width ? u->width : widths[i],
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
        if (argv[i][1] == 'w') u->width = strtol(value, NULL, 10);
        if (argv[i][1] == 't') u->threads = strtol(value, NULL, 10);
        if (argv[i][1] == 'b') u->batch = strtol(value, NULL, 10);
    }
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
