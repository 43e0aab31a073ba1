/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/bf16_factors.h"

#include <immintrin.h>
#include <stddef.h>

#define VL 16
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl")))
#define INLINE static inline __attribute__((always_inline))

AVX512 INLINE __mmask16 first_lanes(int64_t n)
{
    return n >= VL ? (__mmask16)0xFFFF : (__mmask16)((1u << n) - 1);
}

/* Rounded as gn2_bf16_factor() does, the lower halves zero. */
AVX512 INLINE __m512i rounded(__m512 x)
{
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd =
        _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF));
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    const __mmask16 normal =
        _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x7F800000));
    __m512i y = _mm512_add_epi32(bits, half);
    y = _mm512_mask_or_epi32(y, nan, bits, _mm512_set1_epi32(0x400000));
    return _mm512_maskz_and_epi32(normal, y, _mm512_set1_epi32((int)0xFFFF0000));
}

AVX512 INLINE __m512i load(const float *from, int64_t left)
{
    return rounded(_mm512_maskz_loadu_ps(first_lanes(left), from));
}

AVX512 INLINE __m512i load_or_zero(const float *from, int64_t i, int64_t left)
{
    return from ? load(from + i, left) : _mm512_setzero_si512();
}

AVX512 void gn2_bf16_row_words(float *to, const float *row, int64_t count)
{
    for (int64_t i = 0; i < count; i += 2 * VL) {
        const __m512i low = load(row + i, count - i);
        const __m512i high =
            load_or_zero(count - i > VL ? row : NULL, i + VL, count - i - VL);
        const __m512i y = _mm512_inserti64x4(
            _mm512_castsi256_si512(_mm512_cvtepi32_epi16(_mm512_srli_epi32(low, 16))),
            _mm512_cvtepi32_epi16(_mm512_srli_epi32(high, 16)), 1);
        _mm512_storeu_si512(to + i / 2, y);
    }
}

AVX512 void gn2_bf16_row_floats(float *to, const float *row, int64_t count)
{
    for (int64_t i = 0; i < count; i += VL)
        _mm512_storeu_si512(
            to + i, _mm512_shuffle_epi32(load(row + i, count - i), _MM_PERM_CDAB));
}

AVX512 void gn2_bf16_rows_words(float *to, const float *first, const float *second,
                                int64_t count)
{
    for (int64_t i = 0; i < count; i += VL) {
        const __m512i low = _mm512_srli_epi32(load(first + i, count - i), 16);
        const __m512i high = load_or_zero(second, i, count - i);
        _mm512_storeu_si512(to + i, _mm512_or_si512(high, low));
    }
}

AVX512 void gn2_bf16_rows_floats(float *to, int64_t ld, const float *first,
                                 const float *second, int64_t count)
{
    for (int64_t i = 0; i < count; i += VL) {
        _mm512_storeu_si512(to + i, load_or_zero(second, i, count - i));
        _mm512_storeu_si512(to + ld + i, load(first + i, count - i));
    }
}
