/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Own matrix products, compiled once for AVX2 + FMA, once for AVX-512, and once for
 * its dot products of bf16. For these an element of `a` and B is a word of two bf16,
 * of k even and the next one, and k counts words; bias, residual and c stay float.
 *
 * A tile of c, up to MAX_ROWS rows by two vectors, is summed in registers over the
 * whole of k, rising, one fused multiply-add an element; a row's bits therefore
 * depend on its row of `a` and on B alone, whatever tile it falls into. B comes in
 * packed panels, `a` is read where it lies by broadcasts. With few rows a tile
 * spans several panels instead, so that enough sums are under way to hide the
 * latency of the multiply-add (4 cycles, 2 units).
 *
 * The weight gradient uses the same tiles with `a` read down its columns and b
 * packed block by block; there the order of a sum depends on m as well.
 */
#include <string.h>

#include "kernels/product_own.h"
#include "kernels/simd.h"

#ifdef GN2_SIMD_AVX512
#define MAX_ROWS 14 /* 14·2 sums, 2 of b, 1 of a: 31 of 32 registers */
#define words_load(p) _mm512_loadu_si512(p)
#define words_spread(p) _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)(p)))
#else
#define MAX_ROWS 6 /* 6·2 sums, 2 of b, 1 of a: 15 of 16 registers */
#define words_load(p) _mm256_loadu_si256((const void *)(p))
#define words_spread(p) _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)(p)))
#endif
#ifdef GN2_SIMD_DOT
#define OWN_TABLE gn2_own_avx512_dot
#define EXPANDED(tiles)
/* c + a₁·b₁ of the upper halves first, then + a₀·b₀, both fused */
#define add_product(a, b, c) _mm512_dpbf16_ps(c, (__m512bh)(b), (__m512bh)(a))
#else
#define OWN_TABLE GN2_SIMD(gn2_own)
#define EXPANDED(tiles) tiles
#define add_product(a, b, c) v_fma(a, b, c)
#endif

/* The float whose upper half is the lower, or the upper, half of each word. */
INLINE vf words_low(vint words)
{
    return (vf)MM(slli_epi32)(words, 16);
}

INLINE vf words_high(vint words)
{
    return (vf)(words & MM(set1_epi32)((int)0xFFFF0000));
}

#define PANEL (2 * VL)
#ifdef __clang__
#define UNROLL_TWICE _Pragma("unroll 2")
#else
#define UNROLL_TWICE _Pragma("GCC unroll 2")
#endif

/* How far ahead of its use b is asked for, in rows of a panel. */
#define AHEAD 24
/* The same for the rows of `a` of a weight gradient. */
#define AHEAD_TN 16

/* What a tile works on: rows of `a`, or columns for the weight gradient. */
typedef struct tile_args {
    const float *a;
    int64_t lda;
    const float *b;
    int64_t panel_stride; /* words of 4 bytes from panel to panel of b */
    int64_t k;
    float *c;
    int64_t ldc;
    const float *bias, *residual;
    unsigned flags;
    int64_t tail; /* columns of the last vector that exist */
} tile_args;

typedef void tile_fn(const tile_args *t);

/* ---- tiles ---- */

/* Loads and stores of a vector, of its first lanes where it is cut: a constant where
 * these are inlined. */
INLINE vf load(const float *from, int cut, vm tail)
{
    return cut ? v_loadm(tail, from) : v_load(from);
}

INLINE void store(float *to, vf x, int cut, vm tail)
{
    if (cut)
        v_storem(tail, to, x);
    else
        v_store(to, x);
}

/* clang-format off */
/* Written out rather than looped over: compilers keep an array in registers only
 * if no index is left when they decide. Sum s belongs to row s / width, vector
 * s % width. */
#define MAX_SUMS 28
#define EACH_SUM(DO) \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) \
    DO(13) DO(14) DO(15) DO(16) DO(17) DO(18) DO(19) DO(20) DO(21) DO(22) DO(23) \
    DO(24) DO(25) DO(26) DO(27)
