/* SPDX-License-Identifier: Apache-2.0 */
/* Building a .gn2 container in memory. */
#include <string.h>
#include <zlib.h>

#include "io/container.h"
#include "io/layout.h"
#include "util/alloc.h"
#include "util/error.h"
#include "util/file.h"
#include "util/index.h"
#include "util/str.h"

/* Weights are nearly random bytes: higher levels cost time and win 1 %. */
#define DEFLATE_LEVEL 1

typedef struct bytes {
    unsigned char *data;
    size_t size, capacity;
} bytes;

struct gn2_container_writer {
    gn2_text header; /* lines of the user's keys */
    gn2_text vital;  /* comma-separated keys */
    bytes records;
    gn2_index keys, names; /* of the header and of the tensors, owned */
};

gn2_status gn2_container_writer_create(gn2_container_writer **out_writer)
{
    *out_writer = gn2_alloc(1, sizeof **out_writer);
    return *out_writer ? GN2_OK : gn2_fail_memory();
}

static void free_names(gn2_index *names)
{
    for (size_t i = 0; i < names->count; i++) gn2_free(gn2_index_at(names, i));
    gn2_index_clear(names);
}

static gn2_status keep_name(gn2_index *names, const char *name)
{
    char *copy = gn2_strdup(name);
    if (copy && gn2_index_add(names, copy, copy)) return GN2_OK;
    gn2_free(copy);
    return gn2_fail_memory();
}

void gn2_container_writer_free(gn2_container_writer *writer)
{
    if (!writer) return;
    free_names(&writer->keys);
    free_names(&writer->names);
    gn2_free(writer->header.data);
    gn2_free(writer->vital.data);
    gn2_free(writer->records.data);
    gn2_free(writer);
}

/* ---- header ---- */

static gn2_status check_pair(const gn2_container_writer *writer, const char *key,
                             const char *value)
{
    if (!gn2_is_key(key) || !strncmp(key, "reader.", 7))
        return gn2_fail(GN2_ERR_INVALID_ARG, "'%.100s' cannot be a header key", key);
    if (!gn2_is_value(value))
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "header key '%s': control character in the value", key);
    if (gn2_index_find(&writer->keys, key))
        return gn2_fail(GN2_ERR_INVALID_ARG, "header key '%s' is there already", key);
    return GN2_OK;
}

gn2_status gn2_container_add_header(gn2_container_writer *writer, const char *key,
                                    const char *value)
{
    GN2_TRY(check_pair(writer, key, value));
    GN2_TRY(keep_name(&writer->keys, key));
    gn2_text_format(&writer->header, "%s = %s\n", key, value);
    return writer->header.failed ? gn2_fail_memory() : GN2_OK;
}

gn2_status gn2_container_add_vital(gn2_container_writer *writer, const char *key,
                                   const char *value)
{
    GN2_TRY(gn2_container_add_header(writer, key, value));
    gn2_text_format(&writer->vital, "%s%s", writer->vital.length ? "," : "", key);
    return writer->vital.failed ? gn2_fail_memory() : GN2_OK;
}

/* ---- tensors ---- */

static gn2_status bytes_reserve(bytes *b, size_t more)
{
    size_t need, doubled;
    if (!gn2_add_size(b->size, more, &need) || !gn2_mul_size(need, 2, &doubled))
        return gn2_fail_memory();
    if (need <= b->capacity) return GN2_OK;
    if (!gn2_grow(&b->data, b->size, doubled, 1)) return gn2_fail_memory();
    b->capacity = doubled;
    return GN2_OK;
}

static gn2_status check_tensor(const gn2_container_writer *writer,
                               const gn2_tensor_info *info, uint64_t *out_size)
{
    if (!gn2_is_name(info->name))
        return gn2_fail(GN2_ERR_INVALID_ARG, "'%.100s' cannot be a tensor's name",
                        info->name);
    if (!gn2_tensor_size(info, out_size))
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "tensor '%s': dtype, rank or shape outside the limits",
                        info->name);
    if (writer->names.count == GN2_CONTAINER_MAX_TENSORS)
        return gn2_fail(GN2_ERR_INVALID_ARG, "tensor '%s': more than %u tensors",
                        info->name, GN2_CONTAINER_MAX_TENSORS);
    if (gn2_index_find(&writer->names, info->name))
        return gn2_fail(GN2_ERR_INVALID_ARG, "tensor '%s' is there already",
                        info->name);
    return GN2_OK;
}

