/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client that was built with other headers: it holds a copy of the declarations of
 * 0.1, with structs that end early (CLIENT_SIZE −1), as they are (0), or later (1).
 * It must not include our headers.
 */
#include "client.h"

#include <stddef.h>
#include <string.h>

#if CLIENT_SIZE < 0
#define TAIL
#define CLIENT(name) name##_small
#elif CLIENT_SIZE == 0
#define TAIL uint64_t reserved[4];
#define CLIENT(name) name##_now
#else
#define TAIL              \
    uint64_t reserved[4]; \
    uint64_t news[5];
#define CLIENT(name) name##_large
#endif

typedef struct config_info {
    uint32_t struct_size;
    int32_t type;
    const char *key, *default_text, *doc;
    double min, max;
    const char *choices;
    TAIL
} config_info;

typedef struct param_info {
    uint32_t struct_size;
    int32_t role;
    const char *name;
    int64_t shape[2], count, fan_in, fan_out;
    double init_std, lr_mult, wd_mult, forward_mult;
    TAIL
} param_info;

typedef struct sequence {
    uint32_t struct_size, flags;
    const float *data;
    int64_t row_stride;
    const int64_t *offsets;
    const uint8_t *valid;
    int64_t slots;
    TAIL
} sequence;

typedef struct jets {
    uint32_t struct_size, sequence_count;
    int64_t count;
    const float *features;
    int64_t row_stride;
    const sequence *sequences;
    int64_t sequence_stride;
    TAIL
} jets;

typedef struct output {
    uint32_t struct_size;
    int32_t id;
    void *data;
    int64_t capacity, row_stride;
    TAIL
} output;

typedef struct label {
    uint32_t struct_size, flags;
    const char *name;
    const void *data;
    int32_t type, columns;
    TAIL
} label;

typedef struct labels {
    uint32_t struct_size, flags, label_count, unused;
    const label *labels;
    int64_t label_stride;
    const int32_t *flavour, *origin, *vertex;
    TAIL
} labels;

typedef struct dataset_info {
    uint32_t struct_size, has_labels;
    int64_t jet_count, batch_count, batch_size, max_slots, memory;
    TAIL
} dataset_info;

typedef struct gn2_config gn2_config;
typedef struct gn2_model gn2_model;
typedef struct gn2_tagger gn2_tagger;
typedef struct gn2_dataset gn2_dataset;

int32_t gn2_config_create(gn2_config **);
void gn2_config_free(gn2_config *);
int32_t gn2_config_set_text(gn2_config *, const char *, const char *);
int32_t gn2_config_describe(size_t, config_info *);
int32_t gn2_model_create(const gn2_config *, gn2_model **);
void gn2_model_free(gn2_model *);
int32_t gn2_model_param_info(const gn2_model *, size_t, param_info *);
int32_t gn2_tagger_create(gn2_model *, const gn2_config *, gn2_tagger **);
void gn2_tagger_free(gn2_tagger *);
int32_t gn2_tagger_output(const gn2_tagger *, const char *, int32_t *);
int32_t gn2_tagger_run(gn2_tagger *, const jets *, const output *, size_t);
int32_t gn2_tagger_flavour(gn2_tagger *, const jets *, float *, float *);
int32_t gn2_dataset_from_arrays(const jets *, const labels *, const gn2_config *,
                                gn2_dataset **);
void gn2_dataset_free(gn2_dataset *);
int32_t gn2_dataset_info_get(const gn2_dataset *, dataset_info *);
int32_t gn2_dataset_next(gn2_dataset *, jets *, labels *);

/* A struct that is filled, and what lies behind it in memory. */
#define FENCED(type)       \
    struct {               \
        type s;            \
        uint64_t fence[4]; \
    }
#define FENCE 0xFEEDFACECAFEBEEFu
#define FENCED_SET(f)                                     \
    do {                                                  \
        memset(&(f), 0, sizeof(f));                       \
        (f).s.struct_size = sizeof((f).s);                \
        for (int w = 0; w < 4; w++) (f).fence[w] = FENCE; \
    } while (0)
#define FENCED_WHOLE(f)                                             \
    ((f).s.struct_size == sizeof((f).s) && (f).fence[0] == FENCE && \
     (f).fence[3] == FENCE)

#define MUST(condition)                                                 \
    do {                                                                \
        if (!(condition) && !found->failed) found->failed = #condition; \
    } while (0)

/* Two constituent types, so that the library has to step through an array. */
typedef struct input {
    float jet[JETS * 2], track[TRACKS * 3], electron[TRACKS * 2];
    int64_t offset[JETS + 1];
    int32_t flavour[JETS];
    sequence sequences[2];
    jets in;
    label flavours;
    labels truth;
} input;

static void set_input(input *x)
{
    memset(x, 0, sizeof *x);
    for (int i = 0; i < JETS * 2; i++) x->jet[i] = 0.25f * (float)(i + 1);
    for (int i = 0; i < TRACKS * 3; i++) x->track[i] = 0.1f * (float)(i % 5) - 0.2f;
    for (int i = 0; i < TRACKS * 2; i++) x->electron[i] = 0.3f * (float)(i % 4) - 0.4f;
    const int64_t offset[] = {0, 3, 3, TRACKS};
    const int32_t flavour[] = {0, 2, 1};
    memcpy(x->offset, offset, sizeof offset);
    memcpy(x->flavour, flavour, sizeof flavour);
    const float *data[] = {x->track, x->electron};
    for (int i = 0; i < 2; i++) {
        x->sequences[i].struct_size = sizeof(sequence);
        x->sequences[i].data = data[i];
        x->sequences[i].offsets = x->offset;
    }
    x->in.struct_size = sizeof(jets);
    x->in.count = JETS;
    x->in.features = x->jet;
    x->in.sequences = x->sequences;
    x->in.sequence_count = 2;
    x->in.sequence_stride = CLIENT_SIZE > 0 ? (int64_t)sizeof(sequence) : 0;
    x->truth.struct_size = sizeof(labels);
    x->truth.label_count = 1;
    x->truth.labels = &x->flavours;
    x->flavours.struct_size = sizeof(label);
    x->flavours.name = "jets_classification";
    x->flavours.data = x->flavour;
    x->flavours.type = 2; /* int32_t */
}

