/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pair head's split first layer, ReLU, and what is done to rows and vectors.
 * Row-wise kernels take WIDE vectors of columns at a time through all rows, so
 * that what is common to the rows stays in registers.
 */
#include "kernels/fill.h"
#include "kernels/simd.h"
#include "util/rng.h"

#define WIDE 8 /* vectors of columns kept in registers */
#define HALF 4 /* the same for what is left */

/* BLOCK(c, wide, left) for all columns: `wide` vectors, a constant, from column c on;
 * of the last one `left` lanes, of which the mask shows compilers that they are few. */
#define EACH_BLOCK(cols, BLOCK)                                           \
    do {                                                                  \
        int64_t c = 0;                                                    \
        for (; c + WIDE * VL <= cols; c += WIDE * VL) BLOCK(c, WIDE, VL); \
        for (; c + HALF * VL <= cols; c += HALF * VL) BLOCK(c, HALF, VL); \
        for (; c + VL <= cols; c += VL) BLOCK(c, 1, VL);                  \
        if (c < cols) BLOCK(c, 1, (cols) & (VL - 1));                     \
    } while (0)

/* ---- pairs: rows j ≠ i ---- */

INLINE void pair_fwd_block(float *h, const float *a, const float *b, int64_t i,
                           int64_t n, int64_t cols, int wide, int64_t left)
{
    vf av[WIDE];
    for (int k = 0; k < wide; k++) av[k] = v_load_part(a + k * VL, left);
    for (int64_t j = 0; j < n; j++) {
        if (j == i) continue;
        for (int k = 0; k < wide; k++) {
            const vf bv = v_load_part(b + j * cols + k * VL, left);
            v_store_part(h + k * VL, v_positive(v_add(av[k], bv)), left);
        }
        h += cols;
    }
}

static void pair_fwd(float *h, const float *a, const float *b, int64_t i, int64_t n,
                     int64_t cols)
{
#define FORWARD(c, wide, left) \
    pair_fwd_block(h + c, a + c, b + c, i, n, cols, wide, left)
    EACH_BLOCK(cols, FORWARD);
}

INLINE void pair_bwd_block(float *d_a, float *d_b, const float *d_h, const float *h,
                           int64_t i, int64_t n, int64_t cols, int wide, int64_t left)
{
    vf sum[WIDE];
    for (int k = 0; k < wide; k++) sum[k] = v_load_part(d_a + k * VL, left);
    for (int64_t j = 0; j < n; j++) {
        if (j == i) continue;
        for (int k = 0; k < wide; k++) {
            float *d = d_b + j * cols + k * VL;
            const vm open = v_gt(v_load_part(h + k * VL, left), v_zero());
            const vf g = v_keep(open, v_load_part(d_h + k * VL, left));
            sum[k] = v_add(sum[k], g);
            v_store_part(d, v_add(v_load_part(d, left), g), left);
        }
        h += cols;
        d_h += cols;
    }
    for (int k = 0; k < wide; k++) v_store_part(d_a + k * VL, sum[k], left);
}

static void pair_bwd(float *d_a, float *d_b, const float *d_h, const float *h,
                     int64_t i, int64_t n, int64_t cols)
{
#define BACKWARD(c, wide, left) \
    pair_bwd_block(d_a + c, d_b + c, d_h + c, h + c, i, n, cols, wide, left)
    EACH_BLOCK(cols, BACKWARD);
}

/* ---- ReLU ---- */

static void relu_fwd(float *y, const float *x, int64_t count)
{
    int64_t i = 0;
    for (; i + VL <= count; i += VL) v_store(y + i, v_positive(v_load(x + i)));
    const vm in = v_first(count - i);
    if (i < count) v_storem(in, y + i, v_positive(v_loadm(in, x + i)));
}

static void relu_bwd(float *d, const float *y, int64_t count)
{
    int64_t i = 0;
    for (; i + VL <= count; i += VL)
        v_store(d + i, v_keep(v_gt(v_load(y + i), v_zero()), v_load(d + i)));
    if (i == count) return;
    const vm in = v_first(count - i);
    const vm open = v_gt(v_loadm(in, y + i), v_zero());
    v_storem(in, d + i, v_keep(open, v_loadm(in, d + i)));
}

/* ---- rows ---- */

INLINE vf shifted(vf y, vf v, int relu)
{
    const vf sum = v_add(y, v);
    return relu ? v_positive(sum) : sum;
}

INLINE void add_row_block(float *y, const float *v, int64_t rows, int64_t cols,
                          int relu, int wide, int64_t left)
{
    vf add[WIDE];
    for (int k = 0; k < wide; k++) add[k] = v_load_part(v + k * VL, left);
    for (int64_t r = 0; r < rows; r++, y += cols)
        for (int k = 0; k < wide; k++) {
            const vf yv = v_load_part(y + k * VL, left);
            v_store_part(y + k * VL, shifted(yv, add[k], relu), left);
        }
}

