/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention of one jet, per head. Logits and softmax run with queries in lanes:
 * maximum and sum over keys are then plain vertical operations, those of one head
 * beside those of the next. Sums of rows (o, d_q, d_k, d_v) run with the head's columns
 * in lanes. A query's result is one
 * chain over keys and over columns, in rising order, whatever the tile.
 */
#include "kernels/fill.h"
#include "kernels/simd_math.h"
#include "kernels/simd_tile.h"

#define DIM_TILE 64           /* columns of a head turned at a time */
#define KEY_TILE 64           /* keys whose logits stay on the stack */
#define ROOM 4096             /* floats of the stack for them */
#define LOG2_E 0x1.715476p+0f /* logits are kept times this: exp becomes 2^x */

/* Rows of accumulators kept in registers: TALL × 1 or WIDE_TALL × 2 vectors. */
#ifdef GN2_SIMD_AVX512
#define TALL 12
#define WIDE_TALL 8
#else
#define TALL 10
#define WIDE_TALL 5
#endif

/* Rows of the next block when `left` are shared out evenly over blocks of ≤ most. */
INLINE int64_t share(int64_t left, int64_t most)
{
    const int64_t blocks = (left + most - 1) / most;
    return (left + blocks - 1) / blocks;
}

/* DO(b) with a constant b for the height of a block, 1 … most. */
#define ONE_CASE(b, most, DO)     \
    case b:                       \
        if ((b) <= (most)) DO(b); \
        break;
/* clang-format off */
#define SWITCH(height, most, DO) \
    switch (height) { \
        ONE_CASE(1, most, DO) ONE_CASE(2, most, DO) ONE_CASE(3, most, DO) \
        ONE_CASE(4, most, DO) ONE_CASE(5, most, DO) ONE_CASE(6, most, DO) \
        ONE_CASE(7, most, DO) ONE_CASE(8, most, DO) ONE_CASE(9, most, DO) \
        ONE_CASE(10, most, DO) ONE_CASE(11, most, DO) ONE_CASE(12, most, DO) \
    }
/* clang-format on */

/* s[j][lane] (j < keys) = [s +] Σ_d columns[d]·k[j][d] */
INLINE void logits_of(float *s, int64_t lds, int64_t lanes, const float *columns,
                      const float *k, int64_t ld, int64_t dim, int keys, int more)
{
    vf sum[TALL];
    for (int j = 0; j < keys; j++)
        sum[j] = more ? v_load_part(s + j * lds, lanes) : v_zero();
    for (int64_t d = 0; d < dim; d++) {
        const vf q = v_load(columns + d * VL);
        for (int j = 0; j < keys; j++) sum[j] = v_fma(q, v_set1(k[j * ld + d]), sum[j]);
    }
    for (int j = 0; j < keys; j++) v_store_part(s + j * lds, sum[j], lanes);
}

/* Not inlined, like row_sums: their many block heights are wanted once. */
__attribute__((noinline)) static void logits_part(float *s, int64_t lds, int64_t lanes,
                                                  const float *columns, const float *k,
                                                  int64_t ld, int64_t n, int64_t dim,
                                                  int more)
{
    for (int64_t j = 0, keys; j < n; j += keys) {
        keys = share(n - j, TALL);
        float *to = s + j * lds;
        const float *kj = k + j * ld;
#define KEYS(b) logits_of(to, lds, lanes, columns, kj, ld, dim, b, more)
        SWITCH(keys, TALL, KEYS)
#undef KEYS
    }
}

/* s[j][lane] = scale·Σ_d q[query of lane][d]·k[j][d] */
INLINE void logits(float *s, int64_t lds, int64_t lanes, const float *q, const tile *t,
                   const float *k, int64_t ld, int64_t n, int64_t dim, float scale)
{
    _Alignas(64) float columns[DIM_TILE * VL];
    for (int64_t d = 0; d < dim; d += DIM_TILE) {
        const int64_t part = dim - d < DIM_TILE ? dim - d : DIM_TILE;
        tile_load(columns, q + d, t, part, v_set1(scale));
        if (d == 0)
            logits_part(s, lds, lanes, columns, k, ld, n, part, 0);
        else
            logits_part(s, lds, lanes, columns, k + d, ld, n, part, 1);
    }
}

