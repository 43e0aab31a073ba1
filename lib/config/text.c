/* SPDX-License-Identifier: Apache-2.0 */
/* A config as `key = value` lines, and back. */
#include <string.h>

#include "config/config.h"
#include "config/value.h"
#include "util/alloc.h"
#include "util/error.h"

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

/* Cuts blanks, tabs and a carriage return off both ends, in place. */
static char *trimmed(char *text)
{
    text += strspn(text, " \t");
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t\r", text[length - 1])) length--;
    text[length] = '\0';
    return text;
}

static gn2_status read_line(gn2_config *c, char *line)
{
    char *key = trimmed(line);
    if (*key == '\0' || *key == '#') return GN2_OK;
    char *equals = strchr(key, '=');
    if (!equals)
        return gn2_fail(GN2_ERR_FORMAT, "'%.100s' is not a 'key = value' line", key);
    *equals = '\0';
    return gn2_config_put_text(c, trimmed(key), trimmed(equals + 1));
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
