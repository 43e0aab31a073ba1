/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A global heap, where texts of any length are kept: "GCOL", version 1, three zeros,
 * its size; then objects, each with number, references, four zeros and a size, filled
 * up to 8 bytes. Number 0 is what is free, and its size counts the head too. HDF5 (1.10
 * at least) steps from object to object by these sizes and never ends where one is 0.
 */
#include "data/hdf5/heap.h"

#include <stdint.h>
#include <string.h>

#define HEAD 16 /* of the heap, and of an object */
#define LEAST_HEAP 4096
#define MOST_HEAP ((uint64_t)1 << 40)

static uint64_t little_endian(const unsigned char *bytes, int count)
{
    uint64_t value = 0;
    while (count-- > 0) value = value << 8 | bytes[count];
    return value;
}

/* Its size; 0: it is none, or of a file whose sizes have not 8 bytes. */
static uint64_t heap_size(const unsigned char *bytes, size_t size)
{
    static const unsigned char start[8] = {'G', 'C', 'O', 'L', 1};
    if (size < HEAD || memcmp(bytes, start, sizeof start) != 0) return 0;
    const uint64_t all = little_endian(bytes + 8, 8);
    return all >= LEAST_HEAP && all < MOST_HEAP ? all : 0;
}

int gn2_hdf5_heap_is_sound(const unsigned char *bytes, size_t size)
{
    const uint64_t all = heap_size(bytes, size);
    if (all == 0) return 1;
    for (uint64_t at = HEAD; at + HEAD <= all && at + HEAD <= size;) {
        const uint64_t number = little_endian(bytes + at, 2);
        const uint64_t length = little_endian(bytes + at + 8, 8);
        if (length > all - at || (number == 0 && length < HEAD)) return 0;
        at += number ? HEAD + (length + 7) / 8 * 8 : length;
    }
    return 1;
}
