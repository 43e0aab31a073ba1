/* SPDX-License-Identifier: Apache-2.0 */
/* Models to and from .gn2 containers; keys and rules: doc/format.md. */
#include "io/model_file.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "util/alloc.h"
#include "util/error.h"
#include "util/file.h"

#define KEY_KIND "kind"
#define PARAM_PREFIX "param."
#define TRAINER_PREFIX "trainer."
#define KEY_LIBRARY "provenance.library"

static int starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* optim.name and decay_scaling belong to a model because the multipliers are made
 * from them; everything else of training and running is left to the user. */
static int is_stored(const char *key)
{
    static const char *const prefixes[] = {"model.",
                                           "inputs.",
                                           "norm.",
                                           "task.",
                                           "input.",
                                           "optim.name",
                                           "optim.decay_scaling",
                                           "discriminant.",
                                           "provenance.",
                                           NULL};
    return gn2_begins_with_one_of(key, prefixes);
}

int gn2_model_file_knows(const char *key)
{
    return !strcmp(key, KEY_KIND) || !strcmp(key, GN2_SCALE_ATTENTION) ||
           !strcmp(key, GN2_SCALE_READOUT) || gn2_config_find_row(key);
}

/* ---- the line of a tensor ---- */

/* Fields of `param.<name>` and where they live. */
typedef struct field {
    const char *name;
    size_t offset;
} field;

static const field fields[] = {
    {"init_std", offsetof(gn2_tensor, init_std)},
    {"lr_mult", offsetof(gn2_tensor, lr_mult)},
    {"wd_mult", offsetof(gn2_tensor, wd_mult)},
    {"forward_mult", offsetof(gn2_tensor, forward_mult)},
};
#define FIELD_COUNT (sizeof fields / sizeof fields[0])

static const char *const role_names[] = {
    [GN2_ROLE_FINITE] = "finite", [GN2_ROLE_INPUT] = "input",
    [GN2_ROLE_HIDDEN] = "hidden", [GN2_ROLE_OUTPUT] = "output",
    [GN2_ROLE_BIAS] = "bias",
};
#define ROLE_COUNT (sizeof role_names / sizeof role_names[0])

/* room for the prefix and the longest name */
#define KEY_SIZE (sizeof PARAM_PREFIX + sizeof((gn2_tensor *)0)->name)

static void param_key(const gn2_tensor *t, char out[KEY_SIZE])
{
    snprintf(out, KEY_SIZE, PARAM_PREFIX "%s", t->name);
}

static gn2_status put_param(const gn2_tensor *t, gn2_container_writer *writer)
{
    char key[KEY_SIZE], line[256];
    int used = snprintf(line, sizeof line, "role=%s", role_names[t->role]);
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        char number[32];
        double value;
        memcpy(&value, (const char *)t + fields[i].offset, sizeof value);
        gn2_format_f64(value, number);
        used += snprintf(line + used, sizeof line - (size_t)used, " %s=%s",
                         fields[i].name, number);
    }
    param_key(t, key);
    return gn2_container_add_header(writer, key, line);
}

/* Copies the word behind ` name=`; 0 if it is missing or too long. */
static int find_word(const char *line, const char *name, char out[32])
{
    const size_t length = strlen(name);
    for (const char *p = line; p; p = strchr(p, ' ')) {
        p += *p == ' ';
        if (strncmp(p, name, length) != 0 || p[length] != '=') continue;
        const char *word = p + length + 1;
        const size_t size = strcspn(word, " ");
        if (size >= 32) return 0;
        memcpy(out, word, size);
        out[size] = '\0';
        return 1;
    }
    return 0;
}

static int read_role(const char *line, int32_t *out)
{
    char word[32];
    if (!find_word(line, "role", word)) return 0;
    for (size_t i = 0; i < ROLE_COUNT; i++)
        if (!strcmp(word, role_names[i])) {
            *out = (int32_t)i;
            return 1;
        }
    return 0;
}

/* A factor or width that the library computes with in single precision. */
static int parse_factor(const char *text, double *out)
{
    return gn2_parse_f64(text, out) && *out >= 0 && *out <= (double)FLT_MAX;
}

