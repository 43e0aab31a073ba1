/* SPDX-License-Identifier: Apache-2.0 */
#include "data/field.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/str.h"

static uint32_t float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float bits_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float gn2_half_to_float(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t exponent = half >> 10 & 0x1Fu, fraction = half & 0x3FFu;
    if (exponent == 31) return bits_float(sign | 0x7F800000u | fraction << 13);
    if (exponent) return bits_float(sign | (exponent + 112) << 23 | fraction << 13);
    /* zero and subnormals: fraction · 2^−24, exact in float */
    const float value = (float)fraction * 0x1p-24f;
    return sign ? -value : value;
}

/* Shifts right by `shift`, rounding to nearest, ties to even. */
static uint32_t round_shift(uint32_t value, uint32_t shift)
{
    const uint32_t half = 1u << (shift - 1), mask = (1u << shift) - 1;
    const uint32_t rest = value & mask, kept = value >> shift;
    return kept + (rest > half || (rest == half && (kept & 1u)));
}

uint16_t gn2_float_to_half(float value)
{
    const uint32_t bits = float_bits(value), sign = bits >> 16 & 0x8000u;
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return (uint16_t)(sign | 0x7E00u);  /* NaN */
    if (magnitude >= 0x477FF000u) return (uint16_t)(sign | 0x7C00u); /* ≥ 65520 */
    if (magnitude >= 0x38800000u) /* normal: 2^−14 and above */
        return (uint16_t)(sign | round_shift(magnitude - 0x38000000u, 13));
    const uint32_t exponent = magnitude >> 23;
    if (exponent < 102) return (uint16_t)sign; /* below half of 2^−24 */
    const uint32_t fraction = (magnitude & 0x7FFFFFu) | 0x800000u;
    return (uint16_t)(sign | round_shift(fraction, 126 - exponent));
}

#define FLOAT_READER(name, type)              \
    static float name##_float(const char *at) \
    {                                         \
        type value;                           \
        memcpy(&value, at, sizeof value);     \
        return (float)value;                  \
    }

#define READERS(name, type)                   \
    FLOAT_READER(name, type)                  \
    static int64_t name##_int(const char *at) \
    {                                         \
        type value;                           \
        memcpy(&value, at, sizeof value);     \
        return (int64_t)value;                \
    }

READERS(i8, int8_t)
READERS(i16, int16_t)
READERS(i32, int32_t)
READERS(i64, int64_t)
READERS(u8, uint8_t)
READERS(u16, uint16_t)
READERS(u32, uint32_t)
FLOAT_READER(u64, uint64_t)
FLOAT_READER(f32, float)
FLOAT_READER(f64, double)

static int64_t u64_int(const char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value <= INT64_MAX ? (int64_t)value : GN2_FIELD_NOT_WHOLE;
}

static float f16_float(const char *at)
{
    uint16_t half;
    memcpy(&half, at, sizeof half);
    return gn2_half_to_float(half);
}

/* 2⁶²: far above every label, and every whole number of that size is exact. */
static int64_t whole(double value)
{
    if (!(value >= -0x1p62 && value <= 0x1p62)) return GN2_FIELD_NOT_WHOLE;
    const int64_t cut = (int64_t)value;
    return (double)cut == value ? cut : GN2_FIELD_NOT_WHOLE;
}

static int64_t f16_int(const char *at)
{
    return whole((double)f16_float(at));
}

static int64_t f32_int(const char *at)
{
    return whole((double)f32_float(at));
}

static int64_t f64_int(const char *at)
{
    double value;
    memcpy(&value, at, sizeof value);
    return whole(value);
}

static const gn2_field_reader readers[] = {
    {GN2_H5_FLOAT, 2, f16_float, f16_int}, {GN2_H5_FLOAT, 4, f32_float, f32_int},
    {GN2_H5_FLOAT, 8, f64_float, f64_int}, {GN2_H5_INT, 1, i8_float, i8_int},
    {GN2_H5_INT, 2, i16_float, i16_int},   {GN2_H5_INT, 4, i32_float, i32_int},
    {GN2_H5_INT, 8, i64_float, i64_int},   {GN2_H5_UINT, 1, u8_float, u8_int},
    {GN2_H5_UINT, 2, u16_float, u16_int},  {GN2_H5_UINT, 4, u32_float, u32_int},
    {GN2_H5_UINT, 8, u64_float, u64_int},  {GN2_H5_BOOL, 1, i8_float, i8_int},
};

const gn2_field_reader *gn2_field_reader_of(int32_t kind, int32_t size)
{
    for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++)
        if (readers[i].kind == kind && readers[i].size == size) return &readers[i];
    return NULL;
}

void gn2_field_print(const gn2_field_reader *reader, const char *at, char out_text[32])
{
    uint64_t large;
    if (reader->kind == GN2_H5_FLOAT) {
        gn2_format_f64(gn2_field_real(reader, at), out_text);
    } else if (reader->kind == GN2_H5_UINT && reader->size == 8) {
        memcpy(&large, at, sizeof large);
        snprintf(out_text, 32, "%" PRIu64, large);
    } else {
        snprintf(out_text, 32, "%" PRId64, reader->to_int(at));
    }
}
