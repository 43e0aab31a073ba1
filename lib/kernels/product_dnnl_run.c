/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oneDNN back end of product.h: running what product_dnnl.c made. Strides that are
 * not tight go through the lane's scratch. ReLU is done here: oneDNN's turns NaN
 * into 0.
 */
#include <math.h>
#include <string.h>

#include "kernels/product_dnnl.h"

void gn2_dnnl_spoil(float *c, int64_t count)
{
    for (int64_t i = 0; i < count; i++) c[i] = NAN;
}

/* oneDNN takes all addresses as writable; it does not write to its sources. */
static dnnl_status_t point(dnnl_memory_t memory, const void *data)
{
    union {
        const void *in;
        void *out;
    } address = {data};
    return dnnl_memory_set_data_handle(memory, address.out);
}

dnnl_status_t gn2_dnnl_run_piece(const gn2_dnnl_piece *x)
{
    dnnl_lane *lane = x->lane->state;
    const lane_bucket *l = &lane->buckets[x->index];
    const dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC, l->src},
        {DNNL_ARG_WEIGHTS, x->rhs ? l->rhs : x->d->packed_memory},
        {DNNL_ARG_DST, l->dst},
        {DNNL_ARG_SCRATCHPAD, l->pad[x->mode]},
        {DNNL_ARG_BIAS, lane->bias}};
    dnnl_status_t s = point(l->src, x->src);
    if (!s) s = point(l->dst, x->dst);
    if (!s) s = point(l->pad[x->mode], x->lane->scratch);
    if (!s && x->rhs) s = point(l->rhs, x->rhs);
    if (!s && !x->rhs) s = point(lane->bias, x->bias ? x->bias : x->d->no_bias);
    if (!s)
        s = dnnl_primitive_execute(x->d->buckets[x->index].run[x->mode], lane->stream,
                                   lane->bias ? 5 : 4, args);
    return s ? s : dnnl_stream_wait(lane->stream);
}

void gn2_dnnl_copy_rows(float *to, int64_t ld_to, const float *from, int64_t ld_from,
                        int64_t rows, int64_t cols)
{
    for (int64_t r = 0; r < rows; r++)
        memcpy(to + r * ld_to, from + r * ld_from, (size_t)cols * sizeof(float));
}

void gn2_dnnl_relu(float *c, int64_t count)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): scratch is never NULL */
    for (int64_t i = 0; i < count; i++) c[i] = c[i] < 0 ? 0 : c[i];
}

/* Tight rows of a and c, cut into buckets. */
static void run_tight(const gn2_product_f32 *p, const gn2_lane_view_f32 *lane,
                      gn2_mul_args_f32 x)
{
    const dnnl_state *d = p->data;
    if (x.residual && x.residual != x.c)
        memcpy(x.c, x.residual, (size_t)(x.m * p->n) * sizeof(float));
    for (int i = 0; x.m > 0; i += x.m < d->buckets[i].rows) {
        const int64_t rows = d->buckets[i].rows;
        if (x.m < rows) continue;
        const gn2_dnnl_piece one = {.d = d,
                                    .lane = lane,
                                    .index = i,
                                    .src = x.a,
                                    .bias = x.bias,
                                    .dst = x.c,
                                    .mode = x.residual ? ACCUMULATE : OVERWRITE};
        if (gn2_dnnl_run_piece(&one)) gn2_dnnl_spoil(x.c, rows * p->n);
        if (x.flags & GN2_MUL_RELU) gn2_dnnl_relu(x.c, rows * p->n);
        x.a += rows * p->k;
        x.c += rows * p->n;
        x.m -= rows;
    }
}

