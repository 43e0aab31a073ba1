/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names in order, each with something of its owner's. Finding and adding one cost
 * the logarithm of their number, in whatever order they come and whoever chose them.
 */
#ifndef GN2_UTIL_INDEX_H
#define GN2_UTIL_INDEX_H

#include <stddef.h>

/* All zeros: empty. */
typedef struct gn2_index {
    struct gn2_index_block **block;
    size_t blocks, capacity, count;
} gn2_index;

/* What was added with the name; NULL if it is not there. */
void *gn2_index_find(const gn2_index *index, const char *name);

/* Adds a name that is not there, which is kept, not copied; `value` is not NULL.
 * Returns 0, and the index is as it was, when memory is short. */
int gn2_index_add(gn2_index *index, const char *name, void *value);

/* Value of the i-th name in the order of strcmp(), i < count. */
void *gn2_index_at(const gn2_index *index, size_t i);

/* Frees what the index has allocated. */
void gn2_index_clear(gn2_index *index);

#endif
