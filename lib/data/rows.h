/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jets in memory: features, labels and ragged constituents, growing as they are
 * added. A batch and the pool of blocks being mixed are both such a table.
 */
#ifndef GN2_DATA_ROWS_H
#define GN2_DATA_ROWS_H

#include <stdatomic.h>

#include <gn2/base.h>

#define GN2_MAX_PARTS 8 /* constituent types */

/* What a jet has; part −1: there is no such label. */
typedef struct gn2_rows_shape {
    int64_t columns; /* jet variables */
    int32_t has_flavour;
    int32_t part_count;
    int32_t origin_part, vertex_part;
    int64_t part_columns[GN2_MAX_PARTS];
} gn2_rows_shape;

/* Constituents of one type: jet b owns rows offsets[b] … offsets[b+1]−1. */
typedef struct gn2_rows_part {
    int64_t count, capacity;
    float *data; /* (count, columns) */
    int64_t *offsets;
    int32_t *origin, *vertex; /* (count) or NULL */
} gn2_rows_part;

typedef struct gn2_rows {
    gn2_rows_shape shape;
    int64_t count, capacity;
    float *features;  /* (count, columns) */
    int32_t *flavour; /* (count) or NULL */
    gn2_rows_part part[GN2_MAX_PARTS];
    _Atomic int64_t *memory; /* where the bytes held are counted */
} gn2_rows;

gn2_status gn2_rows_init(gn2_rows *rows, const gn2_rows_shape *shape,
                         _Atomic int64_t *memory);
void gn2_rows_free(gn2_rows *rows);
void gn2_rows_clear(gn2_rows *rows);

/* Room for this many jets, or constituents of a part, in all. */
gn2_status gn2_rows_reserve(gn2_rows *rows, int64_t jets);
gn2_status gn2_rows_reserve_part(gn2_rows *rows, int32_t part, int64_t count);

/* Appends jets index[0 … count−1] of `from`, which has the same shape. */
gn2_status gn2_rows_gather(gn2_rows *rows, const gn2_rows *from, const int64_t *index,
                           int64_t count);

#endif
