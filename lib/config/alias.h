/* SPDX-License-Identifier: Apache-2.0 */
/* Names one and the same thing goes by in files and programs. */
#ifndef GN2_CONFIG_ALIAS_H
#define GN2_CONFIG_ALIAS_H

#include <stddef.h>

/* Whether two variable names mean the same: equal, or known aliases. */
int gn2_alias_match(const char *a, const char *b);

/* Index of `wanted` among `count` names, an equal name before an alias; `count` if
 * it is not there. */
size_t gn2_alias_find(const char *const *names, size_t count, const char *wanted);

/* The name in `names` that is spelled most like `wanted`, NULL if none is near. */
const char *gn2_alias_nearest(const char *const *names, size_t count,
                              const char *wanted);

/* Suffix of a class's score as salt and Athena spell it: "pb" for "bjets", "ptau"
 * for "taujets", otherwise p<class>. */
void gn2_class_score_name(const char *class_name, char *out_name, size_t size);

#endif
