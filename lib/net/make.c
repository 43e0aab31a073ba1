/* SPDX-License-Identifier: Apache-2.0 */
/* Declaring, making, packing and freeing the network. */
#include "net/net.h"

#include "net/head.h"
#include "net/tasks.h"
#include "util/alloc.h"
#include "util/error.h"

/* ---- parameters ---- */

static void declare_trunk(R(gn2_net) *net, gn2_declaration *d)
{
    const gn2_hparams *h = net->h;
    for (int s = 0; s < h->sequence_count; s++) {
        gn2_declare_name(d->prefix, "init_nets.%d.net.net.", s);
        R(gn2_mlp_declare)
        (d, &net->init[s], &h->init[s], h->dropout_init > 0, GN2_GROWS_OUT);
    }
    gn2_declare_name(d->prefix, "encoder.");
    net->registers = -1;
    if (h->num_registers > 0) {
        const gn2_tensor like = {
            .growth = GN2_GROWS_OUT,
            .shape = {h->num_registers, h->embed_dim},
            .fan_in = 1,
            .fan_out = h->embed_dim,
            .start = GN2_START_NORMAL,
            .init_std = 1e-4, /* salt.models.transformer */
        };
        net->registers = gn2_declare(d, "registers", "", &like)->offset;
    }
    for (int64_t i = 0; i < h->num_layers; i++) {
        gn2_declare_name(d->prefix, "encoder.layers.%lld.", (long long)i);
        R(gn2_block_declare)(d, &net->block[i]);
    }
    gn2_declare_name(d->prefix, "encoder.");
    R(gn2_readout_declare)(d, &net->readout);
    gn2_declare_name(d->prefix, "pool_net.");
    R(gn2_pool_declare)(d, &net->pool, h->out_dim);
}

void R(gn2_net_declare)(R(gn2_net) *net, gn2_declaration *d)
{
    const gn2_hparams *h = net->h;
    declare_trunk(net, d);
    /* Behind a readout of zeros every ReLU of the heads would stand at 0, where its
     * gradient is 0 as well: without biases nothing would ever move. */
    if (h->readout.zero_start) d->biased = 1;
    for (int k = 0; k < h->task_count; k++) {
        gn2_declare_name(d->prefix, "tasks.%d.net.net.", k);
        R(gn2_head_declare)(d, &net->head[k], &h->task[k], h->dropout_heads > 0);
    }
}

/* ---- every linear map of the net, in order ---- */

static void each_linear(R(gn2_net) *net, R(gn2_linear_fn) fn, void *user)
{
    const gn2_hparams *h = net->h;
    for (int s = 0; s < h->sequence_count; s++)
        R(gn2_mlp_each)(&net->init[s], 0, fn, user);
    for (int64_t i = 0; i < h->num_layers; i++)
        R(gn2_block_each)(&net->block[i], fn, user);
    fn(&net->readout.out, user);
    for (int k = 0; k < h->task_count; k++) R(gn2_head_each)(&net->head[k], fn, user);
}

static void list_one(R(gn2_linear) *l, void *user)
{
    R(gn2_net) *net = user;
    if (net->linears) net->linears[net->linear_count] = l;
    net->linear_count++;
}

static gn2_status list_linears(R(gn2_net) *net)
{
    each_linear(net, list_one, net); /* counts */
    const size_t count = net->linear_count;
    net->linear_count = 0;
    net->linears = gn2_alloc(count, sizeof *net->linears);
    net->products = gn2_alloc(3 * count, sizeof *net->products);
    if (!net->linears || !net->products) return gn2_fail_memory();
    each_linear(net, list_one, net);
    return GN2_OK;
}

static gn2_status create_products(R(gn2_net) *net, const gn2_product_options *options)
{
    for (size_t i = 0; i < net->linear_count; i++) {
        R(gn2_linear) *l = net->linears[i];
        GN2_TRY(R(gn2_linear_create)(l, options, net->training));
        R(gn2_product) *const all[] = {l->fwd, l->bwd, l->grad};
        for (int k = 0; k < (net->training ? 3 : 1); k++)
            net->products[net->product_count++] = all[k];
    }
    return GN2_OK;
}

static gn2_status allocate_norms(R(gn2_net) *net)
{
    for (int s = 0; s < net->h->sequence_count; s++) {
        const size_t inputs = (size_t)net->h->init[s].size[0];
        net->mean[s] = gn2_alloc(inputs, 3 * sizeof(real));
        if (!net->mean[s]) return gn2_fail_memory();
        net->std[s] = net->mean[s] + inputs;
        net->fallback[s] = net->std[s] + inputs;
        for (size_t i = 0; i < inputs; i++) net->std[s][i] = 1;
    }
    return GN2_OK;
}

