/* SPDX-License-Identifier: Apache-2.0 */
/* The architecture from a config: read in the order in which parts build on others. */
#include <math.h>
#include <string.h>

#include "net/parametrization.h"
#include "net/tasks.h"
#include "optim/optimizer.h"
#include "util/error.h"
#include "util/index.h"
#include "util/str.h"

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

static gn2_status add_unique(gn2_index *names, const char *name, const char *key)
{
    if (gn2_index_find(names, name))
        return gn2_fail(GN2_ERR_INVALID_ARG, "%s: '%s' occurs twice", key, name);
    return gn2_index_add(names, name, names) ? GN2_OK : gn2_fail_memory();
}

static gn2_status check_unique(const gn2_config *c, const char *key)
{
    gn2_index names = {0};
    gn2_status status = GN2_OK;
    const size_t count = gn2_config_list_count(c, key);
    for (size_t i = 0; i < count && status == GN2_OK; i++)
        status = add_unique(&names, gn2_config_list_item(c, key, i), key);
    gn2_index_clear(&names);
    return status;
}

/* ---- inputs and encoder ---- */

static gn2_status read_sequence(const gn2_config *c, size_t s, gn2_hparams *h)
{
    char key[128];
    const char *object = gn2_config_list_item(c, "model.constituents", s);
    GN2_TRY(gn2_config_check_name(object, "model.constituents"));
    if (strcmp(object, "jets") == 0)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "model.constituents: 'jets' is the global object");
    gn2_config_key_of(key, "inputs.%s", object);
    GN2_TRY(check_unique(c, key));
    h->sequence_inputs[s] = (int64_t)gn2_config_list_count(c, key);
    const int64_t inputs = h->jet_inputs + h->sequence_inputs[s];
    if (inputs == 0) return gn2_fail(GN2_ERR_INVALID_ARG, "%s: no inputs", key);
    return read_dense(c, "model.init_hidden", inputs, h->embed_dim, &h->init[s]);
}

/* By gn2_input_number. */
static const struct input_list {
    const char *key;
    double otherwise;
} input_lists[] = {{"norm.%s.mean", 0}, {"norm.%s.std", 1}, {"input.defaults.%s", 0}};

const double *gn2_input_numbers(const gn2_config *config, const char *object,
                                gn2_input_number which, double *out_for_all)
{
    char key[128];
    gn2_config_key_of(key, input_lists[which].key, object);
    *out_for_all = input_lists[which].otherwise;
    return gn2_config_list_count(config, key) ? gn2_config_f64_list(config, key) : NULL;
}

gn2_status gn2_input_numbers_check(const gn2_config *config, const char *object,
                                   size_t inputs)
{
    char key[128];
    for (size_t k = 0; k < sizeof input_lists / sizeof *input_lists; k++) {
        gn2_config_key_of(key, input_lists[k].key, object);
        const size_t count = gn2_config_list_count(config, key);
        if (count != 0 && count != inputs)
            return gn2_fail(GN2_ERR_INVALID_ARG, "%s: %zu values for %zu inputs", key,
                            count, inputs);
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
    for (size_t s = 0; s < count; s++) GN2_TRY(read_sequence(c, s, h));
    return GN2_OK;
}

static gn2_status read_encoder(const gn2_config *c, gn2_hparams *h)
{
    GN2_TRY(gn2_block_read(c, &h->block));
    gn2_readout_read(c, &h->readout);
    h->embed_dim = h->block.width;
    h->out_dim = h->readout.out;
    h->num_layers = gn2_config_i64(c, "model.num_layers");
    h->num_registers = gn2_config_i64(c, "model.num_registers");
    h->dropout_init = gn2_config_f64(c, "model.dropout_init");
    h->dropout_heads = gn2_config_f64(c, "model.dropout_heads");
    h->torch_init = gn2_config_says(c, "model.init", "torch");
    h->seed = (uint64_t)gn2_config_i64(c, "model.seed");
    h->replace_non_finite = gn2_config_says(c, "input.non_finite", "default");
    return GN2_OK;
}

/* ---- parametrisation ---- */

/* d_h0. With a fixed number of heads it may be a fraction: nothing is made of it. */
static gn2_status read_base_head_dim(const gn2_config *c, const gn2_hparams *h,
                                     double *out)
{
    const int64_t given = gn2_config_i64(c, "model.base_heads");
    *out = (double)h->base_width / (double)(given ? given : h->block.attention.heads);
    if (given == 0 || h->base_width % given == 0) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG,
                    "model.base_heads = %lld: must divide model.base_width = %lld",
                    (long long)given, (long long)h->base_width);
}

