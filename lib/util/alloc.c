/* SPDX-License-Identifier: Apache-2.0 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "util/alloc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int gn2_mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

int gn2_add_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

static int round_up(size_t bytes, size_t *out)
{
    if (bytes > SIZE_MAX - GN2_ALIGN) return 0;
    *out = (bytes + GN2_ALIGN - 1) / GN2_ALIGN * GN2_ALIGN;
    return 1;
}

/* Size of a block for the array; 0 if there is none. */
static size_t block_size(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return 0;
    return round_up(bytes ? bytes : 1, &bytes) ? bytes : 0;
}

void *gn2_alloc_untouched(size_t count, size_t size)
{
    const size_t bytes = block_size(count, size);
    return bytes ? aligned_alloc(GN2_ALIGN, bytes) : NULL;
}

void *gn2_alloc(size_t count, size_t size)
{
    void *block = gn2_alloc_untouched(count, size);
    if (block) memset(block, 0, block_size(count, size));
    return block;
}

void gn2_free(void *block)
{
    free(block);
}

int gn2_memory_at_hand(size_t bytes)
{
    if (bytes == 0) return 1;
    /* not malloc(), which would learn from it what sizes to keep */
    void *pages =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) return 0;
    munmap(pages, bytes);
    return 1;
}

int gn2_grow(void *array, size_t old_count, size_t new_count, size_t size)
{
    void *old, *bigger = gn2_alloc(new_count, size);
    if (!bigger) return 0;
    memcpy(&old, array, sizeof old); /* a pointer of any type */
    if (old) memcpy(bigger, old, old_count * size);
    gn2_free(old);
    memcpy(array, &bigger, sizeof bigger);
    return 1;
}

char *gn2_strdup(const char *text)
{
    const size_t size = strlen(text) + 1;
    char *copy = gn2_alloc(size, 1);
    if (copy) memcpy(copy, text, size);
    return copy;
}

void *gn2_arena_take(gn2_arena *arena, size_t count, size_t size)
{
    size_t bytes, end;
    if (__builtin_mul_overflow(count, size, &bytes) || !round_up(bytes, &bytes) ||
        __builtin_add_overflow(arena->used, bytes, &end)) {
        arena->used = SIZE_MAX;
        return NULL;
    }
    void *piece = arena->base ? arena->base + arena->used : NULL;
    arena->used = end;
    return piece;
}