gn2_status R(gn2_net_new)(const gn2_hparams *h, R(gn2_net) **out_net)
{
    const size_t layers = (size_t)h->num_layers;
    R(gn2_net) *net = gn2_alloc(1, sizeof *net + layers * sizeof *net->block);
    if (!net) return gn2_fail_memory();
    net->h = h;
    net->readout.shape = h->readout;
    for (int64_t i = 0; i < h->num_layers; i++) {
        net->block[i].shape = h->block;
        net->block[i].number = i;
        net->block[i].place = GN2_PLACE_LAYER + 2 * (uint64_t)i;
    }
    *out_net = net;
    return GN2_OK;
}

static gn2_status fill_net(R(gn2_net) *net, const gn2_net_options *options)
{
    gn2_declaration places = {0}; /* offsets alone */
    R(gn2_net_declare)(net, &places);
    GN2_TRY(list_linears(net));
    GN2_TRY(create_products(net, &options->product));
    return allocate_norms(net);
}

gn2_status R(gn2_net_create)(const gn2_hparams *h, const gn2_net_options *options,
                             R(gn2_net) **out_net)
{
    R(gn2_net) *net = NULL;
    GN2_TRY(R(gn2_net_new)(h, &net));
    net->training = options->training;
    net->keep = options->keep || options->training;
    net->kernels = R(gn2_kernels_get)(options->product.cap);
    const gn2_status status = fill_net(net, options);
    if (status) {
        R(gn2_net_free)(net);
        return status;
    }
    *out_net = net;
    return GN2_OK;
}

void R(gn2_net_free)(R(gn2_net) *net)
{
    if (!net) return;
    for (size_t i = 0; i < net->linear_count; i++)
        R(gn2_linear_destroy)(net->linears[i]);
    for (int s = 0; s < GN2_MAX_SEQUENCES; s++) gn2_free(net->mean[s]);
    gn2_free(net->products);
    gn2_free(net->linears);
    gn2_free(net);
}

void R(gn2_net_pack)(const R(gn2_net) *net, const real *weights)
{
    for (size_t i = 0; i < net->linear_count; i++)
        R(gn2_linear_pack)(net->linears[i], weights);
}

size_t R(gn2_net_bytes)(const R(gn2_net) *net)
{
    size_t bytes = 0;
    for (size_t i = 0; i < net->product_count; i++)
        bytes += R(gn2_product_bytes)(net->products[i]);
    return bytes;
}

static void set_numbers(real *out, int64_t count, const gn2_config *c,
                        const char *object, gn2_input_number which)
{
    double for_all;
    const double *list = gn2_input_numbers(c, object, which, &for_all);
    for (int64_t i = 0; i < count; i++) out[i] = (real)(list ? list[i] : for_all);
}

static void set_norm(R(gn2_net) *net, const gn2_config *c, int s)
{
    const int64_t jets = net->h->jet_inputs, own = net->h->sequence_inputs[s];
    const char *object = gn2_config_list_item(c, "model.constituents", (size_t)s);
    real *const rows[] = {[GN2_INPUT_MEAN] = net->mean[s],
                          [GN2_INPUT_STD] = net->std[s],
                          [GN2_INPUT_DEFAULT] = net->fallback[s]};
    for (int which = 0; which < 3; which++) {
        set_numbers(rows[which], jets, c, "jets", (gn2_input_number)which);
        set_numbers(rows[which] + jets, own, c, object, (gn2_input_number)which);
    }
}

static void set_class_weights(R(gn2_head) *head, const gn2_config *c, const char *task)
{
    char key[128];
    gn2_config_key_of(key, "task.%s.class_weights", task);
    const size_t count = gn2_config_list_count(c, key);
    head->weighted = count > 0;
    for (size_t i = 0; i < count && i < GN2_MAX_CLASSES; i++)
        head->class_weight[i] = (real)gn2_config_f64_item(c, key, i);
}

void R(gn2_net_configure)(R(gn2_net) *net, const gn2_config *config)
{
    const gn2_hparams *h = net->h;
    for (int s = 0; s < h->sequence_count; s++) set_norm(net, config, s);
    for (int k = 0; k < h->task_count; k++)
        if (R(gn2_task_kind_of)(&h->task[k])->classifies)
            set_class_weights(&net->head[k], config, h->task[k].name);
}
