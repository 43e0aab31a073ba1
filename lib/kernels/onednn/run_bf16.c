/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running in bf16: both factors are rounded into the lane's
 * scratch, so their strides do not matter and rows can be filled up with zeros. c is
 * float; it goes through scratch only where its rows are not tight or too few.
 */
#include "kernels/onednn/run.h"

#include "kernels/onednn/piece.h"

/* Scratch behind oneDNN's own part: a, b (gradients only) and c. */
typedef struct staging {
    uint16_t *a, *b;
    float *c;
} staging;

static size_t round_up(size_t bytes)
{
    return (bytes + GN2_ALIGN - 1) / GN2_ALIGN * GN2_ALIGN;
}

/* The first primitive has the most rows. */
static size_t half_bytes(const gn2_product_f32 *p, int64_t cols)
{
    const dnnl_state *d = p->data;
    return round_up((size_t)(d->buckets[0].rows * cols) * sizeof(uint16_t));
}

size_t gn2_dnnl_bf16_scratch(const gn2_product_f32 *p)
{
    const int64_t rows = p->is_gradient ? p->k : STAGE_ROWS;
    const size_t c = (size_t)(rows * p->n) * sizeof(float);
    return half_bytes(p, p->k) + (p->is_gradient ? half_bytes(p, p->n) : 0) + c;
}

static staging staging_of(const gn2_product_f32 *p, const gn2_lane_view_f32 *lane)
{
    char *a = (char *)lane->scratch + gn2_dnnl_pad_bytes(p);
    char *b = a + half_bytes(p, p->k);
    char *c = b + (p->is_gradient ? half_bytes(p, p->n) : 0);
    return (staging){(uint16_t *)(void *)a, (uint16_t *)(void *)b, (float *)(void *)c};
}

/* m rows of x, rounded and tight, then zeros up to `rows`. */
static void round_rows(gn2_bf16_convert *convert, uint16_t *to, const float *x,
                       int64_t ld, int64_t m, int64_t rows, int64_t cols)
{
    if (ld == cols)
        convert(to, x, m * cols);
    else
        for (int64_t r = 0; r < m; r++) convert(to + r * cols, x + r * ld, cols);
    memset(to + m * cols, 0, (size_t)((rows - m) * cols) * sizeof *to);
}

/* ---- c = a·B ---- */

/* The primitive for the next rows of m: the largest that they fill, else the
 * smallest. Rows that go through scratch have to fit there. */
static int forward_bucket(const dnnl_state *d, const gn2_product_f32 *p,
                          const gn2_mul_args_f32 *x)
{
    int i = 0;
    const int64_t most = x->ldc == p->n ? x->m : STAGE_ROWS;
    while (i + 1 < d->count && (d->buckets[i].rows > x->m || d->buckets[i].rows > most))
        i++;
    return i;
}

/* The first m rows of x by one primitive. */
static void run_rows(const gn2_product_f32 *p, const gn2_lane_view_f32 *lane, int index,
                     const gn2_mul_args_f32 *x)
{
    const dnnl_state *d = p->data;
    const staging s = staging_of(p, lane);
    const int64_t rows = d->buckets[index].rows, n = p->n;
    const int direct = x->ldc == n && x->m == rows;
    const gn2_dnnl_piece one = {.p = p,
                                .lane = lane,
                                .index = index,
                                .src = s.a,
                                .bias = x->bias,
                                .dst = direct ? x->c : s.c,
                                .mode = x->residual ? ACCUMULATE : OVERWRITE};
    round_rows(d->convert, s.a, x->a, x->lda, x->m, rows, p->k);
    if (x->residual && x->residual != one.dst)
        gn2_dnnl_copy_rows(one.dst, n, x->residual, x->ldc, x->m, n);
    gn2_dnnl_run_piece(&one);
    if (x->flags & GN2_MUL_RELU) gn2_dnnl_relu(one.dst, x->m * n);
    if (!direct) gn2_dnnl_copy_rows(x->c, x->ldc, s.c, n, x->m, n);
}

void gn2_dnnl_bf16_run(const gn2_product_f32 *p, const gn2_lane_view_f32 *lane,
                       gn2_mul_args_f32 x)
{
    const dnnl_state *d = p->data;
    for (int64_t left = x.m; left > 0; left -= x.m) {
        x.m = left;
        const int index = forward_bucket(d, p, &x);
        if (x.m > d->buckets[index].rows) x.m = d->buckets[index].rows;
        run_rows(p, lane, index, &x);
        x.a += x.m * x.lda;
        x.c += x.m * x.ldc;
        if (x.residual) x.residual += x.m * x.ldc;
    }
}

/* ---- c += aᵀ·b ---- */

/* The largest primitive that m fills to three quarters: reading and writing all of c
 * again costs more than multiplying zeros. */
static int gradient_bucket(const dnnl_state *d, int64_t m)
{
    int i = 0;
    while (i + 1 < d->count && 4 * m < 3 * d->buckets[i].rows) i++;
    return i;
}

/* As run_rows; c tight. */
static void add_rows(const gn2_product_f32 *p, const gn2_lane_view_f32 *lane, int index,
                     const gn2_tn_args_f32 *x)
{
    const dnnl_state *d = p->data;
    const staging s = staging_of(p, lane);
    const int64_t rows = d->buckets[index].rows;
    const gn2_dnnl_piece one = {.p = p,
                                .lane = lane,
                                .index = index,
                                .mode = ACCUMULATE,
                                .src = s.a,
                                .rhs = s.b,
                                .dst = x->c};
    round_rows(d->convert, s.a, x->a, x->lda, x->m, rows, p->k);
    round_rows(d->convert, s.b, x->b, x->ldb, x->m, rows, p->n);
    gn2_dnnl_run_piece(&one);
}

void gn2_dnnl_bf16_run_tn(const gn2_product_f32 *p, const gn2_lane_view_f32 *lane,
                          gn2_tn_args_f32 x)
{
    const dnnl_state *d = p->data;
    float *c = x.c;
    const int64_t ldc = x.ldc;
    if (ldc != p->n) {
        x.c = staging_of(p, lane).c;
        gn2_dnnl_copy_rows(x.c, p->n, c, ldc, p->k, p->n);
    }
    for (int64_t left = x.m; left > 0; left -= x.m) {
        const int index = gradient_bucket(d, left);
        x.m = left < d->buckets[index].rows ? left : d->buckets[index].rows;
        add_rows(p, lane, index, &x);
        x.a += x.m * x.lda;
        x.b += x.m * x.ldb;
    }
    if (ldc != p->n) gn2_dnnl_copy_rows(c, ldc, x.c, p->n, p->k, p->n);
}
