/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running in float: m is cut into the rows there are primitives for. Strides that are
 * not tight go through the lane's scratch.
 */
#include "kernels/onednn/run.h"

#include <string.h>

#include "kernels/onednn/piece.h"

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
        const gn2_dnnl_piece one = {.p = p,
                                    .lane = lane,
                                    .index = i,
                                    .src = x.a,
                                    .bias = x.bias,
                                    .dst = x.c,
                                    .mode = x.residual ? ACCUMULATE : OVERWRITE};
        gn2_dnnl_run_piece(&one);
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

void gn2_dnnl_f32_run(const gn2_product_f32 *p, const gn2_lane_view_f32 *lane,
                      const gn2_mul_args_f32 *x)
{
    if (x->lda == p->k && x->ldc == p->n)
        run_tight(p, lane, *x);
    else
        run_staged(p, lane, *x);
}

static void run_tn_tight(const gn2_product_f32 *p, const gn2_lane_view_f32 *lane,
                         gn2_tn_args_f32 x)
{
    const dnnl_state *d = p->data;
    for (int i = 0; x.m > 0; i += x.m < d->buckets[i].rows) {
        const int64_t rows = d->buckets[i].rows;
        if (x.m < rows) continue;
        const gn2_dnnl_piece one = {.p = p,
                                    .lane = lane,
                                    .index = i,
                                    .mode = ACCUMULATE,
                                    .src = x.a,
                                    .rhs = x.b,
                                    .dst = x.c};
        gn2_dnnl_run_piece(&one);
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

void gn2_dnnl_f32_run_tn(const gn2_product_f32 *p, const gn2_lane_view_f32 *lane,
                         const gn2_tn_args_f32 *x)
{
    if (x->lda == p->k && x->ldb == p->n && x->ldc == p->n)
        run_tn_tight(p, lane, *x);
    else
        run_tn_staged(p, lane, *x);
}

/* Room for rows that are not tight: a and c, or a, b and all of c. */
size_t gn2_dnnl_f32_scratch(const gn2_product_f32 *p)
{
    const size_t rows = (size_t)(STAGE_ROWS * (p->k + p->n));
    const size_t c = p->is_gradient ? (size_t)(p->k * p->n) : 0;
    return (rows + c + GN2_ALIGN) * sizeof(float);
}
