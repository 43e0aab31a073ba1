/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running what backend.c made: m is cut into the rows there are primitives for. They
 * take tight rows, in bf16 rounded ones; what is otherwise goes through the lane's
 * scratch. There the last rows in bf16 are filled up with zeros.
 */
#include <string.h>

#include "kernels/onednn/backend.h"

/* Scratch behind oneDNN's own part: a, b (gradients only) and c. */
typedef struct staging {
    void *a, *b;
    float *c;
} staging;

static int is_half(const gn2_product_f32 *p)
{
    return p->arithmetic == GN2_ARITHMETIC_BF16;
}

static size_t round_up(size_t bytes)
{
    return (bytes + GN2_ALIGN - 1) / GN2_ALIGN * GN2_ALIGN;
}

/* In bf16 all rows of a primitive are staged; the first has the most. */
static size_t factor_bytes(const gn2_product_f32 *p, int64_t cols)
{
    const dnnl_state *d = p->data;
    const int64_t rows = is_half(p) ? d->buckets[0].rows : STAGE_ROWS;
    return round_up((size_t)(rows * cols) *
                    (is_half(p) ? sizeof(uint16_t) : sizeof(float)));
}

static staging staging_of(const gn2_product_f32 *p, void *scratch)
{
    const dnnl_state *d = p->data;
    char *a = (char *)scratch + round_up(d->pad_bytes);
    char *b = a + factor_bytes(p, p->k);
    char *c = b + (p->is_gradient ? factor_bytes(p, p->n) : 0);
    return (staging){a, b, (float *)(void *)c};
}

size_t gn2_dnnl_scratch(const gn2_product_f32 *p)
{
    const dnnl_state *d = p->data;
    const int64_t rows = p->is_gradient ? p->k : STAGE_ROWS;
    return round_up(d->pad_bytes) + factor_bytes(p, p->k) +
           (p->is_gradient ? factor_bytes(p, p->n) : 0) +
           (size_t)(rows * p->n) * sizeof(float);
}