/* Ends what stands before the stored bytes, sizes and CRCs of which are there. */
static void write_record_head(unsigned char *p, const gn2_tensor_info *info)
{
    const size_t length = strlen(info->name);
    unsigned char *rest = p + GN2_RECORD_FIXED;
    gn2_set_u32(p + GN2_RECORD_NAME, (uint32_t)length);
    gn2_set_u32(p + GN2_RECORD_DTYPE, (uint32_t)info->dtype);
    gn2_set_u32(p + GN2_RECORD_RANK, (uint32_t)info->rank);
    gn2_set_u32(p + GN2_RECORD_ZERO, 0);
    for (int32_t i = 0; i < info->rank; i++, rest += 8)
        gn2_set_u64(rest, info->shape[i]);
    memcpy(rest, info->name, length + 1);
    rest += length + 1;
    gn2_set_u32(rest, gn2_crc32(p, (size_t)(rest - p)));
}

static size_t record_head_size(const gn2_tensor_info *info)
{
    return GN2_RECORD_FIXED + 8 * (size_t)info->rank + strlen(info->name) + 1 + 4;
}

gn2_status gn2_container_add_tensor(gn2_container_writer *writer,
                                    const gn2_tensor_info *info, const void *data)
{
    uint64_t raw;
    GN2_TRY(check_tensor(writer, info, &raw));
    bytes *out = &writer->records;
    uLongf stored = compressBound((uLong)raw);
    const size_t head = record_head_size(info);
    GN2_TRY(bytes_reserve(out, head + stored));
    unsigned char *record = out->data + out->size;
    const void *source = raw > 0 ? data : "";
    if (compress2(record + head, &stored, source, (uLong)raw, DEFLATE_LEVEL) != Z_OK)
        return gn2_fail_memory();
    GN2_TRY(keep_name(&writer->names, info->name));
    gn2_set_u64(record + GN2_RECORD_RAW, raw);
    gn2_set_u64(record + GN2_RECORD_STORED, stored);
    gn2_set_u32(record + GN2_RECORD_RAW_CRC, gn2_crc32(source, (size_t)raw));
    gn2_set_u32(record + GN2_RECORD_STORED_CRC, gn2_crc32(record + head, stored));
    write_record_head(record, info);
    out->size += head + stored;
    return GN2_OK;
}

/* ---- the whole ---- */

static gn2_status header_text(const gn2_container_writer *writer, gn2_text *out)
{
    gn2_text_format(out, GN2_KEY_MIN_VERSION " = %d\n" GN2_KEY_MUST_KNOW " = %s\n%s",
                    GN2_CONTAINER_REVISION,
                    writer->vital.data ? writer->vital.data : "",
                    writer->header.data ? writer->header.data : "");
    if (out->failed) return gn2_fail_memory();
    if (out->length > GN2_CONTAINER_MAX_HEADER)
        return gn2_fail(GN2_ERR_INVALID_ARG, "the header has %zu bytes, limit is %u",
                        out->length, GN2_CONTAINER_MAX_HEADER);
    return GN2_OK;
}

static gn2_status assemble(const gn2_container_writer *writer, const gn2_text *header,
                           unsigned char **out_data, size_t *out_size)
{
    static const unsigned char magic[GN2_MAGIC_SIZE] = GN2_MAGIC;
    const bytes *records = &writer->records;
    const size_t start = GN2_PREFIX_SIZE + header->length, size = start + records->size;
    unsigned char *data = gn2_alloc(size, 1);
    if (!data) return gn2_fail_memory();
    memcpy(data, magic, sizeof magic);
    gn2_set_u32(data + GN2_AT_VERSION, GN2_CONTAINER_VERSION);
    gn2_set_u32(data + GN2_AT_ENDIAN, GN2_ENDIAN_MARK);
    gn2_set_u64(data + GN2_AT_FILE_SIZE, size);
    gn2_set_u32(data + GN2_AT_HEADER_SIZE, (uint32_t)header->length);
    gn2_set_u32(data + GN2_AT_TENSORS, (uint32_t)writer->names.count);
    gn2_set_u32(data + GN2_AT_HEADER_CRC, gn2_crc32(header->data, header->length));
    gn2_set_u32(data + GN2_AT_PREFIX_CRC, gn2_crc32(data, GN2_AT_PREFIX_CRC));
    memcpy(data + GN2_PREFIX_SIZE, header->data, header->length);
    if (records->size > 0) memcpy(data + start, records->data, records->size);
    *out_data = data;
    *out_size = size;
    return GN2_OK;
}

gn2_status gn2_container_finish(const gn2_container_writer *writer,
                                unsigned char **out_data, size_t *out_size)
{
    gn2_text header = {0};
    gn2_status status = header_text(writer, &header);
    if (status == GN2_OK) status = assemble(writer, &header, out_data, out_size);
    gn2_free(header.data);
    return status;
}

gn2_status gn2_container_save(const gn2_container_writer *writer, const char *path)
{
    unsigned char *data;
    size_t size;
    GN2_TRY(gn2_container_finish(writer, &data, &size));
    const gn2_status status = gn2_file_write_atomic(path, data, size);
    gn2_free(data);
    return status;
}
