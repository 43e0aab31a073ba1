/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exp and log on vectors, where softmax and the losses need them: exp for
 * arguments up to about 1, log for normal positive numbers, log1p for 0 … 1. Within 2
 * ulp there. NaN stays NaN. The polynomials interpolate at Chebyshev nodes; their error
 * before rounding is given beside them.
 */
#ifndef GN2_KERNELS_SIMD_MATH_H
#define GN2_KERNELS_SIMD_MATH_H

#include "kernels/simd.h"

/* ln 2 in two pieces: the float nearest to it, and what is left */
#define LN2_HIGH 0x1.62e430p-1f
#define LN2_LOW -0x1.05c610p-29f

/* 1.5·2^23: adding it rounds to an integer, which stands in the low bits. */
#define ROUNDER 0x1.8p23f

/* Below this, exp rounds to 0: ln(2^-150) = −103.97. */
#define EXP_LOWEST -104.0f
#define EXP2_LOWEST -151.0f

#ifdef GN2_SIMD_AVX512
/* y·2^n, n an integer in t − ROUNDER */
INLINE vf v_scale2(vf y, vf t)
{
    return _mm512_scalef_ps(y, v_sub(t, v_set1(ROUNDER)));
}
#else
INLINE vf v_power2(vint n)
{
    return (vf)_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23);
}

/* In two steps, so that 2^n itself need not be a float when y·2^n is denormal. */
INLINE vf v_scale2(vf y, vf t)
{
    const vint n = _mm256_sub_epi32((vint)t, (vint)v_set1(ROUNDER));
    const vint half = _mm256_srai_epi32(n, 1);
    return v_mul(v_mul(y, v_power2(half)), v_power2(_mm256_sub_epi32(n, half)));
}
#endif

/* x = m·2^k with m in [√½, √2): returns m, and k as float */
INLINE vf v_split2(vf *k, vf x)
{
    const vint half = MM(set1_epi32)(0x3F3504F3); /* √½ */
    const vint e = MM(srai_epi32)(MM(sub_epi32)((vint)x, half), 23);
    *k = MM(cvtepi32_ps)(e);
    return (vf)MM(sub_epi32)((vint)x, MM(slli_epi32)(e, 23));
}

/* exp(x), x ≤ 1: x = n·ln 2 + r; exp r = 1 + r + r²·P(r), |error| < 1.1e-8 */
INLINE vf v_exp(vf x)
{
    x = v_max(v_set1(EXP_LOWEST), x);
    const vf t = v_fma(x, v_set1(0x1.715476p+0f), v_set1(ROUNDER));
    const vf n = v_sub(t, v_set1(ROUNDER));
    const vf r = v_fnma(n, v_set1(LN2_LOW), v_fnma(n, v_set1(LN2_HIGH), x));
    vf p = v_set1(0.00139262504f);
    p = v_fma(p, r, v_set1(0.00836323295f));
    p = v_fma(p, r, v_set1(0.0416665524f));
    p = v_fma(p, r, v_set1(0.166665763f));
    p = v_fma(p, r, v_set1(0.5f));
    p = v_fma(p, v_mul(r, r), r);
    return v_scale2(v_add(p, v_set1(1)), t);
}

/* 2^x, x ≤ 1: x = n + r; 2^r = 1 + r·P(r), |error| < 9e-9. Softmax takes it with the
 * logits times log2 e. */
INLINE vf v_exp2(vf x)
{
    x = v_max(v_set1(EXP2_LOWEST), x);
    const vf t = v_add(x, v_set1(ROUNDER));
    const vf r = v_sub(x, v_sub(t, v_set1(ROUNDER)));
    vf p = v_set1(0.000154532623f);
    p = v_fma(p, r, v_set1(0.00133909786f));
    p = v_fma(p, r, v_set1(0.00961808208f));
    p = v_fma(p, r, v_set1(0.0555035695f));
    p = v_fma(p, r, v_set1(0.240226507f));
    p = v_fma(p, r, v_set1(0.693147182f));
    return v_scale2(v_fma(p, r, v_set1(1)), t);
}

/* log(1 + f) for f in [√½ − 1, √2 − 1] or [0, 1]: with s = f/(2 + f),
 * 2 atanh s = 2s + s³·Q(s²), |relative error| < 1.7e-8 (s² ≤ 1/9) */
INLINE vf v_log1p(vf f)
{
    const vf s = v_div(f, v_add(v_set1(2), f)), t = v_mul(s, s);
    vf q = v_set1(0.26856792f);
    q = v_fma(q, t, v_set1(0.282358885f));
    q = v_fma(q, t, v_set1(0.400075853f));
    q = v_fma(q, t, v_set1(0.666666389f));
    return v_fma(v_mul(s, t), q, v_add(s, s));
}

/* log x, x normal and positive: k·ln 2 + log m */
INLINE vf v_log(vf x)
{
    vf k;
    const vf m = v_split2(&k, x);
    const vf low = v_fma(k, v_set1(LN2_LOW), v_log1p(v_sub(m, v_set1(1))));
    const vf y = v_fma(k, v_set1(LN2_HIGH), low);
    return v_select(v_gt(x, v_set1(0)), y, v_sub(x, x)); /* NaN has no exponent */
}

/* p = softmax of x (n), which p may be; elements in lanes */
INLINE void v_softmax(float *p, const float *x, int64_t n)
{
    vf max = v_set1(-INFINITY), sum = v_zero();
    for (int64_t i = 0; i < n; i += VL) {
        const int64_t left = n - i;
        const vf xv = v_load_part(x + i, left);
        max = v_max(max, left >= VL ? xv : v_select(v_first(left), xv, max));
    }
    const vf top = v_set1(v_highest(max));
    for (int64_t i = 0; i < n; i += VL) {
        const int64_t left = n - i;
        const vf e = v_keep_part(v_exp(v_sub(v_load_part(x + i, left), top)), left);
        sum = v_add(sum, e);
        v_store_part(p + i, e, left);
    }
    const vf total = v_set1(v_sum(sum));
    for (int64_t i = 0; i < n; i += VL) {
        const int64_t left = n - i;
        v_store_part(p + i, v_div(v_load_part(p + i, left), total), left);
    }
}

#endif
