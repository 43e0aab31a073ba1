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

/* What to_int() gives for 0.5, NaN, Inf, 2⁶³ and above: nothing is cut. */
#define GN2_FIELD_NOT_WHOLE INT64_MIN

/* How numbers of a kind and size are read. */
typedef struct gn2_field_reader {
    int32_t kind, size;
    float (*to_float)(const char *at);
    int64_t (*to_int)(const char *at);
} gn2_field_reader;

/* NULL for kinds that are not numbers. */
const gn2_field_reader *gn2_field_reader_of(int32_t kind, int32_t size);

static inline int gn2_field_is_double(const gn2_field_reader *reader)
{
    return reader->kind == GN2_H5_FLOAT && reader->size == 8;
}

/* A real in full. */
static inline double gn2_field_real(const gn2_field_reader *reader, const char *at)
{
    double value;
    if (!gn2_field_is_double(reader)) return (double)reader->to_float(at);
    memcpy(&value, at, sizeof value);
    return value;
}

/* A number as it stands in the record, for messages. */
void gn2_field_print(const gn2_field_reader *reader, const char *at, char out_text[32]);

#endif
