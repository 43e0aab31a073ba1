/* SPDX-License-Identifier: Apache-2.0 */
#include "util/digest.h"

#include <string.h>

/* Odd, its bits evenly spread: 2^64 over the golden ratio. */
#define FACTOR UINT64_C(0x9e3779b97f4a7c15)
#define LANES 4

static uint64_t mix(uint64_t state, uint64_t word)
{
    state = (state ^ word) * FACTOR;
    return state ^ state >> 29;
}

/* Lanes do not wait for one another's products. */
uint64_t gn2_digest(uint64_t start, const void *data, size_t size)
{
    const unsigned char *at = data;
    uint64_t lane[LANES], word[LANES], out = mix(start, size);
    for (int i = 0; i < LANES; i++) lane[i] = start + (uint64_t)i;
    for (; size >= sizeof word; size -= sizeof word, at += sizeof word) {
        memcpy(word, at, sizeof word);
        for (int i = 0; i < LANES; i++) lane[i] = mix(lane[i], word[i]);
    }
    for (int i = 0; i < LANES; i++) {
        const size_t part = size < sizeof word[0] ? size : sizeof word[0];
        word[0] = 0;
        if (part) memcpy(word, at, part);
        at += part;
        size -= part;
        out = mix(out, mix(lane[i], word[0]));
    }
    return out;
}
