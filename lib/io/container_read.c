/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a .gn2 container that may be cut, damaged or made by an enemy: no size
 * is believed before it is compared with the bytes that are there, and nothing is
 * allocated beyond a small multiple of them.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "io/container.h"
#include "io/layout.h"
#include "util/alloc.h"
#include "util/error.h"
#include "util/file.h"
#include "util/index.h"
#include "util/str.h"

/* Most that deflate can expand a byte to (zlib's technical notes: 1032 : 1). */
#define MOST_EXPANSION 1032u

typedef struct pair {
    const char *key, *value;
} pair;

typedef struct record {
    gn2_tensor_info info;
    const unsigned char *head, *stored;
    size_t raw_size, stored_size;
} record;

struct gn2_container {
    const unsigned char *data;
    size_t size;
    unsigned char *own; /* the file, when opened by path */
    int header_only;    /* `data` ends behind the header */
    char *header;       /* cut at its `=` and line ends */
    size_t pair_count, record_count;
    pair *pairs;
    record *records;
    gn2_index keys, names; /* of the pairs and records */
    char origin[];
};

gn2_status gn2_container_bad(const gn2_container *c, const char *format, ...)
{
    char text[GN2_ERROR_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return gn2_fail(GN2_ERR_FORMAT, "%s: %s", c->origin, text);
}

/* ---- prefix ---- */

static gn2_status check_identity(const gn2_container *c)
{
    const unsigned char *p = c->data;
    if (c->size < GN2_MAGIC_SIZE || memcmp(p, GN2_MAGIC, GN2_MAGIC_SIZE) != 0)
        return gn2_container_bad(c, "not a .gn2 file (wrong magic number)");
    if (c->size < GN2_PREFIX_SIZE)
        return gn2_container_bad(c, "cut off in the prefix: %zu of %d bytes", c->size,
                                 GN2_PREFIX_SIZE);
    const uint32_t version = gn2_get_u32(p + GN2_AT_VERSION);
    if (version == 0) return gn2_container_bad(c, "container version 0");
    if (version > GN2_CONTAINER_VERSION)
        return gn2_fail(GN2_ERR_VERSION,
                        "%s: container version %" PRIu32 ", this library reads up to "
                        "%d: a newer libgn2 is needed",
                        c->origin, version, GN2_CONTAINER_VERSION);
    return GN2_OK;
}

static gn2_status check_prefix(const gn2_container *c)
{
    const unsigned char *p = c->data;
    if (gn2_get_u32(p + GN2_AT_PREFIX_CRC) != gn2_crc32(p, GN2_AT_PREFIX_CRC))
        return gn2_container_bad(c, "wrong CRC of the prefix");
    if (gn2_get_u32(p + GN2_AT_ENDIAN) != GN2_ENDIAN_MARK)
        return gn2_container_bad(c,
                                 "byte order mark 0x%08" PRIx32
                                 ", this library reads little-endian files",
                                 gn2_get_u32(p + GN2_AT_ENDIAN));
    const uint64_t size = gn2_get_u64(p + GN2_AT_FILE_SIZE);
    if (size != c->size && !c->header_only)
        return gn2_container_bad(c, "has %zu bytes, its prefix says %" PRIu64 ": %s",
                                 c->size, size,
                                 c->size < size ? "cut off" : "bytes added");
    return GN2_OK;
}

/* ---- header ---- */

static gn2_status split_line(gn2_container *c, char *line, size_t index)
{
    pair *p = &c->pairs[index];
    char *equals = strstr(line, " = ");
    if (!equals)
        return gn2_container_bad(c, "header line %zu is not 'key = value'", index + 1);
    *equals = '\0';
    *p = (pair){line, equals + 3};
    if (!gn2_is_key(p->key) || !gn2_is_value(p->value))
        return gn2_container_bad(
            c, "header line %zu: character not allowed in key or value", index + 1);
    if (gn2_index_find(&c->keys, p->key))
        return gn2_container_bad(c, "header key '%s' is there twice", p->key);
    return gn2_index_add(&c->keys, p->key, p) ? GN2_OK : gn2_fail_memory();
}

static gn2_status split_header(gn2_container *c, size_t size)
{
    for (size_t i = 0; i < size; i++) c->pair_count += c->header[i] == '\n';
    c->pairs = gn2_alloc(c->pair_count, sizeof *c->pairs);
    if (!c->pairs) return gn2_fail_memory();
    char *line = c->header;
    for (size_t i = 0; i < c->pair_count; i++) {
        char *end = strchr(line, '\n');
        *end = '\0';
        GN2_TRY(split_line(c, line, i));
        line = end + 1;
    }
    return GN2_OK;
}

static gn2_status read_header(gn2_container *c)
{
    const uint32_t size = gn2_get_u32(c->data + GN2_AT_HEADER_SIZE);
    const unsigned char *text = c->data + GN2_PREFIX_SIZE;
    if (size > GN2_CONTAINER_MAX_HEADER || size > c->size - GN2_PREFIX_SIZE)
        return gn2_container_bad(
            c, "header of %" PRIu32 " bytes, %zu are left in the file, the limit is %u",
            size, c->size - GN2_PREFIX_SIZE, GN2_CONTAINER_MAX_HEADER);
    if (gn2_crc32(text, size) != gn2_get_u32(c->data + GN2_AT_HEADER_CRC))
        return gn2_container_bad(c, "wrong CRC of the header");
    if (size == 0 || text[size - 1] != '\n' || memchr(text, '\0', size))
        return gn2_container_bad(
            c, "the header is empty, has a zero byte or an open line");
    c->header = gn2_alloc((size_t)size + 1, 1);
    if (!c->header) return gn2_fail_memory();
    memcpy(c->header, text, size);
    return split_header(c, size);
}

static gn2_status check_reader(const gn2_container *c)
{
    const char *text = gn2_container_header(c, GN2_KEY_MIN_VERSION);
    int64_t version;
    if (!text || !gn2_parse_i64(text, &version) || version < 1)
        return gn2_container_bad(c, "header key '%s' is missing or no number",
                                 GN2_KEY_MIN_VERSION);
    if (version > GN2_CONTAINER_REVISION)
        return gn2_fail(GN2_ERR_VERSION,
                        "%s: asks for a reader of revision %" PRId64
                        ", this library has %d: a newer libgn2 is needed",
                        c->origin, version, GN2_CONTAINER_REVISION);
    if (!gn2_container_header(c, GN2_KEY_MUST_KNOW))
        return gn2_container_bad(c, "header key '%s' is missing", GN2_KEY_MUST_KNOW);
    return GN2_OK;
}

/* ---- records ---- */

/* What a message says of the record that is read: number and place, its name is not
 * checked yet. */
static gn2_status bad_record(const gn2_container *c, const char *what)
{
    const size_t offset = (size_t)(c->records[c->record_count].head - c->data);
    return gn2_container_bad(c, "tensor %zu at byte %zu: %s", c->record_count, offset,
                             what);
}

/* Size of a record before its stored bytes, checked against what is left. */
static gn2_status head_size(const gn2_container *c, const unsigned char *p, size_t left,
                            size_t *out_size)
{
    if (left < GN2_RECORD_LEAST) return bad_record(c, "cut off");
    const uint32_t name = gn2_get_u32(p + GN2_RECORD_NAME);
    const uint32_t rank = gn2_get_u32(p + GN2_RECORD_RANK);
    if (name == 0 || name > GN2_CONTAINER_MAX_NAME || rank > GN2_CONTAINER_MAX_RANK)
        return bad_record(c, "length of the name or rank outside the limits");
    const size_t size = GN2_RECORD_FIXED + 8 * (size_t)rank + name + 1;
    if (left - 4 < size) return bad_record(c, "cut off");
    if (gn2_get_u32(p + size) != gn2_crc32(p, size))
        return bad_record(c, "wrong CRC of the description");
    *out_size = size + 4;
    return GN2_OK;
}

/* Fills the description; its bytes are known to be there. */
static gn2_status describe(const gn2_container *c, record *r)
{
    const unsigned char *p = r->head, *rest = p + GN2_RECORD_FIXED;
    r->info.rank = (int32_t)gn2_get_u32(p + GN2_RECORD_RANK);
    const uint32_t dtype = gn2_get_u32(p + GN2_RECORD_DTYPE);
    r->info.dtype = dtype <= GN2_DTYPE_U8 ? (int32_t)dtype : 0;
    for (int32_t i = 0; i < r->info.rank; i++, rest += 8)
        r->info.shape[i] = gn2_get_u64(rest);
    const size_t length = gn2_get_u32(p + GN2_RECORD_NAME);
    r->info.name = (const char *)rest;
    if (rest[length] != 0 || strlen(r->info.name) != length ||
        !gn2_is_name(r->info.name))
        return bad_record(c, "character not allowed in the name");
    return GN2_OK;
}

/* Compares the sizes with each other and with what is left behind the description. */
static gn2_status read_sizes(const gn2_container *c, record *r, size_t left)
{
    uint64_t raw;
    const uint64_t stored = gn2_get_u64(r->head + GN2_RECORD_STORED);
    if (gn2_get_u32(r->head + GN2_RECORD_ZERO) != 0)
        return bad_record(c, "a reserved field is not zero");
    if (!gn2_tensor_size(&r->info, &raw) ||
        raw != gn2_get_u64(r->head + GN2_RECORD_RAW))
        return bad_record(c, "dtype, shape and size do not fit or exceed the limits");
    if (stored > left) return bad_record(c, "its bytes are cut off");
    if (raw / MOST_EXPANSION > stored)
        return bad_record(c, "so few bytes cannot expand to its size");
    r->raw_size = (size_t)raw;
    r->stored_size = (size_t)stored;
    return GN2_OK;
}

static gn2_status read_record(gn2_container *c, size_t *offset)
{
    record *r = &c->records[c->record_count];
    const size_t left = c->size - *offset;
    size_t head = 0;
    r->head = c->data + *offset;
    GN2_TRY(head_size(c, r->head, left, &head));
    GN2_TRY(describe(c, r));
    GN2_TRY(read_sizes(c, r, left - head));
    if (gn2_index_find(&c->names, r->info.name))
        return gn2_container_bad(c, "tensor '%s' is there twice", r->info.name);
    if (!gn2_index_add(&c->names, r->info.name, r)) return gn2_fail_memory();
    r->stored = r->head + head;
    *offset += head + r->stored_size;
    c->record_count++;
    return GN2_OK;
}

static gn2_status read_records(gn2_container *c)
{
    size_t offset = GN2_PREFIX_SIZE + gn2_get_u32(c->data + GN2_AT_HEADER_SIZE);
    const uint32_t count = gn2_get_u32(c->data + GN2_AT_TENSORS);
    if (count > GN2_CONTAINER_MAX_TENSORS ||
        count > (c->size - offset) / GN2_RECORD_LEAST)
        return gn2_container_bad(
            c, "%" PRIu32 " tensors, which the file is too short for, or more than %u",
            count, GN2_CONTAINER_MAX_TENSORS);
    c->records = gn2_alloc(count, sizeof *c->records);
    if (!c->records) return gn2_fail_memory();
    while (c->record_count < count) GN2_TRY(read_record(c, &offset));
    if (offset != c->size)
        return gn2_container_bad(c, "%zu bytes behind the last tensor",
                                 c->size - offset);
    return GN2_OK;
}

/* ---- opening ---- */

static gn2_status parse(gn2_container *c)
{
    GN2_TRY(check_identity(c));
    GN2_TRY(check_prefix(c));
    GN2_TRY(read_header(c));
    GN2_TRY(check_reader(c));
    return c->header_only ? GN2_OK : read_records(c);
}

/* Opens what has its data; takes over what it owns. */
static gn2_status open_with(const gn2_container *start, const char *origin,
                            gn2_container **out_container)
{
    *out_container = NULL;
    const size_t length = strlen(origin) + 1;
    gn2_container *c = gn2_alloc(sizeof *c + length, 1);
    if (!c) {
        gn2_free(start->own);
        return gn2_fail_memory();
    }
    *c = *start;
    memcpy(c->origin, origin, length);
    const gn2_status status = parse(c);
    if (status == GN2_OK)
        *out_container = c;
    else
        gn2_container_close(c);
    return status;
}

gn2_status gn2_container_open(const void *data, size_t size, const char *origin,
                              gn2_container **out_container)
{
    const gn2_container start = {.data = data, .size = size};
    return open_with(&start, origin, out_container);
}

gn2_status gn2_container_open_header(const char *path, gn2_container **out_container)
{
    gn2_container start = {.header_only = 1};
    size_t most = GN2_PREFIX_SIZE;
    *out_container = NULL;
    GN2_TRY(gn2_file_read_start(path, most, &start.own, &start.size));
    if (start.size == most) most += gn2_get_u32(start.own + GN2_AT_HEADER_SIZE);
    gn2_free(start.own);
    if (most > GN2_PREFIX_SIZE + GN2_CONTAINER_MAX_HEADER) most = GN2_PREFIX_SIZE;
    GN2_TRY(gn2_file_read_start(path, most, &start.own, &start.size));
    start.data = start.own;
    return open_with(&start, path, out_container);
}

gn2_status gn2_container_open_file(const char *path, gn2_container **out_container)
{
    gn2_container start = {.header_only = 0};
    *out_container = NULL;
    GN2_TRY(gn2_file_read(path, GN2_CONTAINER_MAX_FILE, &start.own, &start.size));
    start.data = start.own;
    return open_with(&start, path, out_container);
}

void gn2_container_close(gn2_container *container)
{
    if (!container) return;
    gn2_index_clear(&container->keys);
    gn2_index_clear(&container->names);
    gn2_free(container->records);
    gn2_free(container->pairs);
    gn2_free(container->header);
    gn2_free(container->own);
    gn2_free(container);
}

const char *gn2_container_origin(const gn2_container *container)
{
    return container->origin;
}

/* ---- looking up ---- */

const char *gn2_container_header(const gn2_container *container, const char *key)
{
    const pair *found = gn2_index_find(&container->keys, key);
    return found ? found->value : NULL;
}

size_t gn2_container_header_count(const gn2_container *container)
{
    return container->pair_count;
}

void gn2_container_header_at(const gn2_container *container, size_t index,
                             const char **out_key, const char **out_value)
{
    *out_key = container->pairs[index].key;
    *out_value = container->pairs[index].value;
}

gn2_status gn2_container_check_vital(const gn2_container *container,
                                     int (*knows)(const char *key))
{
    const char *list = gn2_container_header(container, GN2_KEY_MUST_KNOW);
    while (*list) {
        char key[GN2_CONTAINER_MAX_NAME + 1];
        const size_t length = strcspn(list, ",");
        if (length >= sizeof key)
            return gn2_container_bad(container, "header key '%s': a key of %zu bytes",
                                     GN2_KEY_MUST_KNOW, length);
        memcpy(key, list, length);
        key[length] = '\0';
        if (!knows(key))
            return gn2_fail(GN2_ERR_VERSION,
                            "%s: a reader must know '%s', which this library does not: "
                            "a newer libgn2 is needed",
                            container->origin, key);
        list += length + (list[length] == ',');
    }
    return GN2_OK;
}

size_t gn2_container_tensor_count(const gn2_container *container)
{
    return container->record_count;
}

const gn2_tensor_info *gn2_container_tensor_info(const gn2_container *container,
                                                 size_t index)
{
    return &container->records[index].info;
}

gn2_status gn2_container_find(const gn2_container *container, const char *name,
                              size_t *out_index)
{
    const record *found = gn2_index_find(&container->names, name);
    if (!found)
        return gn2_fail(GN2_ERR_NOT_FOUND, "%s: no tensor '%s'", container->origin,
                        name);
    *out_index = (size_t)(found - container->records);
    return GN2_OK;
}

static gn2_status bad_bytes(const gn2_container *c, const record *r, const char *what)
{
    return gn2_container_bad(c, "tensor '%s' at byte %zu: %s", r->info.name,
                             (size_t)(r->head - c->data), what);
}

gn2_status gn2_container_read(const gn2_container *container, size_t index, void *out,
                              size_t size)
{
    const record *r = &container->records[index];
    if (size != r->raw_size)
        return gn2_fail(GN2_ERR_SHAPE, "%s: tensor '%s' has %zu bytes, not %zu",
                        container->origin, r->info.name, r->raw_size, size);
    if (gn2_crc32(r->stored, r->stored_size) !=
        gn2_get_u32(r->head + GN2_RECORD_STORED_CRC))
        return bad_bytes(container, r, "wrong CRC");
    unsigned char none;
    uLongf inflated = size;
    uLong used = r->stored_size;
    const int code = uncompress2(size ? out : &none, &inflated, r->stored, &used);
    if (code == Z_MEM_ERROR) return gn2_fail_memory();
    if (code != Z_OK || inflated != size || used != r->stored_size)
        return bad_bytes(container, r, "does not inflate to its size");
    if (gn2_crc32(out, size) != gn2_get_u32(r->head + GN2_RECORD_RAW_CRC))
        return bad_bytes(container, r, "wrong CRC of the elements");
    return GN2_OK;
}