/* Softmax over j of s[j][lane]/log2 e, in place. */
INLINE void softmax_keys(float *s, int64_t lds, int64_t lanes, int64_t n)
{
    vf max = v_load_part(s, lanes), sum = v_zero();
    for (int64_t j = 1; j < n; j++) max = v_max(max, v_load_part(s + j * lds, lanes));
    for (int64_t j = 0; j < n; j++) {
        const vf e = v_exp2(v_sub(v_load_part(s + j * lds, lanes), max));
        sum = v_add(sum, e);
        v_store_part(s + j * lds, e, lanes);
    }
    const vf one_over = v_div(v_set1(1), sum);
    for (int64_t j = 0; j < n; j++) {
        const vf a = v_mul(v_load_part(s + j * lds, lanes), one_over);
        v_store_part(s + j * lds, a, lanes);
    }
}

/* Sum of rows: y[r] = Σ_c w[r·rs + c·cs]·x[c]. */
typedef struct row_sum {
    float *y;
    const float *w, *x;
    int64_t ldy, rs, cs, ldx, terms;
} row_sum;

/* rows × wide vectors of y, kept in registers; of the last one `left` lanes */
INLINE void row_sum_block(const row_sum *t, int64_t r, int64_t d, int rows, int wide,
                          int64_t left)
{
    vf sum[TALL][2];
    const float *w = t->w + r * t->rs, *x = t->x + d;
    for (int i = 0; i < rows; i++) sum[i][0] = sum[i][1] = v_zero();
    for (int64_t c = 0; c < t->terms; c++, w += t->cs, x += t->ldx) {
        const vf a = wide == 2 ? v_load(x) : v_load_part(x, left);
        const vf b = wide == 2 ? v_load_part(x + VL, left) : a;
        for (int i = 0; i < rows; i++) {
            const vf f = v_set1(w[i * t->rs]);
            sum[i][0] = v_fma(f, a, sum[i][0]);
            if (wide == 2) sum[i][1] = v_fma(f, b, sum[i][1]);
        }
    }
    for (int i = 0; i < rows; i++) {
        float *y = t->y + (r + i) * t->ldy + d;
        if (wide == 2) v_store(y, sum[i][0]);
        v_store_part(wide == 2 ? y + VL : y, sum[i][wide - 1], left);
    }
}

#ifdef GN2_SIMD_AVX512
/* Half a vector: what has eight lanes or less goes through twice as fast on processors
 * that split vectors in two. `left`: as v_load_part has it. */
#define HALF_LANES 8
typedef __m256 hf;

INLINE hf h_load_part(const float *p, int64_t left)
{
    if (left >= HALF_LANES) return _mm256_loadu_ps(p);
    return _mm256_maskz_loadu_ps((__mmask8)v_first(left), p);
}
INLINE void h_store_part(float *p, hf v, int64_t left)
{
    if (left >= HALF_LANES)
        _mm256_storeu_ps(p, v);
    else
        _mm256_mask_storeu_ps(p, (__mmask8)v_first(left), v);
}
/* The same, one vector wide and of it no more than a half. */
INLINE void row_sum_half_block(const row_sum *t, int64_t r, int64_t d, int rows,
                               int64_t left)
{
    hf sum[TALL];
    const float *w = t->w + r * t->rs, *x = t->x + d;
    for (int i = 0; i < rows; i++) sum[i] = _mm256_setzero_ps();
    for (int64_t c = 0; c < t->terms; c++, w += t->cs, x += t->ldx) {
        const hf a = h_load_part(x, left);
        for (int i = 0; i < rows; i++)
            sum[i] = _mm256_fmadd_ps(_mm256_set1_ps(w[i * t->rs]), a, sum[i]);
    }
    for (int i = 0; i < rows; i++)
        h_store_part(t->y + (r + i) * t->ldy + d, sum[i], left);
}

