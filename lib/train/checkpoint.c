/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A checkpoint: the model's file with the present weights, and under `trainer.` the
 * moments, where schedule and sampler stand, and what fixes the bits of a run
 * (shards, chunks, dropout seed). Rates and lengths are the trainer's own config's,
 * so a run can be made longer. Keys: doc/format.md.
 */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "io/model_file.h"
#include "net/backend.h"
#include "train/trainer.h"

#define PREFIX "trainer."
#define OPTIMIZER_KEY PREFIX "optimizer"
/* In its place in older files: 0 for adamw, 1 for sgd. */
#define OLD_OPTIMIZER_KEY PREFIX "sgd"
#define BEST_KEY PREFIX "best_loss" /* not there: no validation yet */
#define OPTION_PREFIX PREFIX "option."
#define PRECISION "train.precision"
#define NAME_SIZE 160 /* prefix and a tensor's name */

/* ---- numbers of a checkpoint ---- */

typedef struct state {
    int64_t step, schedule_steps, epoch, batch, shards, chunk_tokens, seed, batch_size,
        batches, waited, validated;
} state;

#define MOST (INT64_C(1) << 53) /* of counts */

/* Bounds are those of the keys of the config they come from. */
static const struct row {
    const char *key;
    size_t at; /* in a state */
    int64_t least, most;
    int recent; /* older files lack it: 0, not known */
} rows[] = {
    {PREFIX "step", offsetof(state, step), 0, MOST, 0},
    {PREFIX "schedule_steps", offsetof(state, schedule_steps), 0, MOST, 0},
    {PREFIX "epoch", offsetof(state, epoch), 0, MOST, 0},
    {PREFIX "batch", offsetof(state, batch), 0, MOST, 0},
    {PREFIX "shards", offsetof(state, shards), 1, 1024, 0},
    {PREFIX "chunk_tokens", offsetof(state, chunk_tokens), 1, 1048576, 0},
    {PREFIX "seed", offsetof(state, seed), 0, MOST, 0},
    {PREFIX "batch_size", offsetof(state, batch_size), 0, 100000000, 1},
    {PREFIX "batches", offsetof(state, batches), 0, MOST, 1},
    {PREFIX "waited", offsetof(state, waited), 0, MOST, 1},
    {PREFIX "validated", offsetof(state, validated), 0, MOST, 1},
};
#define ROW_COUNT (sizeof rows / sizeof rows[0])

static state state_of(const gn2_trainer *t)
{
    const gn2_engine_options *o = &t->engine->options;
    const int64_t step = gn2_train_steps(t);
    /* where it stands behind a validation inside an epoch, else 0 */
    const int validated = t->batch > 0 && t->validated == step;
    return (state){.step = step,
                   .schedule_steps = t->schedule.steps,
                   .epoch = t->epoch,
                   .batch = t->batch,
                   .shards = o->shards,
                   .chunk_tokens = o->chunk_tokens,
                   .seed = (int64_t)o->seed,
                   .batch_size = t->batch_size,
                   .batches = t->batches,
                   .waited = t->waited,
                   .validated = validated ? step : 0};
}

/* ---- writing ---- */

/* Moment tensor `name` of a parameter: "trainer.m.<parameter>". */
static gn2_tensor_info moment_info(const gn2_tensor *t, const char *moment,
                                   char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, PREFIX "%s.%s", moment, t->name);
    return (gn2_tensor_info){
        .name = name, .dtype = GN2_DTYPE_F32, .rank = 1, .shape = {(uint64_t)t->count}};
}

static gn2_status put_moment(const gn2_trainer *t, const char *moment,
                             const float *values, gn2_container_writer *writer)
{
    const gn2_params *params = t->model->params;
    for (size_t i = 0; i < params->count; i++) {
        char name[NAME_SIZE];
        const gn2_tensor_info info = moment_info(&params->tensor[i], moment, name);
        GN2_TRY(
            gn2_container_add_tensor(writer, &info, values + params->tensor[i].offset));
    }
    return GN2_OK;
}

