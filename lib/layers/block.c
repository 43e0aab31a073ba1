/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pre-norm layer of the encoder (salt.models.Transformer; with affine norms that of
 * GN2v01's TransformerEncoder).
 *   forward   x_mid = x + W_o Attention(W_qkv LN(x));
 *             end = x_mid + W_2 drop(relu(W_1 drop(LN(x_mid))))
 *   backward  the same in reverse, gradients of both branches and the sums added
 * Cached: the norms' statistics, y1, qkv, P, o, x_mid, y2, f.
 * Flops: 8 E² + 4 E M a token, 4 n² E a jet.
 */
#include "layers/block.h"

#include <math.h>

/* ---- options ---- */

#ifndef GN2_REAL_DOUBLE
gn2_status gn2_block_read(const gn2_config *c, gn2_block_shape *out)
{
    gn2_block_shape s = {
        .width = gn2_config_i64(c, "model.embed_dim"),
        .hidden = gn2_config_i64(c, "model.ffn_hidden"),
        .attention.heads = gn2_config_i64(c, "model.num_heads"),
        .norm_eps = gn2_config_f64(c, "model.norm_eps"),
        .dropout = gn2_config_f64(c, "model.dropout_ffn"),
        .affine = gn2_config_says(c, "model.encoder", "legacy"),
    };
    if (s.hidden == 0) s.hidden = 2 * s.width;
    if (s.width % s.attention.heads)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "model.num_heads = %lld: must divide model.embed_dim = %lld",
                        (long long)s.attention.heads, (long long)s.width);
    s.attention.head_dim = s.width / s.attention.heads;
    *out = s;
    return GN2_OK;
}
#endif

/* ---- parameters ---- */

static void declare_qkv(gn2_declaration *d, R(gn2_block) *b)
{
    const int64_t w = b->shape.width;
    gn2_tensor *t = gn2_declare_weight(d, "attn.fn.in_proj_", 3 * w, w, GN2_GROWS_BOTH);
    b->qkv.weight = t->offset;
    /* torch.nn.MultiheadAttention: Xavier uniform on the packed matrix */
    if (d->torch_init) t->init_std = 1 / sqrt(2.0 * (double)w);
    if (b->shape.zero_query) t->zeros = w * w; /* q comes first */
    t = gn2_declare_bias(d, "attn.fn.in_proj_", 3 * w, w, GN2_GROWS_OUT);
    t->start = GN2_START_CONSTANT;
    t->init_std = 0;
    b->qkv.bias = t->offset;
}

/* q, k, v of GN2v01: one matrix (3E, E) all the same. */
static void declare_qkv_apart(gn2_declaration *d, R(gn2_block) *b)
{
    static const char *const stems[] = {"mha.linear_q.", "mha.linear_k.",
                                        "mha.linear_v."};
    const int64_t w = b->shape.width;
    for (int i = 0; i < 3; i++) {
        d->packed = i > 0;
        gn2_tensor *t = gn2_declare_weight(d, stems[i], w, w, GN2_GROWS_BOTH);
        if (i > 0) continue;
        b->qkv.weight = t->offset;
        if (b->shape.zero_query) t->zeros = w * w;
    }
    for (int i = 0; i < 3; i++) {
        d->packed = i > 0;
        const gn2_tensor *t = gn2_declare_bias(d, stems[i], w, w, GN2_GROWS_BOTH);
        if (i == 0) b->qkv.bias = t->offset;
    }
    d->packed = 0;
}

/* Stems of the other linear maps: attention's and feed-forward's, by encoder. GN2v01
 * numbers the modules of its feed-forward, dropouts counting. */
typedef struct stems {
    const char *attn_out, *ffn_in, *ffn_out;
} stems;

static stems stems_of(const gn2_block_shape *shape)
{
    if (!shape->affine)
        return (stems){"attn.fn.out_proj.", "dense.fn.in_proj.", "dense.fn.out_proj."};
    if (shape->dropout > 0)
        return (stems){"mha.linear_out.", "dense.net.1.", "dense.net.4."};
    return (stems){"mha.linear_out.", "dense.net.0.", "dense.net.2."};
}

