/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The option object. Slots 0 … rows−1 belong to the rows of the table (a wildcard
 * row's slot keeps its default), behind them come the keys set for wildcards,
 * sorted by name, so that equal configs write equal text.
 */
#include "config/config.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config/value.h"
#include "util/alloc.h"
#include "util/error.h"

typedef struct slot {
    char *key; /* of a wildcard; NULL: the row's own */
    const gn2_config_key *row;
    gn2_config_value value;
} slot;

struct gn2_config {
    slot *slots;
    size_t count, capacity;
};

static const char *slot_key(const slot *s)
{
    return s->key ? s->key : s->row->key;
}

/* ---- making and copying ---- */

static gn2_status reserve(gn2_config *c, size_t count)
{
    if (count <= c->capacity) return GN2_OK;
    void *block = c->slots;
    if (!gn2_grow(&block, c->count, 2 * count, sizeof *c->slots))
        return gn2_fail_memory();
    c->slots = block;
    c->capacity = 2 * count;
    return GN2_OK;
}

static gn2_status fill_defaults(gn2_config *c)
{
    GN2_TRY(reserve(c, gn2_config_table_size));
    for (size_t i = 0; i < gn2_config_table_size; i++) {
        const gn2_config_key *row = &gn2_config_table[i];
        c->slots[i].row = row;
        GN2_TRY(gn2_config_value_read(row, row->key, row->default_text,
                                      &c->slots[i].value));
        c->count = i + 1;
    }
    return GN2_OK;
}

gn2_status gn2_config_new(gn2_config **out_config)
{
    *out_config = NULL;
    gn2_config *c = gn2_alloc(1, sizeof *c);
    if (!c) return gn2_fail_memory();
    const gn2_status status = fill_defaults(c);
    if (status == GN2_OK)
        *out_config = c;
    else
        gn2_config_delete(c);
    return status;
}

static gn2_status put_all(gn2_config *to, const gn2_config *from)
{
    for (size_t i = 0; i < from->count; i++) {
        const char *key = slot_key(&from->slots[i]);
        if (strchr(key, '*')) continue;
        GN2_TRY(gn2_config_put_text(to, key, from->slots[i].value.text));
    }
    return GN2_OK;
}

gn2_status gn2_config_clone(const gn2_config *config, gn2_config **out_config)
{
    GN2_TRY(gn2_config_new(out_config));
    const gn2_status status = put_all(*out_config, config);
    if (status == GN2_OK) return GN2_OK;
    gn2_config_delete(*out_config);
    *out_config = NULL;
    return status;
}

void gn2_config_delete(gn2_config *config)
{
    if (!config) return;
    for (size_t i = 0; i < config->count; i++) {
        gn2_free(config->slots[i].key);
        gn2_config_value_clear(&config->slots[i].value);
    }
    gn2_free(config->slots);
    gn2_free(config);
}

void gn2_config_swap(gn2_config *a, gn2_config *b)
{
    const gn2_config saved = *a;
    *a = *b;
    *b = saved;
}

/* ---- finding a slot ---- */

/* First slot behind the table's whose key is not less than `key`. */
static size_t wildcard_place(const gn2_config *c, const char *key)
{
    size_t i = gn2_config_table_size;
    while (i < c->count && strcmp(c->slots[i].key, key) < 0) i++;
    return i;
}

static gn2_status find_slot(const gn2_config *c, const char *key, const slot **out)
{
    const gn2_config_key *row = gn2_config_find_row(key);
    if (!row) return gn2_config_fail_unknown(key);
    *out = &c->slots[row - gn2_config_table];
    if (!strchr(row->key, '*')) return GN2_OK;
    const size_t place = wildcard_place(c, key);
    if (place < c->count && !strcmp(c->slots[place].key, key)) *out = &c->slots[place];
    return GN2_OK;
}

static gn2_status find_typed(const gn2_config *c, const char *key, int32_t type,
                             const slot **out)
{
    GN2_TRY(find_slot(c, key, out));
    if ((*out)->row->type == type) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG, "key '%s' is %s, not %s", key,
                    gn2_config_type_name((*out)->row->type),
                    gn2_config_type_name(type));
}

int gn2_config_has(const char *key)
{
    return gn2_config_find_row(key) != NULL;
}

/* ---- setting ---- */

