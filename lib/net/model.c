/* SPDX-License-Identifier: Apache-2.0 */
#include "net/model.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "net/net.h"
#include "util/alloc.h"
#include "util/error.h"
#include "util/str.h"

void gn2_model_set_scales(gn2_model *model, double attention, double readout)
{
    model->h.block.attention.scale = attention;
    model->h.readout.mult = readout;
    gn2_format_f64(attention, model->attention_text);
    gn2_format_f64(readout, model->readout_text);
}

gn2_status gn2_model_metadata(const gn2_model *model, const char *key,
                              const char **out_text)
{
    const int attention = strcmp(key, GN2_SCALE_ATTENTION) == 0;
    if (!attention && strcmp(key, GN2_SCALE_READOUT) != 0)
        return gn2_config_read_text(model->config, key, out_text);
    *out_text = attention ? model->attention_text : model->readout_text;
    return GN2_OK;
}

int gn2_model_is_option(const char *key)
{
    static const char *const prefixes[] = {"model.", "inputs.", "norm.",
                                           "task.",  "input.",  NULL};
    return gn2_begins_with_one_of(key, prefixes);
}

/* Is the key read from the model, whatever the config of its user says? A
 * discriminant's own two keys are of use to taggers and evaluations. */
static int is_fixed(const char *key)
{
    static const char *const more[] = {"discriminant.", "optim.decay_scaling", NULL};
    static const char *const loose[] = {"model.dropout_", NULL};
    const char *end = strrchr(key, '.');
    const int own = strncmp(key, "discriminant.", 13) == 0 &&
                    (strcmp(end, ".signal") == 0 || strcmp(end, ".fractions") == 0);
    return (gn2_model_is_option(key) || gn2_begins_with_one_of(key, more)) &&
           !gn2_begins_with_one_of(key, loose) && !own;
}

gn2_status gn2_model_differs(const gn2_model *model, const gn2_config *config,
                             const char *key, const char **out_own)
{
    int usual;
    const char *text, *own;
    *out_own = NULL;
    if (!is_fixed(key)) return GN2_OK;
    GN2_TRY(gn2_config_is_default(config, key, &usual));
    GN2_TRY(gn2_config_read_text(config, key, &text));
    GN2_TRY(gn2_config_read_text(model->config, key, &own));
    if (!usual && strcmp(text, own) != 0) *out_own = own;
    return GN2_OK;
}

const char *gn2_model_object_name(const gn2_model *model, int object)
{
    assert(object >= 0 && object <= model->h.sequence_count);
    return model->object[object].name;
}

int gn2_model_object_find(const gn2_model *model, const char *name)
{
    for (int i = 0; i <= model->h.sequence_count; i++)
        if (strcmp(gn2_model_object_name(model, i), name) == 0) return i;
    return -1;
}

int64_t gn2_model_object_inputs(const gn2_model *model, int object)
{
    return object ? model->h.sequence_inputs[object - 1] : model->h.jet_inputs;
}

const char *gn2_model_object_input(const gn2_model *model, int object, size_t index)
{
    assert(index < (size_t)gn2_model_object_inputs(model, object));
    return model->object[object].inputs[index];
}

/* What replaces a value is held to what a value may be. */
static gn2_status check_fallback(const gn2_object_inputs *object, size_t inputs)
{
    for (size_t i = 0; i < inputs; i++) {
        const float value = object->fallback[i];
        if (value >= object->low[i] && value <= object->high[i]) continue;
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "input.defaults.%s: %g of '%s' is more than %g standard "
                        "deviations from its mean %g",
                        object->name, (double)value, object->inputs[i],
                        GN2_NORMALISED_MAX, (double)object->mean[i]);
    }
    return GN2_OK;
}

