/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One vocabulary for two instruction sets, so that a kernel is written once and
 * compiled per set: AVX2 + FMA (8 lanes) and AVX-512 F/DQ/BW/VL (16 lanes).
 * Included only by what is compiled so (meson.build). The rest of a row is always read
 * through a mask: nothing outside an array is touched.
 *
 * NaN: v_max(a, b) and v_min(a, b) give b when either is NaN (Intel SDM, MAXPS),
 * so the data go second.
 */
#ifndef GN2_KERNELS_SIMD_H
#define GN2_KERNELS_SIMD_H

#include <immintrin.h>
#include <math.h>
#include <stddef.h>

#include "kernels/kernels.h"

#define INLINE static inline __attribute__((always_inline))
#define QUAD 4 /* of columns or rows that go together */

#ifdef GN2_SIMD_AVX512

#define GN2_SIMD(name) name##_avx512
#define MM(name) _mm512_##name
#define VL 16
typedef __m512 vf;
typedef __m512i vint;
typedef __mmask16 vm;

/* Mask of the first n lanes; all of them from n = VL on. */
INLINE vm v_first(int64_t n)
{
    return n >= VL ? (vm)0xFFFF : (vm)((1u << n) - 1);
}
INLINE vf v_loadm(vm m, const float *p)
{
    return _mm512_maskz_loadu_ps(m, p);
}
INLINE void v_storem(vm m, float *p, vf v)
{
    _mm512_mask_storeu_ps(p, m, v);
}
INLINE vm v_gt(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
}
/* m ? a : b, m ? a : 0 */
INLINE vf v_select(vm m, vf a, vf b)
{
    return _mm512_mask_mov_ps(b, m, a);
}
INLINE vf v_keep(vm m, vf a)
{
    return _mm512_maskz_mov_ps(m, a);
}
INLINE float v_sum(vf a)
{
    return _mm512_reduce_add_ps(a);
}
INLINE float v_highest(vf a)
{
    return _mm512_reduce_max_ps(a);
}
/* to[r] = v_sum(a[r]), the lanes added in the same order: those 8, 4, 2 and 1 apart */
INLINE void v_sums(float to[QUAD], const vf a[QUAD])
{
    const vf ab = _mm512_add_ps(_mm512_shuffle_f32x4(a[0], a[1], 0x44),
                                _mm512_shuffle_f32x4(a[0], a[1], 0xEE));
    const vf cd = _mm512_add_ps(_mm512_shuffle_f32x4(a[2], a[3], 0x44),
                                _mm512_shuffle_f32x4(a[2], a[3], 0xEE));
    vf s = _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88),
                         _mm512_shuffle_f32x4(ab, cd, 0xDD));
    s = _mm512_add_ps(s, _mm512_permute_ps(s, 0x4E));
    s = _mm512_add_ps(s, _mm512_permute_ps(s, 0xB1));
    const __m512i firsts =
        _mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 8, 4, 0);
    _mm_storeu_ps(to, _mm512_castps512_ps128(_mm512_permutexvar_ps(firsts, s)));
}

INLINE __m128 v_quad0(vf a)
{
    return _mm512_castps512_ps128(a);
}
INLINE __m128 v_quad1(vf a)
{
    return _mm512_extractf32x4_ps(a, 1);
}

#else

#define GN2_SIMD(name) name##_avx2
#define MM(name) _mm256_##name
#define VL 8
typedef __m256 vf;
typedef __m256i vint;
typedef __m256i vm;

INLINE vm v_first(int64_t n)
{
    static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256(
        (const __m256i *)(const void *)(ones + VL - (n < VL ? n : VL)));
}
INLINE vf v_loadm(vm m, const float *p)
{
    return _mm256_maskload_ps(p, m);
}
INLINE void v_storem(vm m, float *p, vf v)
{
    _mm256_maskstore_ps(p, m, v);
}
INLINE vm v_gt(vf a, vf b)
{
    return _mm256_castps_si256(_mm256_cmp_ps(a, b, _CMP_GT_OQ));
}
INLINE vf v_select(vm m, vf a, vf b)
{
    return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(m));
}
INLINE vf v_keep(vm m, vf a)
{
    return _mm256_and_ps(a, _mm256_castsi256_ps(m));
}
INLINE float v_sum(vf a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
INLINE void v_sums(float to[QUAD], const vf a[QUAD])
{
    for (int r = 0; r < QUAD; r++) to[r] = v_sum(a[r]);
}
INLINE float v_highest(vf a)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
INLINE __m128 v_quad0(vf a)
{
    return _mm256_castps256_ps128(a);
}
INLINE __m128 v_quad1(vf a)
{
    return _mm256_extractf128_ps(a, 1);
}

#endif

/* ---- what both sets spell alike ---- */

INLINE vf v_load(const float *p)
{
    return MM(loadu_ps)(p);
}
INLINE void v_store(float *p, vf v)
{
    MM(storeu_ps)(p, v);
}
INLINE vf v_set1(float x)
{
    return MM(set1_ps)(x);
}
INLINE vf v_zero(void)
{
    return MM(setzero_ps)();
}
INLINE vf v_add(vf a, vf b)
{
    return MM(add_ps)(a, b);
}
INLINE vf v_sub(vf a, vf b)
{
    return MM(sub_ps)(a, b);
}
INLINE vf v_mul(vf a, vf b)
{
    return MM(mul_ps)(a, b);
}
INLINE vf v_div(vf a, vf b)
{
    return MM(div_ps)(a, b);
}
INLINE vf v_max(vf a, vf b)
{
    return MM(max_ps)(a, b);
}
INLINE vf v_sqrt(vf a)
{
    return MM(sqrt_ps)(a);
}
INLINE vf v_abs(vf a)
{
    return MM(andnot_ps)(v_set1(-0.0f), a);
}
/* a·b + c and c − a·b */
INLINE vf v_fma(vf a, vf b, vf c)
{
    return MM(fmadd_ps)(a, b, c);
}
INLINE vf v_fnma(vf a, vf b, vf c)
{
    return MM(fnmadd_ps)(a, b, c);
}
/* inside every 128-bit group: a0 b0 a1 b1, a2 b2 a3 b3, a0 a1 b0 b1, a2 a3 b2 b3 */
INLINE vf v_unpack_low(vf a, vf b)
{
    return MM(unpacklo_ps)(a, b);
}
INLINE vf v_unpack_high(vf a, vf b)
{
    return MM(unpackhi_ps)(a, b);
}
INLINE vf v_pairs_low(vf a, vf b)
{
    return MM(shuffle_ps)(a, b, 0x44);
}
INLINE vf v_pairs_high(vf a, vf b)
{
    return MM(shuffle_ps)(a, b, 0xEE);
}

/* The first `left` lanes, or all; the branch costs less than a mask, and a constant
 * removes it. Lanes past them are 0. */
INLINE vf v_load_part(const float *p, int64_t left)
{
    return left >= VL ? v_load(p) : v_loadm(v_first(left), p);
}

INLINE void v_store_part(float *p, vf v, int64_t left)
{
    if (left >= VL)
        v_store(p, v);
    else
        v_storem(v_first(left), p, v);
}

INLINE vf v_keep_part(vf v, int64_t left)
{
    return left >= VL ? v : v_keep(v_first(left), v);
}

/* max(x, 0) that lets NaN and −0 through: the second operand wins ties */
INLINE vf v_positive(vf x)
{
    return v_max(v_zero(), x);
}

#endif