INLINE void row_sum_half(const row_sum *t, int64_t rows, int64_t d, int64_t left)
{
    for (int64_t r = 0, block; r < rows; r += block) {
        block = share(rows - r, TALL);
#define ROWS(b) row_sum_half_block(t, r, d, b, left)
        SWITCH(block, TALL, ROWS)
#undef ROWS
    }
}
#define row_sum_last(t, rows, d, left) \
    ((left) <= HALF_LANES ? row_sum_half : row_sum_narrow)(t, rows, d, left)
#else
#define row_sum_last row_sum_narrow
#endif

INLINE void row_sum_narrow(const row_sum *t, int64_t rows, int64_t d, int64_t left)
{
    for (int64_t r = 0, block; r < rows; r += block) {
        block = share(rows - r, TALL);
#define ROWS(b) row_sum_block(t, r, d, b, 1, left)
        SWITCH(block, TALL, ROWS)
#undef ROWS
    }
}

INLINE void row_sum_wide(const row_sum *t, int64_t rows, int64_t d, int64_t left)
{
    for (int64_t r = 0, block; r < rows; r += block) {
        block = share(rows - r, WIDE_TALL);
#define ROWS(b) row_sum_block(t, r, d, b, 2, left)
        SWITCH(block, WIDE_TALL, ROWS)
#undef ROWS
    }
}

/* Whole vectors and cut ones apart: whole ones need no mask. */
__attribute__((noinline)) static void row_sums(const row_sum *t, int64_t rows,
                                               int64_t dim)
{
    int64_t d = 0;
    for (; dim - d >= 2 * VL; d += 2 * VL) row_sum_wide(t, rows, d, VL);
    if (dim - d > VL)
        row_sum_wide(t, rows, d, dim - d - VL);
    else if (dim - d == VL)
        row_sum_narrow(t, rows, d, VL);
    else if (dim > d)
        row_sum_last(t, rows, d, dim - d);
}

/* Shapes of a call, and the head it is at. */
typedef struct head {
    int64_t n, dim, width, ld; /* width = E, ld = 3E */
    float scale;
} head;

/* Heads whose logits for n ≤ KEY_TILE keys find room, a vector left at each row's end.
 */
INLINE int64_t heads_at_once(int64_t n)
{
    return ROOM / (n * VL) - 1;
}

/* `count` heads, the queries of one tile. s[key] holds the lanes that live, head after
 * head; what a head writes beyond its own the next one overwrites. Each stage runs for
 * all heads before the next: their chains overlap. */
static void heads_fwd(float *o, float *p, const float *q, const head *t,
                      const tile *rows, int64_t first, int64_t count)
{
    _Alignas(64) float s[ROOM];
    const float *k = q + t->width, *v = k + t->width;
    const int64_t n = t->n, live = rows->rows, lanes = count * live;
    const int64_t ld = (lanes - 1) / VL * VL + 2 * VL;
    for (int64_t h = 0; h < count; h++)
        logits(s + h * live, ld, VL, q + h * t->dim, rows, k + h * t->dim, t->ld, n,
               t->dim, t->scale);
    for (int64_t c = 0; c < lanes; c += VL) softmax_keys(s + c, ld, lanes - c, n);
    for (int64_t h = 0; h < count; h++) {
        const float *w = s + h * live;
        float *ph = p + h * n * n + first;
        for (int64_t j = 0; j < n; j++)
            v_store_part(ph + j * n, v_load(w + j * ld), live);
        const row_sum sum = {o + first * t->width + h * t->dim,
                             w,
                             v + h * t->dim,
                             t->width,
                             1,
                             ld,
                             t->ld,
                             n};
        row_sums(&sum, live, t->dim);
    }
}

/* The same for one head and any number of keys: p itself holds the logits. */
static void head_fwd_long(float *o, float *p, const float *q, const head *t,
                          const tile *rows, int64_t first)
{
    const float *k = q + t->width, *v = k + t->width;
    const int64_t live = rows->rows;
    logits(p + first, t->n, live, q, rows, k, t->ld, t->n, t->dim, t->scale);
    softmax_keys(p + first, t->n, live, t->n);
    const row_sum sum = {
        o + first * t->width, p + first, v, t->width, 1, t->n, t->ld, t->n};
    row_sums(&sum, rows->rows, t->dim);
}

