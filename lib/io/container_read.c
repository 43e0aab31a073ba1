/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a .gn2 container that may be cut, damaged or made by an enemy: no size
 * is believed before it is compared with the bytes that are there, and nothing is
 * allocated beyond a small multiple of them.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "io/container.h"
#include "io/layout.h"
#include "util/alloc.h"
#include "util/error.h"
#include "util/file.h"
#include "util/str.h"

/* Most that deflate can expand a byte to (zlib's technical notes: 1032 : 1). */
#define MOST_EXPANSION 1032u

typedef struct pair {
    const char *key, *value;
} pair;

typedef struct record {
    gn2_tensor_info info;
    uint64_t raw;
    const unsigned char *stored;
    size_t stored_size, offset;
    uint32_t raw_crc, stored_crc;
} record;

struct gn2_container {
    char *origin;
    unsigned char *own; /* the file, when opened by path */
    int header_only;    /* `data` ends behind the header */
    const unsigned char *data;
    size_t size;
    char *header; /* cut at its `=` and line ends */
    pair *pairs;
    const pair **sorted_pairs; /* by key */
    size_t pair_count;
    record *records;
    const record **sorted_records; /* by name */
    size_t record_count;
};

/* ---- prefix ---- */

static gn2_status check_identity(const gn2_container *c)
{
    const unsigned char *p = c->data;
    if (c->size < GN2_MAGIC_SIZE || memcmp(p, GN2_MAGIC, GN2_MAGIC_SIZE) != 0)
        return gn2_fail(GN2_ERR_FORMAT, "%s: not a .gn2 file (wrong magic number)",
                        c->origin);
    if (c->size < GN2_PREFIX_SIZE)
        return gn2_fail(GN2_ERR_FORMAT, "%s: cut off in the prefix: %zu of %d bytes",
                        c->origin, c->size, GN2_PREFIX_SIZE);
    const uint32_t version = gn2_get_u32(p + GN2_AT_VERSION);
    if (version == 0)
        return gn2_fail(GN2_ERR_FORMAT, "%s: container version 0", c->origin);
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
        return gn2_fail(GN2_ERR_FORMAT, "%s: wrong CRC of the prefix", c->origin);
    if (gn2_get_u32(p + GN2_AT_ENDIAN) != GN2_ENDIAN_MARK)
        return gn2_fail(GN2_ERR_FORMAT,
                        "%s: byte order mark 0x%08" PRIx32
                        ", this library reads little-endian files",
                        c->origin, gn2_get_u32(p + GN2_AT_ENDIAN));
    const uint64_t size = gn2_get_u64(p + GN2_AT_FILE_SIZE);
    if (size != c->size && !c->header_only)
        return gn2_fail(GN2_ERR_FORMAT,
                        "%s: has %zu bytes, its prefix says %" PRIu64 ": %s", c->origin,
                        c->size, size, c->size < size ? "cut off" : "bytes added");
    return GN2_OK;
}

/* ---- header ---- */

static int compare_pairs(const void *a, const void *b)
{
    return strcmp((*(const pair *const *)a)->key, (*(const pair *const *)b)->key);
}

static gn2_status sort_pairs(gn2_container *c)
{
    c->sorted_pairs = gn2_alloc(c->pair_count, sizeof *c->sorted_pairs);
    if (!c->sorted_pairs) return gn2_fail_memory();
    for (size_t i = 0; i < c->pair_count; i++) c->sorted_pairs[i] = &c->pairs[i];
    qsort(c->sorted_pairs, c->pair_count, sizeof *c->sorted_pairs, compare_pairs);
    for (size_t i = 1; i < c->pair_count; i++)
        if (!strcmp(c->sorted_pairs[i - 1]->key, c->sorted_pairs[i]->key))
            return gn2_fail(GN2_ERR_FORMAT, "%s: header key '%s' is there twice",
                            c->origin, c->sorted_pairs[i]->key);
    return GN2_OK;
}

static gn2_status split_line(const gn2_container *c, char *line, size_t number,
                             pair *out)
{
    char *equals = strstr(line, " = ");
    if (!equals)
        return gn2_fail(GN2_ERR_FORMAT, "%s: header line %zu is not 'key = value'",
                        c->origin, number);
    *equals = '\0';
    *out = (pair){line, equals + 3};
    if (!gn2_is_key(out->key) || !gn2_is_value(out->value))
        return gn2_fail(GN2_ERR_FORMAT,
                        "%s: header line %zu: character not allowed in key or value",
                        c->origin, number);
    return GN2_OK;
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
        GN2_TRY(split_line(c, line, i + 1, &c->pairs[i]));
        line = end + 1;
    }
    return GN2_OK;
}

