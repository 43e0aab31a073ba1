/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation: checked products, cache-line alignment, arenas carved in order. */
#ifndef GN2_UTIL_ALLOC_H
#define GN2_UTIL_ALLOC_H

#include <stddef.h>
#include <stdint.h>

/* Alignment of every block: a cache line and an AVX-512 register. */
#define GN2_ALIGN 64

/* Zeroed array of count × size bytes, 64-byte aligned; NULL on overflow or when
 * memory is short. Freed by gn2_free(). count 0 gives a valid block. */
void *gn2_alloc(size_t count, size_t size);
/* The same, not zeroed: pages of a large block come to lie at the processor that
 * writes to them first. */
void *gn2_alloc_untouched(size_t count, size_t size);
void gn2_free(void *block);

/* Whether so many bytes could be had now. Asked before code of others is called that
 * ends the process where it cannot have its memory. */
int gn2_memory_at_hand(size_t bytes);

/* Grows the array that a pointer, whose address `array` is, points to from old_count to
 * new_count elements, keeping the old ones and zeroing the rest; on failure returns 0
 * and leaves the array alone. */
int gn2_grow(void *array, size_t old_count, size_t new_count, size_t size);

/* Copy of a string; NULL when memory is short. Freed by gn2_free(). */
char *gn2_strdup(const char *text);

/* a·b and a+b; return 0, and *out is of no use, when they do not fit. */
int gn2_mul_size(size_t a, size_t b, size_t *out);
int gn2_add_size(size_t a, size_t b, size_t *out);

/* As gn2_grow(), to at least `count` elements of which *capacity have room, the first
 * `used` of them being kept; to half as many more where it grows. */
int gn2_reserve(void *array, size_t *capacity, size_t used, size_t count, size_t size);

/*
 * Pieces of one block, taken in order. With base NULL it only counts, so the same
 * code plans and carves.
 */
typedef struct gn2_arena {
    char *base;
    size_t used;
} gn2_arena;

/* Next count × size bytes, aligned; NULL while counting. Overflow saturates
 * `used` to SIZE_MAX, which no allocation will grant. */
void *gn2_arena_take(gn2_arena *arena, size_t count, size_t size);

#endif
