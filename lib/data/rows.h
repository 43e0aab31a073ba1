/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jets in memory: features, labels and ragged constituents, growing as they are
 * added. A batch and the pool of blocks being mixed are both such a table.
 */
#ifndef GN2_DATA_ROWS_H
#define GN2_DATA_ROWS_H

#include <stdatomic.h>

#include <gn2/base.h>

#include "data/trouble.h"
#include "util/threads.h"

#define GN2_MAX_PARTS 8   /* constituent types */
#define GN2_MAX_LABELS 32 /* of all tasks, their weights among them */

/* Labels of an object; values are int32_t or float. */
typedef struct gn2_rows_label {
    int32_t object;
    int32_t columns; /* 0: not there */
} gn2_rows_label;

/* What there is of a jet: objects are itself (0) and its types of constituents. */
typedef struct gn2_rows_shape {
    int32_t object_count, label_count;
    int64_t columns[1 + GN2_MAX_PARTS]; /* variables of each object */
    gn2_rows_label label[GN2_MAX_LABELS];
} gn2_rows_shape;

/* The jets, or constituents of one type: jet b owns rows offsets[b] … offsets[b+1]−1.
 */
typedef struct gn2_rows_object {
    int64_t count, capacity;
    float *data;      /* (count, columns) */
    int64_t *offsets; /* NULL: the jets */
} gn2_rows_object;

typedef struct gn2_rows {
    gn2_rows_shape shape;
    gn2_rows_object object[1 + GN2_MAX_PARTS];
    void *label[GN2_MAX_LABELS]; /* (rows of the object, columns); NULL: not there */
    gn2_trouble trouble;         /* with the labels of these jets */
    _Atomic int64_t *memory;     /* where the bytes held are counted */
} gn2_rows;

static inline int64_t gn2_rows_jets(const gn2_rows *rows)
{
    return rows->object[0].count;
}

gn2_status gn2_rows_init(gn2_rows *rows, const gn2_rows_shape *shape,
                         _Atomic int64_t *memory);
void gn2_rows_free(gn2_rows *rows);
void gn2_rows_clear(gn2_rows *rows);

/* Where label k of a row of its object lies. */
void *gn2_rows_label_at(const gn2_rows *rows, int32_t k, int64_t row);

/* Room for this many jets, or constituents of a type, in all. */
gn2_status gn2_rows_reserve(gn2_rows *rows, int32_t object, int64_t count);

/* Jets index[0 … count−1] of a table. */
typedef struct gn2_rows_choice {
    const gn2_rows *from;
    const int64_t *index;
    int64_t count;
} gn2_rows_choice;

/* Appends jets of a table of the same shape; the threads of a pool, or NULL, copy. */
gn2_status gn2_rows_gather(gn2_rows *rows, const gn2_rows_choice *choice,
                           gn2_pool *pool);

#endif
