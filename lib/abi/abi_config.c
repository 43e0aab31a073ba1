/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of config.h: checks, then config/config.h does the work. */
#include <string.h>

#include "abi/guard.h"
#include "config/config.h"
#include "util/alloc.h"
#include "util/file.h"

/* A config file is a page of text; more is not one. */
#define LARGEST_FILE ((size_t)1 << 20)

gn2_status gn2_config_create(gn2_config **out_config)
{
    GN2_REQUIRE_OUT(out_config);
    return gn2_config_new(out_config);
}

gn2_status gn2_config_copy(const gn2_config *config, gn2_config **out_config)
{
    GN2_REQUIRE_OUT(out_config);
    GN2_REQUIRE(config);
    return gn2_config_clone(config, out_config);
}

void gn2_config_free(gn2_config *config)
{
    gn2_config_delete(config);
}

gn2_status gn2_config_set_i64(gn2_config *config, const char *key, int64_t value)
{
    GN2_REQUIRE(config, key);
    return gn2_config_put_i64(config, key, value);
}

gn2_status gn2_config_set_f64(gn2_config *config, const char *key, double value)
{
    GN2_REQUIRE(config, key);
    return gn2_config_put_f64(config, key, value);
}

gn2_status gn2_config_set_str(gn2_config *config, const char *key, const char *value)
{
    GN2_REQUIRE(config, key, value);
    return gn2_config_put_str(config, key, value);
}

gn2_status gn2_config_set_list(gn2_config *config, const char *key,
                               const char *const *items, size_t count)
{
    GN2_REQUIRE(config, key);
    GN2_CHECK(items || count == 0, "%s: items is NULL, count = %zu", __func__, count);
    for (size_t i = 0; i < count; i++)
        GN2_CHECK(items[i], "%s: items[%zu] is NULL", __func__, i);
    return gn2_config_put_list(config, key, items, count);
}

gn2_status gn2_config_set_f64_list(gn2_config *config, const char *key,
                                   const double *items, size_t count)
{
    GN2_REQUIRE(config, key);
    GN2_CHECK(items || count == 0, "%s: items is NULL, count = %zu", __func__, count);
    return gn2_config_put_f64_list(config, key, items, count);
}

gn2_status gn2_config_set_text(gn2_config *config, const char *key, const char *text)
{
    GN2_REQUIRE(config, key, text);
    return gn2_config_put_text(config, key, text);
}

gn2_status gn2_config_get_i64(const gn2_config *config, const char *key,
                              int64_t *out_value)
{
    const gn2_config_value *value;
    GN2_REQUIRE(config, key, out_value);
    GN2_TRY(gn2_config_find(config, key, GN2_TYPE_I64, &value));
    *out_value = value->integer;
    return GN2_OK;
}

gn2_status gn2_config_get_f64(const gn2_config *config, const char *key,
                              double *out_value)
{
    const gn2_config_value *value;
    GN2_REQUIRE(config, key, out_value);
    GN2_TRY(gn2_config_find(config, key, GN2_TYPE_F64, &value));
    *out_value = value->numbers[0];
    return GN2_OK;
}

gn2_status gn2_config_get_str(const gn2_config *config, const char *key,
                              const char **out_value)
{
    const gn2_config_value *value;
    GN2_REQUIRE(config, key, out_value);
    GN2_TRY(gn2_config_find(config, key, GN2_TYPE_STR, &value));
    *out_value = value->text;
    return GN2_OK;
}

gn2_status gn2_config_get_count(const gn2_config *config, const char *key,
                                size_t *out_count)
{
    const gn2_config_value *value;
    GN2_REQUIRE(config, key, out_count);
    GN2_TRY(gn2_config_find(config, key, GN2_TYPE_LIST, &value));
    *out_count = value->count;
    return GN2_OK;
}