static gn2_status read_object(gn2_model *model, int number)
{
    char key[128];
    const gn2_config *c = model->config;
    const size_t inputs = (size_t)gn2_model_object_inputs(model, number);
    const char *name =
        number ? gn2_config_list_item(c, "model.constituents", (size_t)number - 1)
               : "jets";
    GN2_TRY(gn2_input_numbers_check(c, name, inputs));
    float *block = gn2_alloc(inputs, 5 * sizeof *block);
    if (!block) return gn2_fail_memory();
    gn2_object_inputs *object = &model->object[number];
    *object = (gn2_object_inputs){
        .name = name,
        .inputs = gn2_config_str_list(c, gn2_config_key_of(key, "inputs.%s", name)),
        .mean = block,
        .std = block + inputs,
        .low = block + 2 * inputs,
        .high = block + 3 * inputs,
        .fallback = block + 4 * inputs};
    double usual_mean, usual_std, usual_fallback;
    const double *means = gn2_input_numbers(c, name, GN2_INPUT_MEAN, &usual_mean);
    const double *stds = gn2_input_numbers(c, name, GN2_INPUT_STD, &usual_std);
    const double *fallbacks =
        gn2_input_numbers(c, name, GN2_INPUT_DEFAULT, &usual_fallback);
    for (size_t i = 0; i < inputs; i++) {
        object->mean[i] = (float)(means ? means[i] : usual_mean);
        object->std[i] = (float)(stds ? stds[i] : usual_std);
        object->fallback[i] = (float)(fallbacks ? fallbacks[i] : usual_fallback);
        const double mean = (double)object->mean[i];
        const double room = GN2_NORMALISED_MAX * (double)object->std[i];
        object->low[i] = (float)fmax(mean - room, -(double)FLT_MAX);
        object->high[i] = (float)fmin(mean + room, (double)FLT_MAX);
    }
    return model->h.replace_non_finite ? check_fallback(object, inputs) : GN2_OK;
}

static gn2_status build(gn2_model *model, const gn2_config *config)
{
    GN2_TRY(gn2_config_clone(config, &model->config));
    GN2_TRY(gn2_hparams_read(model->config, &model->h));
    gn2_model_set_scales(model, model->h.block.attention.scale, model->h.readout.mult);
    for (int i = 0; i <= model->h.sequence_count; i++) GN2_TRY(read_object(model, i));
    GN2_TRY(gn2_params_create(&model->h, &model->params));
    model->weights = gn2_alloc((size_t)model->params->total, sizeof(float));
    return model->weights ? GN2_OK : gn2_fail_memory();
}

gn2_status gn2_model_new(const gn2_config *config, gn2_model **out_model)
{
    gn2_model *model = gn2_alloc(1, sizeof *model);
    if (!model) return gn2_fail_memory();
    atomic_init(&model->references, 1);
    atomic_init(&model->shared, 0);
    pthread_mutex_init(&model->mutex, NULL);
    const gn2_status status = build(model, config);
    if (status) {
        gn2_model_unref(model);
        return status;
    }
    *out_model = model;
    return GN2_OK;
}

gn2_status gn2_model_random(const gn2_config *config, gn2_model **out_model)
{
    GN2_TRY(gn2_model_new(config, out_model));
    gn2_model *model = *out_model;
    gn2_params_start(model->params, model->h.seed, model->weights);
    return GN2_OK;
}

gn2_model *gn2_model_share(const gn2_model *model)
{
    gn2_model *mine = (gn2_model *)(uintptr_t)model;
    atomic_fetch_add(&mine->references, 1);
    return mine;
}

void gn2_model_unref(gn2_model *model)
{
    if (!model || atomic_fetch_sub(&model->references, 1) > 1) return;
    gn2_net_f32 **nets = &model->net[0][0][0][0];
    for (size_t i = 0; i < sizeof model->net / sizeof *nets; i++)
        gn2_net_free_f32(nets[i]);
    for (int i = 0; i <= GN2_MAX_SEQUENCES; i++) gn2_free(model->object[i].mean);
    gn2_free(model->weights);
    gn2_free(model->params);
    gn2_config_delete(model->config);
    pthread_mutex_destroy(&model->mutex);
    gn2_free(model);
}
