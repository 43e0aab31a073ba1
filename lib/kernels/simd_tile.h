/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tiles: rows of a matrix laid across lanes and back, VL rows at a time. Lanes
 * past the last row hold that row or zeros, numbers like any other; they are
 * never stored.
 */
#ifndef GN2_KERNELS_SIMD_TILE_H
#define GN2_KERNELS_SIMD_TILE_H

#include "kernels/simd.h"

/* Where the VL rows of a tile begin. */
typedef struct tile {
    int64_t at[VL];
    int64_t rows; /* those that exist, ≤ VL */
} tile;

INLINE tile tile_of(int64_t first, int64_t n, int64_t ld)
{
    tile t;
    t.rows = n - first < VL ? n - first : VL;
    for (int64_t r = 0; r < VL; r++)
        t.at[r] = (first + (r < t.rows ? r : t.rows - 1)) * ld;
    return t;
}

INLINE __m128i quad_mask(int64_t columns)
{
    const __m128i index = _mm_setr_epi32(0, 1, 2, 3);
    return _mm_cmpgt_epi32(_mm_set1_epi32((int)columns), index);
}

INLINE __m128 quad_load(const float *p, int64_t columns)
{
    return columns >= QUAD ? _mm_loadu_ps(p) : _mm_maskload_ps(p, quad_mask(columns));
}

INLINE void quad_store(float *p, __m128 v, int64_t columns)
{
    if (columns >= QUAD)
        _mm_storeu_ps(p, v);
    else
        _mm_maskstore_ps(p, quad_mask(columns), v);
}

/* Four columns of rows r, r + 4, r + 8, … in `groups` 128-bit groups. */
INLINE vf quads_load(const float *x, const tile *t, int r, int groups, int64_t columns)
{
    const __m128 a = quad_load(x + t->at[r], columns);
#ifdef GN2_SIMD_AVX512
    vf v = _mm512_zextps128_ps512(a);
    if (groups > 1) v = _mm512_insertf32x4(v, quad_load(x + t->at[r + 4], columns), 1);
    if (groups > 2) v = _mm512_insertf32x4(v, quad_load(x + t->at[r + 8], columns), 2);
    if (groups > 3) v = _mm512_insertf32x4(v, quad_load(x + t->at[r + 12], columns), 3);
    return v;
#else
    const vf v = _mm256_zextps128_ps256(a);
    if (groups == 1) return v;
    return _mm256_insertf128_ps(v, quad_load(x + t->at[r + 4], columns), 1);
#endif
}

INLINE void quads_store(float *x, const tile *t, int r, vf v, int64_t columns)
{
    if (r < t->rows) quad_store(x + t->at[r], v_quad0(v), columns);
    if (r + 4 < t->rows) quad_store(x + t->at[r + 4], v_quad1(v), columns);
#ifdef GN2_SIMD_AVX512
    if (r + 8 < t->rows)
        quad_store(x + t->at[r + 8], _mm512_extractf32x4_ps(v, 2), columns);
    if (r + 12 < t->rows)
        quad_store(x + t->at[r + 12], _mm512_extractf32x4_ps(v, 3), columns);
#endif
}

/* Turns 4 × 4 blocks inside every 128-bit group. */
INLINE void quads_turn(vf v[QUAD])
{
    const vf a = v_unpack_low(v[0], v[1]), b = v_unpack_high(v[0], v[1]);
    const vf c = v_unpack_low(v[2], v[3]), d = v_unpack_high(v[2], v[3]);
    v[0] = v_pairs_low(a, c);
    v[1] = v_pairs_high(a, c);
    v[2] = v_pairs_low(b, d);
    v[3] = v_pairs_high(b, d);
}

/* Hides how a pointer came about: else the compiler keeps one running pointer a row,
 * more than there are registers. */
INLINE const float *opaque(const float *p)
{
    __asm__("" : "+r"(p));
    return p;
}

INLINE void tile_load_groups(float *columns, const float *x, const tile *t,
                             int64_t count, vf s, int groups)
{
    for (int64_t c = 0; c < count; c += QUAD) {
        vf v[QUAD];
        const float *at = opaque(x + c);
        for (int r = 0; r < QUAD; r++) v[r] = quads_load(at, t, r, groups, count - c);
        quads_turn(v);
        for (int r = 0; r < QUAD; r++) v_store(columns + (c + r) * VL, v_mul(s, v[r]));
    }
}

/* columns[c] (VL lanes) = s·x[row][c] */
static void tile_load(float *columns, const float *x, const tile *t, int64_t count,
                      vf s)
{
    switch ((t->rows + QUAD - 1) / QUAD) {
    case 1:
        tile_load_groups(columns, x, t, count, s, 1);
        break;
    case 2:
        tile_load_groups(columns, x, t, count, s, 2);
        break;
    case 3:
        tile_load_groups(columns, x, t, count, s, 3);
        break;
    default:
        tile_load_groups(columns, x, t, count, s, 4);
        break;
    }
}

/* x[row][c] = columns[c] (VL lanes) */
INLINE void tile_store(float *x, const float *columns, const tile *t, int64_t count)
{
    for (int64_t c = 0; c < count; c += QUAD) {
        vf v[QUAD];
        for (int r = 0; r < QUAD; r++) v[r] = v_load(columns + (c + r) * VL);
        quads_turn(v);
        for (int r = 0; r < QUAD; r++) quads_store(x + c, t, r, v[r], count - c);
    }
}

#endif
