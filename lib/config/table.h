/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one table of every option: it drives setters, bounds, defaults,
 * serialisation, --help and the documentation.
 */
#ifndef GN2_CONFIG_TABLE_H
#define GN2_CONFIG_TABLE_H

#include <gn2/config.h>

#include "util/str.h"

typedef struct gn2_config_key {
    const char *key; /* one segment may be `*`, an object's or class's name */
    int32_t type;    /* GN2_TYPE_* */
    const char *default_text;
    double min, max;     /* bounds of a number, or of each item of a number list */
    const char *choices; /* "a|b|c" or NULL; for string lists: of each item */
    const char *doc;
} gn2_config_key;

extern const gn2_config_key gn2_config_table[];
extern const size_t gn2_config_table_size;

/* Row of a key: the exact one, else the wildcard that fits; NULL if none. */
const gn2_config_key *gn2_config_find_row(const char *key);

/* Types that are asked for, besides those of rows. */
#define GN2_TYPE_ANY 0
#define GN2_TYPE_LIST (GN2_TYPE_F64_LIST + 1) /* of either kind */

/* The same; GN2_ERR_NOT_FOUND with the nearest key in the message, GN2_ERR_INVALID_ARG
 * where the type is another. */
gn2_status gn2_config_row_of(const char *key, int32_t type,
                             const gn2_config_key **out_row);

/* A value as canonical text and in parts. */
typedef struct gn2_config_value {
    char *text;         /* as gn2_config_put_text() reads it */
    char *split;        /* string list: the text cut at its commas */
    const char **items; /* string list: count pointers into split */
    double *numbers;    /* F64: one, F64_LIST: count */
    int64_t integer;    /* I64 */
    size_t count;       /* items of a list, else 1 */
} gn2_config_value;

/* Reads `text` as the row's type and checks it; `key` is named in messages. */
gn2_status gn2_config_value_read(const gn2_config_key *row, const char *key,
                                 const char *text, gn2_config_value *out_value);
void gn2_config_value_clear(gn2_config_value *value);

/* Text of a list of items, or of numbers; `failed` where memory is short. */
gn2_text gn2_config_join(const char *const *items, const double *numbers, size_t count);

#endif
