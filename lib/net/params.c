/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds the table of parameters from the architecture: names of salt's
 * state_dict, roles and multipliers of Tensor Programs V (tables 3 and 8).
 */
#include "net/params.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/alloc.h"
#include "util/error.h"
#include "util/rng.h"

/* Alignment of tensors in the arena, elements. */
#define TENSOR_ALIGN 16

typedef struct builder {
    const gn2_hparams *h;
    gn2_params *p;
    char prefix[64]; /* of the names that follow */
    int packed;      /* tensors follow each other without a gap */
    int biased;      /* biases start at random, as torch.nn.Linear's */
} builder;

/* What grows with the width on a linear map. */
typedef enum grows {
    GROWS_NONE = 0,
    GROWS_OUT = 1,
    GROWS_IN = 2,
    GROWS_BOTH = 3
} grows;

static gn2_tensor *add_tensor(builder *b, const char *name, int64_t rows, int64_t cols)
{
    gn2_params *p = b->p;
    gn2_tensor *t = &p->tensor[p->count++];
    if (!b->packed)
        p->total = (p->total + TENSOR_ALIGN - 1) / TENSOR_ALIGN * TENSOR_ALIGN;
    snprintf(t->name, sizeof t->name, "%s%s", b->prefix, name);
    t->shape[0] = rows;
    t->shape[1] = cols;
    t->count = cols ? rows * cols : rows;
    t->offset = p->total;
    t->lr_mult = t->wd_mult = t->forward_mult = 1;
    p->total += t->count;
    return t;
}

