/* SPDX-License-Identifier: Apache-2.0 */
/* Converters of product_bf16.h: plain C, AVX-512, AVX-512 with its bf16 extension. */
#include "kernels/product_bf16.h"

#include "kernels/kernels.h"

static void convert_plain(uint16_t *to, const float *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++) to[i] = gn2_bf16_of(from[i]);
}

#ifdef GN2_X86
#include <immintrin.h>

#define LANES 16

static __mmask16 first_lanes(int64_t n)
{
    return n >= LANES ? (__mmask16)0xFFFF : (__mmask16)((1u << n) - 1);
}

__attribute__((target("avx512f,avx512bw,avx512vl"))) static void
convert_avx512(uint16_t *to, const float *from, int64_t count)
{
    const __m512i one = _mm512_set1_epi32(1), half = _mm512_set1_epi32(0x7FFF);
    const __m512i quiet = _mm512_set1_epi32(0x400000);
    for (int64_t i = 0; i < count; i += LANES) {
        const __mmask16 m = first_lanes(count - i);
        const __m512 x = _mm512_maskz_loadu_ps(m, from + i);
        const __m512i bits = _mm512_castps_si512(x);
        const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), one);
        __m512i y = _mm512_add_epi32(bits, _mm512_add_epi32(odd, half));
        const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
        y = _mm512_mask_or_epi32(y, nan, bits, quiet);
        _mm256_mask_storeu_epi16(to + i, m,
                                 _mm512_cvtepi32_epi16(_mm512_srli_epi32(y, 16)));
    }
}

__attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16"))) static void
convert_bf16(uint16_t *to, const float *from, int64_t count)
{
    for (int64_t i = 0; i < count; i += LANES) {
        const __mmask16 m = first_lanes(count - i);
        const __m256bh y = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(m, from + i));
        __m256i words;
        memcpy(&words, &y, sizeof words);
        _mm256_mask_storeu_epi16(to + i, m, words);
    }
}

gn2_bf16_convert *gn2_bf16_converter(void)
{
    if (gn2_bf16_detect() != GN2_BF16_NONE) return convert_bf16;
    return gn2_isa_detect() >= GN2_ISA_AVX512 ? convert_avx512 : convert_plain;
}

#else

gn2_bf16_convert *gn2_bf16_converter(void)
{
    return convert_plain;
}

#endif