#define MAX_WIDTH 16
#define EACH_VECTOR(DO) \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) \
    DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15)
/* clang-format on */

/* sum + residual, ReLU, and out. */
INLINE void finish(const tile_args *t, vf *sum, const int count, const int width,
                   const int cut)
{
    const int64_t ld = t->ldc;
    const vm tail = v_first(t->tail);
#define PLACE(s) (s / width * ld + s % width * VL)
#define IS_CUT(s) (cut && s % width == width - 1)
#define RESIDUAL(s) \
    if (s < count)  \
        sum[s] = v_add(sum[s], load(t->residual + PLACE(s), IS_CUT(s), tail));
#define RELU(s) \
    if (s < count) sum[s] = v_positive(sum[s]);
#define STORE(s) \
    if (s < count) store(t->c + PLACE(s), sum[s], IS_CUT(s), tail);
    if (t->residual) {
        EACH_SUM(RESIDUAL)
    }
    if (t->flags & GN2_MUL_RELU) {
        EACH_SUM(RELU)
    }
    EACH_SUM(STORE)
}

/* Sums start from the bias. */
INLINE void start(const tile_args *t, vf *sum, const int count, const int width,
                  const int cut)
{
    const vm tail = v_first(t->tail);
    vf first[MAX_WIDTH];
#define BIAS(v)    \
    if (v < width) \
        first[v] = \
            t->bias ? load(t->bias + v * VL, cut && v == width - 1, tail) : v_zero();
#define START(s) \
    if (s < count) sum[s] = first[s % width];
    EACH_VECTOR(BIAS)
    EACH_SUM(START)
}

/* Where the rows of `a` are: five from each of three pointers, as fourteen would
 * not fit the registers. */
#define ROWS_A_POINTER 5
typedef struct row_pointers {
    const float *at[3];
} row_pointers;

INLINE row_pointers point_at_rows(const float *a, int64_t row)
{
    row_pointers p = {{a, a + ROWS_A_POINTER * row, a + 2 * ROWS_A_POINTER * row}};
    /* keeps the compiler from making fourteen pointers out of three */
    __asm__("" : "+r"(p.at[1]), "+r"(p.at[2]));
    return p;
}

/* Words of 4 bytes that one k of a panel takes: a float each, or two bf16. */
#define ROW_WORDS(vecs, half) ((vecs)*VL >> (half))

/* b's vectors of one k, and a call for those AHEAD of it. A word of a panel of two
 * vectors in bf16 holds an element of each, so that two operations give both. */
INLINE void load_b(vf *column, const float *b, int64_t stride, const int panels,
                   const int vecs, const int half)
{
#define FROM(v) (b + v / vecs * stride + (half ? 0 : v % vecs * VL))
#define LOAD(v)                                                               \
    if (v < panels * vecs && !(half && v % vecs)) {                           \
        _mm_prefetch((const char *)(FROM(v) + AHEAD * ROW_WORDS(vecs, half)), \
                     _MM_HINT_T0);                                            \
        if (!half) {                                                          \
            column[v] = v_load(FROM(v));                                      \
        } else if (vecs == 1) {                                               \
            column[v] = words_low(words_spread(FROM(v)));                     \
        } else {                                                              \
            const vint both = words_load(FROM(v));                            \
            column[v] = words_low(both);                                      \
            column[(v + 1) % MAX_WIDTH] = words_high(both);                   \
        }                                                                     \
    }
    EACH_VECTOR(LOAD)
}

