/* SPDX-License-Identifier: Apache-2.0 */
#include "data/row_set.h"

#include <string.h>

#include "util/alloc.h"
#include "util/error.h"

#define WORDS 64 /* of a block: its count costs 1/64 of its bits */
#define BLOCK_ROWS (WORDS * (int64_t)64)

static int64_t ones(uint64_t word)
{
    return __builtin_popcountll(word);
}

static int64_t block_count(const gn2_row_set *set)
{
    return set->rows / BLOCK_ROWS + 1;
}

static int64_t bytes(const gn2_row_set *set)
{
    return block_count(set) *
           (int64_t)(WORDS * sizeof *set->bits + sizeof *set->before);
}

gn2_status gn2_row_set_init(gn2_row_set *set, int64_t rows, _Atomic int64_t *memory)
{
    *set = (gn2_row_set){.rows = rows, .memory = memory};
    atomic_fetch_add(memory, bytes(set));
    set->bits = gn2_alloc((size_t)bytes(set), 1);
    if (!set->bits) return gn2_fail_memory();
    set->before = (int64_t *)(set->bits + block_count(set) * WORDS);
    return GN2_OK;
}

void gn2_row_set_count(gn2_row_set *set)
{
    set->count = 0;
    for (int64_t b = 0; b < block_count(set); b++) {
        set->before[b] = set->count;
        for (int64_t w = b * WORDS; w < (b + 1) * WORDS; w++)
            set->count += ones(set->bits[w]);
    }
}

void gn2_row_set_free(gn2_row_set *set)
{
    if (set->memory) atomic_fetch_sub(set->memory, bytes(set));
    gn2_free(set->bits);
    memset(set, 0, sizeof *set);
}

int64_t gn2_row_set_before(const gn2_row_set *set, int64_t row)
{
    const int64_t block = row / BLOCK_ROWS, end = row / 64;
    if (!set->bits) return row;
    int64_t count = set->before[block];
    for (int64_t w = block * WORDS; w < end; w++) count += ones(set->bits[w]);
    return count + ones(set->bits[end] & (((uint64_t)1 << (row % 64)) - 1));
}

/* The last block with at most k in front of it. */
static int64_t block_of(const gn2_row_set *set, int64_t k)
{
    int64_t low = 0, high = block_count(set) - 1;
    while (low < high) {
        const int64_t middle = (low + high + 1) / 2;
        if (set->before[middle] <= k)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

int64_t gn2_row_set_at(const gn2_row_set *set, int64_t k)
{
    if (!set->bits) return k;
    const int64_t block = block_of(set, k);
    int64_t left = k - set->before[block], w = block * WORDS;
    for (; left >= ones(set->bits[w]); w++) left -= ones(set->bits[w]);
    uint64_t word = set->bits[w];
    for (; left > 0; left--) word &= word - 1;
    return w * 64 + __builtin_ctzll(word);
}