static gn2_status put_best(const gn2_trainer *t, gn2_container_writer *writer)
{
    char text[32];
    if (!isfinite(t->best_loss)) return GN2_OK;
    gn2_format_f64(t->best_loss, text);
    return gn2_container_add_header(writer, BEST_KEY, text);
}

/* Options of the run that its weights depend on, for whoever goes on with it to
 * compare; only train.precision is read back. The others, threads and intervals, change
 * no bit: that of validations does where they end the run. */
int gn2_train_shapes_run(const gn2_config *config, const char *key)
{
    static const char *const prefixes[] = {
        "optim.", "schedule.", "train.", "data.", "compute.", "model.dropout_", NULL};
    static const char *const free_keys[] = {"train.threads",
                                            "train.checkpoint",
                                            "train.checkpoint_steps",
                                            "train.probe_updates",
                                            "data.prefetch",
                                            "data.read_threads",
                                            NULL};
    if (strcmp(key, "train.validate_steps") == 0)
        return gn2_config_i64(config, "train.early_stopping") != 0;
    return gn2_begins_with_one_of(key, prefixes) && !gn2_is_listed(free_keys, key);
}

static gn2_status put_options(const gn2_trainer *t, gn2_container_writer *writer)
{
    const char *key, *text;
    for (size_t i = 0; gn2_config_next(t->config, &i, &key, &text);) {
        char name[NAME_SIZE];
        if (!gn2_train_shapes_run(t->config, key)) continue;
        if (strcmp(key, PRECISION) == 0) text = gn2_train_precision(t);
        snprintf(name, sizeof name, OPTION_PREFIX "%s", key);
        GN2_TRY(gn2_container_add_header(writer, name, text));
    }
    return GN2_OK;
}

static gn2_status put_all(const gn2_trainer *t, gn2_container_writer *writer)
{
    GN2_TRY(gn2_train_check_whole(t));
    const state s = state_of(t);
    GN2_TRY(
        gn2_model_file_put(t->model, t->engine->weights, GN2_KIND_CHECKPOINT, writer));
    for (size_t i = 0; i < ROW_COUNT; i++) {
        char text[32];
        int64_t number;
        memcpy(&number, (const char *)&s + rows[i].at, sizeof number);
        if (rows[i].at == offsetof(state, validated) && number == 0) continue;
        snprintf(text, sizeof text, "%lld", (long long)number);
        GN2_TRY(gn2_container_add_header(writer, rows[i].key, text));
    }
    GN2_TRY(put_best(t, writer));
    GN2_TRY(put_options(t, writer));
    const gn2_optimizer_f32 *o = &t->engine->optimizer;
    GN2_TRY(gn2_container_add_header(writer, OPTIMIZER_KEY, o->kind->name));
    for (int i = 0; o->kind->moment[i]; i++)
        GN2_TRY(put_moment(t, o->kind->moment[i], o->moment[i], writer));
    return GN2_OK;
}

gn2_status gn2_train_save(const gn2_trainer *t, const char *path)
{
    gn2_container_writer *writer;
    GN2_TRY(gn2_container_writer_create(&writer));
    gn2_status status = put_all(t, writer);
    if (status == GN2_OK) status = gn2_container_save(writer, path);
    gn2_container_writer_free(writer);
    return status;
}

/* ---- reading ---- */

typedef struct loader {
    const gn2_trainer *trainer;
    gn2_container *file;
    gn2_model *model; /* of the file */
    state state;
    double best_loss;
    gn2_engine_f32 *engine; /* new */
} loader;

static gn2_status fail_value(const loader *l, const char *key, const char *text)
{
    return gn2_container_bad(l->file, "%s = '%.40s' is not possible", key, text);
}