/* sum += rows of a · panels of b. */
INLINE void add_products(const tile_args *t, vf *sum, const int count, const int panels,
                         const int vecs, const int half)
{
    const int width = panels * vecs;
    const int64_t row = t->lda, stride = t->panel_stride;
    row_pointers a = point_at_rows(t->a, row);
    const float *b = t->b;
#define A_OF(r) a.at[r / ROWS_A_POINTER][r % ROWS_A_POINTER * row]
#define ADD(s)     \
    if (s < count) \
        sum[s] = add_product(v_set1(A_OF((s / width))), column[s % width], sum[s]);
    UNROLL_TWICE
    for (int64_t i = 0; i < t->k; i++) {
        vf column[MAX_WIDTH];
        load_b(column, b, stride, panels, vecs, half);
        EACH_SUM(ADD)
        a.at[0]++;
        a.at[1]++;
        a.at[2]++;
        b += ROW_WORDS(vecs, half);
    }
}

/* The gradient so far is added to the sums at the end: it is called for before they
 * begin, for the arena of a wide network is in no near cache. */
INLINE void call_for_c(const tile_args *t, const int count, const int vecs)
{
#define CALL(s)                                                                \
    if (s < count)                                                             \
        _mm_prefetch((const char *)(t->c + s / vecs * t->ldc + s % vecs * VL), \
                     _MM_HINT_T0);
    EACH_SUM(CALL)
}

/* sum += columns of a · one panel of b. The rows of `a` lie apart and are called
 * for by hand: they follow each other too far apart for the prefetcher. */
INLINE void add_products_tn(const tile_args *t, vf *sum, const int count,
                            const int vecs)
{
    const float *a = t->a, *b = t->b;
    call_for_c(t, count, vecs);
#define ADD_TN(s) \
    if (s < count) sum[s] = add_product(v_set1(a[s / vecs]), column[s % vecs], sum[s]);
    UNROLL_TWICE
    for (int64_t i = 0; i < t->k; i++) {
        vf column[MAX_WIDTH];
        const float *ahead = a + AHEAD_TN * t->lda;
        load_b(column, b, 0, 1, vecs, 0);
        _mm_prefetch((const char *)ahead, _MM_HINT_T0);
        _mm_prefetch((const char *)(ahead + count / vecs - 1), _MM_HINT_T0);
        EACH_SUM(ADD_TN)
        a += t->lda;
        b += vecs * VL;
    }
}

/* rows × (panels · vecs) vectors; these are constants where this is inlined, and
 * so is panels = 0 for a tile of the weight gradient. */
INLINE void tile_cut(const tile_args *t, const int rows, const int panels,
                     const int vecs, const int half, const int cut)
{
    const int width = panels ? panels * vecs : vecs;
    const int count = rows * width;
    vf sum[MAX_SUMS];
    start(t, sum, count, width, cut);
    if (panels)
        add_products(t, sum, count, panels, vecs, half);
    else
        add_products_tn(t, sum, count, vecs);
    finish(t, sum, count, width, cut);
}

INLINE void tile(const tile_args *t, const int rows, const int panels, const int vecs,
                 const int half)
{
    if (t->tail == VL)
        tile_cut(t, rows, panels, vecs, half, 0);
    else
        tile_cut(t, rows, panels, vecs, half, 1);
}

/* The tiles that exist, X(rows, panels, vecs, half): MAX_ROWS by one panel, and wider
 * ones where few rows leave registers free; all of them for B in bf16 that is expanded
 * (half = 1). */
/* clang-format off */
#if VL == 16
#define WIDE_TILES(X, h) \
    X(1, 2, 2, h) X(2, 2, 2, h) X(3, 2, 2, h) X(4, 2, 2, h) X(5, 2, 2, h) \
    X(6, 2, 2, h) X(1, 4, 2, h) X(2, 4, 2, h) X(3, 4, 2, h) X(1, 8, 2, h)
#define TALL_TILES(X, p, v, h) \
    X(7, p, v, h) X(8, p, v, h) X(9, p, v, h) X(10, p, v, h) \
    X(11, p, v, h) X(12, p, v, h) X(13, p, v, h) X(14, p, v, h)
