/* SPDX-License-Identifier: Apache-2.0 */
#include "common/testreal.h"

#include "common/need.h"
#include "net/tasks.h"
#include "util/alloc.h"

real *R(testreal)(const double *x, int64_t count)
{
    real *y = need_memory((size_t)count, sizeof *y);
    for (int64_t i = 0; i < count; i++) y[i] = (real)x[i];
    return y;
}

void R(testreal_back)(double *y, const real *x, int64_t count)
{
    for (int64_t i = 0; i < count; i++) y[i] = (double)x[i];
}

/* List of a key into x, or `value` throughout when it is empty. */
static void read_list(const gn2_config *c, const char *format, const char *object,
                      real value, real *x, int64_t count)
{
    char key[128];
    gn2_config_key_of(key, format, object);
    const int64_t given = (int64_t)gn2_config_list_count(c, key);
    need_true(given == 0 || given == count, key);
    for (int64_t i = 0; i < count; i++)
        x[i] = given ? (real)gn2_config_f64_item(c, key, (size_t)i) : value;
}

static void set_norm(R(gn2_net) *net, const testmodel *model, int s)
{
    const gn2_config *c = model->config;
    const gn2_hparams *h = &model->h;
    const char *own = gn2_config_list_item(c, "model.constituents", (size_t)s);
    const int64_t jets = h->jet_inputs, all = h->init[s].size[0];
    real *mean = need_memory((size_t)all, sizeof *mean);
    real *std = need_memory((size_t)all, sizeof *std);
    read_list(c, "norm.%s.mean", "jets", 0, mean, jets);
    read_list(c, "norm.%s.mean", own, 0, mean + jets, all - jets);
    read_list(c, "norm.%s.std", "jets", 1, std, jets);
    read_list(c, "norm.%s.std", own, 1, std + jets, all - jets);
    R(gn2_net_set_norm_real)(net, s, mean, std);
    gn2_free(mean);
    gn2_free(std);
}

static void set_class_weights(R(gn2_net) *net, const testmodel *model, int k)
{
    double weights[64];
    char key[128];
    gn2_config_key_of(key, "task.%s.class_weights", model->h.task[k].name);
    const size_t count = gn2_config_list_count(model->config, key);
    need_true(count <= 64, "at most 64 classes");
    for (size_t i = 0; i < count; i++)
        weights[i] = gn2_config_f64_item(model->config, key, i);
    need_ok(R(gn2_net_set_class_weights)(net, k, weights, count), key);
}

void R(testreal_set_norms)(R(gn2_net) *net, const testmodel *model)
{
    for (int s = 0; s < model->h.sequence_count; s++) set_norm(net, model, s);
    for (int k = 0; k < model->h.task_count; k++)
        if (R(gn2_task_kind_of)(&model->h.task[k])->classifies)
            set_class_weights(net, model, k);
}

void R(testreal_batch)(R(gn2_batch) *batch, const testbatch *source)
{
    *batch = (R(gn2_batch)){.jets = source->jets};
    batch->jet.data = R(testreal)(source->jet, source->jets * source->jet_inputs);
    batch->jet.ld = source->jet_inputs;
    for (int s = 0; s < source->count; s++) {
        const testrows *rows = &source->sequence[s];
        batch->sequence[s] = (R(gn2_rows)){
            .data = R(testreal)(rows->data, rows->slots * rows->inputs),
            .ld = rows->inputs,
            .offset = rows->offset,
            .row = rows->row,
        };
    }
}

/* The batch only reads its data; here they are ours. */
static void free_data(const real *data)
{
    union {
        const real *in;
        void *out;
    } block = {.in = data};
    gn2_free(block.out);
}

void R(testreal_batch_free)(R(gn2_batch) *batch)
{
    free_data(batch->jet.data);
    for (int s = 0; s < GN2_MAX_SEQUENCES; s++) free_data(batch->sequence[s].data);
}
