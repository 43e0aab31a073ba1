/* SPDX-License-Identifier: Apache-2.0 */
/* Sums in double of what lies in float vectors: two halves of VL/2 lanes. */
#ifndef GN2_KERNELS_SIMD_DOUBLE_H
#define GN2_KERNELS_SIMD_DOUBLE_H

#include "kernels/simd.h"

#ifdef GN2_SIMD_AVX512
typedef __m512d vd;
/* the lower and upper half of v */
INLINE vd v_low(vf v)
{
    return _mm512_cvtps_pd(_mm512_castps512_ps256(v));
}
INLINE vd v_high(vf v)
{
    return _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
}
INLINE double vd_sum(vd a)
{
    return _mm512_reduce_add_pd(a);
}
#else
typedef __m256d vd;
INLINE vd v_low(vf v)
{
    return _mm256_cvtps_pd(_mm256_castps256_ps128(v));
}
INLINE vd v_high(vf v)
{
    return _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
}
INLINE double vd_sum(vd a)
{
    const __m128d s =
        _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}
#endif

INLINE vd vd_add(vd a, vd b)
{
    return MM(add_pd)(a, b);
}
/* a² + c */
INLINE vd vd_square(vd a, vd c)
{
    return MM(fmadd_pd)(a, a, c);
}
INLINE vd vd_zero(void)
{
    return MM(setzero_pd)();
}

#endif
