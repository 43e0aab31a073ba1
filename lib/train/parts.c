/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the outputs of the modules are after a pass. Passes keep activations; what
 * they fuse away (values before ReLU and softmax, branches before the residual sum) is
 * made again.
 */
#include "train/parts.h"

typedef struct list {
    gn2_part *part;
    size_t count;
    int64_t units;
} list;

size_t gn2_parts_count(const gn2_hparams *h)
{
    size_t heads = 0;
    for (int id = 0; id < GN2_TASK_COUNT; id++) heads += h->task[id].on != 0;
    return 2 * (size_t)h->sequence_count + 5 * (size_t)h->num_layers + 4 + heads;
}

size_t gn2_parts_units(const gn2_hparams *h)
{
    int64_t units = h->num_layers * h->ffn_hidden;
    for (int k = 0; k < h->sequence_count; k++) units += h->init[k].size[1];
    return (size_t)units;
}

static void put(list *l, gn2_part part)
{
    part.unit = -1;
    l->part[l->count++] = part;
}

static void put_relu(list *l, gn2_part part)
{
    put(l, part);
    l->part[l->count - 1].unit = l->units;
    l->units += part.cols;
}

/* An init net of one linear map has no ReLU. */
static void list_inputs(list *l, const gn2_pass_f32 *pass)
{
    const gn2_hparams *h = pass->net->h;
    for (int k = 0; k < h->sequence_count; k++) {
        const gn2_dense *net = &h->init[k];
        float *x = pass->space->init[k].act[0];
        const int64_t rows = gn2_pass_rows_f32(pass, k);
        gn2_linear_fwd_f32(&pass->ctx, &pass->net->init[k].layer[0], x,
                           pass->space->x_in[k], NULL, 0, rows);
        void (*const add)(list *, gn2_part) = net->depth > 1 ? put_relu : put;
        add(l, (gn2_part){"init_pre", -1, x, NULL, rows, net->size[1], -1});
    }
    for (int k = 0; k < h->sequence_count; k++)
        put(l, (gn2_part){"init", -1, pass->space->init[k].act[h->init[k].depth - 1],
                          NULL, gn2_pass_rows_f32(pass, k), h->embed_dim, -1});
}

/* Σ a·b in double: what a logit is must not depend on the order of a kernel. */
static double dot(const float *a, const float *b, int64_t count)
{
    double sum = 0;
    for (int64_t c = 0; c < count; c++) sum += (double)a[c] * (double)b[c];
    return sum;
}

/* s (n, n) = scale·q kᵀ of one head; q, k (n, D) with rows of 3E. */
static void head_logits(const gn2_hparams *h, float *s, const float *q, int64_t n)
{
    const int64_t ld = 3 * h->embed_dim;
    const float *k = q + h->embed_dim;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            s[i * n + j] =
                (float)(h->attn_scale * dot(q + i * ld, k + j * ld, h->head_dim));
}

/* (jets; H, n, n) over the probabilities; returns how many. */
static int64_t make_logits(const gn2_pass_f32 *pass, int64_t layer)
{
    const gn2_hparams *h = pass->net->h;
    const gn2_layer_space_f32 *l = &pass->space->layer[layer];
    float *s = l->p;
    for (int64_t b = 0; b < pass->chunk.jets; b++) {
        const int64_t row = pass->space->token_offset[b];
        const int64_t n = pass->space->token_offset[b + 1] - row;
        for (int64_t head = 0; head < h->num_heads; head++, s += n * n)
            head_logits(h, s, l->qkv + 3 * row * h->embed_dim + head * h->head_dim, n);
    }
    return s - l->p;
}

static void list_layer(list *l, const gn2_pass_f32 *pass, int64_t i)
{
    const gn2_hparams *h = pass->net->h;
    const gn2_layer_space_f32 *s = &pass->space->layer[i];
    const int64_t rows = pass->chunk.tokens, w = h->embed_dim;
    const int64_t logits = make_logits(pass, i);
    gn2_linear_fwd_f32(&pass->ctx, &pass->net->layer[i].ffn_in, s->f, s->y2, NULL, 0,
                       rows);
    put(l, (gn2_part){"attn_logits", i, s->p, NULL, logits, 1, -1});
    put(l, (gn2_part){"attn", i, s->x_mid, s->x, rows, w, -1});
    put_relu(l, (gn2_part){"ffn_pre", i, s->f, NULL, rows, h->ffn_hidden, -1});
    put(l, (gn2_part){"ffn", i, s[1].x, s->x_mid, rows, w, -1});
    put(l, (gn2_part){"layer", i, s[1].x, NULL, rows, w, -1});
}

static void list_heads(list *l, const gn2_pass_f32 *pass)
{
    static const char *const names[] = {"jet_logits", "origin_logits"};
    const gn2_hparams *h = pass->net->h;
    const gn2_space_f32 *s = pass->space;
    const int64_t rows[] = {pass->chunk.jets,
                            gn2_pass_rows_f32(pass, h->task[GN2_TASK_ORIGIN].sequence)};
    for (int id = 0; id < GN2_TASK_VERTEX; id++) {
        const gn2_dense *net = &h->task[id].net;
        if (h->task[id].on)
            put(l, (gn2_part){names[id], -1, s->head[id].act[net->depth - 1], NULL,
                              rows[id], net->size[net->depth], -1});
    }
    if (h->task[GN2_TASK_VERTEX].on)
        put(l, (gn2_part){"pair_logits", -1, s->pair_logits, NULL, pass->chunk.pairs, 1,
                          -1});
}

void gn2_parts_list(const gn2_pass_f32 *pass, gn2_part *out_parts)
{
    const gn2_hparams *h = pass->net->h;
    const gn2_space_f32 *s = pass->space;
    const int64_t rows = pass->chunk.tokens, jets = pass->chunk.jets;
    list l = {.part = out_parts};
    list_inputs(&l, pass);
    for (int64_t i = 0; i < h->num_layers; i++) list_layer(&l, pass, i);
    put(&l, (gn2_part){"readout", -1, s->z0, NULL, rows, h->out_dim, -1});
    put(&l, (gn2_part){"tokens", -1, s->z, NULL, rows, h->out_dim, -1});
    put(&l, (gn2_part){"gate", -1, s->pool.logit, NULL, rows, 1, -1});
    put(&l, (gn2_part){"pooled", -1, s->pooled, NULL, jets, h->out_dim, -1});
    list_heads(&l, pass);
}