static gn2_status read_number(loader *l, const struct row *row)
{
    const char *text = gn2_container_header(l->file, row->key);
    int64_t number;
    if (!text && row->recent) return GN2_OK;
    if (!text) return gn2_container_bad(l->file, "not a checkpoint: no '%s'", row->key);
    if (!gn2_parse_i64(text, &number) || number < row->least || number > row->most)
        return fail_value(l, row->key, text);
    memcpy((char *)&l->state + row->at, &number, sizeof number);
    return GN2_OK;
}

static gn2_status read_best(loader *l)
{
    const char *text = gn2_container_header(l->file, BEST_KEY);
    l->best_loss = HUGE_VAL;
    if (!text || (gn2_parse_f64(text, &l->best_loss) && isfinite(l->best_loss)))
        return GN2_OK;
    return fail_value(l, BEST_KEY, text);
}

/* Every batch of the present epoch was a step, and every epoch had one. */
static gn2_status check_position(const loader *l)
{
    const state *s = &l->state;
    if (s->validated && s->validated != s->step)
        return gn2_container_bad(
            l->file, "a validation at step %lld after %lld steps is not possible",
            (long long)s->validated, (long long)s->step);
    if (s->epoch + s->batch <= s->step && (s->batches == 0 || s->batch <= s->batches))
        return GN2_OK;
    return gn2_container_bad(
        l->file, "epoch %lld, batch %lld of %lld after %lld steps is not possible",
        (long long)s->epoch, (long long)s->batch, (long long)s->batches,
        (long long)s->step);
}

static gn2_status read_state(loader *l)
{
    for (size_t i = 0; i < ROW_COUNT; i++) GN2_TRY(read_number(l, &rows[i]));
    GN2_TRY(read_best(l));
    return check_position(l);
}

static gn2_status check_tensors(const loader *l)
{
    const gn2_params *ours = l->trainer->model->params, *theirs = l->model->params;
    for (size_t i = 0; i < ours->count || i < theirs->count; i++) {
        const gn2_tensor *a = i < ours->count ? &ours->tensor[i] : NULL;
        const gn2_tensor *b = i < theirs->count ? &theirs->tensor[i] : NULL;
        if (!a || !b || strcmp(a->name, b->name) != 0)
            return gn2_fail(GN2_ERR_SHAPE,
                            "%s: tensor %zu is '%s', the trainer's is '%s'",
                            gn2_container_origin(l->file), i, b ? b->name : "none",
                            a ? a->name : "none");
        if (a->shape[0] != b->shape[0] || a->shape[1] != b->shape[1])
            return gn2_fail(GN2_ERR_SHAPE,
                            "%s: tensor '%s': file has (%lld, %lld), trainer needs "
                            "(%lld, %lld)",
                            gn2_container_origin(l->file), a->name,
                            (long long)b->shape[0], (long long)b->shape[1],
                            (long long)a->shape[0], (long long)a->shape[1]);
    }
    return GN2_OK;
}

/* Keys that decide what the network computes, beside the tensors' shapes. */
static int decides(const char *key)
{
    static const char *const free_keys[] = {"model.name", "model.seed", "model.init",
                                            "model.dropout", NULL};
    const int is_free =
        gn2_begins_with_one_of(key, free_keys) && strcmp(key, "model.init_hidden") != 0;
    return gn2_model_is_option(key) && !is_free;
}

/* Every key set in `a` has the same value in `b`. */
static gn2_status compare(const loader *l, const gn2_config *a, const gn2_config *b)
{
    const char *key, *text, *other;
    for (size_t i = 0; gn2_config_next(a, &i, &key, &text);) {
        if (!decides(key)) continue;
        GN2_TRY(gn2_config_read_text(b, key, &other));
        if (strcmp(text, other) != 0)
            return gn2_fail(GN2_ERR_SHAPE,
                            "%s: %s differs between file and trainer: '%.80s', '%.80s'",
                            gn2_container_origin(l->file), key, text, other);
    }
    return GN2_OK;
}

