/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the loops of product_own_tmpl.c are made of, for the instruction set that they
 * are compiled for: vectors of VL floats, masks, and the table that they fill.
 */
#ifndef GN2_KERNELS_PRODUCT_OWN_VECTOR_H
#define GN2_KERNELS_PRODUCT_OWN_VECTOR_H

#include <immintrin.h>
#include <stdint.h>

#ifdef GN2_SIMD_AVX512
#define VL 16
#define MAX_ROWS 14 /* 14·2 sums, 2 of b, 1 of a: 31 of 32 registers */
typedef __m512 vec;
typedef __mmask16 mask;
#define vec_zero() _mm512_setzero_ps()
#define vec_set(x) _mm512_set1_ps(x)
#ifdef GN2_SIMD_DOT
#define OWN_TABLE gn2_own_avx512_dot
#define EXPANDED(tiles)
/* c + a₁·b₁ of the upper halves first, then + a₀·b₀, both fused */
#define vec_fma(a, b, c) _mm512_dpbf16_ps(c, (__m512bh)(b), (__m512bh)(a))
#else
#define OWN_TABLE gn2_own_avx512
#define EXPANDED(tiles) tiles
#define vec_fma(a, b, c) _mm512_fmadd_ps(a, b, c)
#endif
#define vec_add(a, b) _mm512_add_ps(a, b)
/* max(0, x), NaN and −0 kept: the second operand wins ties. */
#define vec_relu(x) _mm512_max_ps(_mm512_setzero_ps(), x)
#define vec_load(p) _mm512_loadu_ps(p)
#define vec_store(p, x) _mm512_storeu_ps(p, x)
#define vec_load_some(p, some) _mm512_maskz_loadu_ps(some, p)
#define vec_store_some(p, some, x) _mm512_mask_storeu_ps(p, some, x)
typedef __m512i words;
#define words_load(p) _mm512_loadu_si512(p)
#define words_spread(p) _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)(p)))
/* The float whose upper half is the lower, or the upper, half of each word. */
#define vec_low(w) _mm512_castsi512_ps(_mm512_slli_epi32(w, 16))
#define vec_high(w) \
    _mm512_castsi512_ps(_mm512_and_si512(w, _mm512_set1_epi32((int)0xFFFF0000)))

static inline mask mask_of(int64_t count)
{
    return (mask)((1u << count) - 1u);
}
#else
#define VL 8
#define MAX_ROWS 6 /* 6·2 sums, 2 of b, 1 of a: 15 of 16 registers */
#define OWN_TABLE gn2_own_avx2
#define EXPANDED(tiles) tiles
typedef __m256 vec;
typedef __m256i mask;
#define vec_zero() _mm256_setzero_ps()
#define vec_set(x) _mm256_set1_ps(x)
#define vec_fma(a, b, c) _mm256_fmadd_ps(a, b, c)
#define vec_add(a, b) _mm256_add_ps(a, b)
#define vec_relu(x) _mm256_max_ps(_mm256_setzero_ps(), x)
#define vec_load(p) _mm256_loadu_ps(p)
#define vec_store(p, x) _mm256_storeu_ps(p, x)
#define vec_load_some(p, some) _mm256_maskload_ps(p, some)
#define vec_store_some(p, some, x) _mm256_maskstore_ps(p, some, x)
typedef __m256i words;
#define words_load(p) _mm256_loadu_si256((const void *)(p))
#define words_spread(p) _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)(p)))
#define vec_low(w) _mm256_castsi256_ps(_mm256_slli_epi32(w, 16))
#define vec_high(w) \
    _mm256_castsi256_ps(_mm256_and_si256(w, _mm256_set1_epi32((int)0xFFFF0000)))

static inline mask mask_of(int64_t count)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), lane);
}
#endif

#endif
