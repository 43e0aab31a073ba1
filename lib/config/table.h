/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one table of every option: it drives setters, bounds, defaults,
 * serialisation, --help and the documentation.
 */
#ifndef GN2_CONFIG_TABLE_H
#define GN2_CONFIG_TABLE_H

#include <gn2/config.h>

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

#endif
