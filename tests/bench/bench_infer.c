/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tagging: batches, events of 20 jets, one jet at a time, stages, scaling, loading.
 * Figures: jets/s, tokens/s, useful GFLOP/s (bench_jet_flop on the jets that were
 * run) and their share of the multiply-add peak measured in the same run with the
 * same number of threads.
 *
 *   bench_infer [-f jets.h5] [-m model.gn2] [-w width] [-t threads] [-p weights]
 *               [-n jets] [--long] [part …] [key=value …]
 *
 * Without -w widths 16 to 512, without -t threads 1 and 2, without -p f32 and bf16
 * (tagger.weights). Parts: load batch event latency cold stages scaling (default: all
 * of them but turns; scaling up to width 64 on one thread); --long scales up to 10^6
 * jets. File: $GN2_SHARED/data/jets_test.h5.
 *
 * `turns` answers lines on stdin, for benchmarks that take turns with others:
 *   one|event|batch flavour|all      p50, p99, mean in us a call
 *   fixed flavour|all N              the same for one jet with the first N tracks
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "infer_latency.h"
#include "infer_stages.h"
#include "net/model.h"
#include "peak.h"
#include "util/alloc.h"
#include "util/error.h"

#define ROUNDS 5
#define FIXED_CALLS 300
#define COLD_CALLS 60

typedef struct setup {
    char file[4096];
    const char *model, *precision;
    int64_t width, threads, jets; /* width, threads 0: all of them */
    int is_long;
    unsigned parts;
    gn2_config *config;
} setup;

/* One configuration under test. */
typedef struct subject {
    infer_run run;
    const bench_jets *jets;
    int64_t threads;
    const char *precision;
    double peak;
} subject;

/* ---- batches ---- */

/* Median seconds of a call of all jets of a view. */
static gn2_status time_batch(const subject *s, const bench_view *v, infer_tasks tasks,
                             double *out_seconds)
{
    double seconds[ROUNDS];
    GN2_TRY(infer_time(&s->run, v, tasks, &seconds[0]));
    for (int i = 0; i < ROUNDS; i++)
        GN2_TRY(infer_time(&s->run, v, tasks, &seconds[i]));
    *out_seconds = gn2_bench_median(seconds, ROUNDS);
    return GN2_OK;
}

static void print_batch(const subject *s, const bench_view *v, infer_tasks tasks,
                        double seconds)
{
    const double jets = (double)v->jets.count;
    const double tokens =
        (double)v->offsets[v->jets.count] + jets * (double)s->run.h->num_registers;
    const double useful =
        bench_view_flop(s->run.h, v, infer_heads(tasks)) / seconds * 1e-9;
    printf("  batch of %.0f, %s: %.0f jets/s, %.0f tokens/s, %.1f of %.0f GFLOP/s = "
           "%.1f %% of the peak, %.2f MB of scratch\n",
           jets, infer_task_names[tasks], jets / seconds, tokens / seconds, useful,
           s->peak, s->peak > 0 ? 100 * useful / s->peak : 0,
           1e-6 * (double)gn2_tagger_memory(s->run.tagger));
}

static gn2_status run_batch(subject *s)
{
    bench_view v;
    gn2_status status = bench_view_make(s->jets, 0, s->jets->jets.count, &v);
    for (int tasks = 0; tasks < INFER_TASK_COUNT && !status; tasks++) {
        double seconds = 0;
        const double before = gn2_bench_peak_gflops((int)s->threads);
        status = time_batch(s, &v, (infer_tasks)tasks, &seconds);
        s->peak = (before + gn2_bench_peak_gflops((int)s->threads)) / 2;
        if (!status) print_batch(s, &v, (infer_tasks)tasks, seconds);
    }
    bench_view_free(&v);
    return status;
}

/* ---- few jets ---- */

static void print_times(const char *what, infer_tasks tasks, infer_times t)
{
    printf("  %s, %s: p50 %.1f us, p99 %.1f us, mean %.1f us\n", what,
           infer_task_names[tasks], t.p50, t.p99, t.mean);
}

static gn2_status run_calls(const subject *s, const char *what, const infer_calls *how)
{
    for (int tasks = 0; tasks < INFER_TASK_COUNT; tasks++) {
        infer_times t;
        GN2_TRY(infer_latency(&s->run, s->jets, (infer_tasks)tasks, how, &t));
        print_times(what, (infer_tasks)tasks, t);
    }
    return GN2_OK;
}

static gn2_status run_event(subject *s)
{
    const infer_calls how = {INFER_EVENT, s->jets->jets.count / INFER_EVENT * 2, 0};
    return run_calls(s, "event of 20 jets", &how);
}

