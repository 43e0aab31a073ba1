/* SPDX-License-Identifier: Apache-2.0 */
/* One checked value of a config, and the search for its row in the table. */
#ifndef GN2_CONFIG_VALUE_H
#define GN2_CONFIG_VALUE_H

#include "config/table.h"

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

/* Row of a key: the exact one, else the wildcard that fits; NULL if none. */
const gn2_config_key *gn2_config_find_row(const char *key);

/* GN2_ERR_NOT_FOUND with the nearest key in the message. */
gn2_status gn2_config_fail_unknown(const char *key);
#ifdef __clang_analyzer__ /* as gn2_fail */
#define gn2_config_fail_unknown(key) (gn2_config_fail_unknown(key), GN2_ERR_NOT_FOUND)
#endif

/* "an integer", "a list of numbers", … */
const char *gn2_config_type_name(int32_t type);

#endif
