/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One side of two_builds.py: does a piece of work a line read from stdin and answers
 * with the seconds of processor time it took. Knows the public interface alone, so that
 * it is built against the headers of either build.
 *
 *   turns JETS.h5 key=value...      lines: tag | one | read | train
 */
#include <gn2/gn2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ONE_JETS 100 /* calls of one jet in a piece */

typedef struct side {
    const char *path;
    gn2_config *config;
    gn2_dataset *data;
    gn2_model *model;
    gn2_tagger *tagger;
    gn2_trainer *trainer;
    gn2_jets jets; /* a batch of the file, and its labels */
    gn2_labels labels;
    float *scores;
    int32_t output;
} side;

static void check(gn2_status status)
{
    if (status == GN2_OK) return;
    fprintf(stderr, "turns: %s\n", gn2_last_error());
    exit(1);
}

/* Of all threads; what a neighbour on the machine does is not in it. */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void set(gn2_config *config, char *option)
{
    char *value = strchr(option, '=');
    if (!value) {
        fprintf(stderr, "turns: key=value expected, not \"%s\"\n", option);
        exit(2);
    }
    *value = '\0';
    check(gn2_config_set_text(config, option, value + 1));
}

static void set_up(side *s, int argc, char **argv)
{
    s->path = argv[1];
    check(gn2_config_create(&s->config));
    for (int i = 2; i < argc; i++) set(s->config, argv[i]);
    check(gn2_dataset_open(&s->path, 1, s->config, &s->data));
    check(gn2_dataset_setup(s->data, s->config)); /* norm.* and class weights */
    check(gn2_dataset_reset(s->data, 0, 0));
    check(gn2_dataset_next(s->data, &s->jets, &s->labels));
    check(gn2_config_set_text(s->config, "schedule.steps", "1000000"));
    check(gn2_model_create(s->config, &s->model));
    check(gn2_tagger_create(s->model, s->config, &s->tagger));
    check(gn2_trainer_create(s->model, s->config, &s->trainer));
    check(gn2_tagger_output(s->tagger, "jets.probabilities", &s->output));
    const int64_t columns = gn2_tagger_output_columns(s->tagger, s->output);
    s->scores = malloc((size_t)(s->jets.count * columns) * sizeof *s->scores);
    if (!s->scores) exit(1);
}

static void tag(side *s, const gn2_jets *jets)
{
    const gn2_output output = {.struct_size = sizeof output,
                               .id = s->output,
                               .data = s->scores,
                               .capacity = s->jets.count};
    check(gn2_tagger_run(s->tagger, jets, &output, 1));
}

/* The first jets of the batch, each in a call of its own. */
static void tag_one_by_one(side *s)
{
    for (int64_t i = 0; i < ONE_JETS && i < s->jets.count; i++) {
        gn2_sequence tracks = s->jets.sequences[0];
        gn2_jets jet = s->jets;
        const int64_t first = tracks.offsets[i];
        const int64_t offsets[2] = {0, tracks.offsets[i + 1] - first};
        tracks.data += first * tracks.row_stride;
        tracks.offsets = offsets;
        jet.count = 1;
        jet.features += i * s->jets.row_stride;
        jet.sequence_count = 1;
        jet.sequences = &tracks;
        tag(s, &jet);
    }
}

static void read_all(side *s)
{
    gn2_dataset *data;
    gn2_jets jets = {.struct_size = sizeof jets};
    gn2_labels labels = {.struct_size = sizeof labels};
    check(gn2_dataset_open(&s->path, 1, s->config, &data));
    do check(gn2_dataset_next(data, &jets, &labels));
    while (jets.count > 0);
    gn2_dataset_free(data);
}

static void train(side *s)
{
    gn2_step_stats stats = {.struct_size = sizeof stats};
    check(gn2_trainer_step(s->trainer, &s->jets, &s->labels, &stats));
}

static int work(side *s, const char *piece)
{
    if (!strcmp(piece, "tag"))
        tag(s, &s->jets);
    else if (!strcmp(piece, "one"))
        tag_one_by_one(s);
    else if (!strcmp(piece, "read"))
        read_all(s);
    else if (!strcmp(piece, "train"))
        train(s);
    else
        return 0;
    return 1;
}

int main(int argc, char **argv)
{
    static side s = {.jets = {.struct_size = sizeof s.jets},
                     .labels = {.struct_size = sizeof s.labels}};
    char line[64];
    if (argc < 2) {
        fputs("usage: turns JETS.h5 [key=value]...\n", stderr);
        return 2;
    }
    set_up(&s, argc, argv);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        const double start = now();
        if (!work(&s, line)) return 2;
        printf("%.9f\n", now() - start);
        fflush(stdout);
    }
    return 0;
}
