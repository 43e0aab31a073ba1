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

/* ---- reading ---- */

static const slot *find_slot(const gn2_config *c, const gn2_config_key *row,
                             const char *key)
{
    const slot *named = strchr(row->key, '*') ? gn2_index_find(&c->named, key) : NULL;
    return named ? named : &c->rows[row - gn2_config_table];
}

gn2_status gn2_config_find(const gn2_config *c, const char *key, int32_t type,
                           const gn2_config_value **out)
{
    const gn2_config_key *row;
    GN2_TRY(gn2_config_row_of(key, type, &row));
    *out = &find_slot(c, row, key)->value;
    return GN2_OK;
}

gn2_status gn2_config_read_text(const gn2_config *c, const char *key, const char **out)
{
    const gn2_config_value *value;
    GN2_TRY(gn2_config_find(c, key, GN2_TYPE_ANY, &value));
    *out = value->text;
    return GN2_OK;
}

gn2_status gn2_config_is_default(const gn2_config *c, const char *key, int *out)
{
    const gn2_config_key *row;
    gn2_config_value usual;
    GN2_TRY(gn2_config_row_of(key, GN2_TYPE_ANY, &row));
    GN2_TRY(gn2_config_value_read(row, key, row->default_text, &usual));
    *out = strcmp(find_slot(c, row, key)->value.text, usual.text) == 0;
    gn2_config_value_clear(&usual);
    return GN2_OK;
}

/* Of a key written in the source: a wrong one is a defect. */
static const gn2_config_value *known(const gn2_config *c, const char *key, int32_t type)
{
    const gn2_config_value *value = NULL;
    const gn2_status status = gn2_config_find(c, key, type, &value);
    assert(status == GN2_OK);
    (void)status;
    return value;
}

int64_t gn2_config_i64(const gn2_config *c, const char *key)
{
    return known(c, key, GN2_TYPE_I64)->integer;
}

double gn2_config_f64(const gn2_config *c, const char *key)
{
    return known(c, key, GN2_TYPE_F64)->numbers[0];
}

const char *gn2_config_str(const gn2_config *c, const char *key)
{
    return known(c, key, GN2_TYPE_STR)->text;
}

int gn2_config_says(const gn2_config *c, const char *key, const char *word)
{
    return strcmp(gn2_config_str(c, key), word) == 0;
}

size_t gn2_config_list_count(const gn2_config *c, const char *key)
{
    return known(c, key, GN2_TYPE_LIST)->count;
}

const char *gn2_config_list_item(const gn2_config *c, const char *key, size_t i)
{
    const gn2_config_value *list = known(c, key, GN2_TYPE_STR_LIST);
    assert(i < list->count);
    return list->items[i];
}

double gn2_config_f64_item(const gn2_config *c, const char *key, size_t i)
{
    const gn2_config_value *list = known(c, key, GN2_TYPE_F64_LIST);
    assert(i < list->count);
    return list->numbers[i];
}

const char *const *gn2_config_str_list(const gn2_config *c, const char *key)
{
    return known(c, key, GN2_TYPE_STR_LIST)->items;
}

const double *gn2_config_f64_list(const gn2_config *c, const char *key)
{
    return known(c, key, GN2_TYPE_F64_LIST)->numbers;
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
    const slot *s = index < gn2_config_table_size
                        ? &c->rows[index]
                        : gn2_index_at(&c->named, index - gn2_config_table_size);
    *out_key = s->key ? s->key : s->row->key;
    *out_text = s->value.text;
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

/* Sets a key that has this type. */
static gn2_status put(gn2_config *c, const char *key, int32_t type, const char *text)
{
    const gn2_config_key *row;
    gn2_config_value value;
    GN2_TRY(gn2_config_row_of(key, type, &row));
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

gn2_status gn2_config_put_text(gn2_config *c, const char *key, const char *text)
{
    return put(c, key, GN2_TYPE_ANY, text);
}

gn2_status gn2_config_put_i64(gn2_config *c, const char *key, int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, value);
    return put(c, key, GN2_TYPE_I64, text);
}

gn2_status gn2_config_put_f64(gn2_config *c, const char *key, double value)
{
    char text[32];
    gn2_format_f64(value, text);
    return put(c, key, GN2_TYPE_F64, text);
}

gn2_status gn2_config_put_str(gn2_config *c, const char *key, const char *value)
{
    const size_t length = strlen(value);
    if (length > 0 && (strchr(" \t", value[0]) || strchr(" \t", value[length - 1])))
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "key '%s': '%.100s' begins or ends with a blank, which a "
                        "text file would not keep",
                        key, value);
    return put(c, key, GN2_TYPE_STR, value);
}

