/* SPDX-License-Identifier: Apache-2.0 */
/* Byte layout of the .gn2 container, shared by its reader and writer. */
#ifndef GN2_IO_LAYOUT_H
#define GN2_IO_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

/* Tensors are stored as the host has them, and the format is little-endian. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "a big-endian host needs byte swapping here");

/* As in PNG: a byte with the high bit and both line ends, which a transfer as
 * text would damage. */
#define GN2_MAGIC "\x89GN2\r\n\x1a\n"
#define GN2_MAGIC_SIZE 8
#define GN2_CONTAINER_VERSION 1
#define GN2_ENDIAN_MARK 0x01020304u

/* prefix: offsets of its fields, and its size */
enum {
    GN2_AT_VERSION = 8,
    GN2_AT_ENDIAN = 12,
    GN2_AT_FILE_SIZE = 16,
    GN2_AT_HEADER_SIZE = 24,
    GN2_AT_TENSORS = 28,
    GN2_AT_HEADER_CRC = 32,
    GN2_AT_PREFIX_CRC = 36,
    GN2_PREFIX_SIZE = 40,
};

/* record: name length, dtype, rank, zero (u32 each); raw size, stored size (u64);
 * raw CRC, stored CRC (u32); then rank axes (u64), the name and a zero byte, the
 * CRC of all that (u32), and the stored bytes */
enum {
    GN2_RECORD_NAME = 0,
    GN2_RECORD_DTYPE = 4,
    GN2_RECORD_RANK = 8,
    GN2_RECORD_ZERO = 12,
    GN2_RECORD_RAW = 16,
    GN2_RECORD_STORED = 24,
    GN2_RECORD_RAW_CRC = 32,
    GN2_RECORD_STORED_CRC = 36,
    GN2_RECORD_FIXED = 40,
    /* name of one letter, its zero, CRC; no stored bytes */
    GN2_RECORD_LEAST = GN2_RECORD_FIXED + 2 + 4,
};

/* Keys of the container itself. */
#define GN2_KEY_MIN_VERSION "reader.min_version"
#define GN2_KEY_MUST_KNOW "reader.must_know"

static inline uint32_t gn2_get_u32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

static inline uint64_t gn2_get_u64(const unsigned char *p)
{
    return gn2_get_u32(p) | (uint64_t)gn2_get_u32(p + 4) << 32;
}

static inline void gn2_set_u32(unsigned char *p, uint32_t value)
{
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(value >> 8 * i);
}

static inline void gn2_set_u64(unsigned char *p, uint64_t value)
{
    gn2_set_u32(p, (uint32_t)value);
    gn2_set_u32(p + 4, (uint32_t)(value >> 32));
}

uint32_t gn2_crc32(const void *data, size_t size);

/* Is the text a name (printable ASCII without blank, 1 to 255 bytes)? A key is a
 * name without `=` and `,`. A value has no control character but the tab. */
int gn2_is_name(const char *text);
int gn2_is_key(const char *text);
int gn2_is_value(const char *text);

#endif