void R(gn2_block_declare)(gn2_declaration *d, R(gn2_block) *b)
{
    const gn2_block_shape *shape = &b->shape;
    const int64_t w = shape->width, m = shape->hidden;
    const gn2_growth grows = GN2_GROWS_BOTH;
    const stems of = stems_of(shape);
    b->norm1 = gn2_norm_declare(d, shape->affine ? "norm1." : NULL, w, shape->norm_eps);
    b->norm2 = gn2_norm_declare(d, shape->affine ? "norm2." : NULL, w, shape->norm_eps);
    b->qkv = (R(gn2_linear)){.in = w, .out = 3 * w, .ld = w};
    (shape->affine ? declare_qkv_apart : declare_qkv)(d, b);
    b->attn_out = R(gn2_linear_declare)(d, of.attn_out, w, w, grows);
    b->ffn_in = R(gn2_linear_declare)(d, of.ffn_in, m, w, grows);
    b->ffn_out = R(gn2_linear_declare)(d, of.ffn_out, w, m, grows);
}

void R(gn2_block_each)(R(gn2_block) *b, R(gn2_linear_fn) fn, void *user)
{
    fn(&b->qkv, user);
    fn(&b->attn_out, user);
    fn(&b->ffn_in, user);
    fn(&b->ffn_out, user);
}

/* ---- working memory ---- */

void R(gn2_block_carve)(gn2_carver *c, const gn2_block_shape *shape,
                        R(gn2_block_space) *s)
{
    const int64_t w = shape->width;
    R(gn2_norm_carve)(c, &s->norm1);
    s->y1 = R(gn2_carve)(c, c->tokens, w);
    s->qkv = R(gn2_carve)(c, c->tokens, 3 * w);
    s->p = R(gn2_carve)(c, shape->attention.heads * c->tokens, c->longest);
    s->o = R(gn2_carve)(c, c->tokens, w);
    R(gn2_norm_carve)(c, &s->norm2);
    s->y2 = R(gn2_carve)(c, c->tokens, w);
    s->f = R(gn2_carve)(c, c->tokens, shape->hidden);
}

void R(gn2_block_carve_grads)(gn2_carver *c, const gn2_block_shape *shape,
                              R(gn2_block_grads) *g)
{
    const int64_t w = shape->width, m = shape->hidden;
    g->d_x = R(gn2_carve)(c, c->tokens, w);
    g->d_y = R(gn2_carve)(c, c->tokens, w);
    g->d_wide = R(gn2_carve)(c, c->tokens, 3 * w > m ? 3 * w : m);
    g->scratch = R(gn2_carve)(
        c, 1,
        c->longest + gn2_attention_scratch(c->longest, shape->attention.head_dim));
}

/* ---- forward ---- */

void R(gn2_block_fwd)(const R(gn2_context) *ctx, const R(gn2_block) *b,
                      const R(gn2_block_space) *s, real *end, const gn2_tokens *t)
{
    const int64_t rows = t->rows;
    const gn2_dropout drop = gn2_dropout_of(t, b->shape.dropout, b->place);

    R(gn2_norm_fwd)(ctx, &b->norm1, &s->norm1, s->y1, s->x, rows);
    R(gn2_linear_fwd)(ctx, &b->qkv, s->qkv, s->y1, NULL, 0, rows);
    R(gn2_attention_fwd)(ctx, &b->shape.attention, s->o, s->p, s->qkv, t);
    R(gn2_linear_fwd)(ctx, &b->attn_out, s->x_mid, s->o, s->x, 0, rows);

    R(gn2_norm_fwd)(ctx, &b->norm2, &s->norm2, s->y2, s->x_mid, rows);
    if (b->shape.affine)
        R(gn2_dropout_rows)(ctx, &drop, 0, s->y2, rows, b->shape.width);
    R(gn2_linear_fwd)(ctx, &b->ffn_in, s->f, s->y2, NULL, GN2_MUL_RELU, rows);
    R(gn2_dropout_rows)(ctx, &drop, 1, s->f, rows, b->shape.hidden);
    R(gn2_linear_fwd)(ctx, &b->ffn_out, end, s->f, s->x_mid, 0, rows);
}