static gn2_status read_zero_start(const gn2_config *c, gn2_hparams *h)
{
    const int grows = gn2_parametrizations[h->parametrization].grows;
    h->readout.zero_start = grows && gn2_config_says(c, "model.zero_readout", "yes");
    h->block.zero_query = grows && gn2_config_says(c, "model.zero_query", "yes");
    h->plain_decay = gn2_config_says(c, "optim.decay_scaling", "none");
    if (h->readout.zero_start && h->readout.norm == GN2_FINAL_POST)
        return gn2_fail(
            GN2_ERR_INVALID_ARG,
            "model.zero_readout = yes: the norm behind it (model.final_norm_pos = "
            "post) would divide 0 by 0; use pre");
    return GN2_OK;
}

static gn2_status read_parametrization(const gn2_config *c, gn2_hparams *h)
{
    double base_head_dim = 0;
    const char *name = gn2_config_str(c, "model.parametrization");
    const gn2_parametrization *row = gn2_parametrizations;
    while (row->name && strcmp(row->name, name) != 0) row++;
    if (!row->name)
        return gn2_fail(GN2_ERR_INVALID_ARG, "model.parametrization: no '%s'", name);
    h->parametrization = (int)(row - gn2_parametrizations);
    h->base_width = gn2_config_i64(c, "model.base_width");
    h->rule = gn2_optimizer_find_f32(gn2_config_str(c, "optim.name"))->rule;
    if (row->relative) GN2_TRY(read_base_head_dim(c, h, &base_head_dim));
    row->forward(h, base_head_dim);
    return read_zero_start(c, h);
}

/* ---- tasks ---- */

/* The type whose constituents the task is about, −1: the jets. */
static gn2_status read_object(const gn2_task_reader *r, int *out_sequence)
{
    char key[128];
    const char *name = gn2_config_str(r->config, gn2_task_key(r, "object", key));
    const size_t count = gn2_config_list_count(r->config, "model.constituents");
    *out_sequence = -1;
    if (strcmp(name, "jets") == 0) return GN2_OK;
    for (size_t s = 0; s < count; s++) {
        const char *type = gn2_config_list_item(r->config, "model.constituents", s);
        if (strcmp(type, name) != 0) continue;
        *out_sequence = (int)s;
        return GN2_OK;
    }
    return gn2_fail(GN2_ERR_INVALID_ARG,
                    "%s = %s: neither jets nor one of model.constituents", key, name);
}

static gn2_status read_kind(const gn2_task_reader *r, gn2_task *task)
{
    char key[128], known[GN2_NAME_LIST_SIZE] = "";
    const char *name = gn2_config_str(r->config, gn2_task_key(r, "kind", key));
    task->kind = gn2_task_kind_find(name);
    if (task->kind >= 0) return GN2_OK;
    for (int i = 0; gn2_task_kinds_f32[i]; i++)
        gn2_name_list_add(known, gn2_task_kinds_f32[i]->name);
    return gn2_fail(GN2_ERR_INVALID_ARG, "%s = '%s': must be one of%s", key, name,
                    known);
}

static gn2_status read_rows(const gn2_task_reader *r, gn2_task *task)
{
    const int pairs = gn2_task_kind_of_f32(task)->pairs;
    GN2_TRY(read_object(r, &task->sequence));
    task->rows = task->sequence < 0 ? GN2_OVER_JETS
                 : pairs            ? GN2_OVER_PAIRS
                                    : GN2_OVER_CONSTITUENTS;
    if (!pairs) return GN2_OK;
    if (task->sequence < 0)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "task.%s.object = jets: %s is about pairs of constituents",
                        task->name, gn2_task_kind_of_f32(task)->name);
    if (r->h->pairs < 0) return GN2_OK;
    return gn2_fail(GN2_ERR_UNSUPPORTED,
                    "model.tasks: '%s' and '%s' are both about pairs, one is possible",
                    r->h->task[r->h->pairs].name, task->name);
}