/* A key with a name in it may be set on one side only. */
static gn2_status check_config(const loader *l)
{
    const gn2_config *ours = l->trainer->model->config, *theirs = l->model->config;
    GN2_TRY(compare(l, theirs, ours));
    return compare(l, ours, theirs);
}

/* NULL: the file does not say. */
static const char *optimizer_name(const gn2_container *file)
{
    const char *name = gn2_container_header(file, OPTIMIZER_KEY);
    const char *old = gn2_container_header(file, OLD_OPTIMIZER_KEY);
    if (name || !old) return name;
    return strcmp(old, "0") == 0 ? "adamw" : strcmp(old, "1") == 0 ? "sgd" : NULL;
}

static gn2_status check_optimizer(const loader *l)
{
    const char *ours = l->trainer->engine->optimizer.kind->name;
    const char *theirs = optimizer_name(l->file);
    if (!theirs)
        return gn2_container_bad(l->file, "not a checkpoint: no '" OPTIMIZER_KEY "'");
    if (strcmp(theirs, ours) == 0) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG, "%s: optim.name = %.40s, the trainer's is %s",
                    gn2_container_origin(l->file), theirs, ours);
}

static int has_negative(const float *x, int64_t count)
{
    int found = 0;
    for (int64_t i = 0; i < count; i++) found |= x[i] < 0;
    return found;
}

/* Moment k of a tensor. */
static gn2_status read_moment(const loader *l, int k, const gn2_tensor *t, float *out)
{
    const gn2_optimizer_kind_f32 *kind = l->engine->optimizer.kind;
    char name[NAME_SIZE];
    size_t index;
    const gn2_tensor_info needs = moment_info(t, kind->moment[k], name);
    GN2_TRY(gn2_container_find(l->file, name, &index));
    const gn2_tensor_info *has = gn2_container_tensor_info(l->file, index);
    if (has->dtype != needs.dtype || has->rank != 1 || has->shape[0] != needs.shape[0])
        return gn2_container_bad(l->file, "tensor '%s' has a wrong size", name);
    GN2_TRY(gn2_container_read(l->file, index, out, (size_t)t->count * sizeof *out));
    if (!l->engine->net->kernels->all_finite(out, t->count))
        return gn2_container_bad(l->file, "tensor '%s' has NaN or Inf", name);
    if (!kind->positive[k] || !has_negative(out, t->count)) return GN2_OK;
    return gn2_container_bad(
        l->file, "tensor '%s' has values below 0, but it is a mean of squares", name);
}

static gn2_status read_moments(const loader *l)
{
    const gn2_params *params = l->trainer->model->params;
    gn2_optimizer_f32 *o = &l->engine->optimizer;
    for (size_t i = 0; i < params->count; i++) {
        const gn2_tensor *t = &params->tensor[i];
        for (int k = 0; o->kind->moment[k]; k++)
            GN2_TRY(read_moment(l, k, t, o->moment[k] + t->offset));
    }
    return GN2_OK;
}

static gn2_status fail_bits(const loader *l, const char *key, const char *theirs,
                            const char *ours)
{
    return gn2_fail(GN2_ERR_INVALID_ARG,
                    "%s: %s = %s, the trainer was made with %s: a run goes on with "
                    "what it began with",
                    gn2_container_origin(l->file), key, theirs, ours);
}

/* The file's, which was settled where the run began; a processor that lacks it is
 * refused. Older files say nothing, or auto. */