static int read_number(const char *line, const char *name, double *out)
{
    char word[32];
    return find_word(line, name, word) && parse_factor(word, out);
}

static gn2_status get_param(const gn2_container *c, gn2_tensor *t)
{
    char key[KEY_SIZE];
    param_key(t, key);
    const char *line = gn2_container_header(c, key);
    int good = line && read_role(line, &t->role);
    for (size_t i = 0; good && i < FIELD_COUNT; i++) {
        double value = 0;
        good = read_number(line, fields[i].name, &value);
        memcpy((char *)t + fields[i].offset, &value, sizeof value);
    }
    if (good) return GN2_OK;
    return gn2_container_bad(
        c, "header key '%s' is missing, incomplete or out of range", key);
}

/* ---- writing ---- */

/* A key may be left out of account by a reader that does not know it if it says
 * what was so before the key existed: that is what a new key's default must be. */
static gn2_status put_config(const gn2_config *config, gn2_container_writer *writer)
{
    const char *key, *text;
    for (size_t i = 0; gn2_config_next(config, &i, &key, &text);) {
        int usual;
        if (!is_stored(key) || !strcmp(key, KEY_LIBRARY)) continue;
        GN2_TRY(gn2_config_is_default(config, key, &usual));
        const int vital = !usual && !starts_with(key, "provenance.");
        GN2_TRY(vital ? gn2_container_add_vital(writer, key, text)
                      : gn2_container_add_header(writer, key, text));
    }
    return GN2_OK;
}

static gn2_status put_configs(const gn2_model *model, gn2_container_writer *writer)
{
    const char *library;
    GN2_TRY(put_config(model->config, writer));
    GN2_TRY(gn2_config_read_text(model->config, KEY_LIBRARY, &library));
    return gn2_container_add_header(writer, KEY_LIBRARY,
                                    *library ? library : GN2_VERSION_STRING);
}

static gn2_status put_scales(const gn2_hparams *h, gn2_container_writer *writer)
{
    char number[32];
    gn2_format_f64(h->block.attention.scale, number);
    GN2_TRY(gn2_container_add_vital(writer, GN2_SCALE_ATTENTION, number));
    gn2_format_f64(h->readout.mult, number);
    return gn2_container_add_vital(writer, GN2_SCALE_READOUT, number);
}

static gn2_tensor_info info_of(const gn2_tensor *t)
{
    return (gn2_tensor_info){
        .name = t->name,
        .dtype = GN2_DTYPE_F32,
        .rank = t->shape[1] ? 2 : 1,
        .shape = {(uint64_t)t->shape[0], (uint64_t)t->shape[1]},
    };
}

gn2_status gn2_model_file_put(const gn2_model *model, const float *weights,
                              const char *kind, gn2_container_writer *writer)
{
    const gn2_params *params = model->params;
    GN2_TRY(gn2_container_add_vital(writer, KEY_KIND, kind));
    GN2_TRY(put_configs(model, writer));
    GN2_TRY(put_scales(&model->h, writer));
    for (size_t i = 0; i < params->count; i++)
        GN2_TRY(put_param(&params->tensor[i], writer));
    for (size_t i = 0; i < params->count; i++) {
        const gn2_tensor_info info = info_of(&params->tensor[i]);
        GN2_TRY(gn2_container_add_tensor(writer, &info,
                                         weights + params->tensor[i].offset));
    }
    return GN2_OK;
}

gn2_status gn2_model_file_finish(const gn2_model *model, unsigned char **out_data,
                                 size_t *out_size)
{
    gn2_container_writer *writer;
    GN2_TRY(gn2_container_writer_create(&writer));
    gn2_status status =
        gn2_model_file_put(model, model->weights, GN2_KIND_MODEL, writer);
    if (status == GN2_OK) status = gn2_container_finish(writer, out_data, out_size);
    gn2_container_writer_free(writer);
    return status;
}

gn2_status gn2_model_file_save(const gn2_model *model, const char *path)
{
    unsigned char *data;
    size_t size;
    GN2_TRY(gn2_model_file_finish(model, &data, &size));
    const gn2_status status = gn2_file_write_atomic(path, data, size);
    gn2_free(data);
    return status;
}

