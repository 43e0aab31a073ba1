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

/*
 * Factors of products in bf16, rounded to nearest even, as the own loops read them:
 * words of two for dot products, floats for multiply-adds. Both hold the same numbers,
 * so both loops give the same bits. A number that float holds as denormal becomes zero,
 * as dot products would take it.
 *
 * A dot product adds the upper half of a word first. So that multiply-adds, which go by
 * rising k, do the same, their floats are swapped in pairs: 1, 0, 3, 2, … Where the
 * count is odd, zero fills the last pair. Needs AVX-512 F, BW, VL; words its bf16.
 */

/* One number. */
static inline uint16_t gn2_bf16_factor(float x)
{
    const float size = x < 0 ? -x : x;
    return size < 0x1p-126f ? 0 : gn2_bf16_of(x);
}

/* A row of `count` numbers, of which neighbours make a pair; whole vectors of 16 words
 * or floats are written. */
void gn2_bf16_row_words(float *to, const float *row, int64_t count);
void gn2_bf16_row_floats(float *to, const float *row, int64_t count);

/* The words of a row as a column: `ld` floats from one to the next, those alone that
 * hold a number. 15 * ld is below 2^31. */
void gn2_bf16_column_words(float *to, int64_t ld, const float *row, int64_t count);

/* Two rows, of which numbers above each other make a pair; `second` may be NULL for
 * zeros. Whole vectors are written: words to one row, floats to two, `ld` apart. */
void gn2_bf16_rows_words(float *to, const float *first, const float *second,
                         int64_t count);
void gn2_bf16_rows_floats(float *to, int64_t ld, const float *first,
                          const float *second, int64_t count);

#endif