#else
#define WIDE_TILES(X, h) X(1, 2, 2, h) X(2, 2, 2, h) X(3, 2, 2, h) X(1, 4, 2, h)
#define TALL_TILES(X, p, v, h)
#endif
#define SINGLE_TILES(X, p, v, h) \
    X(1, p, v, h) X(2, p, v, h) X(3, p, v, h) \
    X(4, p, v, h) X(5, p, v, h) X(6, p, v, h) \
    TALL_TILES(X, p, v, h)
#define FORWARD_TILES(X, h) \
    SINGLE_TILES(X, 1, 1, h) SINGLE_TILES(X, 1, 2, h) WIDE_TILES(X, h)
#define ALL_TILES(X) \
    SINGLE_TILES(X, 0, 1, 0) SINGLE_TILES(X, 0, 2, 0) \
    FORWARD_TILES(X, 0) EXPANDED(FORWARD_TILES(X, 1))
/* clang-format on */

#define TILE_BODY(rows, panels, vecs, half)                                  \
    static void tile_##rows##_##panels##_##vecs##_##half(const tile_args *t) \
    {                                                                        \
        tile(t, rows, panels, vecs, half);                                   \
    }
ALL_TILES(TILE_BODY)

/* Tiles by storage, vectors, log2 of the panels (GRADIENT for panels = 0), rows. */
#define GRADIENT 4
#define KIND(panels)            \
    ((panels) == 0   ? GRADIENT \
     : (panels) == 1 ? 0        \
     : (panels) == 2 ? 1        \
     : (panels) == 4 ? 2        \
                     : 3)
#define TILE_ENTRY(rows, panels, vecs, half) \
    [half][vecs - 1][KIND(panels)][rows] = tile_##rows##_##panels##_##vecs##_##half,
static tile_fn *const tiles[2][2][5][MAX_ROWS + 1] = {ALL_TILES(TILE_ENTRY)};

/* ---- c = a·B ---- */

