/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers inside records: read as float or integer, written from float. The
 * conversions are ours since HDF5's cost more than unpacking the file.
 */
#ifndef GN2_DATA_FIELD_H
#define GN2_DATA_FIELD_H

#include <string.h>

#include "data/hdf5/interface.h"

/* IEEE binary16 ↔ float; to half rounds to nearest, ties to even. */
float gn2_half_to_float(uint16_t half);
uint16_t gn2_float_to_half(float value);
/* What rounds to infinity, and all above: half a step above the largest, 65504. */
#define GN2_HALF_OVERFLOW 65520.0f

typedef float (*gn2_field_float)(const char *at);
typedef int64_t (*gn2_field_int)(const char *at);

/* What an integer reader gives for 0.5, NaN, Inf, 2⁶³ and above: nothing is cut. */
#define GN2_FIELD_NOT_WHOLE INT64_MIN

/* Readers of a field of a kind and size; NULL for kinds that are not numbers. */
gn2_field_float gn2_field_float_reader(int32_t kind, int32_t size);
gn2_field_int gn2_field_int_reader(int32_t kind, int32_t size);

/* A real in full; to_float: its reader. */
static inline double gn2_field_real(gn2_field_float to_float, int32_t size,
                                    const char *at)
{
    double value;
    if (size < (int32_t)sizeof value) return (double)to_float(at);
    memcpy(&value, at, sizeof value);
    return value;
}

/* A number as it stands in the record, for messages. */
void gn2_field_print(int32_t kind, int32_t size, const char *at, char out_text[32]);

#endif
