/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the table's row of a key, and the nearest one for a misspelt key. */
#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "config/table.h"
#include "util/error.h"
#include "util/str.h"

#define SEGMENT                  \
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ" \
    "abcdefghijklmnopqrstuvwxyz" \
    "0123456789_"

/* Longest name of an object, so that keys that hold it stay below 128 bytes. */
#define OBJECT_LENGTH 64

/* Does `key` fit `pattern`, whose `*` is one segment? */
static int fits(const char *pattern, const char *key)
{
    const char *star = strchr(pattern, '*');
    if (!star) return !strcmp(pattern, key);
    const size_t head = (size_t)(star - pattern);
    if (strncmp(pattern, key, head) != 0) return 0;
    const size_t segment = strspn(key + head, SEGMENT);
    return segment > 0 && !strcmp(star + 1, key + head + segment);
}

const gn2_config_key *gn2_config_find_row(const char *key)
{
    const gn2_config_key *wildcard = NULL;
    for (size_t i = 0; i < gn2_config_table_size; i++) {
        const gn2_config_key *row = &gn2_config_table[i];
        if (!fits(row->key, key)) continue;
        if (!strchr(row->key, '*')) return row;
        if (!wildcard) wildcard = row;
    }
    return wildcard;
}

int gn2_config_is_name(const char *name)
{
    const size_t segment = strspn(name, SEGMENT);
    return segment > 0 && segment <= OBJECT_LENGTH && name[segment] == 0;
}

gn2_status gn2_config_check_name(const char *name, const char *list)
{
    if (gn2_config_is_name(name)) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG,
                    "%s: '%.64s': 1 to %d letters, digits and _ are possible", list,
                    name, OBJECT_LENGTH);
}

/* The pattern with its `*` replaced by what stands there in the user's key: the
 * same segment counted from the front. */
static void fill_star(const char *pattern, const char *key, char *out, size_t size)
{
    const char *star = strchr(pattern, '*');
    const char *segment = key;
    for (const char *p = pattern; star && segment && p < star; p++)
        if (*p == '.') segment = strchr(segment, '.') ? strchr(segment, '.') + 1 : NULL;
    const size_t length = star && segment ? strspn(segment, SEGMENT) : 0;
    if (length == 0 || length > 64)
        snprintf(out, size, "%s", pattern);
    else
        snprintf(out, size, "%.*s%.*s%s", (int)(star - pattern), pattern, (int)length,
                 segment, star + 1);
}

/* People also forget the first segment: that costs one edit. */
static size_t distance(const char *known, const char *key)
{
    const size_t whole = gn2_edit_distance(known, key);
    const char *tail = strchr(known, '.');
    if (!tail) return whole;
    const size_t short_form = 1 + gn2_edit_distance(tail + 1, key);
    return short_form < whole ? short_form : whole;
}

/* Are two segments alike: no more than half of the longer one apart? */
static int alike(const char *a, size_t a_length, const char *b, size_t b_length)
{
    char x[OBJECT_LENGTH + 1], y[OBJECT_LENGTH + 1];
    const size_t longer = a_length > b_length ? a_length : b_length;
    if (longer > OBJECT_LENGTH) return 0;
    snprintf(x, sizeof x, "%.*s", (int)a_length, a);
    snprintf(y, sizeof y, "%.*s", (int)b_length, b);
    return gn2_edit_distance(x, y) <= (longer + 1) / 2;
}

/* Are all segments alike? "train.lr_max" is no misspelt "inputs.lr_max", however few
 * letters they differ in. */
static int alike_by_segment(const char *a, const char *b)
{
    for (;;) {
        const size_t m = strcspn(a, "."), n = strcspn(b, ".");
        if (!alike(a, m, b, n)) return 0;
        a += m;
        b += n;
        if (!*a || !*b) return *a == *b;
        a++;
        b++;
    }
}

static int could_be(const char *known, const char *key)
{
    const char *tail = strchr(known, '.');
    if (alike_by_segment(known, key) || gn2_edit_distance(known, key) <= 1) return 1;
    return tail && alike_by_segment(tail + 1, key); /* without the first segment */
}

static gn2_status fail_unknown(const char *key)
{
    char nearest[192] = "";
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < gn2_config_table_size; i++) {
        char candidate[192];
        fill_star(gn2_config_table[i].key, key, candidate, sizeof candidate);
        const size_t edits = distance(candidate, key);
        if (edits == 0 || edits >= least || !could_be(candidate, key)) continue;
        least = edits;
        memcpy(nearest, candidate, sizeof nearest);
    }
    /* further than half the word away it would be a guess, not a suggestion */
    if (!nearest[0] || least > strlen(key) / 2)
        return gn2_fail(GN2_ERR_NOT_FOUND, "unknown key '%.200s'", key);
    return gn2_fail(GN2_ERR_NOT_FOUND, "unknown key '%.200s': did you mean '%s'?", key,
                    nearest);
}

static const char *type_name(int32_t type)
{
    static const char *const names[] = {
        [GN2_TYPE_I64] = "an integer",
        [GN2_TYPE_F64] = "a number",
        [GN2_TYPE_STR] = "a string",
        [GN2_TYPE_STR_LIST] = "a list of strings",
        [GN2_TYPE_F64_LIST] = "a list of numbers",
        [GN2_TYPE_LIST] = "a list",
    };
    return names[type];
}

gn2_status gn2_config_row_of(const char *key, int32_t type,
                             const gn2_config_key **out_row)
{
    const gn2_config_key *row = *out_row = gn2_config_find_row(key);
    if (!row) return fail_unknown(key);
    const int is_list =
        row->type == GN2_TYPE_STR_LIST || row->type == GN2_TYPE_F64_LIST;
    if (type == row->type || type == GN2_TYPE_ANY || (type == GN2_TYPE_LIST && is_list))
        return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG, "key '%s' is %s, not %s", key,
                    type_name(row->type), type_name(type));
}