static gn2_status run_fixed(const subject *s, infer_tasks tasks)
{
    static const int64_t tracks[] = {0, 1, 2, 5, 10, 20, 40};
    printf("  one jet of n tracks, %s, p50 (p99) in us:", infer_task_names[tasks]);
    for (size_t i = 0; i < sizeof tracks / sizeof *tracks; i++) {
        infer_times t;
        GN2_TRY(
            infer_latency_fixed(&s->run, s->jets, tasks, tracks[i], FIXED_CALLS, &t));
        printf("  n=%lld %.1f (%.1f)", (long long)tracks[i], t.p50, t.p99);
    }
    printf("\n");
    return GN2_OK;
}

static gn2_status run_latency(subject *s)
{
    const infer_calls how = {1, s->jets->jets.count, 0};
    infer_times t;
    GN2_TRY(run_calls(s, "one jet", &how));
    GN2_TRY(infer_latency(&s->run, s->jets, INFER_FLAVOUR, &how, &t));
    const infer_times noise = infer_noise(t.p50);
    printf("  a loop of the length of that call: p50 %.1f us, p99 %.1f us\n", noise.p50,
           noise.p99);
    GN2_TRY(run_fixed(s, INFER_FLAVOUR));
    return run_fixed(s, INFER_ALL);
}

static gn2_status run_cold(subject *s)
{
    const infer_calls how = {1, COLD_CALLS, infer_evict_bytes()};
    char what[64];
    snprintf(what, sizeof what, "one jet after %zu MB of others", how.evict >> 20);
    return run_calls(s, what, &how);
}

static gn2_status run_stages(subject *s)
{
    if (s->threads > 1) return GN2_OK; /* the clocks are not shared */
    for (int tasks = 0; tasks < INFER_TASK_COUNT; tasks++) {
        GN2_TRY(infer_stages(&s->run, s->jets, (infer_tasks)tasks, 1));
        const int64_t batch = s->jets->jets.count < 500 ? s->jets->jets.count : 500;
        GN2_TRY(infer_stages(&s->run, s->jets, (infer_tasks)tasks, batch));
    }
    return GN2_OK;
}

/* ---- scaling ---- */

/* `count` jets in one array: those of the file over and over. */
typedef struct crowd {
    float *features, *tracks;
    bench_view view;
} crowd;

static void fill_crowd(const bench_jets *from, int64_t count, crowd *c)
{
    const gn2_jets *j = &from->jets;
    const gn2_sequence *t = j->sequences;
    const size_t jet = (size_t)j->row_stride, track = (size_t)t->row_stride;
    for (int64_t b = 0; b < count; b++) {
        const int64_t k = b % j->count, row = t->offsets[k];
        const int64_t n = t->offsets[k + 1] - row, at = c->view.offsets[b];
        memcpy(c->features + (size_t)b * jet, j->features + (size_t)k * jet,
               jet * sizeof(float));
        memcpy(c->tracks + (size_t)at * track, t->data + (size_t)row * track,
               (size_t)n * track * sizeof(float));
        c->view.offsets[b + 1] = at + n;
    }
}

static void free_crowd(crowd *c)
{
    gn2_free(c->features);
    gn2_free(c->tracks);
    bench_view_free(&c->view);
}

static gn2_status make_crowd(const bench_jets *from, int64_t count, crowd *c)
{
    const gn2_jets *j = &from->jets;
    const int64_t turns = count / j->count + 1, rows = j->sequences->offsets[j->count];
    *c = (crowd){.view = {.jets = *j, .tracks = *j->sequences}};
    c->features = gn2_alloc((size_t)(count * j->row_stride), sizeof(float));
    c->tracks =
        gn2_alloc((size_t)(turns * rows * j->sequences->row_stride), sizeof(float));
    c->view.offsets = gn2_alloc((size_t)count + 1, sizeof(int64_t));
    if (!c->features || !c->tracks || !c->view.offsets) return gn2_fail_memory();
    fill_crowd(from, count, c);
    c->view.tracks.data = c->tracks;
    c->view.tracks.offsets = c->view.offsets;
    c->view.jets.count = count;
    c->view.jets.features = c->features;
    c->view.jets.sequences = &c->view.tracks;
    return GN2_OK;
}

