/* SPDX-License-Identifier: Apache-2.0 */
/* A sorted array cut into blocks, so that adding a name moves one block at most. */
#include "util/index.h"

#include <string.h>

#include "util/alloc.h"

#define BLOCK 128

typedef struct entry {
    const char *name;
    void *value;
} entry;

/* Never empty. */
typedef struct gn2_index_block {
    size_t count;
    entry entry[BLOCK];
} block;

/* The last block that does not begin behind the name; 0 if all do. */
static size_t block_of(const gn2_index *index, const char *name)
{
    size_t low = 0, high = index->blocks;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (strcmp(index->block[middle]->entry[0].name, name) <= 0)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The first entry that is not less than the name. */
static size_t place_in(const block *b, const char *name)
{
    size_t low = 0, high = b->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (strcmp(b->entry[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void *gn2_index_find(const gn2_index *index, const char *name)
{
    if (index->blocks == 0) return NULL;
    const block *b = index->block[block_of(index, name)];
    const size_t place = place_in(b, name);
    const int found = place < b->count && strcmp(b->entry[place].name, name) == 0;
    return found ? b->entry[place].value : NULL;
}

/* Opens an empty block at `place`. */
static block *insert_block(gn2_index *index, size_t place)
{
    if (index->blocks == index->capacity) {
        const size_t capacity = 2 * index->capacity + 1;
        if (!gn2_grow(&index->block, index->capacity, capacity, sizeof(block *)))
            return NULL;
        index->capacity = capacity;
    }
    block *b = gn2_alloc(1, sizeof *b);
    if (!b) return NULL;
    memmove(&index->block[place + 1], &index->block[place],
            (index->blocks - place) * sizeof *index->block);
    index->block[place] = b;
    index->blocks++;
    return b;
}

/* Moves the upper half of a full block into a new one behind it. */
static int split(gn2_index *index, size_t place)
{
    block *above = insert_block(index, place + 1);
    if (!above) return 0;
    block *b = index->block[place];
    b->count = BLOCK / 2;
    above->count = BLOCK - BLOCK / 2;
    memcpy(above->entry, b->entry + b->count, above->count * sizeof(entry));
    return 1;
}

int gn2_index_add(gn2_index *index, const char *name, void *value)
{
    if (index->blocks == 0 && !insert_block(index, 0)) return 0;
    size_t at = block_of(index, name);
    if (index->block[at]->count == BLOCK) {
        if (!split(index, at)) return 0;
        at = block_of(index, name);
    }
    block *b = index->block[at];
    const size_t place = place_in(b, name);
    memmove(&b->entry[place + 1], &b->entry[place], (b->count - place) * sizeof(entry));
    b->entry[place] = (entry){name, value};
    b->count++;
    index->count++;
    return 1;
}

void *gn2_index_at(const gn2_index *index, size_t i)
{
    size_t at = 0;
    while (i >= index->block[at]->count) i -= index->block[at++]->count;
    return index->block[at]->entry[i].value;
}

void gn2_index_clear(gn2_index *index)
{
    for (size_t i = 0; i < index->blocks; i++) gn2_free(index->block[i]);
    gn2_free(index->block);
    *index = (gn2_index){0};
}
