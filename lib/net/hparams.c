/* SPDX-License-Identifier: Apache-2.0 */
#include "net/hparams.h"

#include <math.h>
#include <string.h>

#include "util/error.h"

static const char *const task_names[GN2_TASK_COUNT] = {
    "jets_classification", "track_origin", "track_vertexing"};

static int choice(const gn2_config *c, const char *key, const char *const *words)
{
    const char *value = gn2_config_str(c, key);
    int i = 0;
    while (words[i] && strcmp(words[i], value) != 0) i++;
    return i;
}

static int says(const gn2_config *c, const char *key, const char *word)
{
    return strcmp(gn2_config_str(c, key), word) == 0;
}

/* Hidden sizes of a key between `in` and `out`. */
static gn2_status read_dense(const gn2_config *c, const char *key, int64_t in,
                             int64_t out, gn2_dense *dense)
{
    const size_t hidden = gn2_config_list_count(c, key);
    if (hidden >= GN2_DENSE_MAX)
        return gn2_fail(GN2_ERR_INVALID_ARG, "%s: %zu hidden layers, at most %d", key,
                        hidden, GN2_DENSE_MAX - 1);
    dense->depth = (int32_t)hidden + 1;
    dense->size[0] = in;
    for (size_t i = 0; i < hidden; i++) {
        const double size = gn2_config_f64_item(c, key, i);
        if (size != floor(size))
            return gn2_fail(GN2_ERR_INVALID_ARG, "%s: %g is not a whole number", key,
                            size);
        dense->size[i + 1] = (int64_t)size;
    }
    dense->size[hidden + 1] = out;
    return GN2_OK;
}

static gn2_status find_sequence(const gn2_config *c, const char *key, int *out)
{
    const char *name = gn2_config_str(c, key);
    const size_t count = gn2_config_list_count(c, "model.constituents");
    for (size_t s = 0; s < count; s++) {
        if (strcmp(gn2_config_list_item(c, "model.constituents", s), name) != 0)
            continue;
        *out = (int)s;
        return GN2_OK;
    }
    return gn2_fail(GN2_ERR_INVALID_ARG, "%s = %s: not one of model.constituents", key,
                    name);
}

static gn2_status check_unique(const gn2_config *c, const char *key)
{
    const size_t count = gn2_config_list_count(c, key);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++) {
            const char *name = gn2_config_list_item(c, key, i);
            if (strcmp(name, gn2_config_list_item(c, key, j)) == 0)
                return gn2_fail(GN2_ERR_INVALID_ARG, "%s: '%s' occurs twice", key,
                                name);
        }
    return GN2_OK;
}

static gn2_status read_inputs(const gn2_config *c, gn2_hparams *h)
{
    GN2_TRY(check_unique(c, "inputs.jets"));
    GN2_TRY(check_unique(c, "model.constituents"));
    h->jet_inputs = (int64_t)gn2_config_list_count(c, "inputs.jets");
    const size_t count = gn2_config_list_count(c, "model.constituents");
    if (count < 1 || count > GN2_MAX_SEQUENCES)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "model.constituents: %zu types, 1 to %d are possible", count,
                        GN2_MAX_SEQUENCES);
    h->sequence_count = (int32_t)count;
    for (size_t s = 0; s < count; s++) {
        char key[128];
        const char *object = gn2_config_list_item(c, "model.constituents", s);
        GN2_TRY(gn2_config_check_object(object));
        if (strcmp(object, "jets") == 0)
            return gn2_fail(GN2_ERR_INVALID_ARG,
                            "model.constituents: 'jets' is the global object");
        gn2_config_key_of(key, "inputs.%s", object);
        GN2_TRY(check_unique(c, key));
        h->sequence_inputs[s] = (int64_t)gn2_config_list_count(c, key);
        if (h->sequence_inputs[s] + h->jet_inputs == 0)
            return gn2_fail(GN2_ERR_INVALID_ARG, "%s: no inputs", key);
        GN2_TRY(read_dense(c, "model.init_hidden",
                           h->jet_inputs + h->sequence_inputs[s], h->embed_dim,
                           &h->init[s]));
    }
    return GN2_OK;
}

