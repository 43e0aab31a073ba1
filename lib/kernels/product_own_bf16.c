/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Own back end in bf16 arithmetic: B is packed rounded, `a` is rounded block by block
 * into scratch, and the loops of product_own_tmpl.c do the rest. There are two ways
 * (gn2_loop): dot products of words of two bf16, or multiply-adds of factors expanded
 * to float, pairs swapped, which give the same bits (product_bf16.h). Both start from
 * the bias and go by rising pairs of k, one row's sums whatever the others.
 *
 * Dot products take denormal numbers as zero, give zero for them and round to nearest
 * whatever the thread's modes. Multiply-adds do so in the modes that are set while a
 * product runs, and the epilogue of both with them.
 */
#include <immintrin.h>

#include "kernels/processors.h"
#include "kernels/product_bf16.h"
#include "kernels/product_own.h"

/* All exceptions masked, nearest even, denormals zero: MXCSR's reset value, DAZ, FTZ.
 */
#define MODES (0x1F80u | 0x0040u | 0x8000u)

static int by_dot(const gn2_product_f32 *p)
{
    return p->loop == GN2_LOOP_DOT;
}

static const gn2_own_kernels *kernels_of(const gn2_product_f32 *p)
{
    return by_dot(p) ? &gn2_own_avx512_dot : &gn2_own_avx512;
}

