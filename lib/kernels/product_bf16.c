/* SPDX-License-Identifier: Apache-2.0 */
/* Converters and factors of product_bf16.h: plain C, AVX-512, AVX-512 with its bf16
 * extension. */
#include "kernels/product_bf16.h"

#include <stddef.h>

#include "kernels/kernels.h"

static void convert_plain(uint16_t *to, const float *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++) to[i] = gn2_bf16_of(from[i]);
}

#ifdef GN2_X86
#include <immintrin.h>

#define VL 16
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl")))
#define WORDS __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))
#define INLINE static inline __attribute__((always_inline))

AVX512 INLINE __mmask16 first_lanes(int64_t n)
{
    return n >= VL ? (__mmask16)0xFFFF : (__mmask16)((1u << n) - 1);
}

AVX512 INLINE __m512 load_lanes(const float *from, int64_t left)
{
    return _mm512_maskz_loadu_ps(first_lanes(left), from);
}

/* Rounded as gn2_bf16_of() does, into the upper halves; the lower ones are anything. */
AVX512 INLINE __m512i rounded(__m512 x)
{
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd =
        _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF));
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    return _mm512_mask_or_epi32(_mm512_add_epi32(bits, half), nan, bits,
                                _mm512_set1_epi32(0x400000));
}

AVX512 static void convert_avx512(uint16_t *to, const float *from, int64_t count)
{
    for (int64_t i = 0; i < count; i += VL) {
        const __m512i y = rounded(load_lanes(from + i, count - i));
        _mm256_mask_storeu_epi16(to + i, first_lanes(count - i),
                                 _mm512_cvtepi32_epi16(_mm512_srli_epi32(y, 16)));
    }
}

WORDS static void convert_bf16(uint16_t *to, const float *from, int64_t count)
{
    for (int64_t i = 0; i < count; i += VL) {
        const __m256bh y = _mm512_cvtneps_pbh(load_lanes(from + i, count - i));
        _mm256_mask_storeu_epi16(to + i, first_lanes(count - i), (__m256i)y);
    }
}

gn2_bf16_convert *gn2_bf16_converter(void)
{
    if (gn2_bf16_detect() != GN2_BF16_NONE) return convert_bf16;
    return gn2_isa_detect() >= GN2_ISA_AVX512 ? convert_avx512 : convert_plain;
}

/* ---- factors ---- */

/* Those that are not zero or denormal. */
AVX512 INLINE __mmask16 normal_lanes(__m512 x)
{
    return _mm512_test_epi32_mask(_mm512_castps_si512(x),
                                  _mm512_set1_epi32(0x7F800000));
}

/* Rounded by the instruction, which gives what factors() does but for the sign of zero,
 * so zeros are cleared: those of `low` and, above them, those of `high`. */
WORDS INLINE __m512i rounded_pair(__m512 low, __m512 high)
{
    const __mmask32 normal =
        _mm512_kunpackw((__mmask32)normal_lanes(high), (__mmask32)normal_lanes(low));
    return (__m512i)_mm512_maskz_cvtne2ps_pbh(normal, high, low);
}

/* From place i on; nothing is left beyond `count`. */
AVX512 INLINE __m512 load_rest(const float *from, int64_t i, int64_t count)
{
    return i < count ? load_lanes(from + i, count - i) : _mm512_setzero_ps();
}

WORDS void gn2_bf16_row_words(float *to, const float *row, int64_t count)
{
    for (int64_t i = 0; i < count; i += 2 * VL) {
        const __m512 low = load_lanes(row + i, count - i);
        _mm512_storeu_si512(to + i / 2,
                            rounded_pair(low, load_rest(row, i + VL, count)));
    }
}

AVX512 INLINE __m512i counted(void)
{
    return _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
}

/* 0, 16, 1, 17, …: the halves of a vector of 32 in turns. */
AVX512 INLINE __m512i in_turns(void)
{
    const __m512i high = _mm512_add_epi32(counted(), _mm512_set1_epi32(VL));
    return _mm512_or_si512(counted(), _mm512_slli_epi32(high, 16));
}

WORDS void gn2_bf16_rows_words(float *to, const float *first, const float *second,
                               int64_t count)
{
    const __m512i places = in_turns();
    for (int64_t i = 0; i < count; i += VL) {
        const __m512 low = load_lanes(first + i, count - i);
        const __m512 high =
            second ? load_lanes(second + i, count - i) : _mm512_setzero_ps();
        _mm512_storeu_si512(to + i,
                            _mm512_permutexvar_epi16(places, rounded_pair(low, high)));
    }
}

WORDS void gn2_bf16_column_words(float *to, int64_t ld, const float *row, int64_t count)
{
    const __m512i step = _mm512_set1_epi32((int)ld);
    const __m512i rows = _mm512_mullo_epi32(counted(), step);
    for (int64_t i = 0; i < count; i += 2 * VL) {
        const int64_t pairs = (count - i + 1) / 2;
        const __m512i words =
            rounded_pair(load_lanes(row + i, count - i), load_rest(row, i + VL, count));
        _mm512_mask_i32scatter_epi32(to + i / 2 * ld, first_lanes(pairs), rows, words,
                                     sizeof(float));
    }
}

/* Rounded as gn2_bf16_factor() does, the lower halves zero. */
AVX512 INLINE __m512i factors(const float *from, int64_t left)
{
    const __m512 x = load_lanes(from, left);
    return _mm512_maskz_and_epi32(normal_lanes(x), rounded(x),
                                  _mm512_set1_epi32((int)0xFFFF0000));
}

AVX512 void gn2_bf16_row_floats(float *to, const float *row, int64_t count)
{
    for (int64_t i = 0; i < count; i += VL)
        _mm512_storeu_si512(
            to + i, _mm512_shuffle_epi32(factors(row + i, count - i), _MM_PERM_CDAB));
}

AVX512 void gn2_bf16_rows_floats(float *to, int64_t ld, const float *first,
                                 const float *second, int64_t count)
{
    for (int64_t i = 0; i < count; i += VL) {
        _mm512_storeu_si512(to + i, second ? factors(second + i, count - i)
                                           : _mm512_setzero_si512());
        _mm512_storeu_si512(to + ld + i, factors(first + i, count - i));
    }
}

#else

gn2_bf16_convert *gn2_bf16_converter(void)
{
    return convert_plain;
}

#endif