static gn2_status read_precision(const loader *l, gn2_product_options *out)
{
    const gn2_trainer *t = l->trainer;
    const char *ours = gn2_config_str(t->config, PRECISION);
    const char *theirs = gn2_container_header(l->file, OPTION_PREFIX PRECISION);
    if (!theirs || strcmp(theirs, "auto") == 0) return GN2_OK;
    if (strcmp(theirs, "f32") != 0 && strcmp(theirs, "bf16") != 0)
        return fail_value(l, OPTION_PREFIX PRECISION, theirs);
    if (strcmp(ours, "bf16") == 0 && strcmp(theirs, ours) != 0)
        return fail_bits(l, PRECISION, theirs, ours);
    return gn2_compute_read_arithmetic(t->config, PRECISION, theirs, t->h.embed_dim,
                                       out);
}

static gn2_status build_core(loader *l)
{
    gn2_engine_options options;
    GN2_TRY(gn2_train_engine_options(l->trainer, &options));
    options.shards = (int32_t)l->state.shards;
    options.chunk_tokens = l->state.chunk_tokens;
    options.seed = (uint64_t)l->state.seed;
    GN2_TRY(read_precision(l, &options.product));
    GN2_TRY(gn2_train_engine_new(l->trainer, &options, &l->engine));
    GN2_TRY(read_moments(l));
    l->engine->optimizer.steps = l->state.step;
    gn2_engine_set_weights_f32(l->engine, l->model->weights);
    return GN2_OK;
}

/* What fixes the bits is the file's; asked for otherwise, it would be ignored. */
static gn2_status check_bits(const loader *l)
{
    const gn2_config *config = l->trainer->config;
    const struct {
        const char *key;
        int64_t theirs;
        int zero_is_open;
    } bits[] = {{"train.shards", l->state.shards, 1},
                {"train.chunk_tokens", l->state.chunk_tokens, 1},
                {"train.seed", l->state.seed, 0}};
    for (size_t i = 0; i < sizeof bits / sizeof bits[0]; i++) {
        const int64_t ours = gn2_config_i64(config, bits[i].key);
        char texts[2][32];
        int usual;
        GN2_TRY(gn2_config_is_default(config, bits[i].key, &usual));
        if (ours == bits[i].theirs || usual || (ours == 0 && bits[i].zero_is_open))
            continue;
        snprintf(texts[0], sizeof texts[0], "%lld", (long long)bits[i].theirs);
        snprintf(texts[1], sizeof texts[1], "%lld", (long long)ours);
        return fail_bits(l, bits[i].key, texts[0], texts[1]);
    }
    return GN2_OK;
}

static gn2_status load(loader *l)
{
    GN2_TRY(gn2_model_file_get(l->file, &l->model));
    GN2_TRY(read_state(l));
    GN2_TRY(check_tensors(l));
    GN2_TRY(check_config(l));
    GN2_TRY(check_optimizer(l));
    GN2_TRY(check_bits(l));
    return build_core(l);
}

/* Nothing can fail any more. */
static void adopt(gn2_trainer *t, loader *l)
{
    gn2_engine_free_f32(t->engine);
    t->engine = l->engine;
    t->epoch = l->state.epoch;
    t->batch = l->state.batch;
    t->batch_size = l->state.batch_size;
    t->batches = l->state.batches;
    t->waited = l->state.waited;
    t->validated = l->state.validated;
    t->best_loss = l->best_loss;
    if (gn2_config_i64(t->config, "schedule.steps") == 0)
        t->schedule.steps = l->state.schedule_steps;
}

static gn2_status open_and_load(loader *l, const char *path)
{
    GN2_TRY(gn2_container_open_file(path, &l->file));
    const gn2_status status = load(l);
    return status == GN2_ERR_NOT_FOUND ? GN2_ERR_FORMAT : status;
}

gn2_status gn2_train_load(gn2_trainer *t, const char *path)
{
    loader l = {.trainer = t};
    gn2_status status = open_and_load(&l, path);
    status = gn2_train_agree_engine(t, status, l.engine);
    if (status == GN2_OK)
        adopt(t, &l);
    else
        gn2_engine_free_f32(l.engine);
    gn2_model_unref(l.model);
    gn2_container_close(l.file);
    return status;
}
