/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The option object: a slot for every row of the table (a wildcard row's keeps its
 * default), then the keys set for wildcards, sorted by name, so that equal configs
 * write equal text. A file may bring any number of those: they are in an index.
 */
#include "config/config.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config/value.h"
#include "util/alloc.h"
#include "util/error.h"
#include "util/index.h"

typedef struct slot {
    char *key; /* of a wildcard; NULL: the row's own */
    const gn2_config_key *row;
    gn2_config_value value;
} slot;

struct gn2_config {
    slot *rows;      /* gn2_config_table_size of them */
    gn2_index named; /* slots of keys set for wildcards */
};

static const char *slot_key(const slot *s)
{
    return s->key ? s->key : s->row->key;
}

static const slot *slot_number(const gn2_config *c, size_t index)
{
    if (index < gn2_config_table_size) return &c->rows[index];
    return gn2_index_at(&c->named, index - gn2_config_table_size);
}

/* ---- making and copying ---- */

static gn2_status fill_defaults(gn2_config *c)
{
    c->rows = gn2_alloc(gn2_config_table_size, sizeof *c->rows);
    if (!c->rows) return gn2_fail_memory();
    for (size_t i = 0; i < gn2_config_table_size; i++) {
        const gn2_config_key *row = &gn2_config_table[i];
        c->rows[i].row = row;
        GN2_TRY(
            gn2_config_value_read(row, row->key, row->default_text, &c->rows[i].value));
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

int gn2_config_next(const gn2_config *c, size_t *at, const char **out_key,
                    const char **out_text)
{
    while (*at < gn2_config_slot_count(c)) {
        gn2_config_slot_at(c, (*at)++, out_key, out_text);
        if (!strchr(*out_key, '*')) return 1;
    }
    return 0;
}

static gn2_status put_all(gn2_config *to, const gn2_config *from)
{
    const char *key, *text;
    for (size_t i = 0; gn2_config_next(from, &i, &key, &text);)
        GN2_TRY(gn2_config_put_text(to, key, text));
    return GN2_OK;
}

gn2_status gn2_config_clone(const gn2_config *config, gn2_config **out_config)
{
    GN2_TRY(gn2_config_new(out_config));
    const gn2_status status = config ? put_all(*out_config, config) : GN2_OK;
    if (status == GN2_OK) return GN2_OK;
    gn2_config_delete(*out_config);
    *out_config = NULL;
    return status;
}

static void free_named(slot *s)
{
    gn2_config_value_clear(&s->value);
    gn2_free(s->key);
    gn2_free(s);
}

void gn2_config_delete(gn2_config *config)
{
    if (!config) return;
    for (size_t i = 0; config->rows && i < gn2_config_table_size; i++)
        gn2_config_value_clear(&config->rows[i].value);
    for (size_t i = 0; i < config->named.count; i++)
        free_named(gn2_index_at(&config->named, i));
    gn2_index_clear(&config->named);
    gn2_free(config->rows);
    gn2_free(config);
}

void gn2_config_swap(gn2_config *a, gn2_config *b)
{
    const gn2_config saved = *a;
    *a = *b;
    *b = saved;
}

/* ---- finding a slot ---- */

static gn2_status find_slot(const gn2_config *c, const char *key, const slot **out)
{
    const gn2_config_key *row = gn2_config_find_row(key);
    *out = NULL;
    if (!row) return gn2_config_fail_unknown(key);
    const slot *named = strchr(row->key, '*') ? gn2_index_find(&c->named, key) : NULL;
    *out = named ? named : &c->rows[row - gn2_config_table];
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

gn2_status gn2_config_is_default(const gn2_config *c, const char *key, int *out)
{
    const slot *found;
    gn2_config_value usual;
    GN2_TRY(find_slot(c, key, &found));
    const gn2_config_key *row = found->row;
    GN2_TRY(gn2_config_value_read(row, key, row->default_text, &usual));
    *out = strcmp(found->value.text, usual.text) == 0;
    gn2_config_value_clear(&usual);
    return GN2_OK;
}

/* ---- setting ---- */

/* The slot of a key set for a wildcard, made if it is new; NULL: no memory. */
static slot *named_slot(gn2_config *c, const gn2_config_key *row, const char *key)
{
    slot *s = gn2_index_find(&c->named, key);
    if (s) return s;
    s = gn2_alloc(1, sizeof *s);
    if (!s) return NULL;
    s->row = row;
    s->key = gn2_strdup(key);
    if (s->key && gn2_index_add(&c->named, s->key, s)) return s;
    free_named(s);
    return NULL;
}

gn2_status gn2_config_put_text(gn2_config *c, const char *key, const char *text)
{
    const gn2_config_key *row = gn2_config_find_row(key);
    if (!row) return gn2_config_fail_unknown(key);
    gn2_config_value value;
    GN2_TRY(gn2_config_value_read(row, key, text, &value));
    slot *target = &c->rows[row - gn2_config_table];
    if (strchr(row->key, '*')) target = named_slot(c, row, key);
    if (!target) {
        gn2_config_value_clear(&value);
        return gn2_fail_memory();
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

int gn2_config_says(const gn2_config *c, const char *key, const char *word)
{
    return strcmp(gn2_config_str(c, key), word) == 0;
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
    return gn2_config_table_size + c->named.count;
}

void gn2_config_slot_at(const gn2_config *c, size_t index, const char **out_key,
                        const char **out_text)
{
    const slot *s = slot_number(c, index);
    *out_key = slot_key(s);
    *out_text = s->value.text;
}
