/* SPDX-License-Identifier: Apache-2.0 */
/* Some of the rows of a file, a bit each, or all, and which of them is the k-th. */
#ifndef GN2_DATA_ROW_SET_H
#define GN2_DATA_ROW_SET_H

#include <stdatomic.h>

#include <gn2/base.h>

typedef struct gn2_row_set {
    int64_t rows, count; /* of the file; of the set */
    uint64_t *bits;      /* NULL: all rows, nothing is kept */
    int64_t *before;     /* those in front of each block of words; behind the bits */
    _Atomic int64_t *memory;
} gn2_row_set;

/* An empty set; then rows are put into it, and at last they are counted. */
gn2_status gn2_row_set_init(gn2_row_set *set, int64_t rows, _Atomic int64_t *memory);
static inline void gn2_row_set_put(gn2_row_set *set, int64_t row)
{
    set->bits[row / 64] |= (uint64_t)1 << (row % 64);
}
void gn2_row_set_count(gn2_row_set *set);
void gn2_row_set_free(gn2_row_set *set);

static inline int gn2_row_set_has(const gn2_row_set *set, int64_t row)
{
    return !set->bits || (set->bits[row / 64] >> (row % 64) & 1u);
}
/* Rows of the set in front of a row, 0 ≤ row ≤ rows. */
int64_t gn2_row_set_before(const gn2_row_set *set, int64_t row);
/* Row number k of the set, 0 ≤ k < count. */
int64_t gn2_row_set_at(const gn2_row_set *set, int64_t k);

#endif
