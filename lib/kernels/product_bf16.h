/* SPDX-License-Identifier: Apache-2.0 */
/* float → bfloat16, rounded to nearest, ties to even; NaN stays one. */
#ifndef GN2_KERNELS_PRODUCT_BF16_H
#define GN2_KERNELS_PRODUCT_BF16_H

#include <stdint.h>
#include <string.h>

/* The upper half of x (IEEE 754). */
static inline uint16_t gn2_bf16_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (x != x) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

/* to[i] = from[i] for i < count. */
typedef void gn2_bf16_convert(uint16_t *to, const float *from, int64_t count);

/* The fastest this processor has. AVX512_BF16 takes denormal numbers as zero, as its
 * products do; the others keep them. */
gn2_bf16_convert *gn2_bf16_converter(void);

#endif
