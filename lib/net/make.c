/* SPDX-License-Identifier: Apache-2.0 */
/* Declaring, making, packing and freeing the network. */
#include "net/net.h"

#include <string.h>

#include "net/head.h"
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

typedef struct maker {
    const gn2_net_options *options;
    gn2_status status; /* first failure */
} maker;

static void create_one(R(gn2_linear) *l, void *user)
{
    maker *m = user;
    if (m->status) return;
    m->status = R(gn2_linear_create)(l, &m->options->product, m->options->training);
}

static void destroy_one(R(gn2_linear) *l, void *user)
{
    (void)user;
    R(gn2_linear_destroy)(l);
}

static void count_one(R(gn2_linear) *l, void *user)
{
    (void)l;
    ++*(size_t *)user;
}

static void list_one(R(gn2_linear) *l, void *user)
{
    R(gn2_net) *net = user;
    R(gn2_product) *all[] = {l->fwd, l->bwd, l->grad};
    net->linears[net->linear_count++] = l;
    for (int i = 0; i < 3; i++)
        if (all[i]) net->products[net->product_count++] = all[i];
}

static gn2_status list_all(R(gn2_net) *net)
{
    size_t count = 0;
    each_linear(net, count_one, &count);
    net->linears = gn2_alloc(count, sizeof *net->linears);
    net->products = gn2_alloc(3 * count, sizeof *net->products);
    if (!net->linears || !net->products) return gn2_fail_memory();
    each_linear(net, list_one, net);
    return GN2_OK;
}

static gn2_status allocate_norms(R(gn2_net) *net)
{
    for (int s = 0; s < net->h->sequence_count; s++) {
        const size_t inputs = (size_t)net->h->init[s].size[0];
        net->mean[s] = gn2_alloc(inputs, sizeof(real));
        net->std[s] = gn2_alloc(inputs, sizeof(real));
        net->fallback[s] = gn2_alloc(inputs, sizeof(real));
        if (!net->mean[s] || !net->std[s] || !net->fallback[s])
            return gn2_fail_memory();
        for (size_t i = 0; i < inputs; i++) net->std[s][i] = 1;
    }
    return GN2_OK;
}

gn2_status R(gn2_net_new)(const gn2_hparams *h, R(gn2_net) **out_net)
{
    R(gn2_net) *net = gn2_alloc(1, sizeof *net);
    if (!net) return gn2_fail_memory();
    net->h = h;
    net->readout.shape = h->readout;
    net->block = gn2_alloc((size_t)h->num_layers, sizeof *net->block);
    if (!net->block) {
        gn2_free(net);
        return gn2_fail_memory();
    }
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
    maker m = {.options = options};
    R(gn2_net_declare)(net, &places);
    each_linear(net, create_one, &m);
    GN2_TRY(m.status);
    GN2_TRY(allocate_norms(net));
    return list_all(net);
}

gn2_status R(gn2_net_create)(const gn2_hparams *h, const gn2_net_options *options,
                             R(gn2_net) **out_net)
{
    R(gn2_net) *net = NULL;
    GN2_TRY(R(gn2_net_new)(h, &net));
    net->training = options->training;
    net->keep = options->keep || options->training;
    net->replace_non_finite = options->replace_non_finite;
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
    each_linear(net, destroy_one, NULL);
    for (int s = 0; s < GN2_MAX_SEQUENCES; s++) {
        gn2_free(net->mean[s]);
        gn2_free(net->std[s]);
        gn2_free(net->fallback[s]);
    }
    for (int k = 0; k < GN2_MAX_TASKS; k++) gn2_free(net->head[k].class_weights);
    gn2_free(net->block);
    gn2_free(net->products);
    gn2_free(net->linears);
    gn2_free(net);
}

void R(gn2_net_pack_one)(R(gn2_net) *net, size_t index, const real *weights)
{
    R(gn2_linear_pack)(net->linears[index], weights);
}

void R(gn2_net_pack)(R(gn2_net) *net, const real *weights)
{
    for (size_t i = 0; i < net->linear_count; i++) R(gn2_net_pack_one)(net, i, weights);
}

size_t R(gn2_net_bytes)(const R(gn2_net) *net)
{
    size_t bytes = 0;
    for (size_t i = 0; i < net->product_count; i++)
        bytes += R(gn2_product_bytes)(net->products[i]);
    return bytes;
}

void R(gn2_net_set_norm)(R(gn2_net) *net, int sequence, const gn2_object_norm *jets,
                         const gn2_object_norm *own)
{
    const int64_t split = net->h->jet_inputs, all = net->h->init[sequence].size[0];
    for (int64_t i = 0; i < all; i++) {
        const gn2_object_norm *norm = i < split ? jets : own;
        const int64_t k = i < split ? i : i - split;
        net->mean[sequence][i] = (real)norm->mean[k];
        net->std[sequence][i] = (real)norm->std[k];
        net->fallback[sequence][i] = (real)norm->fallback[k];
    }
}

void R(gn2_net_set_norm_real)(R(gn2_net) *net, int sequence, const real *mean,
                              const real *std)
{
    const size_t bytes = (size_t)net->h->init[sequence].size[0] * sizeof(real);
    memcpy(net->mean[sequence], mean, bytes);
    memcpy(net->std[sequence], std, bytes);
}

gn2_status R(gn2_net_set_class_weights)(R(gn2_net) *net, int task,
                                        const double *weights, size_t count)
{
    gn2_free(net->head[task].class_weights);
    net->head[task].class_weights = NULL;
    if (count == 0) return GN2_OK;
    real *copy = gn2_alloc(count, sizeof *copy);
    if (!copy) return gn2_fail_memory();
    for (size_t i = 0; i < count; i++) copy[i] = (real)weights[i];
    net->head[task].class_weights = copy;
    return GN2_OK;
}
