/* SPDX-License-Identifier: Apache-2.0 */
#include "repair.h"

#include <string.h>

#include "io/container.h"
#include "io/layout.h"

/* Puts one record right; returns the bytes it takes, 0 if it does not fit. */
static size_t repair_record(unsigned char *p, size_t left)
{
    if (left < GN2_RECORD_LEAST) return 0;
    const uint64_t name = gn2_get_u32(p + GN2_RECORD_NAME);
    const uint64_t rank = gn2_get_u32(p + GN2_RECORD_RANK);
    const uint64_t stored = gn2_get_u64(p + GN2_RECORD_STORED);
    const uint64_t head = GN2_RECORD_FIXED + 8 * rank + name + 1;
    if (head + 4 > left || stored > left - head - 4) return 0;
    gn2_set_u32(p + GN2_RECORD_STORED_CRC, gn2_crc32(p + head + 4, (size_t)stored));
    gn2_set_u32(p + head, gn2_crc32(p, (size_t)head));
    return (size_t)(head + 4 + stored);
}

void repair_checksums(unsigned char *data, size_t size)
{
    if (size < GN2_PREFIX_SIZE) return;
    memcpy(data, GN2_MAGIC, GN2_MAGIC_SIZE);
    gn2_set_u64(data + GN2_AT_FILE_SIZE, size);
    const uint32_t header = gn2_get_u32(data + GN2_AT_HEADER_SIZE);
    size_t offset = GN2_PREFIX_SIZE;
    if (header <= size - offset) {
        gn2_set_u32(data + GN2_AT_HEADER_CRC, gn2_crc32(data + offset, header));
        offset += header;
    }
    gn2_set_u32(data + GN2_AT_PREFIX_CRC, gn2_crc32(data, GN2_AT_PREFIX_CRC));
    for (size_t step = 1; step > 0 && offset < size; offset += step)
        step = repair_record(data + offset, size - offset);
}