gn2_status gn2_config_get_item(const gn2_config *config, const char *key, size_t index,
                               const char **out_item)
{
    const gn2_config_value *value;
    GN2_REQUIRE(config, key, out_item);
    GN2_TRY(gn2_config_find(config, key, GN2_TYPE_STR_LIST, &value));
    GN2_CHECK(index < value->count, "key '%s': item %zu of %zu", key, index,
              value->count);
    *out_item = value->items[index];
    return GN2_OK;
}

gn2_status gn2_config_get_f64_list(const gn2_config *config, const char *key,
                                   double *out_items, size_t capacity)
{
    const gn2_config_value *value;
    GN2_REQUIRE(config, key);
    GN2_CHECK(out_items || capacity == 0, "%s: out_items is NULL, capacity = %zu",
              __func__, capacity);
    GN2_TRY(gn2_config_find(config, key, GN2_TYPE_F64_LIST, &value));
    GN2_CHECK(capacity >= value->count, "key '%s' has %zu items, room is for %zu", key,
              value->count, capacity);
    if (value->count)
        memcpy(out_items, value->numbers, value->count * sizeof *out_items);
    return GN2_OK;
}

const char *gn2_config_key_name(const gn2_config *config, size_t index)
{
    const char *key, *text;
    if (!config) return NULL;
    for (size_t i = 0; i < gn2_config_table_size; i++) {
        gn2_config_slot_at(config, i, &key, &text);
        if (!strchr(key, '*') && index-- == 0) return key;
    }
    const size_t named = gn2_config_slot_count(config) - gn2_config_table_size;
    if (index >= named) return NULL;
    gn2_config_slot_at(config, gn2_config_table_size + index, &key, &text);
    return key;
}

size_t gn2_config_count(void)
{
    return gn2_config_table_size;
}

gn2_status gn2_config_describe(size_t index, gn2_config_info *out_info)
{
    GN2_REQUIRE(out_info);
    GN2_CHECK(index < gn2_config_table_size, "%s: index = %zu: the table has %zu rows",
              __func__, index, gn2_config_table_size);
    const gn2_config_key *row = &gn2_config_table[index];
    const gn2_config_info info = {
        .type = row->type,
        .key = row->key,
        .default_text = row->default_text,
        .doc = row->doc,
        .min = row->min,
        .max = row->max,
        .choices = row->choices,
    };
    return gn2_guard_out(GN2_GUARD(gn2_config_info), out_info, &info);
}

gn2_status gn2_config_load(gn2_config *config, const char *path)
{
    GN2_REQUIRE(config, path);
    unsigned char *text;
    size_t length;
    GN2_TRY(gn2_file_read(path, LARGEST_FILE, &text, &length));
    const gn2_status status =
        gn2_config_from_text(config, path, (const char *)text, length);
    gn2_free(text);
    return status;
}

gn2_status gn2_config_save(const gn2_config *config, const char *path)
{
    GN2_REQUIRE(config, path);
    gn2_text text = {0};
    gn2_status status = gn2_config_to_text(config, NULL, &text);
    if (status == GN2_OK) status = gn2_file_write_atomic(path, text.data, text.length);
    gn2_free(text.data);
    return status;
}

gn2_status gn2_config_load_buffer(gn2_config *config, const char *text, size_t size)
{
    GN2_REQUIRE(config);
    GN2_CHECK(text || size == 0, "%s: text is NULL, size = %zu", __func__, size);
    GN2_CHECK(size <= LARGEST_FILE, "%s: size = %zu, at most %zu", __func__, size,
              LARGEST_FILE);
    return gn2_config_from_text(config, "buffer", text, size);
}

gn2_status gn2_config_save_buffer(const gn2_config *config, char *text, size_t capacity,
                                  size_t *out_size)
{
    GN2_REQUIRE(config, out_size);
    GN2_CHECK(text || capacity == 0, "%s: text is NULL, capacity = %zu", __func__,
              capacity);
    gn2_text all = {0};
    gn2_status status = gn2_config_to_text(config, NULL, &all);
    if (status == GN2_OK)
        status = gn2_give_bytes(all.data, all.length, text, capacity, out_size);
    gn2_free(all.data);
    return status;
}