static gn2_status keep_stored(const gn2_config *from, gn2_config *to)
{
    const char *key, *text;
    for (size_t i = 0; gn2_config_next(from, &i, &key, &text);)
        if (is_stored(key)) GN2_TRY(gn2_config_put_text(to, key, text));
    return GN2_OK;
}

gn2_status gn2_model_file_config(const gn2_model *model, gn2_config **out_config)
{
    GN2_TRY(gn2_config_new(out_config));
    const gn2_status status = keep_stored(model->config, *out_config);
    if (status == GN2_OK) return GN2_OK;
    gn2_config_delete(*out_config);
    *out_config = NULL;
    return status;
}

/* ---- reading ---- */

/* A value a file should not hold is the file's fault, not the caller's. */
static gn2_status blame_file(const gn2_container *c, gn2_status status)
{
    if (status != GN2_ERR_INVALID_ARG && status != GN2_ERR_NOT_FOUND) return status;
    return gn2_container_bad(c, "%s", gn2_error_text());
}

static gn2_status check_kind(const gn2_container *c)
{
    const char *kind = gn2_container_header(c, KEY_KIND);
    if (kind && (!strcmp(kind, GN2_KIND_MODEL) || !strcmp(kind, GN2_KIND_CHECKPOINT)))
        return gn2_container_check_vital(c, gn2_model_file_knows);
    return gn2_container_bad(c, "kind '%.50s' is not a model or checkpoint",
                             kind ? kind : "");
}

static gn2_status get_config(const gn2_container *c, gn2_config *config)
{
    for (size_t i = 0; i < gn2_container_header_count(c); i++) {
        const char *key, *value;
        gn2_container_header_at(c, i, &key, &value);
        if (is_stored(key) && gn2_config_find_row(key))
            GN2_TRY(blame_file(c, gn2_config_put_text(config, key, value)));
    }
    return GN2_OK;
}

static void shape_text(const uint64_t *shape, int32_t rank, char out[64])
{
    if (rank == 1)
        snprintf(out, 64, "(%" PRIu64 ")", shape[0]);
    else if (rank == 2)
        snprintf(out, 64, "(%" PRIu64 ", %" PRIu64 ")", shape[0], shape[1]);
    else
        snprintf(out, 64, "%" PRId32 " axes", rank);
}

static gn2_status check_shape(const gn2_container *c, const gn2_tensor *t)
{
    size_t index;
    if (gn2_container_find(c, t->name, &index) != GN2_OK)
        return gn2_container_bad(c, "tensor '%s' is missing", t->name);
    const gn2_tensor_info *has = gn2_container_tensor_info(c, index);
    const gn2_tensor_info needs = info_of(t);
    if (has->dtype != needs.dtype)
        return gn2_container_bad(c, "tensor '%s' is not float32", t->name);
    const int same = has->rank == needs.rank && has->shape[0] == needs.shape[0] &&
                     (needs.rank < 2 || has->shape[1] == needs.shape[1]);
    if (same) return GN2_OK;
    char file[64], model[64];
    shape_text(has->shape, has->rank, file);
    shape_text(needs.shape, needs.rank, model);
    return gn2_fail(GN2_ERR_SHAPE, "%s: tensor '%s': file has %s, model needs %s",
                    gn2_container_origin(c), t->name, file, model);
}

/* Everything the config asks for is there, and nothing else: names come once, so
 * counting is enough, and only a file that is refused is searched. */
static gn2_status check_tensors(const gn2_container *c, const gn2_params *params)
{
    const size_t count = gn2_container_tensor_count(c);
    size_t own = 0;
    for (size_t i = 0; i < params->count; i++)
        GN2_TRY(check_shape(c, &params->tensor[i]));
    for (size_t i = 0; i < count; i++)
        own += !starts_with(gn2_container_tensor_info(c, i)->name, TRAINER_PREFIX);
    for (size_t i = 0; i < count && own != params->count; i++) {
        const char *name = gn2_container_tensor_info(c, i)->name;
        if (!gn2_params_find(params, name) && !starts_with(name, TRAINER_PREFIX))
            return gn2_container_bad(c, "tensor '%s' is not of this model", name);
    }
    return GN2_OK;
}

/* A config may ask for more memory than the file has bytes for: tensors are
 * compared before a model of that size is made. */
