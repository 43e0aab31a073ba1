/* SPDX-License-Identifier: Apache-2.0 */
#include "toy.h"
#include "../common/labels.h"

#include "util/alloc.h"
#include "util/rng.h"

static void *array(int64_t count, size_t size)
{
    void *block = gn2_alloc((size_t)count, size);
    assert_non_null(block);
    return block;
}

static int64_t tracks_of(uint64_t key, int64_t jet)
{
    if (jet % 5 == 4) return 0;
    return (int64_t)gn2_rng_below(key, (uint64_t)jet, 13);
}

static void fill_track(toy *t, int64_t row, int32_t flavour, uint64_t key)
{
    float *x = t->values + row * TOY_TRACK_INPUTS;
    for (int i = 0; i < TOY_TRACK_INPUTS; i++)
        x[i] = (float)gn2_rng_normal(key, (uint64_t)(row * TOY_TRACK_INPUTS + i));
    t->origin[row] = x[0] > 0 ? 3 : x[1] > 0 ? 1 : 2;
    if (row % 7 == 0) t->origin[row] = -2;
    t->vertex[row] = x[2] > 0.3f ? 4 : x[2] < -0.3f ? 9 : -1;
    x[3] += (float)flavour;
}

static void fill_jet(toy *t, int64_t b, uint64_t seed)
{
    const uint64_t key = gn2_rng_key(seed, 1);
    float *x = t->features + b * TOY_JET_INPUTS;
    t->flavour[b] = (int32_t)gn2_rng_below(gn2_rng_key(seed, 2), (uint64_t)b, 4);
    for (int i = 0; i < TOY_JET_INPUTS; i++)
        x[i] = (float)gn2_rng_normal(key, (uint64_t)(b * TOY_JET_INPUTS + i));
    x[0] += (float)t->flavour[b];
    for (int64_t r = t->offsets[b]; r < t->offsets[b + 1]; r++)
        fill_track(t, r, t->flavour[b], gn2_rng_key(seed, 3));
}

toy *toy_create(int64_t count, uint64_t seed)
{
    toy *t = array(1, sizeof *t);
    t->offsets = array(count + 1, sizeof *t->offsets);
    for (int64_t b = 0; b < count; b++)
        t->offsets[b + 1] = t->offsets[b] + tracks_of(seed, b);
    const int64_t rows = t->offsets[count];
    t->features = array(count * TOY_JET_INPUTS, sizeof(float));
    t->values = array(rows * TOY_TRACK_INPUTS, sizeof(float));
    t->flavour = array(count, sizeof(int32_t));
    t->origin = array(rows, sizeof(int32_t));
    t->vertex = array(rows, sizeof(int32_t));
    for (int64_t b = 0; b < count; b++) fill_jet(t, b, seed);
    t->tracks = (gn2_sequence){
        .struct_size = sizeof t->tracks, .data = t->values, .offsets = t->offsets};
    t->jets = (gn2_jets){.struct_size = sizeof t->jets,
                         .sequence_count = 1,
                         .count = count,
                         .features = t->features,
                         .sequences = &t->tracks};
    toy_label(t, t->flavour, t->origin, t->vertex);
    return t;
}

void toy_label(toy *t, const int32_t *flavour, const int32_t *origin,
               const int32_t *vertex)
{
    const gn2_label label[] = {LABEL(LABEL_JETS, flavour), LABEL(LABEL_ORIGIN, origin),
                               LABEL(LABEL_VERTEX, vertex)};
    memcpy(t->label, label, sizeof label);
    t->labels = (gn2_labels)LABELS(t->label);
}

void toy_free(toy *t)
{
    gn2_free(t->features);
    gn2_free(t->values);
    gn2_free(t->offsets);
    gn2_free(t->flavour);
    gn2_free(t->origin);
    gn2_free(t->vertex);
    gn2_free(t);
}

/* Offsets must start at 0: the views keep a copy of their own. */
void toy_batch(const toy *all, int64_t first, int64_t count, toy *out)
{
    const int64_t row = all->offsets[first];
    *out = *all;
    out->offsets = array(count + 1, sizeof *out->offsets);
    for (int64_t b = 0; b <= count; b++)
        out->offsets[b] = all->offsets[first + b] - row;
    out->tracks.data = all->values + row * TOY_TRACK_INPUTS;
    out->tracks.offsets = out->offsets;
    out->jets.count = count;
    out->jets.features = all->features + first * TOY_JET_INPUTS;
    out->jets.sequences = &out->tracks;
    toy_label(out, all->flavour + first, all->origin + row, all->vertex + row);
}

static void set_option(gn2_config *config, const char *option)
{
    char key[128];
    const char *equals = strchr(option, '=');
    assert_non_null(equals);
    memcpy(key, option, (size_t)(equals - option));
    key[equals - option] = '\0';
    assert_ok(gn2_config_put_text(config, key, equals + 1));
}

gn2_config *toy_config(const char *const *options)
{
    static const char *const usual[] = {
        "model.embed_dim=32",
        "model.num_layers=2",
        "model.num_heads=4",
        "model.out_dim=16",
        "model.init_hidden=24",
        "task.jets_classification.hidden=16,8",
        "task.track_origin.hidden=16,8",
        "task.track_vertexing.hidden=16,8",
        "schedule.steps=60",
        "schedule.pct_start=0.1",
        "schedule.max=5e-3",
        "train.threads=1",
        "train.chunk_tokens=64",
        NULL,
    };
    gn2_config *config = NULL;
    assert_ok(gn2_config_new(&config));
    for (int i = 0; usual[i]; i++) set_option(config, usual[i]);
    for (int i = 0; options && options[i]; i++) set_option(config, options[i]);
    return config;
}

gn2_model *toy_model(const gn2_config *config)
{
    gn2_model *model = NULL;
    assert_ok(gn2_model_random(config, &model));
    return model;
}

gn2_trainer *toy_trainer(const gn2_config *config)
{
    gn2_trainer *trainer = NULL;
    gn2_model *model = toy_model(config);
    assert_ok(gn2_train_new(model, config, &trainer));
    gn2_model_unref(model);
    return trainer;
}

gn2_trainer *toy_trainer_of(const char *const *options)
{
    gn2_config *config = toy_config(options);
    gn2_trainer *trainer = toy_trainer(config);
    gn2_config_delete(config);
    return trainer;
}

void assert_same_weights(const gn2_trainer *a, const gn2_trainer *b)
{
    const size_t bytes = (size_t)a->params->total * sizeof(float);
    assert_int_equal(a->params->total, b->params->total);
    assert_memory_equal(a->engine->weights, b->engine->weights, bytes);
}