static gn2_status read_encoder(const gn2_config *c, gn2_hparams *h)
{
    static const char *const norms[] = {"post", "pre", "none", NULL};
    h->embed_dim = gn2_config_i64(c, "model.embed_dim");
    h->num_layers = gn2_config_i64(c, "model.num_layers");
    h->num_heads = gn2_config_i64(c, "model.num_heads");
    h->ffn_hidden = gn2_config_i64(c, "model.ffn_hidden");
    h->out_dim = gn2_config_i64(c, "model.out_dim");
    h->num_registers = gn2_config_i64(c, "model.num_registers");
    h->norm_eps = gn2_config_f64(c, "model.norm_eps");
    h->legacy = says(c, "model.encoder", "legacy");
    h->final_norm = (gn2_final_norm)choice(c, "model.final_norm_pos", norms);
    h->dropout_init = gn2_config_f64(c, "model.dropout_init");
    h->dropout_ffn = gn2_config_f64(c, "model.dropout_ffn");
    h->dropout_heads = gn2_config_f64(c, "model.dropout_heads");
    h->torch_init = says(c, "model.init", "torch");
    h->seed = (uint64_t)gn2_config_i64(c, "model.seed");
    if (h->ffn_hidden == 0) h->ffn_hidden = 2 * h->embed_dim;
    if (h->embed_dim % h->num_heads)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "model.num_heads = %lld: must divide model.embed_dim = %lld",
                        (long long)h->num_heads, (long long)h->embed_dim);
    h->head_dim = h->embed_dim / h->num_heads;
    return GN2_OK;
}

static gn2_status read_zero_start(const gn2_config *c, gn2_hparams *h)
{
    const int mup = h->parametrization != GN2_PARAM_SP;
    h->zero_readout = mup && says(c, "model.zero_readout", "yes");
    h->zero_query = mup && says(c, "model.zero_query", "yes");
    h->plain_decay = says(c, "optim.decay_scaling", "none");
    if (h->zero_readout && h->final_norm == GN2_FINAL_POST)
        return gn2_fail(
            GN2_ERR_INVALID_ARG,
            "model.zero_readout = yes: the norm behind it (model.final_norm_pos = "
            "post) would divide 0 by 0; use pre");
    return GN2_OK;
}

/* d_h0. With a fixed number of heads it may be a fraction: nothing is made of it. */
static gn2_status read_base_head_dim(const gn2_config *c, const gn2_hparams *h,
                                     double *out)
{
    const int64_t given = gn2_config_i64(c, "model.base_heads");
    *out = (double)h->base_width / (double)(given ? given : h->num_heads);
    if (given == 0 || h->base_width % given == 0) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG,
                    "model.base_heads = %lld: must divide model.base_width = %lld",
                    (long long)given, (long long)h->base_width);
}

/* (1/√d_h0)·(d_h0/d_h): to the bit SP's 1/√d_h where the head size is the base's,
 * be it that the width is or that heads were added. */
static gn2_status read_mup(const gn2_config *c, gn2_hparams *h)
{
    double base;
    GN2_TRY(read_base_head_dim(c, h, &base));
    h->attn_scale = 1 / sqrt(base) * (base / (double)h->head_dim);
    if (h->final_norm != GN2_FINAL_POST)
        h->readout_mult = (double)h->base_width / (double)h->embed_dim;
    return GN2_OK;
}