static void attention_fwd(float *o, float *p, const float *qkv, int64_t n,
                          int64_t heads, int64_t head_dim, float scale)
{
    const int64_t width = heads * head_dim;
    const head t = {n, head_dim, width, 3 * width, scale * LOG2_E};
    for (int64_t first = 0; first < n; first += VL) {
        const tile rows = tile_of(first, n, t.ld);
        const int64_t step = n <= KEY_TILE ? heads_at_once(n) : 1;
        for (int64_t h = 0; h < heads; h += step) {
            float *oh = o + h * head_dim, *ph = p + h * n * n;
            const float *qh = qkv + h * head_dim;
            const int64_t count = heads - h < step ? heads - h : step;
            if (n <= KEY_TILE)
                heads_fwd(oh, ph, qh, &t, &rows, first, count);
            else
                head_fwd_long(oh, ph, qh, &t, &rows, first);
        }
    }
}

/* s[j][lane] = scale·p[j]·(s[j] − Σ_j p[j]·s[j]) */
INLINE void softmax_bwd(float *s, int64_t lds, const float *p, int64_t live, int64_t n,
                        float scale)
{
    vf mean = v_zero();
    for (int64_t j = 0; j < n; j++)
        mean = v_fma(v_load_part(p + j * n, live), v_load(s + j * lds), mean);
    for (int64_t j = 0; j < n; j++) {
        const vf centred = v_sub(v_load(s + j * lds), mean);
        const vf weight = v_mul(v_set1(scale), v_load_part(p + j * n, live));
        v_store(s + j * lds, v_mul(weight, centred));
    }
}

/* d_s (n, lds) of one head, key first, lanes past n unused; `top` is the first tile,
 * for most jets the only one. */
INLINE void d_logits(float *d_s, int64_t lds, const float *d_o, const float *v,
                     const float *p, const head *t, const tile *top)
{
    for (int64_t first = 0; first < t->n; first += VL) {
        tile other;
        const tile *rows = top;
        if (first > 0) {
            other = tile_of(first, t->n, t->width);
            rows = &other;
        }
        logits(d_s + first, lds, VL, d_o, rows, v, t->ld, t->n, t->dim, 1);
        softmax_bwd(d_s + first, lds, p + first, rows->rows, t->n, t->scale);
    }
}

/* d_q_i = Σ_j d_s k_j; d_k_j = Σ_i d_s q_i; d_v_j = Σ_i p d_o_i */
static void attention_bwd(float *d_qkv, float *scratch, const float *d_o,
                          const float *qkv, const float *p, int64_t n, int64_t heads,
                          int64_t head_dim, float scale)
{
    const int64_t width = heads * head_dim, lds = (n + VL - 1) / VL * VL;
    const head t = {n, head_dim, width, 3 * width, scale};
    const tile top = tile_of(0, n, width);
    for (int64_t h = 0; h < heads; h++) {
        const float *q = qkv + h * head_dim, *go = d_o + h * head_dim;
        const float *k = q + width, *ph = p + h * n * n;
        float *d_q = d_qkv + h * head_dim;
        d_logits(scratch, lds, go, k + width, ph, &t, &top);
        const row_sum sq = {d_q, scratch, k, t.ld, 1, lds, t.ld, n};
        const row_sum sk = {d_q + width, scratch, q, t.ld, lds, 1, t.ld, n};
        const row_sum sv = {d_q + 2 * width, ph, go, t.ld, n, 1, width, n};
        row_sums(&sq, n, head_dim);
        row_sums(&sk, n, head_dim);
        row_sums(&sv, n, head_dim);
    }
}

void GN2_SIMD(gn2_attention)(R(gn2_kernels) *table)
{
    table->attention_fwd = attention_fwd;
    table->attention_bwd = attention_bwd;
}
