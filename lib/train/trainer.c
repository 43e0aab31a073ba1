/* SPDX-License-Identifier: Apache-2.0 */
/* Making a trainer from a model and a config, and models from a trainer. */
#include "train/trainer.h"

#include <math.h>
#include <string.h>

#include "data/shards.h"
#include "net/backend.h"
#include "util/alloc.h"

static int32_t shards_of(const gn2_config *config)
{
    const int64_t shards = gn2_config_i64(config, "train.shards");
    if (shards) return (int32_t)shards;
    return gn2_shards_of(gn2_config_i64(config, "data.batch_size"),
                         GN2_USUAL_CONSTITUENTS);
}

/* Measured (doc/performance.md, Chunks): what a chunk of a narrow network works on
 * stays in a second-level cache of 1 MB. Of the width alone, as it moves bits. */
static int64_t chunk_of(const gn2_trainer *t)
{
    const int64_t asked = gn2_config_i64(t->config, "train.chunk_tokens");
    if (asked) return asked;
    return t->h.embed_dim <= 128 ? 128 : 512;
}

void gn2_train_note_idle(const gn2_trainer *t, int32_t shards)
{
    if (t->threads <= shards) return;
    gn2_log_line(
        GN2_LOG_WARNING,
        "trainer: %d of %d threads have nothing to do: a batch is cut into %d "
        "parts here; train.shards = 0, or %d and more, makes more of them, which "
        "gives another training",
        (int)(t->threads - shards), (int)t->threads, (int)shards, (int)t->threads);
}

gn2_status gn2_train_engine_options(const gn2_trainer *t, gn2_engine_options *out)
{
    *out = (gn2_engine_options){
        .shards = shards_of(t->config),
        .chunk_tokens = chunk_of(t),
        .seed = (uint64_t)gn2_config_i64(t->config, "train.seed"),
        .keep_updates = gn2_config_says(t->config, "train.probe_updates", "yes"),
        .pool = t->pool,
    };
    gn2_optim_options_read_f32(t->config, &out->optim);
    return gn2_compute_read(t->config, "train.precision", t->h.embed_dim,
                            &out->product);
}

const char *gn2_train_precision(const gn2_trainer *t)
{
    return gn2_compute_arithmetic_name(&t->engine->options.product);
}

gn2_status gn2_train_engine_new(const gn2_trainer *t, const gn2_engine_options *options,
                                gn2_engine_f32 **out_engine)
{
    GN2_TRY(gn2_engine_create_f32(&t->h, t->params, options, out_engine));
    gn2_net_configure_f32((*out_engine)->net, t->model->config);
    return GN2_OK;
}

/* Multipliers are the model's, which may be a file's, unless the optimiser is another
 * one. Dropout is set only then: it would change the names. */
static gn2_status make_params(gn2_trainer *t)
{
    const gn2_params *from = t->model->params;
    t->h = t->model->h;
    t->h.rule = gn2_optimizer_find_f32(gn2_config_str(t->config, "optim.name"))->rule;
    GN2_TRY(gn2_params_create(&t->h, &t->params));
    if (t->h.rule == t->model->h.rule)
        memcpy(t->params->tensor, from->tensor, from->count * sizeof *from->tensor);
    t->h.dropout_init = gn2_config_f64(t->config, "model.dropout_init");
    t->h.block.dropout = gn2_config_f64(t->config, "model.dropout_ffn");
    t->h.dropout_heads = gn2_config_f64(t->config, "model.dropout_heads");
    return GN2_OK;
}

static gn2_status make_pool(gn2_trainer *t)
{
    const int64_t wanted = gn2_config_i64(t->config, "train.threads");
    const int64_t threads = wanted ? wanted : gn2_cpu_available();
    const int32_t shards = shards_of(t->config);
    t->threads = (int32_t)threads;
    gn2_train_note_idle(t, shards);
    return gn2_pool_create(t->threads < shards ? t->threads : shards, &t->pool);
}

/* Says which options are the model's: a config may be that of another model. */
static gn2_status note_fixed(const gn2_trainer *t)
{
    const char *key, *text, *own;
    for (size_t i = 0; gn2_config_next(t->config, &i, &key, &text);) {
        GN2_TRY(gn2_model_differs(t->model, t->config, key, &own));
        if (own)
            gn2_log_line(GN2_LOG_WARNING,
                         "trainer: %s = '%.80s' is ignored: the model was made with "
                         "'%.80s'; make another model for it",
                         key, text, own);
    }
    return GN2_OK;
}

static gn2_status build(gn2_trainer *t, const gn2_config *config)
{
    gn2_engine_options options;
    GN2_TRY(gn2_config_clone(config, &t->config));
    GN2_TRY(note_fixed(t));
    GN2_TRY(make_params(t));
    GN2_TRY(make_pool(t));
    gn2_schedule_read(t->config, &t->schedule);
    if (t->schedule.steps) GN2_TRY(gn2_schedule_check(&t->schedule));
    GN2_TRY(gn2_train_engine_options(t, &options));
    GN2_TRY(gn2_train_engine_new(t, &options, &t->engine));
    gn2_engine_set_weights_f32(t->engine, t->model->weights);
    return GN2_OK;
}

gn2_status gn2_train_new(const gn2_model *model, const gn2_config *config,
                         gn2_trainer **out_trainer)
{
    gn2_trainer *t = gn2_alloc(1, sizeof *t);
    if (!t) return gn2_fail_memory();
    t->model = gn2_model_share(model);
    t->best_loss = HUGE_VAL;
    atomic_init(&t->stop, 0);
    atomic_store(&t->model->shared, 1);
    const gn2_status status = build(t, config);
    if (status == GN2_OK)
        *out_trainer = t;
    else
        gn2_train_delete(t);
    return status;
}

void gn2_train_delete(gn2_trainer *t)
{
    if (!t) return;
    gn2_engine_free_f32(t->engine);
    gn2_pool_free(t->pool);
    gn2_input_clear(&t->input);
    gn2_figures_clear(&t->figures);
    gn2_free(t->params);
    gn2_config_delete(t->config);
    gn2_model_unref(t->model);
    gn2_free(t);
}

size_t gn2_train_memory(const gn2_trainer *t)
{
    return sizeof *t + gn2_engine_bytes_f32(t->engine) + gn2_input_bytes(&t->input) +
           t->params->count * sizeof *t->params->tensor;
}

/* Scales and multipliers are the model's own: a file's may differ from today's
 * formulas. */
static gn2_status fill_snapshot(const gn2_trainer *t, gn2_model *model)
{
    const gn2_model *from = t->model;
    char steps[32];
    model->h = from->h;
    gn2_model_set_scales(model, from->h.block.attention.scale, from->h.readout.mult);
    memcpy(model->params->tensor, from->params->tensor,
           from->params->count * sizeof *from->params->tensor);
    memcpy(model->weights, t->engine->weights,
           (size_t)from->params->total * sizeof(float));
    gn2_format_f64((double)gn2_train_steps(t), steps);
    return gn2_config_put_str(model->config, "provenance.steps", steps);
}

gn2_status gn2_train_snapshot(const gn2_trainer *t, gn2_model **out_model)
{
    gn2_model *model = NULL;
    GN2_TRY(gn2_train_check_whole(t));
    GN2_TRY(gn2_model_new(t->model->config, &model));
    const gn2_status status = fill_snapshot(t, model);
    if (status == GN2_OK)
        *out_model = model;
    else
        gn2_model_unref(model);
    return status;
}