static void set_prefix(builder *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void set_prefix(builder *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(b->prefix, sizeof b->prefix, format, args);
    va_end(args);
}

/* ---- multipliers (spec of the parametrisations: doc/parametrisation.md) ---- */

static double width_ratio(const gn2_hparams *h)
{
    return (double)h->embed_dim / (double)h->base_width;
}

/* Relative form, table 8: readout as a multiplier, wd·lr constant. */
static void set_mup(const gn2_hparams *h, gn2_tensor *t)
{
    const double m = width_ratio(h);
    if (t->role == GN2_ROLE_FINITE) return;
    if (t->role == GN2_ROLE_HIDDEN && h->rule == GN2_UPDATE_ADAPTIVE)
        t->lr_mult = 1 / m;
    /* only its inputs grow: rate as of a hidden tensor where a norm follows */
    if (t->role != GN2_ROLE_HIDDEN && h->rule == GN2_UPDATE_GRADIENT) t->lr_mult = m;
    if (t->role == GN2_ROLE_OUTPUT) {
        t->forward_mult = 1 / m;
        t->init_std *= sqrt(m);
    }
    t->wd_mult = 1 / t->lr_mult;
}

/* Absolute form, table 3 with base width 1. */
static void set_mup_absolute(const gn2_hparams *h, gn2_tensor *t)
{
    const double in = (double)t->fan_in, out = (double)t->fan_out;
    if (t->role == GN2_ROLE_HIDDEN && h->rule == GN2_UPDATE_ADAPTIVE)
        t->lr_mult = 1 / in;
    if (t->role == GN2_ROLE_OUTPUT) {
        t->lr_mult = 1 / in;
        t->init_std = 1 / in;
    }
    if ((t->role == GN2_ROLE_INPUT || t->role == GN2_ROLE_BIAS) &&
        h->rule == GN2_UPDATE_GRADIENT)
        t->lr_mult = out;
    t->wd_mult = 1 / t->lr_mult;
}

static void set_multipliers(const gn2_hparams *h, gn2_tensor *t)
{
    if (h->parametrization == GN2_PARAM_MUP) set_mup(h, t);
    if (h->parametrization == GN2_PARAM_MUP_ABSOLUTE) set_mup_absolute(h, t);
    if (h->plain_decay) t->wd_mult = 1;
}

/* ---- tensors ---- */

static int64_t add_weight(builder *b, const char *name, int64_t out, int64_t in,
                          grows growth)
{
    static const int32_t roles[] = {GN2_ROLE_FINITE, GN2_ROLE_INPUT, GN2_ROLE_OUTPUT,
                                    GN2_ROLE_HIDDEN};
    gn2_tensor *t = add_tensor(b, name, out, in);
    t->role = roles[growth];
    t->fan_in = in;
    t->fan_out = out;
    /* torch.nn.Linear: U(±1/√fan_in), whose variance is 1/(3 fan_in) */
    t->start = b->h->torch_init ? GN2_START_UNIFORM : GN2_START_NORMAL;
    t->init_std = 1 / sqrt((double)in * (b->h->torch_init ? 3 : 1));
    set_multipliers(b->h, t);
    return t->offset;
}

static int64_t add_bias(builder *b, const char *name, int64_t out, int64_t in,
                        grows growth)
{
    gn2_tensor *t = add_tensor(b, name, out, 0);
    t->role = growth & GROWS_OUT ? GN2_ROLE_BIAS : GN2_ROLE_FINITE;
    t->fan_in = in;
    t->fan_out = out;
    if (b->biased) {
        t->start = GN2_START_UNIFORM;
        t->init_std = 1 / sqrt(3.0 * (double)in);
        /* mup: of the same size at every width, whatever grows */
        if (growth & GROWS_IN && b->h->parametrization == GN2_PARAM_MUP)
            t->init_std *= sqrt(width_ratio(b->h));
    }
    set_multipliers(b->h, t);
    return t->offset;
}

static gn2_linear_at add_linear(builder *b, const char *name, int64_t out, int64_t in,
                                grows growth)
{
    char weight[64], bias[64];
    snprintf(weight, sizeof weight, "%s.weight", name);
    snprintf(bias, sizeof bias, "%s.bias", name);
    gn2_linear_at at = {.in = in, .out = out};
    at.weight = add_weight(b, weight, out, in, growth);
    at.bias = add_bias(b, bias, out, in, growth);
    return at;
}

static gn2_norm_at add_norm(builder *b, const char *name)
{
    gn2_norm_at at = {-1, -1};
    if (!b->h->legacy) return at;
    char text[64];
    snprintf(text, sizeof text, "%s.weight", name);
    gn2_tensor *gain = add_tensor(b, text, b->h->embed_dim, 0);
    gain->init_value = 1;
    snprintf(text, sizeof text, "%s.bias", name);
    gn2_tensor *bias = add_tensor(b, text, b->h->embed_dim, 0);
    gain->role = bias->role = GN2_ROLE_BIAS;
    gain->fan_in = bias->fan_in = 1;
    gain->fan_out = bias->fan_out = b->h->embed_dim;
    set_multipliers(b->h, gain);
    set_multipliers(b->h, bias);
    at.gain = gain->offset;
    at.bias = bias->offset;
    return at;
}

/* salt numbers the modules of a Dense; a dropout before each linear counts. */
static void add_dense(builder *b, const gn2_dense *d, double dropout, int last_grows,
                      gn2_linear_at *at)
{
    const int step = dropout > 0 ? 3 : 2;
    for (int k = 0; k < d->depth; k++) {
        char name[16];
        snprintf(name, sizeof name, "%d", step * k + (dropout > 0));
        const grows growth = k == d->depth - 1 && last_grows ? GROWS_OUT : GROWS_NONE;
        at[k] = add_linear(b, name, d->size[k + 1], d->size[k], growth);
    }
}

static gn2_linear_at add_qkv(builder *b)
{
    const int64_t w = b->h->embed_dim;
    gn2_linear_at at = {.in = w, .out = 3 * w};
    at.weight = add_weight(b, "attn.fn.in_proj_weight", 3 * w, w, GROWS_BOTH);
    gn2_tensor *t = &b->p->tensor[b->p->count - 1];
    /* torch.nn.MultiheadAttention: Xavier uniform on the packed matrix */
    if (b->h->torch_init) t->init_std = 1 / sqrt(2.0 * (double)w);
    if (b->h->zero_query) t->zeros = w * w; /* q comes first */
    at.bias = add_bias(b, "attn.fn.in_proj_bias", 3 * w, w, GROWS_OUT);
    t = &b->p->tensor[b->p->count - 1];
    t->start = GN2_START_CONSTANT;
    t->init_std = 0;
    return at;
}

static gn2_linear_at add_qkv_legacy(builder *b)
{
    static const char *const names[] = {"mha.linear_q", "mha.linear_k", "mha.linear_v"};
    const int64_t w = b->h->embed_dim;
    gn2_linear_at at = {.in = w, .out = 3 * w};
    char name[64];
    for (int i = 0; i < 3; i++) { /* one matrix (3w, w), as the current encoder has */
        b->packed = i > 0;
        snprintf(name, sizeof name, "%s.weight", names[i]);
        const int64_t offset = add_weight(b, name, w, w, GROWS_BOTH);
        if (i > 0) continue;
        at.weight = offset;
        if (b->h->zero_query) b->p->tensor[b->p->count - 1].zeros = w * w;
    }
    for (int i = 0; i < 3; i++) {
        b->packed = i > 0;
        snprintf(name, sizeof name, "%s.bias", names[i]);
        const int64_t offset = add_bias(b, name, w, w, GROWS_OUT);
        if (i == 0) at.bias = offset;
    }
    b->packed = 0;
    return at;
}

static void add_layer(builder *b, int64_t i, gn2_layer_at *at)
{
    const gn2_hparams *h = b->h;
    const int64_t w = h->embed_dim, f = h->ffn_hidden;
    const int drops = h->dropout_ffn > 0;
    set_prefix(b, "encoder.layers.%lld.", (long long)i);
    at->norm1 = add_norm(b, "norm1");
    at->norm2 = add_norm(b, "norm2");
    if (!h->legacy) {
        at->qkv = add_qkv(b);
        at->attn_out = add_linear(b, "attn.fn.out_proj", w, w, GROWS_BOTH);
        at->ffn_in = add_linear(b, "dense.fn.in_proj", f, w, GROWS_BOTH);
        at->ffn_out = add_linear(b, "dense.fn.out_proj", w, f, GROWS_BOTH);
        return;
    }
    at->qkv = add_qkv_legacy(b);
    at->attn_out = add_linear(b, "mha.linear_out", w, w, GROWS_BOTH);
    at->ffn_in = add_linear(b, drops ? "dense.net.1" : "dense.net.0", f, w, GROWS_BOTH);
    at->ffn_out =
        add_linear(b, drops ? "dense.net.4" : "dense.net.2", w, f, GROWS_BOTH);
}

static void add_registers(builder *b)
{
    const gn2_hparams *h = b->h;
    b->p->registers = -1;
    if (h->num_registers == 0) return;
    set_prefix(b, "encoder.");
    gn2_tensor *t = add_tensor(b, "registers", h->num_registers, h->embed_dim);
    t->role = GN2_ROLE_INPUT;
    t->fan_in = 1;
    t->fan_out = h->embed_dim;
    t->start = GN2_START_NORMAL;
    t->init_std = 1e-4; /* salt.models.transformer */
    set_multipliers(h, t);
    b->p->registers = t->offset;
}

static void add_readout(builder *b)
{
    const gn2_hparams *h = b->h;
    set_prefix(b, "encoder.");
    b->p->final_norm = (gn2_norm_at){-1, -1};
    if (h->final_norm == GN2_FINAL_PRE) b->p->final_norm = add_norm(b, "final_norm");
    const char *name = h->legacy ? "final_linear" : "out_proj";
    /* where a norm follows, a multiplier would cancel: a hidden tensor then */
    const grows growth = h->final_norm == GN2_FINAL_POST ? GROWS_BOTH : GROWS_IN;
    b->p->out_proj = add_linear(b, name, h->out_dim, h->embed_dim, growth);
    gn2_tensor *weight = &b->p->tensor[b->p->count - 2], *bias = weight + 1;
    if (h->zero_readout) {
        weight->start = GN2_START_CONSTANT;
        weight->init_std = 0;
    }
    bias->role = GN2_ROLE_FINITE;
    bias->lr_mult = bias->wd_mult = 1;
}

static void add_all(builder *b)
{
    const gn2_hparams *h = b->h;
    gn2_params *p = b->p;
    for (int s = 0; s < h->sequence_count; s++) {
        set_prefix(b, "init_nets.%d.net.net.", s);
        add_dense(b, &h->init[s], h->dropout_init, 1, p->init[s]);
    }
    add_registers(b);
    for (int64_t i = 0; i < h->num_layers; i++) add_layer(b, i, &p->layer[i]);
    add_readout(b);
    set_prefix(b, "pool_net.");
    p->gate = add_linear(b, "gate_nn", 1, h->out_dim, GROWS_NONE);
    /* Behind a readout of zeros every ReLU of the heads would stand at 0, where its
     * gradient is 0 as well: without biases nothing would ever move. */
    b->biased = h->torch_init || h->zero_readout;
    for (int k = 0; k < GN2_TASK_COUNT; k++) /* in the order of the files */
        for (int id = 0; id < GN2_TASK_COUNT; id++) {
            const gn2_task *task = &h->task[id];
            if (!task->on || task->index != k) continue;
            set_prefix(b, "tasks.%d.net.net.", k);
            add_dense(b, &task->net, h->dropout_heads, 0, p->task[id]);
        }
}

gn2_status gn2_params_create(const gn2_hparams *h, gn2_params **out_params)
{
    /* most tensors a part can have: weight and bias each, 16 a layer */
    const size_t most = (size_t)h->num_layers * 16 +
                        2 * GN2_DENSE_MAX * (GN2_MAX_SEQUENCES + GN2_TASK_COUNT) + 8;
    gn2_params *p = gn2_alloc(1, sizeof *p);
    if (!p) return gn2_fail_memory();
    p->tensor = gn2_alloc(most, sizeof *p->tensor);
    p->layer = gn2_alloc((size_t)h->num_layers, sizeof *p->layer);
    if (!p->tensor || !p->layer) {
        gn2_params_free(p);
        return gn2_fail_memory();
    }
    builder b = {.h = h, .p = p, .biased = h->torch_init};
    add_all(&b);
    *out_params = p;
    return GN2_OK;
}

void gn2_params_free(gn2_params *params)
{
    if (!params) return;
    gn2_free(params->tensor);
    gn2_free(params->layer);
    gn2_free(params);
}

const gn2_tensor *gn2_params_find(const gn2_params *params, const char *name)
{
    for (size_t i = 0; i < params->count; i++)
        if (strcmp(params->tensor[i].name, name) == 0) return &params->tensor[i];
    return NULL;
}

static uint64_t name_key(const char *name)
{
    uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a */
    for (; *name; name++) hash = (hash ^ (unsigned char)*name) * 0x100000001B3u;
    return hash;
}

static void start_tensor(const gn2_tensor *t, uint64_t seed, float *weights)
{
    const uint64_t key = gn2_rng_key(seed, name_key(t->name));
    const double bound = sqrt(3.0) * t->init_std;
    for (int64_t i = 0; i < t->count; i++) {
        double value = t->init_value;
        if (t->start == GN2_START_NORMAL)
            value = t->init_std * gn2_rng_normal(key, (uint64_t)i);
        if (t->start == GN2_START_UNIFORM)
            value = bound * (2 * gn2_rng_uniform(key, (uint64_t)i) - 1);
        weights[t->offset + i] = i < t->zeros ? 0 : (float)value;
    }
}

void gn2_params_start(const gn2_params *params, uint64_t seed, float *weights)
{
    for (size_t i = 0; i < params->count; i++)
        start_tensor(&params->tensor[i], seed, weights);
}