static gn2_status read_header(gn2_container *c)
{
    const uint32_t size = gn2_get_u32(c->data + GN2_AT_HEADER_SIZE);
    const unsigned char *text = c->data + GN2_PREFIX_SIZE;
    if (size > GN2_CONTAINER_MAX_HEADER || size > c->size - GN2_PREFIX_SIZE)
        return gn2_fail(GN2_ERR_FORMAT,
                        "%s: header of %" PRIu32
                        " bytes, %zu are left in the file, the limit is %u",
                        c->origin, size, c->size - GN2_PREFIX_SIZE,
                        GN2_CONTAINER_MAX_HEADER);
    if (gn2_crc32(text, size) != gn2_get_u32(c->data + GN2_AT_HEADER_CRC))
        return gn2_fail(GN2_ERR_FORMAT, "%s: wrong CRC of the header", c->origin);
    if (size == 0 || text[size - 1] != '\n' || memchr(text, '\0', size))
        return gn2_fail(GN2_ERR_FORMAT,
                        "%s: the header is empty, has a zero byte or an open line",
                        c->origin);
    c->header = gn2_alloc((size_t)size + 1, 1);
    if (!c->header) return gn2_fail_memory();
    memcpy(c->header, text, size);
    GN2_TRY(split_header(c, size));
    return sort_pairs(c);
}

static gn2_status check_reader(const gn2_container *c)
{
    const char *text = gn2_container_header(c, GN2_KEY_MIN_VERSION);
    int64_t version;
    if (!text || !gn2_parse_i64(text, &version) || version < 1)
        return gn2_fail(GN2_ERR_FORMAT, "%s: header key '%s' is missing or no number",
                        c->origin, GN2_KEY_MIN_VERSION);
    if (version > GN2_CONTAINER_REVISION)
        return gn2_fail(GN2_ERR_VERSION,
                        "%s: asks for a reader of revision %" PRId64
                        ", this library has %d: a newer libgn2 is needed",
                        c->origin, version, GN2_CONTAINER_REVISION);
    if (!gn2_container_header(c, GN2_KEY_MUST_KNOW))
        return gn2_fail(GN2_ERR_FORMAT, "%s: header key '%s' is missing", c->origin,
                        GN2_KEY_MUST_KNOW);
    return GN2_OK;
}

/* ---- records ---- */

/* What a message says of a record: number and place, its name is not checked yet. */
static gn2_status bad_record(const gn2_container *c, size_t offset, const char *what)
{
    return gn2_fail(GN2_ERR_FORMAT, "%s: tensor %zu at byte %zu: %s", c->origin,
                    c->record_count, offset, what);
}

/* Size of a record before its stored bytes, checked against what is left. */
static gn2_status record_head(const gn2_container *c, size_t offset, size_t *out_size)
{
    const unsigned char *p = c->data + offset;
    const size_t left = c->size - offset;
    if (left < GN2_RECORD_LEAST) return bad_record(c, offset, "cut off");
    const uint32_t name = gn2_get_u32(p + GN2_RECORD_NAME);
    const uint32_t rank = gn2_get_u32(p + GN2_RECORD_RANK);
    if (name == 0 || name > GN2_CONTAINER_MAX_NAME || rank > GN2_CONTAINER_MAX_RANK)
        return bad_record(c, offset, "length of the name or rank outside the limits");
    const size_t size = GN2_RECORD_FIXED + 8 * (size_t)rank + name + 1;
    if (left - 4 < size) return bad_record(c, offset, "cut off");
    if (gn2_get_u32(p + size) != gn2_crc32(p, size))
        return bad_record(c, offset, "wrong CRC of the description");
    *out_size = size + 4;
    return GN2_OK;
}

