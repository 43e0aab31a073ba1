/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading one value: type, bounds, choices, and its canonical text. Every setter
 * ends here, so that a value is accepted or refused the same way whoever sets it.
 */
#include "config/table.h"

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
    if (!gn2_is_utf8(text))
        return gn2_fail(GN2_ERR_INVALID_ARG, "key '%s': the value is not UTF-8",
                        from.key);
    return GN2_OK;
}

static gn2_status parse_number(source from, const char *text, double *out)
{
    if (!gn2_parse_f64(text, out) || !isfinite(*out))
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "key '%s': '%.100s' is not a finite number", from.key, text);
    return check_bounds(from, *out);
}

gn2_text gn2_config_join(const char *const *items, const double *numbers, size_t count)
{
    gn2_text text = {0};
    gn2_text_add(&text, "");
    for (size_t i = 0; i < count; i++) {
        char number[32];
        if (numbers) gn2_format_f64(numbers[i], number);
        if (i > 0) gn2_text_add(&text, ",");
        gn2_text_add(&text, numbers ? number : items[i]);
    }
    return text;
}

static gn2_status keep_text(gn2_text text, gn2_config_value *value)
{
    value->text = text.data;
    return text.failed ? gn2_fail_memory() : GN2_OK;
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
    return keep_text(canonical, value);
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
        char *item = rest;
        rest += strcspn(rest, ",");
        *rest++ = '\0';
        value->items[i] = gn2_trim(item);
        if (!value->items[i][0])
            return gn2_fail(GN2_ERR_INVALID_ARG, "key '%s': item %zu is empty",
                            from.key, i);
    }
    return GN2_OK;
}

static gn2_status read_str_list(source from, const char *text, gn2_config_value *value)
{
    GN2_TRY(split_items(from, text, value));
    for (size_t i = 0; i < value->count; i++)
        GN2_TRY(check_choice(from, value->items[i]));
    return keep_text(gn2_config_join(value->items, NULL, value->count), value);
}

/* value->count of them */
static gn2_status read_numbers(source from, const char *const *texts,
                               gn2_config_value *value)
{
    value->numbers = gn2_alloc(value->count, sizeof *value->numbers);
    if (!value->numbers) return gn2_fail_memory();
    for (size_t i = 0; i < value->count; i++)
        GN2_TRY(parse_number(from, texts[i], &value->numbers[i]));
    return keep_text(gn2_config_join(NULL, value->numbers, value->count), value);
}

static gn2_status read_f64_list(source from, const char *text, gn2_config_value *value)
{
    GN2_TRY(split_items(from, text, value));
    return read_numbers(from, value->items, value);
}

static gn2_status read_f64(source from, const char *text, gn2_config_value *value)
{
    return read_numbers(from, &text, value);
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
    char *copy = gn2_strdup(text);
    if (!copy) return gn2_fail_memory();
    const gn2_status status = readers[row->type](from, gn2_trim(copy), &value);
    gn2_free(copy);
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