/* Opens a slot for the key of a wildcard; takes over the value. */
static gn2_status insert_slot(gn2_config *c, size_t place, const gn2_config_key *row,
                              const char *key)
{
    GN2_TRY(reserve(c, c->count + 1));
    char *own_key = gn2_strdup(key);
    if (!own_key) return gn2_fail_memory();
    memmove(&c->slots[place + 1], &c->slots[place],
            (c->count - place) * sizeof *c->slots);
    c->slots[place] = (slot){.key = own_key, .row = row};
    c->count++;
    return GN2_OK;
}

static gn2_status slot_to_set(gn2_config *c, const gn2_config_key *row, const char *key,
                              slot **out)
{
    size_t place = (size_t)(row - gn2_config_table);
    if (strchr(row->key, '*')) {
        place = wildcard_place(c, key);
        if (place == c->count || strcmp(c->slots[place].key, key) != 0)
            GN2_TRY(insert_slot(c, place, row, key));
    }
    *out = &c->slots[place];
    return GN2_OK;
}

gn2_status gn2_config_put_text(gn2_config *c, const char *key, const char *text)
{
    const gn2_config_key *row = gn2_config_find_row(key);
    if (!row) return gn2_config_fail_unknown(key);
    gn2_config_value value;
    GN2_TRY(gn2_config_value_read(row, key, text, &value));
    slot *target;
    const gn2_status status = slot_to_set(c, row, key, &target);
    if (status != GN2_OK) {
        gn2_config_value_clear(&value);
        return status;
    }
    gn2_config_value_clear(&target->value);
    target->value = value;
    return GN2_OK;
}

gn2_status gn2_config_put_i64(gn2_config *c, const char *key, int64_t value)
{
    const slot *found;
    char text[32];
    GN2_TRY(find_typed(c, key, GN2_TYPE_I64, &found));
    snprintf(text, sizeof text, "%" PRId64, value);
    return gn2_config_put_text(c, key, text);
}

gn2_status gn2_config_put_f64(gn2_config *c, const char *key, double value)
{
    const slot *found;
    char text[32];
    GN2_TRY(find_typed(c, key, GN2_TYPE_F64, &found));
    gn2_format_f64(value, text);
    return gn2_config_put_text(c, key, text);
}

gn2_status gn2_config_put_str(gn2_config *c, const char *key, const char *value)
{
    const slot *found;
    GN2_TRY(find_typed(c, key, GN2_TYPE_STR, &found));
    const size_t length = strlen(value);
    if (length > 0 && (strchr(" \t", value[0]) || strchr(" \t", value[length - 1])))
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "key '%s': '%.100s' begins or ends with a blank, which a "
                        "text file would not keep",
                        key, value);
    return gn2_config_put_text(c, key, value);
}

/* Hands the joined text to put_text(), unless memory was short. */
static gn2_status put_joined(gn2_config *c, const char *key, gn2_text *text)
{
    const gn2_status status =
        text->failed ? gn2_fail_memory() : gn2_config_put_text(c, key, text->data);
    gn2_free(text->data);
    return status;
}

gn2_status gn2_config_put_list(gn2_config *c, const char *key, const char *const *items,
                               size_t count)
{
    const slot *found;
    GN2_TRY(find_typed(c, key, GN2_TYPE_STR_LIST, &found));
    for (size_t i = 0; i < count; i++) {
        if (!items[i] || !items[i][0] || strchr(items[i], ','))
            return gn2_fail(GN2_ERR_INVALID_ARG,
                            "key '%s': item %zu is NULL, empty or has a comma", key, i);
    }
    gn2_text text = {0};
    gn2_text_add(&text, "");
    for (size_t i = 0; i < count; i++) {
        if (i > 0) gn2_text_add(&text, ",");
        gn2_text_add(&text, items[i]);
    }
    return put_joined(c, key, &text);
}

gn2_status gn2_config_put_f64_list(gn2_config *c, const char *key, const double *items,
                                   size_t count)
{
    const slot *found;
    GN2_TRY(find_typed(c, key, GN2_TYPE_F64_LIST, &found));
    gn2_text text = {0};
    gn2_text_add(&text, "");
    for (size_t i = 0; i < count; i++) {
        char number[32];
        gn2_format_f64(items[i], number);
        if (i > 0) gn2_text_add(&text, ",");
        gn2_text_add(&text, number);
    }
    return put_joined(c, key, &text);
}

/* ---- reading, for keys that come from a user ---- */

gn2_status gn2_config_read_i64(const gn2_config *c, const char *key, int64_t *out)
{
    const slot *found;
    GN2_TRY(find_typed(c, key, GN2_TYPE_I64, &found));
    *out = found->value.integer;
    return GN2_OK;
}