static void add_row(float *y, const float *v, int64_t rows, int64_t cols, int relu)
{
#define SHIFT(c, wide, left) add_row_block(y + c, v + c, rows, cols, 0, wide, left)
#define OPEN(c, wide, left) add_row_block(y + c, v + c, rows, cols, 1, wide, left)
    if (relu)
        EACH_BLOCK(cols, OPEN);
    else
        EACH_BLOCK(cols, SHIFT);
}

INLINE void sum_rows_block(float *sum, const float *x, int64_t rows, int64_t ld,
                           int wide, int64_t left)
{
    vf s[WIDE];
    for (int k = 0; k < wide; k++) s[k] = v_load_part(sum + k * VL, left);
    for (int64_t r = 0; r < rows; r++, x += ld)
        for (int k = 0; k < wide; k++)
            s[k] = v_add(s[k], v_load_part(x + k * VL, left));
    for (int k = 0; k < wide; k++) v_store_part(sum + k * VL, s[k], left);
}

static void sum_rows(float *sum, const float *x, int64_t rows, int64_t cols, int64_t ld)
{
#define SUM(c, wide, left) sum_rows_block(sum + c, x + c, rows, ld, wide, left)
    EACH_BLOCK(cols, SUM);
}

#ifndef GN2_SIMD_AVX512
/* A true division: inputs then agree with salt's to the last bit. Division is all
 * the time here, and 16 lanes take twice as long as 8: AVX-512 keeps this one. */
static void normalise(float *y, const float *mean, const float *std, int64_t rows,
                      int64_t cols, int64_t ld)
{
    for (int64_t c = 0; c < cols; c += VL) {
        const vm in = v_first(cols - c);
        const vf m = v_loadm(in, mean + c);
        const vf s = v_select(in, v_loadm(in, std + c), v_set1(1));
        for (int64_t r = 0; r < rows; r++) {
            float *at = y + r * ld + c;
            v_storem(in, at, v_div(v_sub(v_loadm(in, at), m), s));
        }
    }
}
#endif

/* ---- vectors ---- */

static void add(float *y, const float *x, int64_t count)
{
    sum_rows(y, x, 1, count, count);
}

static void scale(float *y, float s, int64_t count)
{
    const vf sv = v_set1(s);
    int64_t i = 0;
    for (; i + VL <= count; i += VL) v_store(y + i, v_mul(v_load(y + i), sv));
    const vm in = v_first(count - i);
    if (i < count) v_storem(in, y + i, v_mul(v_loadm(in, y + i), sv));
}

#ifdef GN2_SIMD_AVX512
/* util/rng.h gn2_mix64 on 8 lanes; AVX2 has no 64-bit product and keeps the
 * reference. */
INLINE __m512i mix64(__m512i z)
{
    const __m512i a = _mm512_set1_epi64((long long)0xBF58476D1CE4E5B9u);
    const __m512i b = _mm512_set1_epi64((long long)0x94D049BB133111EBu);
    z = _mm512_mullo_epi64(_mm512_xor_si512(z, _mm512_srli_epi64(z, 30)), a);
    z = _mm512_mullo_epi64(_mm512_xor_si512(z, _mm512_srli_epi64(z, 27)), b);
    return _mm512_xor_si512(z, _mm512_srli_epi64(z, 31));
}

/* Which of 8 elements stay; state = mixed key + counter·golden of each. */
INLINE __mmask8 kept(__m512i state, __m512i threshold)
{
    const __m512i bits = _mm512_srli_epi64(mix64(state), 32);
    return _mm512_cmpge_epu64_mask(bits, threshold);
}

static void dropout(float *x, uint64_t key, uint64_t first, uint32_t threshold,
                    float factor, int64_t count)
{
    const uint64_t golden = 0x9E3779B97F4A7C15u, start = gn2_mix64(key + golden);
    const uint64_t eight = 8 * golden, before = start + first * golden;
    const __m512i step = _mm512_set1_epi64((long long)eight);
    const __m512i limit = _mm512_set1_epi64((long long)(uint64_t)threshold);
    const __m512i lane = _mm512_setr_epi64(1, 2, 3, 4, 5, 6, 7, 8);
    __m512i state = _mm512_add_epi64(
        _mm512_set1_epi64((long long)before),
        _mm512_mullo_epi64(lane, _mm512_set1_epi64((long long)golden)));
    for (int64_t i = 0; i < count; i += VL) {
        const vm in = v_first(count - i);
        const __mmask8 low = kept(state, limit);
        state = _mm512_add_epi64(state, step);
        const vm stay = _mm512_kunpackb(kept(state, limit), low);
        state = _mm512_add_epi64(state, step);
        const vf scaled = v_mul(v_loadm(in, x + i), v_set1(factor));
        v_storem(in, x + i, v_keep(stay, scaled));
    }
}
#endif

void GN2_SIMD(gn2_pair)(R(gn2_kernels) *table)
{
    table->pair_fwd = pair_fwd;
    table->pair_bwd = pair_bwd;
    table->relu_fwd = relu_fwd;
    table->relu_bwd = relu_bwd;
    table->add_row = add_row;
    table->sum_rows = sum_rows;
    table->add = add;
    table->scale = scale;
#ifdef GN2_SIMD_AVX512
    table->dropout = dropout;
#else
    table->normalise = normalise;
#endif
}
