/* SPDX-License-Identifier: Apache-2.0 */
#include "sample.h"

#include <string.h>

#include "io/layout.h"
#include "util/alloc.h"
#include "util/error.h"

/* Largest tensor worth inflating here; larger claims are legal but only slow. */
#define MOST_BYTES ((uint64_t)1 << 24)

static gn2_status fill(gn2_container_writer *writer)
{
    static const float weights[15] = {1, -2.5f, 0, 3e-39f, 5};
    static const int64_t step = -7;
    static const unsigned char state[7] = "random";
    const gn2_tensor_info infos[4] = {
        {"layer.weight", GN2_DTYPE_F32, 2, {3, 5}},
        {"empty", GN2_DTYPE_F64, 2, {0, 4}},
        {"step", GN2_DTYPE_I64, 0, {0}},
        {"state", GN2_DTYPE_U8, 1, {7}},
    };
    const void *const data[4] = {weights, NULL, &step, state};
    GN2_TRY(gn2_container_add_header(writer, "note", "a = b, c"));
    GN2_TRY(gn2_container_add_vital(writer, "kind", "sample"));
    for (int i = 0; i < 4; i++)
        GN2_TRY(gn2_container_add_tensor(writer, &infos[i], data[i]));
    return GN2_OK;
}

gn2_status sample_container(unsigned char **out_data, size_t *out_size)
{
    gn2_container_writer *writer;
    GN2_TRY(gn2_container_writer_create(&writer));
    gn2_status status = fill(writer);
    if (status == GN2_OK) status = gn2_container_finish(writer, out_data, out_size);
    gn2_container_writer_free(writer);
    return status;
}

static int knows_kind(const char *key)
{
    return strcmp(key, "kind") == 0;
}

static gn2_status read_tensor(const gn2_container *c, size_t index)
{
    const gn2_tensor_info *info = gn2_container_tensor_info(c, index);
    uint64_t size = 0;
    size_t found = 0;
    GN2_TRY(gn2_container_find(c, info->name, &found));
    if (found != index || !gn2_tensor_size(info, &size))
        return gn2_fail(GN2_ERR_INTERNAL, "lookup of '%s'", info->name);
    if (size > MOST_BYTES) return GN2_OK;
    void *data = gn2_alloc((size_t)size, 1);
    if (!data) return gn2_fail_memory();
    const gn2_status status = gn2_container_read(c, index, data, (size_t)size);
    gn2_free(data);
    return status;
}

static gn2_status read_open(const gn2_container *c)
{
    for (size_t i = 0; i < gn2_container_header_count(c); i++) {
        const char *key, *value;
        gn2_container_header_at(c, i, &key, &value);
        if (gn2_container_header(c, key) != value)
            return gn2_fail(GN2_ERR_INTERNAL, "lookup of key '%s'", key);
    }
    GN2_TRY(gn2_container_check_vital(c, knows_kind));
    for (size_t i = 0; i < gn2_container_tensor_count(c); i++)
        GN2_TRY(read_tensor(c, i));
    return GN2_OK;
}

gn2_status read_everything(const void *data, size_t size)
{
    gn2_container *c;
    GN2_TRY(gn2_container_open(data, size, "sample", &c));
    const gn2_status status = read_open(c);
    gn2_container_close(c);
    return status;
}