static gn2_status run_crowd(const subject *s, const gn2_config *config, int64_t count)
{
    crowd c;
    double seconds = 0;
    subject own = *s; /* outputs of its own size */
    own.run = (infer_run){0};
    gn2_status status = make_crowd(s->jets, count, &c);
    const int64_t rows = status ? 0 : c.view.offsets[count] + count;
    if (!status) status = infer_open(s->run.model, config, rows, &own.run);
    if (!status) status = time_batch(&own, &c.view, INFER_FLAVOUR, &seconds);
    if (!status)
        printf("  %lld jets in one call, flavour: %.3f us a jet, %.2f MB of scratch\n",
               (long long)count, 1e6 * seconds / (double)count,
               1e-6 * (double)gn2_tagger_memory(own.run.tagger));
    if (own.run.model) infer_close(&own.run);
    free_crowd(&c);
    return status;
}

/* Unless asked for by name, only where a million jets take seconds. */
static gn2_status run_scaling(const setup *u, subject *s, const gn2_config *config)
{
    if (!u->parts && (s->run.h->embed_dim > 64 || s->threads > 1)) return GN2_OK;
    const int64_t most = u->is_long ? 1000000 : 10000;
    for (int64_t count = 1000; count <= most; count *= 10)
        GN2_TRY(run_crowd(s, config, count));
    return GN2_OK;
}

/* ---- loading ---- */

static gn2_status time_load(const char *path, double *out_load, double *out_tagger)
{
    double load[ROUNDS], tagger[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        gn2_model *model = NULL;
        gn2_tagger *t = NULL;
        const double start = gn2_bench_now();
        GN2_TRY(gn2_model_load(path, &model));
        load[i] = gn2_bench_now() - start;
        const gn2_status status = gn2_tagger_create(model, NULL, &t);
        tagger[i] = gn2_bench_now() - start - load[i];
        gn2_tagger_free(t);
        gn2_model_free(model);
        GN2_TRY(status);
    }
    *out_load = gn2_bench_median(load, ROUNDS);
    *out_tagger = gn2_bench_median(tagger, ROUNDS);
    return GN2_OK;
}

static gn2_status run_load(const subject *s)
{
    char path[] = "/tmp/bench_inferXXXXXX";
    const int file = mkstemp(path);
    double load = 0, tagger = 0;
    if (file < 0) return gn2_fail(GN2_ERR_IO, "no file in /tmp");
    close(file);
    gn2_status status = gn2_model_save(s->run.model, path);
    if (!status) status = time_load(path, &load, &tagger);
    if (!status)
        printf("  model load %.2f ms, tagger %.2f ms (packing included)\n", 1e3 * load,
               1e3 * tagger);
    unlink(path);
    return status;
}

/* ---- turns ---- */

static gn2_status take_turn(const subject *s, const char *what, infer_tasks tasks,
                            int64_t n, infer_times *out)
{
    const int64_t jets = s->jets->jets.count;
    const infer_calls one = {1, jets, 0}, event = {INFER_EVENT, jets / INFER_EVENT, 0};
    const infer_calls batch = {jets, 3, 0};
    if (strcmp(what, "fixed") == 0)
        return infer_latency_fixed(&s->run, s->jets, tasks, n, 60, out);
    const infer_calls *how = strcmp(what, "event") == 0   ? &event
                             : strcmp(what, "batch") == 0 ? &batch
                                                          : &one;
    return infer_latency(&s->run, s->jets, tasks, how, out);
}

static gn2_status run_turns(const subject *s)
{
    char line[128], what[16], tasks[16];
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        long n = 0;
        infer_times t;
        if (sscanf(line, "%15s %15s %ld", what, tasks, &n) < 2) break;
        const infer_tasks kind = strcmp(tasks, "all") == 0 ? INFER_ALL : INFER_FLAVOUR;
        GN2_TRY(take_turn(s, what, kind, n, &t));
        printf("%.3f %.3f %.3f\n", t.p50, t.p99, t.mean);
        fflush(stdout);
    }
    return GN2_OK;
}

/* ---- all of it ---- */

enum { LOAD, BATCH, EVENT, LATENCY, COLD, STAGES, SCALING, TURNS, PARTS };
static const char *const part_names[PARTS] = {"load", "batch",  "event",   "latency",
                                              "cold", "stages", "scaling", "turns"};

static gn2_status run_parts(const setup *u, subject *s, const gn2_config *config)
{
    const unsigned parts = u->parts ? u->parts : (1u << TURNS) - 1;
    if (parts >> TURNS & 1) return run_turns(s);
    printf("width %lld, %s, %lld thread%s\n", (long long)s->run.h->embed_dim,
           s->precision, (long long)s->threads, s->threads > 1 ? "s" : "");
    if (parts >> LOAD & 1 && s->threads == 1) GN2_TRY(run_load(s));
    if (parts >> BATCH & 1) GN2_TRY(run_batch(s));
    if (parts >> EVENT & 1) GN2_TRY(run_event(s));
    if (parts >> LATENCY & 1 && s->threads == 1) GN2_TRY(run_latency(s));
    if (parts >> COLD & 1 && s->threads == 1) GN2_TRY(run_cold(s));
    if (parts >> STAGES & 1) GN2_TRY(run_stages(s));
    if (parts >> SCALING & 1) GN2_TRY(run_scaling(u, s, config));
    return GN2_OK;
}