static void set_config(findings *found, gn2_config *config)
{
    static const char *const settings[][2] = {
        {"model.constituents", "tracks,electrons"},
        {"inputs.jets", "pt,eta"},
        {"inputs.tracks", "d0,z0SinTheta,dphi"},
        {"inputs.electrons", "pt,eta"},
        {"model.embed_dim", "16"},
        {"model.num_heads", "2"},
        {"model.num_layers", "1"},
        {"model.init_hidden", "16"},
        {"model.tasks", "jets_classification"},
        {"input.unit_check", "off"},
        {"data.batch_size", "3"},
        {"data.sampling", "sequential"},
    };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        MUST(!gn2_config_set_text(config, settings[i][0], settings[i][1]));
}

static void look_at_table(findings *found)
{
    FENCED(config_info) info;
    FENCED_SET(info);
    for (size_t i = 0; !gn2_config_describe(i, &info.s); i++) {
        MUST(FENCED_WHOLE(info));
        if (strcmp(info.s.key, "model.num_layers") != 0) continue;
        found->key_min = info.s.min;
        found->key_max = info.s.max;
    }
}

static void look_at_model(findings *found, const gn2_model *model)
{
    FENCED(param_info) info;
    FENCED_SET(info);
    MUST(!gn2_model_param_info(model, 0, &info.s));
    MUST(FENCED_WHOLE(info));
    memcpy(found->shape, info.s.shape, sizeof found->shape);
    found->count = info.s.count;
    found->fan_in = info.s.fan_in;
    found->forward_mult = info.s.forward_mult;
}

static void tag(findings *found, gn2_tagger *tagger, const jets *in)
{
    MUST(!gn2_tagger_flavour(tagger, in, found->probabilities, found->d_b));
    output outs[2];
    memset(outs, 0, sizeof outs);
    void *data[] = {found->again, found->d_c};
    static const char *const names[] = {"jets.probabilities", "jets.D_c"};
    for (int i = 0; i < 2; i++) {
        outs[i].struct_size = sizeof(output);
        outs[i].data = data[i];
        outs[i].capacity = JETS;
        MUST(!gn2_tagger_output(tagger, names[i], &outs[i].id));
    }
    MUST(!gn2_tagger_run(tagger, in, outs, 2));
}

static void read_back(findings *found, const input *x, const gn2_config *config)
{
    gn2_dataset *dataset = NULL;
    MUST(!gn2_dataset_from_arrays(&x->in, &x->truth, config, &dataset));
    if (!dataset) return;
    FENCED(dataset_info) info;
    FENCED_SET(info);
    MUST(!gn2_dataset_info_get(dataset, &info.s));
    MUST(FENCED_WHOLE(info));
    found->jets = info.s.jet_count;
    found->batches = info.s.batch_count;
    FENCED(jets) batch;
    FENCED(labels) truth;
    FENCED_SET(batch);
    FENCED_SET(truth);
    MUST(!gn2_dataset_next(dataset, &batch.s, &truth.s));
    MUST(FENCED_WHOLE(batch));
    MUST(FENCED_WHOLE(truth));
    found->first_count = batch.s.count;
    MUST(truth.s.label_count == 1 && truth.s.labels->data && batch.s.features);
    if (!found->failed) {
        memcpy(found->flavour, truth.s.labels->data, sizeof found->flavour);
        found->pt = batch.s.features[0];
    }
    gn2_dataset_free(dataset);
}

static void use_library(findings *found, const input *x)
{
    gn2_config *config = NULL;
    gn2_model *model = NULL;
    gn2_tagger *tagger = NULL;
    MUST(!gn2_config_create(&config));
    set_config(found, config);
    MUST(!gn2_model_create(config, &model));
    MUST(!gn2_tagger_create(model, config, &tagger));
    if (!found->failed) {
        look_at_table(found);
        look_at_model(found, model);
        tag(found, tagger, &x->in);
        read_back(found, x, config);
    }
    gn2_tagger_free(tagger);
    gn2_model_free(model);
    gn2_config_free(config);
}

findings CLIENT(client)(void)
{
    findings found;
    input x;
    memset(&found, 0, sizeof found);
    set_input(&x);
    use_library(&found, &x);
    return found;
}

#if CLIENT_SIZE > 0
int32_t client_large_dirty(void)
{
    findings found;
    input x;
    memset(&found, 0, sizeof found);
    set_input(&x);
    x.sequences[1].news[4] = 1;
    gn2_config *config = NULL;
    gn2_dataset *dataset = NULL;
    gn2_config_create(&config);
    set_config(&found, config);
    const int32_t status = gn2_dataset_from_arrays(&x.in, &x.truth, config, &dataset);
    gn2_dataset_free(dataset);
    gn2_config_free(config);
    return status;
}
#endif