/* Other strides: STAGE_ROWS rows at a time through scratch. */
static void run_staged(const gn2_product_f32 *p, const gn2_lane_view_f32 *lane,
                       gn2_mul_args_f32 x)
{
    float *a = (float *)(void *)((char *)lane->scratch + gn2_dnnl_pad_bytes(p));
    float *c = a + STAGE_ROWS * p->k;
    for (int64_t left = x.m; left > 0; left -= x.m) {
        x.m = left < STAGE_ROWS ? left : STAGE_ROWS;
        const gn2_mul_args_f32 tight = {
            c, p->n, a, p->k, x.bias, x.residual ? c : NULL, x.flags, x.m};
        gn2_dnnl_copy_rows(a, p->k, x.a, x.lda, x.m, p->k);
        if (x.residual) gn2_dnnl_copy_rows(c, p->n, x.residual, x.ldc, x.m, p->n);
        run_tight(p, lane, tight);
        gn2_dnnl_copy_rows(x.c, x.ldc, c, p->n, x.m, p->n);
        x.a += x.m * x.lda;
        x.c += x.m * x.ldc;
        if (x.residual) x.residual += x.m * x.ldc;
    }
}

void gn2_dnnl_run(const gn2_product_f32 *p, gn2_lane_view_f32 lane,
                  const gn2_mul_args_f32 *args)
{
    const int threads = gn2_dnnl_one_thread();
    if (p->arithmetic == GN2_ARITHMETIC_BF16)
        gn2_dnnl_bf16_run(p, &lane, *args);
    else if (args->lda == p->k && args->ldc == p->n)
        run_tight(p, &lane, *args);
    else
        run_staged(p, &lane, *args);
    gn2_dnnl_restore_threads(threads);
}

static void run_tn_tight(const gn2_product_f32 *p, const gn2_lane_view_f32 *lane,
                         gn2_tn_args_f32 x)
{
    const dnnl_state *d = p->data;
    for (int i = 0; x.m > 0; i += x.m < d->buckets[i].rows) {
        const int64_t rows = d->buckets[i].rows;
        if (x.m < rows) continue;
        const gn2_dnnl_piece one = {.d = d,
                                    .lane = lane,
                                    .index = i,
                                    .mode = ACCUMULATE,
                                    .src = x.a,
                                    .rhs = x.b,
                                    .dst = x.c};
        if (gn2_dnnl_run_piece(&one)) gn2_dnnl_spoil(x.c, p->k * p->n);
        x.a += rows * p->k;
        x.b += rows * p->n;
        x.m -= rows;
    }
}

static void run_tn_staged(const gn2_product_f32 *p, const gn2_lane_view_f32 *lane,
                          gn2_tn_args_f32 x)
{
    float *a = (float *)(void *)((char *)lane->scratch + gn2_dnnl_pad_bytes(p));
    float *b = a + STAGE_ROWS * p->k, *c = b + STAGE_ROWS * p->n;
    gn2_dnnl_copy_rows(c, p->n, x.c, x.ldc, p->k, p->n);
    for (int64_t left = x.m; left > 0; left -= x.m) {
        x.m = left < STAGE_ROWS ? left : STAGE_ROWS;
        const gn2_tn_args_f32 tight = {c, p->n, a, p->k, b, p->n, x.m};
        gn2_dnnl_copy_rows(a, p->k, x.a, x.lda, x.m, p->k);
        gn2_dnnl_copy_rows(b, p->n, x.b, x.ldb, x.m, p->n);
        run_tn_tight(p, lane, tight);
        x.a += x.m * x.lda;
        x.b += x.m * x.ldb;
    }
    gn2_dnnl_copy_rows(x.c, x.ldc, c, p->n, p->k, p->n);
}

void gn2_dnnl_run_tn(const gn2_product_f32 *p, gn2_lane_view_f32 lane,
                     const gn2_tn_args_f32 *args)
{
    const int threads = gn2_dnnl_one_thread();
    if (p->arithmetic == GN2_ARITHMETIC_BF16)
        gn2_dnnl_bf16_run_tn(p, &lane, *args);
    else if (args->lda == p->k && args->ldb == p->n && args->ldc == p->n)
        run_tn_tight(p, &lane, *args);
    else
        run_tn_staged(p, &lane, *args);
    gn2_dnnl_restore_threads(threads);
}