/* Fills the description; its bytes are known to be there. */
static gn2_status describe(const gn2_container *c, record *r)
{
    const unsigned char *p = c->data + r->offset;
    const unsigned char *rest = p + GN2_RECORD_FIXED;
    r->info.rank = (int32_t)gn2_get_u32(p + GN2_RECORD_RANK);
    const uint32_t dtype = gn2_get_u32(p + GN2_RECORD_DTYPE);
    r->info.dtype = dtype <= GN2_DTYPE_U8 ? (int32_t)dtype : 0;
    for (int32_t i = 0; i < r->info.rank; i++, rest += 8)
        r->info.shape[i] = gn2_get_u64(rest);
    const size_t length = gn2_get_u32(p + GN2_RECORD_NAME);
    r->info.name = (const char *)rest;
    if (rest[length] != 0 || strlen(r->info.name) != length ||
        !gn2_is_name(r->info.name))
        return bad_record(c, r->offset, "character not allowed in the name");
    r->raw_crc = gn2_get_u32(p + GN2_RECORD_RAW_CRC);
    r->stored_crc = gn2_get_u32(p + GN2_RECORD_STORED_CRC);
    r->raw = gn2_get_u64(p + GN2_RECORD_RAW);
    return GN2_OK;
}

static gn2_status check_sizes(const gn2_container *c, const record *r, uint64_t stored,
                              size_t left)
{
    uint64_t raw;
    if (gn2_get_u32(c->data + r->offset + GN2_RECORD_ZERO) != 0)
        return bad_record(c, r->offset, "a reserved field is not zero");
    if (!gn2_tensor_size(&r->info, &raw) || raw != r->raw)
        return bad_record(c, r->offset,
                          "dtype, shape and size do not fit or exceed "
                          "the limits");
    if (stored > left) return bad_record(c, r->offset, "its bytes are cut off");
    if (raw / MOST_EXPANSION > stored)
        return bad_record(c, r->offset, "so few bytes cannot expand to its size");
    return GN2_OK;
}

static gn2_status read_record(gn2_container *c, size_t *offset)
{
    record *r = &c->records[c->record_count];
    size_t head = 0;
    GN2_TRY(record_head(c, *offset, &head));
    r->offset = *offset;
    GN2_TRY(describe(c, r));
    const uint64_t stored = gn2_get_u64(c->data + *offset + GN2_RECORD_STORED);
    GN2_TRY(check_sizes(c, r, stored, c->size - *offset - head));
    r->stored = c->data + *offset + head;
    r->stored_size = (size_t)stored;
    *offset += head + r->stored_size;
    c->record_count++;
    return GN2_OK;
}

static int compare_records(const void *a, const void *b)
{
    return strcmp((*(const record *const *)a)->info.name,
                  (*(const record *const *)b)->info.name);
}

static gn2_status sort_records(gn2_container *c)
{
    c->sorted_records = gn2_alloc(c->record_count, sizeof *c->sorted_records);
    if (!c->sorted_records) return gn2_fail_memory();
    for (size_t i = 0; i < c->record_count; i++) c->sorted_records[i] = &c->records[i];
    qsort(c->sorted_records, c->record_count, sizeof *c->sorted_records,
          compare_records);
    for (size_t i = 1; i < c->record_count; i++)
        if (!compare_records(&c->sorted_records[i - 1], &c->sorted_records[i]))
            return gn2_fail(GN2_ERR_FORMAT, "%s: tensor '%s' is there twice", c->origin,
                            c->sorted_records[i]->info.name);
    return GN2_OK;
}