static gn2_status read_head(const gn2_task_reader *r, gn2_task *task)
{
    int64_t columns;
    char key[128];
    task->weight = gn2_config_f64(r->config, gn2_task_key(r, "weight", key));
    task->weighted =
        gn2_config_str(r->config, gn2_task_key(r, "sample_weight", key))[0] != 0;
    GN2_TRY(check_unique(r->config, gn2_task_key(r, "targets", key)));
    GN2_TRY(check_unique(r->config, gn2_task_key(r, "classes", key)));
    GN2_TRY(gn2_task_kind_of_f32(task)->read(r, task, &columns));
    GN2_TRY(read_dense(r->config, gn2_task_key(r, "hidden", key),
                       r->h->out_dim * (int64_t)task->rows, columns, &task->net));
    if (task->rows == GN2_OVER_PAIRS && task->net.depth < 2)
        return gn2_fail(GN2_ERR_INVALID_ARG, "%s: needs a hidden layer", key);
    return GN2_OK;
}

static gn2_status read_task(const gn2_config *c, size_t k, gn2_hparams *h)
{
    gn2_task *task = &h->task[k];
    const gn2_task_reader r = {.config = c, .h = h, .task = task};
    const char *name = gn2_config_list_item(c, "model.tasks", k);
    GN2_TRY(gn2_config_check_name(name, "model.tasks"));
    strncpy(task->name, name, sizeof task->name - 1);
    task->partner = -1;
    task->targets = 1;
    GN2_TRY(read_kind(&r, task));
    GN2_TRY(read_rows(&r, task));
    GN2_TRY(read_head(&r, task));
    const int classifies = gn2_task_kind_of_f32(task)->classifies;
    if (h->flavour < 0 && classifies && task->rows == GN2_OVER_JETS)
        h->flavour = (int32_t)k;
    if (task->rows == GN2_OVER_PAIRS) h->pairs = (int32_t)k;
    h->task_count = (int32_t)k + 1;
    return GN2_OK;
}

static gn2_status read_tasks(const gn2_config *c, gn2_hparams *h)
{
    const size_t count = gn2_config_list_count(c, "model.tasks");
    GN2_TRY(check_unique(c, "model.tasks"));
    GN2_TRY(check_unique(c, "model.classes"));
    if (count < 1 || count > GN2_MAX_TASKS)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "model.tasks: %zu tasks, 1 to %d are possible", count,
                        GN2_MAX_TASKS);
    h->flavour = h->pairs = -1;
    for (size_t k = 0; k < count; k++) GN2_TRY(read_task(c, k, h));
    for (size_t k = 0; k < count; k++) {
        const gn2_task_reader r = {.config = c, .h = h, .task = &h->task[k]};
        const gn2_task_kind_f32 *kind = gn2_task_kind_of_f32(&h->task[k]);
        if (kind->link) GN2_TRY(kind->link(&r, &h->task[k]));
    }
    h->classes = h->flavour < 0 ? 0 : gn2_task_columns(&h->task[h->flavour]);
    return gn2_tasks_check(c, h);
}

gn2_status gn2_hparams_tasks(const gn2_config *config, gn2_hparams *out)
{
    gn2_hparams h = {.embed_dim = gn2_config_i64(config, "model.embed_dim"),
                     .out_dim = gn2_config_i64(config, "model.out_dim")};
    GN2_TRY(read_inputs(config, &h));
    GN2_TRY(read_tasks(config, &h));
    *out = h;
    return GN2_OK;
}

gn2_status gn2_hparams_read(const gn2_config *config, gn2_hparams *out)
{
    gn2_hparams h = {0};
    GN2_TRY(read_encoder(config, &h));
    GN2_TRY(read_inputs(config, &h));
    GN2_TRY(read_parametrization(config, &h));
    GN2_TRY(read_tasks(config, &h));
    *out = h;
    return GN2_OK;
}

int gn2_hparams_task(const gn2_hparams *h, const char *name)
{
    for (int k = 0; k < h->task_count; k++)
        if (strcmp(h->task[k].name, name) == 0) return k;
    return -1;
}
