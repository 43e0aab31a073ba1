/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trains on arrays of the caller's, step by step: train_memory [STEPS]
 * The jets are made up: b-jets have tracks far from the primary vertex, light jets
 * have not, and the network has to find out.
 */
#include <gn2/gn2.h>
#include <stdio.h>
#include <stdlib.h>

#define JETS 100
#define TRACKS 5 /* of every jet */
#define INPUTS 19

static void check(gn2_status status)
{
    if (status == GN2_OK) return;
    fprintf(stderr, "train_memory: %s\n", gn2_last_error());
    exit(1);
}

/* In [−1, 1), the same everywhere. */
static float noise(void)
{
    static uint32_t state = 1;
    state = state * UINT32_C(1664525) + UINT32_C(1013904223);
    return (float)(state >> 8) / 8388608.0f - 1.0f;
}

typedef struct batch {
    float features[JETS][2];
    float tracks[JETS][TRACKS][INPUTS];
    int64_t offsets[JETS + 1];
    int32_t flavour[JETS];
} batch;

static void make_jet(batch *b, int jet)
{
    const int is_b = noise() > 0;
    b->flavour[jet] = is_b ? 0 : 2; /* bjets, ujets of model.classes */
    b->features[jet][0] = 1e5f * (1.1f + noise());
    b->features[jet][1] = 2.5f * noise();
    b->offsets[jet + 1] = b->offsets[jet] + TRACKS;
    for (int i = 0; i < TRACKS; i++)
        for (int k = 0; k < INPUTS; k++)
            b->tracks[jet][i][k] = noise() + (k == 5 && i < 2 && is_b ? 1.5f : 0.0f);
}

static void make_batch(batch *b)
{
    b->offsets[0] = 0;
    for (int jet = 0; jet < JETS; jet++) make_jet(b, jet);
}

/* A small GN2 that only classifies jets. */
static gn2_trainer *make_trainer(int64_t steps)
{
    static const char *const settings[][2] = {
        {"model.embed_dim", "32"},      {"model.num_layers", "2"},
        {"model.num_heads", "4"},       {"model.out_dim", "32"},
        {"model.init_hidden", "32"},    {"model.tasks", "jets_classification"},
        {"norm.jets.mean", "110000,0"}, {"norm.jets.std", "60000,1.4"},
        {"schedule.max", "5e-3"},       {"schedule.pct_start", "0.1"},
    };
    gn2_config *config = NULL;
    gn2_model *model = NULL;
    gn2_trainer *trainer = NULL;
    check(gn2_config_create(&config));
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        check(gn2_config_set_text(config, settings[i][0], settings[i][1]));
    check(gn2_config_set_i64(config, "schedule.steps", steps));
    check(gn2_model_create(config, &model));
    check(gn2_trainer_create(model, config, &trainer));
    gn2_model_free(model); /* the trainer has its own */
    gn2_config_free(config);
    return trainer;
}

int main(int argc, char **argv)
{
    static batch b;
    const int64_t steps = argc > 1 ? atoll(argv[1]) : 60;
    gn2_trainer *trainer = make_trainer(steps);
    const gn2_sequence sequence = {
        .struct_size = sizeof sequence, .data = b.tracks[0][0], .offsets = b.offsets};
    const gn2_jets jets = {.struct_size = sizeof jets,
                           .count = JETS,
                           .features = b.features[0],
                           .sequence_count = 1,
                           .sequences = &sequence};
    const gn2_label flavour = {.struct_size = sizeof flavour,
                               .name = "jets_classification",
                               .data = b.flavour,
                               .type = GN2_DATA_I32};
    const gn2_labels labels = {
        .struct_size = sizeof labels, .label_count = 1, .labels = &flavour};
    gn2_step_stats stats = {.struct_size = sizeof stats};
    double first = 0;
    for (int64_t i = 0; i < steps; i++) {
        make_batch(&b);
        check(gn2_trainer_step(trainer, &jets, &labels, &stats));
        if (i == 0) first = stats.loss;
        if (i % 10 == 0 || i + 1 == steps)
            printf("step %lld: loss %.4f, learning rate %.2e, |gradient| %.3f\n",
                   (long long)stats.step, stats.loss, stats.learning_rate,
                   stats.gradient_norm);
    }
    gn2_trainer_free(trainer);
    return stats.loss < first ? 0 : 1; /* nothing learnt? */
}
