/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One side of two_builds: a shared object that does a piece of work when told. Knows
 * the public interface alone, so that it is built against the headers of either build.
 */
#include <gn2/gn2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ONE_JETS 100 /* jets that are tagged one by one, again and again */

/* JETS.h5 key=value... */
void turns_set_up(int count, char **arguments);
/* tag | one | read | train; 0: no such piece. */
int turns_work(const char *piece);

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
    int64_t one; /* jet of the next call of one */
} side;

static void check(gn2_status status)
{
    if (status == GN2_OK) return;
    fprintf(stderr, "turns: %s\n", gn2_last_error());
    exit(1);
}

static void set(gn2_config *config, const char *option)
{
    char key[128];
    const char *value = strchr(option, '=');
    if (!value || value - option >= (ptrdiff_t)sizeof key) {
        fprintf(stderr, "turns: key=value expected, not \"%s\"\n", option);
        exit(2);
    }
    snprintf(key, sizeof key, "%.*s", (int)(value - option), option);
    check(gn2_config_set_text(config, key, value + 1));
}

static void set_up(side *s, int count, char **arguments)
{
    s->path = arguments[0];
    check(gn2_config_create(&s->config));
    for (int i = 1; i < count; i++) set(s->config, arguments[i]);
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

/* The next of the first jets of the batch, alone. */
static void tag_one(side *s)
{
    const int64_t i = s->one++ % (s->jets.count < ONE_JETS ? s->jets.count : ONE_JETS);
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

/* ---- what two_builds calls ---- */

static side the_side = {.jets = {.struct_size = sizeof(gn2_jets)},
                        .labels = {.struct_size = sizeof(gn2_labels)}};

void turns_set_up(int count, char **arguments)
{
    set_up(&the_side, count, arguments);
}

int turns_work(const char *piece)
{
    side *s = &the_side;
    if (!strcmp(piece, "tag"))
        tag(s, &s->jets);
    else if (!strcmp(piece, "one"))
        tag_one(s);
    else if (!strcmp(piece, "read"))
        read_all(s);
    else if (!strcmp(piece, "train"))
        train(s);
    else
        return 0;
    return 1;
}
