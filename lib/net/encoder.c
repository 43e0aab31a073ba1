/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pre-norm encoder and its read-out (salt.models.Transformer; with affine
 * norms the TransformerEncoder of GN2v01), forward and its mirror image.
 *   x ← x + Attn(LN(x));  x ← x + FFN(LN(x));  z = [LN] W_out [LN] x
 */
#include <string.h>

#include "net/net.h"

static const real *at(const real *base, int64_t offset)
{
    return offset < 0 ? NULL : base + offset;
}

static real *at_mutable(real *base, int64_t offset)
{
    return offset < 0 ? NULL : base + offset;
}

/* One LayerNorm: where its statistics and affine part lie. */
typedef struct norm {
    const gn2_norm_at *at;
    real *mean, *rstd;
    int64_t cols;
} norm;

static void norm_fwd(const R(gn2_pass) *pass, const norm *n, real *y, const real *x)
{
    const real *weights = pass->ctx.weights;
    pass->ctx.kernels->layernorm_fwd(y, n->mean, n->rstd, x, at(weights, n->at->gain),
                                     at(weights, n->at->bias), pass->chunk.tokens,
                                     n->cols, (real)pass->net->h->norm_eps);
}

/* d_x += */
static void norm_bwd(const R(gn2_pass) *pass, const norm *n, real *d_x, const real *d_y,
                     const real *x)
{
    pass->ctx.kernels->layernorm_bwd(
        d_x, at_mutable(pass->ctx.grads, n->at->gain),
        at_mutable(pass->ctx.grads, n->at->bias), d_y, x, n->mean, n->rstd,
        at(pass->ctx.weights, n->at->gain), pass->chunk.tokens, n->cols);
}

static gn2_heads heads_of(const gn2_hparams *h)
{
    return (gn2_heads){h->num_heads, h->head_dim, h->attn_scale};
}

/* Dropout of layer i: before the first (legacy only) and the second linear. */
static gn2_dropout ffn_dropout(const R(gn2_pass) *pass, int64_t i, int second)
{
    const gn2_hparams *h = pass->net->h;
    const double p = pass->dropping && (second || h->legacy) ? h->dropout_ffn : 0;
    const uint64_t place = GN2_PLACE_LAYER + 2 * (uint64_t)i + (uint64_t)second;
    return gn2_dropout_make(p, pass->step_key, place);
}

static void layer_fwd(R(gn2_pass) *pass, int64_t i)
{
    const gn2_hparams *h = pass->net->h;
    const R(gn2_layer) *net = &pass->net->layer[i];
    const R(gn2_layer_space) *l = &pass->space->layer[i];
    const R(gn2_context) *ctx = &pass->ctx;
    const int64_t tokens = pass->chunk.tokens, w = h->embed_dim;
    const int64_t first = pass->chunk.first_token;
    const norm norm1 = {&net->norm1, l->mean1, l->rstd1, w};
    const norm norm2 = {&net->norm2, l->mean2, l->rstd2, w};
    const gn2_heads heads = heads_of(h);
    const gn2_dropout drop1 = ffn_dropout(pass, i, 0), drop2 = ffn_dropout(pass, i, 1);

    norm_fwd(pass, &norm1, l->y1, l->x);
    R(gn2_linear_fwd)(ctx, &net->qkv, l->qkv, l->y1, NULL, 0, tokens);
    R(gn2_attention_jets_fwd)
    (ctx, &heads, l->o, l->p, l->qkv, pass->space->token_offset, pass->chunk.jets);
    R(gn2_linear_fwd)(ctx, &net->attn_out, l->x_mid, l->o, l->x, 0, tokens);

    norm_fwd(pass, &norm2, l->y2, l->x_mid);
    R(gn2_dropout_rows)(ctx, &drop1, l->y2, first, tokens, w);
    R(gn2_linear_fwd)(ctx, &net->ffn_in, l->f, l->y2, NULL, GN2_MUL_RELU, tokens);
    R(gn2_dropout_rows)(ctx, &drop2, l->f, first, tokens, h->ffn_hidden);
    R(gn2_linear_fwd)(ctx, &net->ffn_out, l[1].x, l->f, l->x_mid, 0, tokens);
}