static gn2_status read_parametrization(const gn2_config *c, gn2_hparams *h)
{
    static const char *const forms[] = {"sp", "mup", "mup_absolute", NULL};
    h->parametrization = (gn2_parametrization)choice(c, "model.parametrization", forms);
    h->base_width = gn2_config_i64(c, "model.base_width");
    h->sgd = says(c, "optim.name", "sgd");
    h->readout_mult = 1;
    h->attn_scale = 1 / sqrt((double)h->head_dim);
    if (h->parametrization == GN2_PARAM_MUP) return read_mup(c, h);
    if (h->parametrization == GN2_PARAM_MUP_ABSOLUTE)
        h->attn_scale = 1 / (double)h->head_dim;
    return GN2_OK;
}

static gn2_status read_task(const gn2_config *c, gn2_hparams *h, gn2_task_id id)
{
    const int64_t outputs[GN2_TASK_COUNT] = {h->classes, h->origins, 1};
    gn2_task *task = &h->task[id];
    char key[128];
    gn2_config_key_of(key, "task.%s.weight", task_names[id]);
    task->weight = gn2_config_f64(c, key);
    gn2_config_key_of(key, "task.%s.hidden", task_names[id]);
    GN2_TRY(
        read_dense(c, key, h->out_dim * (1 + (int64_t)id), outputs[id], &task->net));
    if (id == GN2_TASK_VERTEX && task->net.depth < 2)
        return gn2_fail(GN2_ERR_INVALID_ARG, "%s: needs a hidden layer", key);
    if (id == GN2_TASK_JETS) return GN2_OK;
    gn2_config_key_of(key, "task.%s.object", task_names[id]);
    return find_sequence(c, key, &task->sequence);
}

static gn2_status check_class_weights(const gn2_config *c, const char *key,
                                      int64_t classes)
{
    const size_t count = gn2_config_list_count(c, key);
    if (count == 0 || (int64_t)count == classes) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG, "%s: %zu weights for %lld classes", key, count,
                    (long long)classes);
}

static gn2_status read_tasks(const gn2_config *c, gn2_hparams *h)
{
    GN2_TRY(check_unique(c, "model.tasks"));
    GN2_TRY(check_unique(c, "model.classes"));
    h->classes = (int64_t)gn2_config_list_count(c, "model.classes");
    h->origins = (int64_t)gn2_config_list_count(c, "task.track_origin.classes");
    if (h->classes < 2 || h->classes > GN2_MAX_CLASSES)
        return gn2_fail(GN2_ERR_INVALID_ARG, "model.classes: %lld, must be 2 to %d",
                        (long long)h->classes, GN2_MAX_CLASSES);
    for (size_t k = 0; k < gn2_config_list_count(c, "model.tasks"); k++)
        for (int id = 0; id < GN2_TASK_COUNT; id++) {
            const char *name = gn2_config_list_item(c, "model.tasks", k);
            if (strcmp(name, task_names[id]) != 0) continue;
            h->task[id].on = 1;
            h->task[id].index = (int)k;
            GN2_TRY(read_task(c, h, (gn2_task_id)id));
        }
    if (!h->task[GN2_TASK_JETS].on)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "model.tasks: jets_classification must be there");
    if (h->task[GN2_TASK_ORIGIN].on && h->origins < 2)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "task.track_origin.classes: %lld, at least 2",
                        (long long)h->origins);
    GN2_TRY(
        check_class_weights(c, "task.jets_classification.class_weights", h->classes));
    return check_class_weights(c, "task.track_origin.class_weights", h->origins);
}

gn2_status gn2_hparams_read(const gn2_config *config, gn2_hparams *out)
{
    static const char *const pairs[] = {"salt", "symmetric", "none", NULL};
    gn2_hparams h = {0};
    GN2_TRY(read_encoder(config, &h));
    GN2_TRY(read_inputs(config, &h));
    GN2_TRY(read_tasks(config, &h));
    GN2_TRY(read_parametrization(config, &h));
    GN2_TRY(read_zero_start(config, &h));
    h.replace_non_finite = says(config, "input.non_finite", "default");
    h.pair_weights =
        (gn2_pair_weights)choice(config, "task.track_vertexing.pair_weights", pairs);
    *out = h;
    return GN2_OK;
}