/* Sets a list, unless memory was short for its text. */
static gn2_status put_joined(gn2_config *c, const char *key, int32_t type,
                             gn2_text text)
{
    const gn2_status status =
        text.failed ? gn2_fail_memory() : put(c, key, type, text.data);
    gn2_free(text.data);
    return status;
}

gn2_status gn2_config_put_list(gn2_config *c, const char *key, const char *const *items,
                               size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!items[i][0] || strchr(items[i], ','))
            return gn2_fail(GN2_ERR_INVALID_ARG,
                            "key '%s': item %zu is empty or has a comma", key, i);
    return put_joined(c, key, GN2_TYPE_STR_LIST, gn2_config_join(items, NULL, count));
}

gn2_status gn2_config_put_f64_list(gn2_config *c, const char *key, const double *items,
                                   size_t count)
{
    return put_joined(c, key, GN2_TYPE_F64_LIST, gn2_config_join(NULL, items, count));
}

/* ---- as `key = value` lines ---- */

gn2_status gn2_config_to_text(const gn2_config *c, int (*which)(const char *key),
                              gn2_text *out_text)
{
    for (size_t i = 0; i < gn2_config_slot_count(c); i++) {
        const char *key, *value;
        gn2_config_slot_at(c, i, &key, &value);
        if (strchr(key, '*') || (which && !which(key))) continue;
        gn2_text_add(out_text, key);
        gn2_text_add(out_text, " = ");
        gn2_text_add(out_text, value);
        gn2_text_add(out_text, "\n");
    }
    return out_text->failed ? gn2_fail_memory() : GN2_OK;
}

static gn2_status read_line(gn2_config *c, char *line)
{
    char *key = gn2_trim(line);
    if (*key == '\0' || *key == '#') return GN2_OK;
    char *equals = strchr(key, '=');
    if (!equals)
        return gn2_fail(GN2_ERR_FORMAT, "'%.100s' is not a 'key = value' line", key);
    *equals = '\0';
    return gn2_config_put_text(c, gn2_trim(key), gn2_trim(equals + 1));
}

static gn2_status read_lines(gn2_config *c, const char *origin, char *text)
{
    size_t number = 1;
    for (char *line = text; line; number++) {
        char *end = strchr(line, '\n');
        if (end) *end = '\0';
        const gn2_status status = read_line(c, line);
        if (status != GN2_OK)
            return gn2_fail(status, "%s:%zu: %s", origin, number, gn2_error_text());
        line = end ? end + 1 : NULL;
    }
    return GN2_OK;
}

/* Reads into a copy, and takes it over when every line was good. */
static gn2_status read_aside(gn2_config *c, const char *origin, char *text)
{
    gn2_config *copy;
    GN2_TRY(gn2_config_clone(c, &copy));
    const gn2_status status = read_lines(copy, origin, text);
    if (status == GN2_OK) gn2_config_swap(c, copy);
    gn2_config_delete(copy);
    return status;
}

gn2_status gn2_config_from_text(gn2_config *c, const char *origin, const char *text,
                                size_t length)
{
    if (length > 0 && memchr(text, '\0', length))
        return gn2_fail(GN2_ERR_FORMAT, "%s: a zero byte in a text file", origin);
    char *copy = length < SIZE_MAX ? gn2_alloc(length + 1, 1) : NULL;
    if (!copy) return gn2_fail_memory();
    if (length > 0) memcpy(copy, text, length);
    const gn2_status status = read_aside(c, origin, copy);
    gn2_free(copy);
    return status;
}