/* d_x: gradient of the layer's end on entry, of its beginning on return. */
static void layer_bwd(R(gn2_pass) *pass, int64_t i)
{
    const gn2_hparams *h = pass->net->h;
    const R(gn2_layer) *net = &pass->net->layer[i];
    const R(gn2_layer_space) *l = &pass->space->layer[i];
    const R(gn2_context) *ctx = &pass->ctx;
    R(gn2_space) *s = pass->space;
    const int64_t tokens = pass->chunk.tokens, w = h->embed_dim;
    const norm norm1 = {&net->norm1, l->mean1, l->rstd1, w};
    const norm norm2 = {&net->norm2, l->mean2, l->rstd2, w};
    const gn2_heads heads = heads_of(h);
    const gn2_dropout drop1 = ffn_dropout(pass, i, 0), drop2 = ffn_dropout(pass, i, 1);

    /* x[i+1] = x_mid + ffn_out(drop(relu(ffn_in(drop(LN(x_mid)))))) */
    real *d_f = s->d_wide;
    R(gn2_linear_bwd_weight)(ctx, &net->ffn_out, s->d_x, l->f, tokens);
    R(gn2_linear_bwd_input)(ctx, &net->ffn_out, d_f, s->d_x, NULL, tokens);
    ctx->kernels->relu_bwd(d_f, l->f, tokens * h->ffn_hidden);
    if (drop2.threshold)
        ctx->kernels->scale(d_f, (real)drop2.scale, tokens * h->ffn_hidden);
    R(gn2_linear_bwd_weight)(ctx, &net->ffn_in, d_f, l->y2, tokens);
    R(gn2_linear_bwd_input)(ctx, &net->ffn_in, s->d_y, d_f, NULL, tokens);
    R(gn2_dropout_rows)(ctx, &drop1, s->d_y, pass->chunk.first_token, tokens, w);
    norm_bwd(pass, &norm2, s->d_x, s->d_y, l->x_mid);

    /* x_mid = x + attn_out(attention(qkv(LN(x)))) */
    R(gn2_linear_bwd_weight)(ctx, &net->attn_out, s->d_x, l->o, tokens);
    R(gn2_linear_bwd_input)(ctx, &net->attn_out, s->d_y, s->d_x, NULL, tokens);
    R(gn2_attention_jets_bwd)
    (ctx, &heads, s->d_wide, s->scratch, s->d_y, l->qkv, l->p, s->token_offset,
     pass->chunk.jets);
    R(gn2_linear_bwd_weight)(ctx, &net->qkv, s->d_wide, l->y1, tokens);
    R(gn2_linear_bwd_input)(ctx, &net->qkv, s->d_y, s->d_wide, NULL, tokens);
    norm_bwd(pass, &norm1, s->d_x, s->d_y, l->x);
}

/* What the out projection reads: LN(x), or x, times the read-out multiplier. */
static const real *readout_input(R(gn2_pass) *pass, real *x)
{
    const gn2_hparams *h = pass->net->h;
    R(gn2_space) *s = pass->space;
    const int64_t count = pass->chunk.tokens * h->embed_dim;
    const norm n = {&pass->net->final_norm, s->final_mean, s->final_rstd, h->embed_dim};
    if (h->final_norm != GN2_FINAL_PRE && h->readout_mult == 1) return x;
    if (h->final_norm == GN2_FINAL_PRE)
        norm_fwd(pass, &n, s->final_y, x);
    else
        memcpy(s->final_y, x, (size_t)count * sizeof(real));
    if (h->readout_mult != 1)
        pass->ctx.kernels->scale(s->final_y, (real)h->readout_mult, count);
    return s->final_y;
}

static const gn2_norm_at no_affine = {-1, -1};

void R(gn2_encoder_fwd)(R(gn2_pass) *pass)
{
    const gn2_hparams *h = pass->net->h;
    R(gn2_space) *s = pass->space;
    for (int64_t i = 0; i < h->num_layers; i++) layer_fwd(pass, i);
    const real *y = readout_input(pass, s->layer[h->num_layers].x);
    R(gn2_linear_fwd)
    (&pass->ctx, &pass->net->out_proj, s->z0, y, NULL, 0, pass->chunk.tokens);
    if (h->final_norm != GN2_FINAL_POST) return;
    const norm n = {&no_affine, s->final_mean, s->final_rstd, h->out_dim};
    norm_fwd(pass, &n, s->z, s->z0);
}

static void readout_bwd(R(gn2_pass) *pass)
{
    const gn2_hparams *h = pass->net->h;
    R(gn2_space) *s = pass->space;
    real *x = s->layer[h->num_layers].x;
    const int64_t tokens = pass->chunk.tokens, count = tokens * h->embed_dim;
    const real *d_z0 = s->d_z;
    if (h->final_norm == GN2_FINAL_POST) {
        const norm n = {&no_affine, s->final_mean, s->final_rstd, h->out_dim};
        memset(s->d_z0, 0, (size_t)(tokens * h->out_dim) * sizeof(real));
        norm_bwd(pass, &n, s->d_z0, s->d_z, s->z0);
        d_z0 = s->d_z0;
    }
    const int direct = h->final_norm != GN2_FINAL_PRE;
    const real *y = direct && h->readout_mult == 1 ? x : s->final_y;
    real *d_y = direct ? s->d_x : s->d_y;
    R(gn2_linear_bwd_weight)(&pass->ctx, &pass->net->out_proj, d_z0, y, tokens);
    R(gn2_linear_bwd_input)(&pass->ctx, &pass->net->out_proj, d_y, d_z0, NULL, tokens);
    if (h->readout_mult != 1)
        pass->ctx.kernels->scale(d_y, (real)h->readout_mult, count);
    if (direct) return;
    const norm n = {&pass->net->final_norm, s->final_mean, s->final_rstd, h->embed_dim};
    memset(s->d_x, 0, (size_t)count * sizeof(real));
    norm_bwd(pass, &n, s->d_x, s->d_y, x);
}

void R(gn2_encoder_bwd)(R(gn2_pass) *pass)
{
    readout_bwd(pass);
    for (int64_t i = pass->net->h->num_layers - 1; i >= 0; i--) layer_bwd(pass, i);
}