static void copy_rows(float *to, int64_t ld_to, const float *from, int64_t ld_from,
                      int64_t rows, int64_t cols)
{
    for (int64_t r = 0; r < rows; r++)
        memcpy(to + r * ld_to, from + r * ld_from, (size_t)cols * sizeof(float));
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

/* m rows of x as a primitive of `rows` rows takes them: where they are or in `to`. */
static const void *factor(const gn2_product_f32 *p, void *to, const float *x,
                          int64_t ld, int64_t m, int64_t rows, int64_t cols)
{
    const dnnl_state *d = p->data;
    if (is_half(p))
        round_rows(d->convert, to, x, ld, m, rows, cols);
    else if (ld == cols)
        return x;
    else
        copy_rows(to, cols, x, ld, m, cols);
    return to;
}

/* The primitive for the next rows of m: the largest of no more than these and `most`,
 * else the smallest. */
static int bucket_for(const dnnl_state *d, int64_t m, int64_t most)
{
    int i = 0;
    while (i + 1 < d->count && (d->buckets[i].rows > m || d->buckets[i].rows > most))
        i++;
    return i;
}

/* ---- c = a·B ---- */

/* Rows at once: those that are staged have to fit there. */
static int forward_bucket(const gn2_product_f32 *p, const gn2_mul_args_f32 *x)
{
    const int tight = x->ldc == p->n && (is_half(p) || x->lda == p->k);
    return bucket_for(p->data, x->m, tight ? x->m : STAGE_ROWS);
}

/* oneDNN's ReLU turns NaN into 0; this one keeps it. */
static void relu(float *c, int64_t count)
{
    for (int64_t i = 0; i < count; i++) c[i] = c[i] < 0 ? 0 : c[i];
}

/* The first m rows of x by one primitive. */
static void run_rows(const gn2_product_f32 *p, const gn2_lane_view_f32 *lane, int index,
                     const gn2_mul_args_f32 *x)
{
    const dnnl_state *d = p->data;
    const staging s = staging_of(p, lane->scratch);
    const int64_t rows = d->buckets[index].rows, n = p->n;
    const int direct = x->ldc == n && x->m == rows;
    const gn2_dnnl_piece one = {.p = p,
                                .lane = lane,
                                .index = index,
                                .src = factor(p, s.a, x->a, x->lda, x->m, rows, p->k),
                                .bias = x->bias,
                                .dst = direct ? x->c : s.c,
                                .mode = x->residual ? ACCUMULATE : OVERWRITE};
    if (x->residual && x->residual != one.dst)
        copy_rows(one.dst, n, x->residual, x->ldc, x->m, n);
    gn2_dnnl_run_piece(&one);
    if (x->flags & GN2_MUL_RELU) relu(one.dst, x->m * n);
    if (!direct) copy_rows(x->c, x->ldc, s.c, n, x->m, n);
}

void gn2_dnnl_run(const gn2_product_f32 *p, gn2_lane_view_f32 lane,
                  const gn2_mul_args_f32 *args)
{
    const dnnl_state *d = p->data;
    const int threads = gn2_dnnl_one_thread();
    gn2_mul_args_f32 x = *args;
    for (int64_t left = args->m; left > 0; left -= x.m) {
        x.m = left;
        const int index = forward_bucket(p, &x);
        if (x.m > d->buckets[index].rows) x.m = d->buckets[index].rows;
        run_rows(p, &lane, index, &x);
        x.a += x.m * x.lda;
        x.c += x.m * x.ldc;
        if (x.residual) x.residual += x.m * x.ldc;
    }
    gn2_dnnl_restore_threads(threads);
}

/* ---- c += aᵀ·b ---- */

/* In bf16 the largest primitive that m fills to three quarters: reading and writing all
 * of c again costs more than multiplying zeros. */
static int gradient_bucket(const gn2_product_f32 *p, const gn2_tn_args_f32 *x)
{
    const dnnl_state *d = p->data;
    const int tight = x->lda == p->k && x->ldb == p->n && x->ldc == p->n;
    int i = 0;
    if (!is_half(p)) return bucket_for(d, x->m, tight ? x->m : STAGE_ROWS);
    while (i + 1 < d->count && 4 * x->m < 3 * d->buckets[i].rows) i++;
    return i;
}

/* As run_rows; c, of any stride in x, is tight. */
static void add_rows(const gn2_product_f32 *p, const gn2_lane_view_f32 *lane, int index,
                     const gn2_tn_args_f32 *x, float *c)
{
    const dnnl_state *d = p->data;
    const staging s = staging_of(p, lane->scratch);
    const int64_t rows = d->buckets[index].rows;
    const gn2_dnnl_piece one = {.p = p,
                                .lane = lane,
                                .index = index,
                                .mode = ACCUMULATE,
                                .src = factor(p, s.a, x->a, x->lda, x->m, rows, p->k),
                                .rhs = factor(p, s.b, x->b, x->ldb, x->m, rows, p->n),
                                .dst = c};
    gn2_dnnl_run_piece(&one);
}

void gn2_dnnl_run_tn(const gn2_product_f32 *p, gn2_lane_view_f32 lane,
                     const gn2_tn_args_f32 *args)
{
    const dnnl_state *d = p->data;
    const int threads = gn2_dnnl_one_thread(), direct = args->ldc == p->n;
    float *c = direct ? args->c : staging_of(p, lane.scratch).c;
    gn2_tn_args_f32 x = *args;
    if (!direct) copy_rows(c, p->n, x.c, x.ldc, p->k, p->n);
    for (int64_t left = args->m; left > 0; left -= x.m) {
        x.m = left;
        const int index = gradient_bucket(p, &x);
        if (x.m > d->buckets[index].rows) x.m = d->buckets[index].rows;
        add_rows(p, &lane, index, &x, c);
        x.a += x.m * x.lda;
        x.b += x.m * x.ldb;
    }
    if (!direct) copy_rows(x.c, x.ldc, c, p->n, p->k, p->n);
    gn2_dnnl_restore_threads(threads);
}
