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

#include "data/dataset.h"
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

/* Batches as views into one block of jets that a dataset holds. */
typedef struct sample {
    gn2_dataset *dataset;
    gn2_jets jets[BATCHES];
    gn2_labels labels[BATCHES];
    gn2_sequence tracks[BATCHES];
    int64_t *offsets[BATCHES];
} sample;

static int complain(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, gn2_error_text());
    return 1;
}

/* ---- the jets ---- */

static void slice(sample *s, int i, const gn2_jets *all, const gn2_labels *labels)
{
    const gn2_sequence *from = all->sequences;
    const int64_t batch = all->count / BATCHES, first = i * batch;
    const int64_t row = from->offsets[first];
    s->offsets[i] = gn2_alloc((size_t)batch + 1, sizeof(int64_t));
    for (int64_t b = 0; b <= batch; b++)
        s->offsets[i][b] = from->offsets[first + b] - row;
    s->tracks[i] = *from;
    s->tracks[i].data = from->data + row * from->row_stride;
    s->tracks[i].offsets = s->offsets[i];
    s->jets[i] = *all;
    s->jets[i].count = batch;
    s->jets[i].features = all->features + first * all->row_stride;
    s->jets[i].sequences = &s->tracks[i];
    s->labels[i] = *labels;
    s->labels[i].flavour = labels->flavour + first;
    s->labels[i].origin = labels->origin + row;
    s->labels[i].vertex = labels->vertex + row;
}

static gn2_status read_sample(const setup *u, gn2_config *config, sample *s)
{
    gn2_jets jets;
    gn2_labels labels;
    GN2_TRY(gn2_config_put_i64(config, "data.batch_size", u->batch * BATCHES));
    GN2_TRY(gn2_config_put_i64(config, "data.prefetch", 0));
    GN2_TRY(gn2_config_put_i64(config, "data.norm_jets", 20000));
    GN2_TRY(gn2_dataset_open_impl(&u->file, 1, config, &s->dataset));
    GN2_TRY(gn2_dataset_setup_impl(s->dataset, config));
    GN2_TRY(gn2_dataset_reset_impl(s->dataset, 0, 0));
    GN2_TRY(gn2_dataset_next_impl(s->dataset, &jets, &labels));
    for (int i = 0; i < BATCHES; i++) slice(s, i, &jets, &labels);
    return GN2_OK;
}

static void free_sample(sample *s)
{
    gn2_dataset_free_impl(s->dataset);
    for (int i = 0; i < BATCHES; i++) gn2_free(s->offsets[i]);
}

/* ---- useful work ---- */

static double dense_flop(const gn2_dense *d, int from)
{
    double sum = 0;
    for (int k = from; k < d->depth; k++)
        sum += 2 * (double)(d->size[k] * d->size[k + 1]);
    return sum;
}

/* First layer of a head, by the part that reads one vector of o. */
static double part_flop(const gn2_hparams *h, gn2_task_id id)
{
    return 2 * (double)(h->out_dim * h->task[id].net.size[1]);
}

/* Forward pass of a jet with n tracks. */
static double jet_flop(const gn2_hparams *h, double n)
{
    const double w = (double)h->embed_dim, f = (double)h->ffn_hidden;
    const double t = n + (double)h->num_registers, layers = (double)h->num_layers;
    const gn2_task *task = h->task;
    double sum = n * dense_flop(&h->init[0], 0);
    sum += layers * (t * (8 * w * w + 4 * w * f) + 4 * w * t * t);
    sum += t * 2 * w * (double)h->out_dim + dense_flop(&task[GN2_TASK_JETS].net, 0);
    if (task[GN2_TASK_ORIGIN].on)
        sum += (1 + n) * part_flop(h, GN2_TASK_ORIGIN) +
               n * dense_flop(&task[GN2_TASK_ORIGIN].net, 1);
    if (task[GN2_TASK_VERTEX].on)
        sum += (1 + 2 * n) * part_flop(h, GN2_TASK_VERTEX) +
               n * (n - 1) * dense_flop(&task[GN2_TASK_VERTEX].net, 1);
    return sum;
}

/* Forward work of a jet of the sample, on average. */
static double mean_flop(const gn2_hparams *h, const sample *s)
{
    double sum = 0, jets = 0;
    for (int i = 0; i < BATCHES; i++)
        for (int64_t b = 0; b < s->jets[i].count; b++, jets++)
            sum += jet_flop(h, (double)(s->offsets[i][b + 1] - s->offsets[i][b]));
    return sum / jets;
}

/* ---- timing ---- */

static gn2_status time_steps(gn2_trainer *t, const sample *s, double *out_seconds)
{
    double seconds[BATCHES * ROUNDS];
    GN2_TRY(gn2_train_step(t, &s->jets[0], &s->labels[0], NULL));
    for (int i = 0; i < BATCHES * ROUNDS; i++) {
        const double start = gn2_bench_now();
        GN2_TRY(
            gn2_train_step(t, &s->jets[i % BATCHES], &s->labels[i % BATCHES], NULL));
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
    const gn2_labels *l = &s->labels[i];
    const gn2_truth truth = {l->flavour, l->origin, l->vertex};
    gn2_batch_f32 batch;
    double at[STAGE_COUNT + 1] = {gn2_bench_now()};
    GN2_TRY(gn2_input_read(&t->input, t->model, NULL, &s->jets[i], &batch));
    GN2_TRY(gn2_truth_check_f32(&t->h, &batch, &truth));
    at[1] = gn2_bench_now();
    GN2_TRY(gn2_core_forward_f32(t->core, &batch, &truth, NULL));
    at[2] = gn2_bench_now();
    GN2_TRY(gn2_core_gradient_f32(t->core, &batch, &truth));
    at[3] = gn2_bench_now();
    gn2_core_reduce_f32(t->core);
    at[4] = gn2_bench_now();
    gn2_core_update_f32(t->core, 0, 0.9);
    at[5] = gn2_bench_now();
    gn2_net_pack_f32(t->core->net, t->core->weights);
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
    GN2_TRY(gn2_config_copy(config, &own));
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
        const double jets = (double)s->jets[0].count / seconds;
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

static gn2_status set_option(gn2_config *config, const char *option)
{
    char key[128];
    const char *equals = strchr(option, '=');
    if (!equals || equals - option >= (long)sizeof key)
        return gn2_fail(GN2_ERR_INVALID_ARG, "'%s' is not key=value", option);
    snprintf(key, sizeof key, "%.*s", (int)(equals - option), option);
    return gn2_config_put_text(config, key, equals + 1);
}

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
        status = set_option(config, u->options[i]);
    if (!status) status = read_sample(u, config, &s);
    if (!status) status = run_all(u, config, &s);
    if (s.dataset) free_sample(&s);
    return status;
}

int main(int argc, char **argv)
{
    char file[4096];
    const char *shared = getenv("GN2_SHARED");
    setup u = {.file = file, .batch = 500};
    gn2_config *config = NULL;
    snprintf(file, sizeof file, "%s/data/jets_train.h5", shared ? shared : ".");
    if (!parse(argc, argv, &u) || gn2_config_new(&config)) return 2;
    FILE *f = fopen(u.file, "rb");
    if (!f) {
        printf("skipped: no %s\n", u.file);
        gn2_config_delete(config);
        return 77;
    }
    fclose(f);
    const gn2_status status = bench(&u, config);
    gn2_config_delete(config);
    return status ? complain("bench_train") : 0;
}
