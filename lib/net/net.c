/* SPDX-License-Identifier: Apache-2.0 */
/* Making, packing and freeing the network's products. */
#include "net/net.h"

#include <string.h>

#include "util/alloc.h"
#include "util/error.h"

typedef struct maker {
    R(gn2_net) *net;
    const gn2_net_options *options;
    gn2_status status; /* first failure */
} maker;

static void make_linear(maker *m, R(gn2_linear) *l, const gn2_linear_at *at)
{
    *l = (R(gn2_linear)){.in = at->in,
                         .out = at->out,
                         .ld = at->in,
                         .weight = at->weight,
                         .bias = at->bias};
    if (m->status) return;
    m->status = R(gn2_linear_create)(l, &m->options->product, m->options->training);
}

/* Columns first … first+in−1 of a linear map, its bias with the first of them. */
static void make_part(maker *m, R(gn2_linear) *l, const gn2_linear_at *at, int64_t in,
                      int part)
{
    *l = (R(gn2_linear)){.in = in,
                         .out = at->out,
                         .ld = at->in,
                         .weight = at->weight + part * in,
                         .bias = part == 0 ? at->bias : -1};
    if (m->status) return;
    m->status = R(gn2_linear_create)(l, &m->options->product, m->options->training);
}

static void make_mlp(maker *m, R(gn2_mlp) *mlp, const gn2_dense *dense, int from,
                     const gn2_linear_at *at)
{
    mlp->depth = dense->depth;
    for (int k = from; k < dense->depth; k++) make_linear(m, &mlp->layer[k], &at[k]);
}

static void make_layer(maker *m, R(gn2_layer) *layer, const gn2_layer_at *at)
{
    layer->norm1 = at->norm1;
    layer->norm2 = at->norm2;
    make_linear(m, &layer->qkv, &at->qkv);
    make_linear(m, &layer->attn_out, &at->attn_out);
    make_linear(m, &layer->ffn_in, &at->ffn_in);
    make_linear(m, &layer->ffn_out, &at->ffn_out);
}

static void make_head(maker *m, gn2_task_id id, const gn2_params *params)
{
    const gn2_hparams *h = m->net->h;
    R(gn2_head) *head = &m->net->head[id];
    const int parts = (int)id + 1; /* jets 1, origin 2, vertex 3 */
    make_mlp(m, &head->mlp, &h->task[id].net, id != GN2_TASK_JETS, params->task[id]);
    if (id == GN2_TASK_JETS) return;
    for (int part = 0; part < parts; part++)
        make_part(m, &head->part[part], &params->task[id][0], h->out_dim, part);
}

static void make_all(maker *m, const gn2_params *params)
{
    R(gn2_net) *net = m->net;
    const gn2_hparams *h = net->h;
    for (int s = 0; s < h->sequence_count; s++)
        make_mlp(m, &net->init[s], &h->init[s], 0, params->init[s]);
    for (int64_t i = 0; i < h->num_layers; i++)
        make_layer(m, &net->layer[i], &params->layer[i]);
    make_linear(m, &net->out_proj, &params->out_proj);
    net->final_norm = params->final_norm;
    net->registers = params->registers;
    net->gate = (R(gn2_linear)){.in = params->gate.in,
                                .out = 1,
                                .ld = params->gate.in,
                                .weight = params->gate.weight,
                                .bias = params->gate.bias};
    for (int id = 0; id < GN2_TASK_COUNT; id++)
        if (h->task[id].on) make_head(m, (gn2_task_id)id, params);
}

/* ---- every linear map of the net, in order ---- */

typedef void (*linear_fn)(R(gn2_linear) *l, void *user);

static void each_mlp(R(gn2_mlp) *mlp, linear_fn fn, void *user)
{
    for (int k = 0; k < mlp->depth; k++)
        if (mlp->layer[k].fwd) fn(&mlp->layer[k], user);
}

static void each_linear(R(gn2_net) *net, linear_fn fn, void *user)
{
    for (int s = 0; s < net->h->sequence_count; s++) each_mlp(&net->init[s], fn, user);
    for (int64_t i = 0; i < net->h->num_layers; i++) {
        R(gn2_layer) *layer = &net->layer[i];
        fn(&layer->qkv, user);
        fn(&layer->attn_out, user);
        fn(&layer->ffn_in, user);
        fn(&layer->ffn_out, user);
    }
    fn(&net->out_proj, user);
    for (int id = 0; id < GN2_TASK_COUNT; id++) {
        each_mlp(&net->head[id].mlp, fn, user);
        for (int part = 0; part < 3; part++)
            if (net->head[id].part[part].fwd) fn(&net->head[id].part[part], user);
    }
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

static gn2_status fill_net(R(gn2_net) *net, const gn2_params *params,
                           const gn2_net_options *options)
{
    net->layer = gn2_alloc((size_t)net->h->num_layers, sizeof *net->layer);
    if (!net->layer) return gn2_fail_memory();
    maker m = {.net = net, .options = options};
    make_all(&m, params);
    GN2_TRY(m.status);
    GN2_TRY(allocate_norms(net));
    return list_all(net);
}

gn2_status R(gn2_net_create)(const gn2_hparams *h, const gn2_params *params,
                             const gn2_net_options *options, R(gn2_net) **out_net)
{
    R(gn2_net) *net = gn2_alloc(1, sizeof *net);
    if (!net) return gn2_fail_memory();
    net->h = h;
    net->training = options->training;
    net->keep = options->keep || options->training;
    net->replace_non_finite = options->replace_non_finite;
    net->kernels = R(gn2_kernels_get)(options->product.cap);
    const gn2_status status = fill_net(net, params, options);
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
    if (net->layer) each_linear(net, destroy_one, NULL);
    for (int s = 0; s < GN2_MAX_SEQUENCES; s++) {
        gn2_free(net->mean[s]);
        gn2_free(net->std[s]);
        gn2_free(net->fallback[s]);
    }
    for (int id = 0; id < GN2_TASK_COUNT; id++) gn2_free(net->head[id].class_weights);
    gn2_free(net->layer);
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

gn2_status R(gn2_net_set_class_weights)(R(gn2_net) *net, gn2_task_id task,
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