static gn2_status check_architecture(const gn2_container *c, const gn2_config *config)
{
    gn2_hparams h;
    gn2_params *params = NULL;
    GN2_TRY(blame_file(c, gn2_hparams_read(config, &h)));
    GN2_TRY(gn2_params_create(&h, &params));
    const gn2_status status = check_tensors(c, params);
    gn2_free(params);
    return status;
}

static gn2_status get_tensor(const gn2_container *c, const gn2_tensor *t,
                             float *weights)
{
    size_t index;
    GN2_TRY(gn2_container_find(c, t->name, &index));
    GN2_TRY(gn2_container_read(c, index, weights, (size_t)t->count * sizeof *weights));
    for (int64_t i = 0; i < t->count; i++)
        if (!isfinite(weights[i]))
            return gn2_container_bad(
                c, "tensor '%s': element %" PRId64 " is NaN or Inf", t->name, i);
    return GN2_OK;
}

static gn2_status get_scale(const gn2_container *c, const char *key, double *out)
{
    const char *text = gn2_container_header(c, key);
    if (text && parse_factor(text, out)) return GN2_OK;
    return gn2_container_bad(
        c, "header key '%s' is missing or no number from 0 to 3.4e38", key);
}

/* Scales and multipliers are the file's: a later library may compute others. */
static gn2_status fill_model(const gn2_container *c, gn2_model *model)
{
    double attention = 0, readout = 0;
    GN2_TRY(get_scale(c, GN2_SCALE_ATTENTION, &attention));
    GN2_TRY(get_scale(c, GN2_SCALE_READOUT, &readout));
    gn2_model_set_scales(model, attention, readout);
    for (size_t i = 0; i < model->params->count; i++) {
        gn2_tensor *t = &model->params->tensor[i];
        GN2_TRY(get_param(c, t));
        GN2_TRY(get_tensor(c, t, model->weights + t->offset));
    }
    return GN2_OK;
}

static gn2_status build_model(const gn2_container *c, const gn2_config *config,
                              gn2_model **out_model)
{
    gn2_model *model = NULL;
    GN2_TRY(check_architecture(c, config));
    GN2_TRY(blame_file(c, gn2_model_new(config, &model)));
    const gn2_status status = fill_model(c, model);
    if (status == GN2_OK)
        *out_model = model;
    else
        gn2_model_unref(model);
    return status;
}

/* Defaults under what the keys of a model or checkpoint say. */
static gn2_status config_of(const gn2_container *c, gn2_config **out_config)
{
    *out_config = NULL;
    GN2_TRY(check_kind(c));
    GN2_TRY(gn2_config_new(out_config));
    const gn2_status status = get_config(c, *out_config);
    if (status == GN2_OK) return GN2_OK;
    gn2_config_delete(*out_config);
    *out_config = NULL;
    return status;
}

gn2_status gn2_model_file_get(const gn2_container *container, gn2_model **out_model)
{
    gn2_config *config;
    *out_model = NULL;
    GN2_TRY(config_of(container, &config));
    const gn2_status status = build_model(container, config, out_model);
    gn2_config_delete(config);
    return status;
}

gn2_status gn2_model_file_inspect(const char *path, gn2_config **out_config)
{
    gn2_container *container;
    *out_config = NULL;
    GN2_TRY(gn2_container_open_header(path, &container));
    const gn2_status status = config_of(container, out_config);
    gn2_container_close(container);
    return status;
}

static gn2_status get_and_close(gn2_container *container, gn2_model **out_model)
{
    const gn2_status status = gn2_model_file_get(container, out_model);
    gn2_container_close(container);
    return status;
}

gn2_status gn2_model_file_load(const char *path, gn2_model **out_model)
{
    gn2_container *container;
    *out_model = NULL;
    GN2_TRY(gn2_container_open_file(path, &container));
    return get_and_close(container, out_model);
}

gn2_status gn2_model_file_load_buffer(const void *data, size_t size,
                                      gn2_model **out_model)
{
    gn2_container *container;
    *out_model = NULL;
    GN2_TRY(gn2_container_open(data, size, "buffer", &container));
    return get_and_close(container, out_model);
}