/* ---- backward ---- */

/* end = x_mid + ffn_out(drop(relu(ffn_in(drop(LN(x_mid)))))) */
static void ffn_bwd(const R(gn2_context) *ctx, const R(gn2_block) *b,
                    const R(gn2_block_space) *s, const R(gn2_block_grads) *g,
                    const gn2_tokens *t)
{
    const int64_t rows = t->rows;
    const gn2_dropout drop = gn2_dropout_of(t, b->shape.dropout, b->place);
    real *d_f = g->d_wide;
    R(gn2_linear_bwd_weight)(ctx, &b->ffn_out, g->d_x, s->f, rows);
    R(gn2_linear_bwd_input)(ctx, &b->ffn_out, d_f, g->d_x, NULL, rows);
    R(gn2_dropout_relu_bwd)(ctx, &drop, d_f, s->f, rows * b->shape.hidden);
    R(gn2_linear_bwd_weight)(ctx, &b->ffn_in, d_f, s->y2, rows);
    R(gn2_linear_bwd_input)(ctx, &b->ffn_in, g->d_y, d_f, NULL, rows);
    if (b->shape.affine)
        R(gn2_dropout_rows)(ctx, &drop, 0, g->d_y, rows, b->shape.width);
    R(gn2_norm_bwd)(ctx, &b->norm2, &s->norm2, g->d_x, g->d_y, s->x_mid, rows);
}

void R(gn2_block_bwd)(const R(gn2_context) *ctx, const R(gn2_block) *b,
                      const R(gn2_block_space) *s, const R(gn2_block_grads) *g,
                      const gn2_tokens *t)
{
    const int64_t rows = t->rows;
    ffn_bwd(ctx, b, s, g, t);
    /* x_mid = x + attn_out(attention(qkv(LN(x)))) */
    R(gn2_linear_bwd_weight)(ctx, &b->attn_out, g->d_x, s->o, rows);
    R(gn2_linear_bwd_input)(ctx, &b->attn_out, g->d_y, g->d_x, NULL, rows);
    R(gn2_attention_bwd)
    (ctx, &b->shape.attention, g->d_wide, g->scratch, g->d_y, s->qkv, s->p, t);
    R(gn2_linear_bwd_weight)(ctx, &b->qkv, g->d_wide, s->y1, rows);
    R(gn2_linear_bwd_input)(ctx, &b->qkv, g->d_y, g->d_wide, NULL, rows);
    R(gn2_norm_bwd)(ctx, &b->norm1, &s->norm1, g->d_x, g->d_y, s->x, rows);
}

/* ---- cost, values to look at ---- */

void R(gn2_block_show)(R(gn2_show) *show, const R(gn2_context) *ctx,
                       const R(gn2_block) *b, const R(gn2_block_space) *s,
                       const real *end, const gn2_tokens *t)
{
    const int64_t i = b->number, rows = t->rows, w = b->shape.width;
    const int64_t logits =
        R(gn2_attention_logits)(&b->shape.attention, s->p, s->qkv, t);
    R(gn2_linear_fwd)(ctx, &b->ffn_in, s->f, s->y2, NULL, 0, rows);
    const R(gn2_shown) pre = {"ffn_pre", i, s->f, NULL, rows, b->shape.hidden, 0};
    R(gn2_show_add)(show, (R(gn2_shown)){"attn_logits", i, s->p, NULL, logits, 1, -1});
    R(gn2_show_add)(show, (R(gn2_shown)){"attn", i, s->x_mid, s->x, rows, w, -1});
    R(gn2_show_add)(show, pre);
    R(gn2_show_add)(show, (R(gn2_shown)){"ffn", i, end, s->x_mid, rows, w, -1});
    R(gn2_show_add)(show, (R(gn2_shown)){"layer", i, end, NULL, rows, w, -1});
}

#ifndef GN2_REAL_DOUBLE
int64_t gn2_block_cost(const gn2_block_shape *shape)
{
    return 4 * shape->width * shape->width + 2 * shape->width * shape->hidden;
}
#endif