static gn2_status run_subject(const setup *u, const bench_jets *jets, gn2_model *model,
                              subject *s)
{
    gn2_config *config = NULL;
    const int64_t rows =
        jets->jets.count + jets->jets.sequences->offsets[jets->jets.count];
    s->jets = jets;
    gn2_status status = gn2_config_clone(u->config, &config);
    if (!status) status = gn2_config_put_i64(config, "tagger.threads", s->threads);
    if (!status) status = gn2_config_put_text(config, "tagger.weights", s->precision);
    if (!status) status = infer_open(model, config, rows, &s->run);
    if (!status) status = run_parts(u, s, config);
    if (s->run.model) infer_close(&s->run);
    gn2_config_delete(config);
    return status;
}

static gn2_status make_model(const setup *u, int64_t width, gn2_model **out)
{
    if (u->model) return gn2_model_load(u->model, out);
    GN2_TRY(gn2_config_put_i64(u->config, "model.embed_dim", width));
    return gn2_model_random(u->config, out);
}

static gn2_status run_width(const setup *u, const bench_jets *jets, int64_t width)
{
    static const char *const precisions[] = {"f32", "bf16"};
    gn2_model *model = NULL;
    GN2_TRY(make_model(u, width, &model));
    gn2_status status = GN2_OK;
    for (int p = 0; p < 2; p++)
        for (int64_t threads = 1; threads <= 2 && !status; threads++) {
            if (u->precision && p > 0) continue;
            if (u->threads && threads > 1) continue;
            subject s = {.threads = u->threads ? u->threads : threads,
                         .precision = u->precision ? u->precision : precisions[p]};
            status = run_subject(u, jets, model, &s);
        }
    gn2_model_unref(model);
    return status;
}

static gn2_status bench(const setup *u)
{
    static const int64_t widths[] = {16, 64, 128, 256, 512};
    bench_jets jets = {0};
    gn2_status status = gn2_config_put_str(u->config, "data.sampling", "sequential");
    if (!status) status = bench_jets_read(u->file, u->jets, u->config, &jets);
    for (size_t i = 0; i < sizeof widths / sizeof *widths && !status; i++) {
        if ((u->width || u->model) && i > 0) break;
        status = run_width(u, &jets, u->width ? u->width : widths[i]);
    }
    bench_jets_free(&jets);
    return status;
}

/* ---- arguments ---- */

static void parse_flag(setup *u, char flag, const char *value)
{
    if (flag == 'f') snprintf(u->file, sizeof u->file, "%s", value);
    if (flag == 'm') u->model = value;
    if (flag == 'p') u->precision = value;
    if (flag == 'w') u->width = strtol(value, NULL, 10);
    if (flag == 't') u->threads = strtol(value, NULL, 10);
    if (flag == 'n') u->jets = strtol(value, NULL, 10);
}

static gn2_status parse_word(setup *u, const char *word)
{
    for (int part = 0; part < PARTS; part++)
        if (strcmp(word, part_names[part]) == 0) {
            u->parts |= 1u << part;
            return GN2_OK;
        }
    return bench_set_option(u->config, word);
}

static gn2_status parse(int argc, char **argv, setup *u)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--long") == 0)
            u->is_long = 1;
        else if (argv[i][0] == '-' && i + 1 < argc)
            parse_flag(u, argv[i][1], argv[i + 1]), i++;
        else
            GN2_TRY(parse_word(u, argv[i]));
    }
    return GN2_OK;
}

int main(int argc, char **argv)
{
    static setup u = {.jets = 2000};
    char found[4096];
    const int have = bench_find_file("jets_test.h5", found, sizeof found);
    if (have) memcpy(u.file, found, sizeof found);
    if (gn2_config_new(&u.config)) return bench_complain("bench_infer");
    gn2_status status = parse(argc, argv, &u);
    if (!status && !u.file[0]) {
        printf("skipped: no %s\n", found);
        gn2_config_delete(u.config);
        return 77;
    }
    if (!status) status = bench(&u);
    gn2_config_delete(u.config);
    return status ? bench_complain("bench_infer") : 0;
}