gn2_status gn2_config_read_f64(const gn2_config *c, const char *key, double *out)
{
    const slot *found;
    GN2_TRY(find_typed(c, key, GN2_TYPE_F64, &found));
    *out = found->value.numbers[0];
    return GN2_OK;
}

gn2_status gn2_config_read_str(const gn2_config *c, const char *key, const char **out)
{
    const slot *found;
    GN2_TRY(find_typed(c, key, GN2_TYPE_STR, &found));
    *out = found->value.text;
    return GN2_OK;
}

gn2_status gn2_config_read_count(const gn2_config *c, const char *key, size_t *out)
{
    const slot *found;
    GN2_TRY(find_slot(c, key, &found));
    if (found->row->type != GN2_TYPE_STR_LIST && found->row->type != GN2_TYPE_F64_LIST)
        return gn2_fail(GN2_ERR_INVALID_ARG, "key '%s' is %s, not a list", key,
                        gn2_config_type_name(found->row->type));
    *out = found->value.count;
    return GN2_OK;
}

gn2_status gn2_config_read_item(const gn2_config *c, const char *key, size_t index,
                                const char **out)
{
    const slot *found;
    GN2_TRY(find_typed(c, key, GN2_TYPE_STR_LIST, &found));
    if (index >= found->value.count)
        return gn2_fail(GN2_ERR_INVALID_ARG, "key '%s': item %zu of %zu", key, index,
                        found->value.count);
    *out = found->value.items[index];
    return GN2_OK;
}

gn2_status gn2_config_read_f64_list(const gn2_config *c, const char *key, double *out,
                                    size_t capacity)
{
    const slot *found;
    GN2_TRY(find_typed(c, key, GN2_TYPE_F64_LIST, &found));
    const size_t count = found->value.count;
    if (capacity < count)
        return gn2_fail(GN2_ERR_INVALID_ARG, "key '%s' has %zu items, room is for %zu",
                        key, count, capacity);
    if (count > 0) memcpy(out, found->value.numbers, count * sizeof *out);
    return GN2_OK;
}

gn2_status gn2_config_read_text(const gn2_config *c, const char *key, const char **out)
{
    const slot *found;
    GN2_TRY(find_slot(c, key, &found));
    *out = found->value.text;
    return GN2_OK;
}

/* ---- reading, for keys written in the source ---- */

static const slot *known_slot(const gn2_config *c, const char *key)
{
    const slot *found = NULL;
    const gn2_status status = find_slot(c, key, &found);
    assert(status == GN2_OK);
    (void)status;
    return found;
}

int64_t gn2_config_i64(const gn2_config *c, const char *key)
{
    const slot *found = known_slot(c, key);
    assert(found->row->type == GN2_TYPE_I64);
    return found->value.integer;
}

double gn2_config_f64(const gn2_config *c, const char *key)
{
    const slot *found = known_slot(c, key);
    assert(found->row->type == GN2_TYPE_F64);
    return found->value.numbers[0];
}

const char *gn2_config_str(const gn2_config *c, const char *key)
{
    const slot *found = known_slot(c, key);
    assert(found->row->type == GN2_TYPE_STR);
    return found->value.text;
}

size_t gn2_config_list_count(const gn2_config *c, const char *key)
{
    const slot *found = known_slot(c, key);
    assert(found->row->type == GN2_TYPE_STR_LIST ||
           found->row->type == GN2_TYPE_F64_LIST);
    return found->value.count;
}

const char *gn2_config_list_item(const gn2_config *c, const char *key, size_t i)
{
    const slot *found = known_slot(c, key);
    assert(found->row->type == GN2_TYPE_STR_LIST && i < found->value.count);
    return found->value.items[i];
}

double gn2_config_f64_item(const gn2_config *c, const char *key, size_t i)
{
    const slot *found = known_slot(c, key);
    assert(found->row->type == GN2_TYPE_F64_LIST && i < found->value.count);
    return found->value.numbers[i];
}

const char *gn2_config_key_of(char out_key[128], const char *format, const char *object)
{
    const char *hole = strstr(format, "%s");
    assert(hole);
    const int length = snprintf(out_key, 128, "%.*s%s%s", (int)(hole - format), format,
                                object, hole + 2);
    assert(length < 128);
    (void)length;
    return out_key;
}

size_t gn2_config_slot_count(const gn2_config *c)
{
    return c->count;
}

void gn2_config_slot_at(const gn2_config *c, size_t index, const char **out_key,
                        const char **out_text)
{
    *out_key = slot_key(&c->slots[index]);
    *out_text = c->slots[index].value.text;
}
