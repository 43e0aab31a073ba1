/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of YAML that norm_dict.yaml and class_dict.yaml use: nested mappings by
 * indentation or in braces, lists in brackets or by dashes, plain and quoted
 * scalars, comments. Anything else is an error that names file and line.
 */
#ifndef GN2_DATA_YAML_H
#define GN2_DATA_YAML_H

#include <gn2/base.h>

typedef struct gn2_yaml_node {
    int32_t parent; /* −1: the root */
    int32_t line;
    int32_t first, last, next; /* child, last child, sibling; −1: none */
    char *key;                 /* NULL: item of a list, or the root */
    char *text;                /* of a scalar, else NULL */
} gn2_yaml_node;

typedef struct gn2_yaml {
    char *path;
    gn2_yaml_node *node; /* parents before children, in file order */
    int32_t count;
    size_t capacity;
} gn2_yaml;

gn2_status gn2_yaml_load(const char *path, gn2_yaml *out_yaml);
/* The same from text, with line ends of any system; `path` is named in messages. */
gn2_status gn2_yaml_parse(const char *path, const char *text, gn2_yaml *out_yaml);
void gn2_yaml_clear(gn2_yaml *yaml);

/* Child with a key, −1 if there is none. The others: node[parent].first and its
 * `next` in turn. */
int32_t gn2_yaml_find(const gn2_yaml *yaml, int32_t parent, const char *key);
/* A scalar as a finite number. */
gn2_status gn2_yaml_number(const gn2_yaml *yaml, int32_t node, double *out_value);

#endif
