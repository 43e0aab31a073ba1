/* SPDX-License-Identifier: Apache-2.0 */
/* Rules both sides of the container obey: names, sizes, checksums. */
#include "io/layout.h"

#include <string.h>
#include <zlib.h>

#include "io/container.h"

uint32_t gn2_crc32(const void *data, size_t size)
{
    return size == 0 ? 0 : (uint32_t)crc32_z(0, data, size);
}

int gn2_is_name(const char *text)
{
    size_t length = 0;
    for (; text[length]; length++)
        if (text[length] <= ' ' || text[length] > '~') return 0;
    return length >= 1 && length <= GN2_CONTAINER_MAX_NAME;
}

int gn2_is_key(const char *text)
{
    return gn2_is_name(text) && !strpbrk(text, "=,");
}

int gn2_is_value(const char *text)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' && *p != '\t') return 0;
    return 1;
}

static uint64_t element_size(int32_t dtype)
{
    static const uint64_t sizes[] = {[GN2_DTYPE_F32] = 4,
                                     [GN2_DTYPE_F64] = 8,
                                     [GN2_DTYPE_I64] = 8,
                                     [GN2_DTYPE_U8] = 1};
    return dtype >= GN2_DTYPE_F32 && dtype <= GN2_DTYPE_U8 ? sizes[dtype] : 0;
}

int gn2_tensor_size(const gn2_tensor_info *info, uint64_t *out_bytes)
{
    uint64_t bytes = element_size(info->dtype);
    if (bytes == 0 || info->rank < 0 || info->rank > GN2_CONTAINER_MAX_RANK) return 0;
    for (int32_t i = 0; i < info->rank; i++) {
        if (info->shape[i] > GN2_CONTAINER_MAX_DIM) return 0;
        /* 2^36 × 2^32 does not fit: ask the compiler, not the limits */
        if (__builtin_mul_overflow(bytes, info->shape[i], &bytes)) return 0;
        if (bytes > GN2_CONTAINER_MAX_RAW) return 0;
    }
    *out_bytes = bytes;
    return 1;
}
