/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading one value: type, bounds, choices, and its canonical text. Every setter
 * ends here, so that a value is accepted or refused the same way whoever sets it.
 */
#include "config/value.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "util/alloc.h"
#include "util/error.h"
#include "util/str.h"

/* What is being read, for messages. */
typedef struct source {
    const gn2_config_key *row;
    const char *key;
} source;

const char *gn2_config_type_name(int32_t type)
{
    static const char *const names[] = {
        [GN2_TYPE_I64] = "an integer",
        [GN2_TYPE_F64] = "a number",
        [GN2_TYPE_STR] = "a string",
        [GN2_TYPE_STR_LIST] = "a list of strings",
        [GN2_TYPE_F64_LIST] = "a list of numbers",
    };
    return names[type];
}

static int is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void trim(const char **begin, size_t *length)
{
    while (*length > 0 && is_blank(**begin)) {
        (*begin)++;
        (*length)--;
    }
    while (*length > 0 && is_blank((*begin)[*length - 1])) (*length)--;
}

static gn2_status check_bounds(source from, double value)
{
    char given[32], bound[32];
    const gn2_config_key *row = from.row;
    if (value >= row->min && value <= row->max) return GN2_OK;
    const int below = value < row->min;
    gn2_format_f64(value, given);
    gn2_format_f64(below ? row->min : row->max, bound);
    return gn2_fail(GN2_ERR_INVALID_ARG, "key '%s': %s is %s %s", from.key, given,
                    below ? "below the least value" : "above the largest value", bound);
}

static gn2_status check_choice(source from, const char *word)
{
    const size_t length = strlen(word);
    const char *choice = from.row->choices;
    while (choice) {
        const size_t size = strcspn(choice, "|");
        if (size == length && !strncmp(choice, word, size)) return GN2_OK;
        choice = choice[size] ? choice + size + 1 : NULL;
    }
    if (!from.row->choices) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG, "key '%s': '%.100s' is not one of %s",
                    from.key, word, from.row->choices);
}

static gn2_status check_characters(source from, const char *text)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' && *p != '\t')
            return gn2_fail(GN2_ERR_INVALID_ARG,
                            "key '%s': control character 0x%02x in the value", from.key,
                            (unsigned)(unsigned char)*p);
    return GN2_OK;
}

static gn2_status parse_number(source from, const char *text, double *out)
{
    if (!gn2_parse_f64(text, out) || !isfinite(*out))
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "key '%s': '%.100s' is not a finite number", from.key, text);
    return check_bounds(from, *out);
}

static gn2_status keep_text(const gn2_text *text, gn2_config_value *value)
{
    value->text = text->data;
    return text->failed ? gn2_fail_memory() : GN2_OK;
}

/* ---- the five types; `text` is trimmed ---- */

static gn2_status read_i64(source from, const char *text, gn2_config_value *value)
{
    if (!gn2_parse_i64(text, &value->integer))
        return gn2_fail(GN2_ERR_INVALID_ARG, "key '%s': '%.100s' is not an integer",
                        from.key, text);
    GN2_TRY(check_bounds(from, (double)value->integer));
    gn2_text canonical = {0};
    gn2_text_format(&canonical, "%" PRId64, value->integer);
    return keep_text(&canonical, value);
}

static gn2_status read_str(source from, const char *text, gn2_config_value *value)
{
    GN2_TRY(check_choice(from, text));
    value->text = gn2_strdup(text);
    return value->text ? GN2_OK : gn2_fail_memory();
}

/* Cuts value->split at its commas; items are trimmed and never empty. */
static gn2_status split_items(source from, const char *text, gn2_config_value *value)
{
    value->split = gn2_strdup(text);
    value->count = *text != '\0';
    for (const char *p = text; *p; p++) value->count += *p == ',';
    value->items = gn2_alloc(value->count, sizeof *value->items);
    if (!value->split || !value->items) return gn2_fail_memory();
    char *rest = value->split;
    for (size_t i = 0; i < value->count; i++) {
        const char *item = rest;
        size_t length = strcspn(rest, ",");
        rest += length + 1;
        trim(&item, &length);
        if (length == 0)
            return gn2_fail(GN2_ERR_INVALID_ARG, "key '%s': item %zu is empty",
                            from.key, i);
        value->split[item - value->split + (ptrdiff_t)length] = '\0';
        value->items[i] = item;
    }
    return GN2_OK;
}

static gn2_status read_str_list(source from, const char *text, gn2_config_value *value)
{
    gn2_text canonical = {0};
    GN2_TRY(split_items(from, text, value));
    for (size_t i = 0; i < value->count; i++)
        GN2_TRY(check_choice(from, value->items[i]));
    gn2_text_add(&canonical, "");
    for (size_t i = 0; i < value->count; i++) {
        if (i > 0) gn2_text_add(&canonical, ",");
        gn2_text_add(&canonical, value->items[i]);
    }
    return keep_text(&canonical, value);
}

static gn2_status number_text(gn2_config_value *value)
{
    gn2_text canonical = {0};
    gn2_text_add(&canonical, "");
    for (size_t i = 0; i < value->count; i++) {
        char number[32];
        gn2_format_f64(value->numbers[i], number);
        if (i > 0) gn2_text_add(&canonical, ",");
        gn2_text_add(&canonical, number);
    }
    return keep_text(&canonical, value);
}

static gn2_status read_f64_list(source from, const char *text, gn2_config_value *value)
{
    GN2_TRY(split_items(from, text, value));
    value->numbers = gn2_alloc(value->count, sizeof *value->numbers);
    if (!value->numbers) return gn2_fail_memory();
    for (size_t i = 0; i < value->count; i++)
        GN2_TRY(parse_number(from, value->items[i], &value->numbers[i]));
    return number_text(value);
}

static gn2_status read_f64(source from, const char *text, gn2_config_value *value)
{
    value->numbers = gn2_alloc(1, sizeof *value->numbers);
    if (!value->numbers) return gn2_fail_memory();
    GN2_TRY(parse_number(from, text, value->numbers));
    return number_text(value);
}

typedef gn2_status (*reader)(source from, const char *text, gn2_config_value *value);

static const reader readers[] = {
    [GN2_TYPE_I64] = read_i64,           [GN2_TYPE_F64] = read_f64,
    [GN2_TYPE_STR] = read_str,           [GN2_TYPE_STR_LIST] = read_str_list,
    [GN2_TYPE_F64_LIST] = read_f64_list,
};

gn2_status gn2_config_value_read(const gn2_config_key *row, const char *key,
                                 const char *text, gn2_config_value *out_value)
{
    const source from = {row, key};
    gn2_config_value value = {.count = 1};
    GN2_TRY(check_characters(from, text));
    size_t length = strlen(text);
    trim(&text, &length);
    char *trimmed = gn2_alloc(length + 1, 1);
    if (!trimmed) return gn2_fail_memory();
    /* NOLINTNEXTLINE(bugprone-not-null-terminated-result): the memory is zeros */
    memcpy(trimmed, text, length);
    const gn2_status status = readers[row->type](from, trimmed, &value);
    gn2_free(trimmed);
    if (status == GN2_OK)
        *out_value = value;
    else
        gn2_config_value_clear(&value);
    return status;
}

void gn2_config_value_clear(gn2_config_value *value)
{
    gn2_free(value->text);
    gn2_free(value->split);
    gn2_free(value->items);
    gn2_free(value->numbers);
    *value = (gn2_config_value){0};
}