static gn2_status read_records(gn2_container *c)
{
    size_t offset = GN2_PREFIX_SIZE + gn2_get_u32(c->data + GN2_AT_HEADER_SIZE);
    const uint32_t count = gn2_get_u32(c->data + GN2_AT_TENSORS);
    if (count > GN2_CONTAINER_MAX_TENSORS ||
        count > (c->size - offset) / GN2_RECORD_LEAST)
        return gn2_fail(GN2_ERR_FORMAT,
                        "%s: %" PRIu32
                        " tensors, which the file is too short for, or more than %u",
                        c->origin, count, GN2_CONTAINER_MAX_TENSORS);
    c->records = gn2_alloc(count, sizeof *c->records);
    if (!c->records) return gn2_fail_memory();
    while (c->record_count < count) GN2_TRY(read_record(c, &offset));
    if (offset != c->size)
        return gn2_fail(GN2_ERR_FORMAT, "%s: %zu bytes behind the last tensor",
                        c->origin, c->size - offset);
    return sort_records(c);
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

static gn2_status open_bytes(const void *data, size_t size, const char *origin,
                             int header_only, gn2_container **out_container)
{
    *out_container = NULL;
    gn2_container *c = gn2_alloc(1, sizeof *c);
    if (!c) return gn2_fail_memory();
    c->data = data;
    c->size = size;
    c->header_only = header_only;
    c->origin = gn2_strdup(origin);
    const gn2_status status = c->origin ? parse(c) : gn2_fail_memory();
    if (status == GN2_OK)
        *out_container = c;
    else
        gn2_container_close(c);
    return status;
}

gn2_status gn2_container_open(const void *data, size_t size, const char *origin,
                              gn2_container **out_container)
{
    return open_bytes(data, size, origin, 0, out_container);
}

/* Takes over the bytes that were read. */
static gn2_status open_read(unsigned char *data, size_t size, const char *path,
                            int header_only, gn2_container **out_container)
{
    const gn2_status status = open_bytes(data, size, path, header_only, out_container);
    if (status == GN2_OK)
        (*out_container)->own = data;
    else
        gn2_free(data);
    return status;
}

gn2_status gn2_container_open_header(const char *path, gn2_container **out_container)
{
    unsigned char *data;
    size_t size, most = GN2_PREFIX_SIZE;
    *out_container = NULL;
    GN2_TRY(gn2_file_read_start(path, most, &data, &size));
    if (size == most) most += gn2_get_u32(data + GN2_AT_HEADER_SIZE);
    gn2_free(data);
    if (most > GN2_PREFIX_SIZE + GN2_CONTAINER_MAX_HEADER) most = GN2_PREFIX_SIZE;
    GN2_TRY(gn2_file_read_start(path, most, &data, &size));
    return open_read(data, size, path, 1, out_container);
}

gn2_status gn2_container_open_file(const char *path, gn2_container **out_container)
{
    unsigned char *data;
    size_t size;
    *out_container = NULL;
    GN2_TRY(gn2_file_read(path, GN2_CONTAINER_MAX_FILE, &data, &size));
    return open_read(data, size, path, 0, out_container);
}

void gn2_container_close(gn2_container *container)
{
    if (!container) return;
    gn2_free(container->sorted_records);
    gn2_free(container->records);
    gn2_free(container->sorted_pairs);
    gn2_free(container->pairs);
    gn2_free(container->header);
    gn2_free(container->own);
    gn2_free(container->origin);
    gn2_free(container);
}

const char *gn2_container_origin(const gn2_container *container)
{
    return container->origin;
}

/* ---- looking up ---- */

const char *gn2_container_header(const gn2_container *container, const char *key)
{
    const pair wanted = {key, NULL};
    const pair *pointer = &wanted;
    const pair **found =
        bsearch(&pointer, container->sorted_pairs, container->pair_count,
                sizeof *container->sorted_pairs, compare_pairs);
    return found ? (*found)->value : NULL;
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
            return gn2_fail(GN2_ERR_FORMAT, "%s: header key '%s': a key of %zu bytes",
                            container->origin, GN2_KEY_MUST_KNOW, length);
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
    const record wanted = {.info.name = name};
    const record *pointer = &wanted;
    const record **found =
        bsearch(&pointer, container->sorted_records, container->record_count,
                sizeof *container->sorted_records, compare_records);
    if (!found)
        return gn2_fail(GN2_ERR_NOT_FOUND, "%s: no tensor '%s'", container->origin,
                        name);
    *out_index = (size_t)(*found - container->records);
    return GN2_OK;
}

gn2_status gn2_container_read(const gn2_container *container, size_t index, void *out,
                              size_t size)
{
    const record *r = &container->records[index];
    const char *name = r->info.name;
    if (size != r->raw)
        return gn2_fail(GN2_ERR_SHAPE, "%s: tensor '%s' has %" PRIu64 " bytes, not %zu",
                        container->origin, name, r->raw, size);
    if (gn2_crc32(r->stored, r->stored_size) != r->stored_crc)
        return gn2_fail(GN2_ERR_FORMAT, "%s: tensor '%s' at byte %zu: wrong CRC",
                        container->origin, name, r->offset);
    unsigned char none;
    uLongf inflated = size;
    uLong used = r->stored_size;
    const int code = uncompress2(size ? out : &none, &inflated, r->stored, &used);
    if (code == Z_MEM_ERROR) return gn2_fail_memory();
    if (code != Z_OK || inflated != size || used != r->stored_size)
        return gn2_fail(GN2_ERR_FORMAT,
                        "%s: tensor '%s' at byte %zu: does not inflate to its size",
                        container->origin, name, r->offset);
    if (gn2_crc32(out, size) != r->raw_crc)
        return gn2_fail(GN2_ERR_FORMAT,
                        "%s: tensor '%s' at byte %zu: wrong CRC of the elements",
                        container->origin, name, r->offset);
    return GN2_OK;
}