static int64_t min_of(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Elements that the loop sees of `count` numbers: words, or floats in whole pairs. */
static int64_t elements_of(const gn2_product_f32 *p, int64_t count)
{
    const int64_t pairs = (count + 1) / 2;
    return by_dot(p) ? pairs : 2 * pairs;
}

/* ---- B ---- */

static gn2_status bf16_create(gn2_product_f32 *p)
{
    if (p->loop == GN2_LOOP_AUTO)
        p->loop = gn2_processor_dots() ? GN2_LOOP_DOT : GN2_LOOP_FMA;
    if (p->is_gradient) return GN2_OK;
    return gn2_own_make_room(p, gn2_own_round_up(p->k, 2), kernels_of(p)->vector,
                             sizeof(uint16_t));
}

/* A panel of `width` columns from the first of src on, rows of `stride` words of two
 * of k. */
static void pack_words(const gn2_product_f32 *p, float *panel, int64_t stride,
                       const float *src, int64_t ld, int transposed, int64_t width)
{
    if (transposed) {
        for (int64_t j = 0; j < width; j++)
            gn2_bf16_column_words(panel + j, stride, src + j * ld, p->k);
        return;
    }
    for (int64_t k = 0; k < p->k; k += 2, src += 2 * ld)
        gn2_bf16_rows_words(panel + k / 2 * stride, src, k + 1 < p->k ? src + ld : NULL,
                            width);
}

/* The same in halves of a word, pairs swapped, in one of two vectors (product_own.h).
 */
static void pack_halves(const gn2_product_f32 *p, uint16_t *panel, int64_t stride,
                        const float *src, int64_t step_k, int64_t step_n, int64_t width)
{
    const int64_t vector = kernels_of(p)->vector, vecs = stride / vector;
    for (int64_t j = 0; j < width; j++)
        for (int64_t k = 0; k < p->k; k++)
            panel[(k ^ 1) * stride + j % vector * vecs + j / vector] =
                gn2_bf16_factor(src[k * step_k + j * step_n]);
}

static void bf16_pack(gn2_product_f32 *p, const float *src, int64_t ld, int transposed)
{
    const gn2_own_kernels *own = kernels_of(p);
    const int64_t step_k = transposed ? 1 : ld, step_n = transposed ? ld : 1;
    float *panel = p->packed;
    for (int64_t first = 0; first < p->n; first += own->columns) {
        const int64_t width = min_of(p->n - first, own->columns);
        const int64_t stride = gn2_own_round_up(width, own->vector);
        const float *from = src + first * step_n;
        if (by_dot(p))
            pack_words(p, panel, stride, from, ld, transposed, width);
        else
            pack_halves(p, (uint16_t *)(void *)panel, stride, from, step_k, step_n,
                        width);
        panel += stride * gn2_own_round_up(p->k, 2) / 2;
    }
}

/* ---- scratch ---- */

/* Rows of `a` rounded at a time: a multiple of the rows of a tile that stays in L2. */
static int64_t block_rows(int64_t ld)
{
    const int64_t tile = 14, rows = 65536 / ld / tile * tile;
    return rows < tile ? tile : rows;
}

/* Rows of a and b that a gradient sums at a time. */
#define TN_ROWS 256

/* From row to row of scratch: whole vectors, never a multiple of a page, where rows
 * would share a set of the L1 cache. */
static int64_t stride_of(int64_t elements)
{
    const int64_t ld = gn2_own_round_up(elements, 16);
    return ld % 256 == 0 ? ld + 16 : ld;
}

static size_t bf16_scratch(const gn2_product_f32 *p)
{
    const int64_t ld = stride_of(elements_of(p, p->k));
    int64_t floats = block_rows(ld) * ld;
    if (p->is_gradient)
        floats = elements_of(p, TN_ROWS) * (stride_of(p->k) + stride_of(p->n)) +
                 (int64_t)kernels_of(p)->scratch_tn;
    return (size_t)floats * sizeof(float);
}

/* ---- c = a·B ---- */

static void round_rows(const gn2_product_f32 *p, float *to, int64_t ld,
                       const gn2_mul_args_f32 *x)
{
    for (int64_t r = 0; r < x->m; r++)
        (by_dot(p) ? gn2_bf16_row_words : gn2_bf16_row_floats)(to + r * ld,
                                                               x->a + r * x->lda, p->k);
}

static void run_blocks(const gn2_product_f32 *p, float *scratch,
                       const gn2_mul_args_f32 *args)
{
    const gn2_own_problem problem = {
        .k = elements_of(p, p->k), .n = p->n, .half = !by_dot(p), .packed = p->packed};
    const int64_t ld = stride_of(problem.k), block = block_rows(ld);
    gn2_mul_args_f32 x = *args;
    for (int64_t left = args->m; left > 0; left -= x.m) {
        x.m = min_of(left, block);
        round_rows(p, scratch, ld, &x);
        gn2_mul_args_f32 y = x;
        y.a = scratch;
        y.lda = ld;
        kernels_of(p)->mul(&problem, &y);
        x.a += x.m * x.lda;
        x.c += x.m * x.ldc;
        if (x.residual) x.residual += x.m * x.ldc;
    }
}

static void bf16_run(const gn2_product_f32 *p, gn2_lane_view_f32 lane,
                     const gn2_mul_args_f32 *args)
{
    const unsigned modes = _mm_getcsr();
    _mm_setcsr(MODES);
    run_blocks(p, lane.scratch, args);
    _mm_setcsr(modes);
}

/* ---- c += aᵀ·b ---- */

/* Two rows of x after the other, of `rows`. */
static void round_pairs(const gn2_product_f32 *p, float *to, int64_t ld, const float *x,
                        int64_t ldx, int64_t rows, int64_t count)
{
    for (int64_t r = 0; r < rows; r += 2, x += 2 * ldx) {
        const float *second = r + 1 < rows ? x + ldx : NULL;
        if (by_dot(p))
            gn2_bf16_rows_words(to + r / 2 * ld, x, second, count);
        else
            gn2_bf16_rows_floats(to + r * ld, ld, x, second, count);
    }
}

static void add_blocks(const gn2_product_f32 *p, float *scratch,
                       const gn2_tn_args_f32 *x)
{
    const int64_t lda = stride_of(p->k), ldb = stride_of(p->n);
    float *a = scratch, *b = a + elements_of(p, TN_ROWS) * lda;
    const gn2_own_problem problem = {
        .k = p->k, .n = p->n, .scratch = b + elements_of(p, TN_ROWS) * ldb};
    for (int64_t first = 0; first < x->m; first += TN_ROWS) {
        const int64_t rows = min_of(x->m - first, TN_ROWS);
        round_pairs(p, a, lda, x->a + first * x->lda, x->lda, rows, p->k);
        round_pairs(p, b, ldb, x->b + first * x->ldb, x->ldb, rows, p->n);
        const gn2_tn_args_f32 y = {x->c, x->ldc, a, lda, b, ldb, elements_of(p, rows)};
        kernels_of(p)->mul_tn(&problem, &y);
    }
}

static void bf16_run_tn(const gn2_product_f32 *p, gn2_lane_view_f32 lane,
                        const gn2_tn_args_f32 *args)
{
    const unsigned modes = _mm_getcsr();
    _mm_setcsr(MODES);
    add_blocks(p, lane.scratch, args);
    _mm_setcsr(modes);
}

const gn2_product_ops_f32 gn2_product_own_bf16 = {
    .name = "own bf16",
    .create = bf16_create,
    .pack = bf16_pack,
    .scratch = bf16_scratch,
    .run = bf16_run,
    .run_tn = bf16_run_tn,
};