static int64_t min_of(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Rows worked on together: their part of `a` stays in L2 (a quarter of 1 MB). */
static int64_t block_rows(int64_t k)
{
    const int64_t rows = 65536 / k / MAX_ROWS * MAX_ROWS;
    return rows < MAX_ROWS ? MAX_ROWS : rows;
}

/* Panels a tile of `rows` may span when `left` full ones remain. */
static int panel_shift(int64_t rows, int64_t left)
{
    int shift = 3;
    while (shift > 0 && (left < (1 << shift) || !tiles[0][1][shift][rows])) shift--;
    return shift;
}

/* Tiles of `rows` rows of c over the columns of one panel group, the rows shared
 * out evenly so that no tile is thin. Row to row, t.a moves by `step`. */
static void run_rows(tile_args t, tile_fn *const *by_rows, int64_t rows, int64_t step)
{
    const int64_t count = (rows + MAX_ROWS - 1) / MAX_ROWS;
    const int64_t thin = rows / count, thick = rows % count; /* thick ones first */
    for (int64_t i = 0; i < count; i++) {
        const int64_t take = thin + (i < thick);
        by_rows[take](&t);
        t.a += take * step;
        t.c += take * t.ldc;
        if (t.residual) t.residual += take * t.ldc;
    }
}

/* Points t at panel j / PANEL and says how wide its last vector is. */
static int aim(tile_args *t, const gn2_own_problem *p, const gn2_mul_args_f32 *x,
               int64_t j)
{
    const int64_t width = min_of(p->n - j, PANEL);
    t->b = p->packed + (j * p->k >> p->half);
    t->c = x->c + j;
    t->bias = x->bias ? x->bias + j : NULL;
    t->residual = x->residual ? x->residual + j : NULL;
    t->tail = width > VL ? width - VL : width;
    return width > VL ? 2 : 1;
}

/* Columns of b by rows of one block. */
static void run_block(tile_args *t, const gn2_own_problem *p, const gn2_mul_args_f32 *x)
{
    const int64_t thickest = min_of(x->m, MAX_ROWS);
    for (int64_t j = 0; j < p->n;) {
        const int vecs = aim(t, p, x, j);
        const int shift = panel_shift(thickest, (p->n - j) / PANEL);
        if (shift > 0) t->tail = VL;
        run_rows(*t, tiles[p->half][vecs - 1][shift], x->m, t->lda);
        j += (int64_t)PANEL << shift;
    }
}

/* Rows a multiple of a page apart share one set of the L1 cache, which has fewer
 * ways than a tile has rows: such blocks are copied together first. */
static int rows_collide(int64_t ld)
{
    return ld % 1024 == 0;
}

static void gather_rows(tile_args *t, float *scratch, int64_t rows)
{
    const int64_t ld = t->k + VL;
    for (int64_t r = 0; r < rows; r++)
        memcpy(scratch + r * ld, t->a + r * t->lda, (size_t)t->k * sizeof(float));
    t->a = scratch;
    t->lda = ld;
}

static void mul(const gn2_own_problem *p, const gn2_mul_args_f32 *args)
{
    const int64_t block = block_rows(p->k);
    gn2_mul_args_f32 x = *args;
    for (int64_t left = args->m; left > 0; left -= x.m) {
        x.m = min_of(left, block);
        tile_args t = {.a = x.a,
                       .lda = x.lda,
                       .k = p->k,
                       .panel_stride = PANEL * p->k >> p->half,
                       .ldc = x.ldc,
                       .flags = x.flags};
        if (x.m > 1 && rows_collide(x.lda)) gather_rows(&t, p->scratch, x.m);
        run_block(&t, p, &x);
        x.a += x.m * x.lda;
        x.c += x.m * x.ldc;
        if (x.residual) x.residual += x.m * x.ldc;
    }
}

static size_t scratch_mul(int64_t k)
{
    return (size_t)(block_rows(k) * (k + VL));
}

/* ---- c += aᵀ·b ---- */

/* Rows of a and b summed at a time: the packed panel of b stays in L1. */
#define TN_ROWS 256

/* `width` columns of b into a panel of `vecs` vectors, zeros beyond. */
static void pack_b(float *panel, const float *b, int64_t ldb, int64_t rows,
                   int64_t width)
{
    const vm all = v_first(VL);
    const int vecs = width > VL ? 2 : 1;
    const vm tail = v_first(width - (vecs - 1) * VL);
    for (int64_t r = 0; r < rows; r++, b += ldb, panel += vecs * VL) {
        v_store(panel, v_loadm(vecs == 2 ? all : tail, b));
        if (vecs == 2) v_store(panel + VL, v_loadm(tail, b + VL));
    }
}

static void mul_tn(const gn2_own_problem *p, const gn2_tn_args_f32 *x)
{
    for (int64_t first = 0; first < x->m; first += TN_ROWS) {
        const int64_t rows = min_of(x->m - first, TN_ROWS);
        for (int64_t j = 0; j < p->n; j += PANEL) {
            const int64_t width = min_of(p->n - j, PANEL);
            const int vecs = width > VL ? 2 : 1;
            pack_b(p->scratch, x->b + first * x->ldb + j, x->ldb, rows, width);
            const tile_args t = {.a = x->a + first * x->lda,
                                 .lda = x->lda,
                                 .b = p->scratch,
                                 .k = rows,
                                 .c = x->c + j,
                                 .ldc = x->ldc,
                                 .residual = x->c + j,
                                 .tail = width - (vecs - 1) * VL};
            run_rows(t, tiles[0][vecs - 1][GRADIENT], p->k, 1);
        }
    }
}

const gn2_own_kernels OWN_TABLE = {
    .columns = PANEL,
    .vector = VL,
    .mul = mul,
    .mul_tn = mul_tn,
    .scratch_mul = scratch_mul,
    .scratch_tn = TN_ROWS * PANEL,
};
