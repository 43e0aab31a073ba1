/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and lists as text, independent of the locale. */
#ifndef GN2_UTIL_STR_H
#define GN2_UTIL_STR_H

#include <gn2/base.h>

/* Reads a whole string as a number; 0 if it is not one, or does not fit. */
int gn2_parse_i64(const char *text, int64_t *out_value);
int gn2_parse_f64(const char *text, double *out_value);

/* Writes the shortest text that reads back to the same double; ≤ 32 bytes. */
void gn2_format_f64(double value, char out_text[32]);

/* Cuts blanks, tabs and carriage returns off both ends, in place. */
char *gn2_trim(char *text);

/* Growing text. data stays zero-terminated; on failure `failed` is set and later
 * calls do nothing. Freed by gn2_free(text.data). */
typedef struct gn2_text {
    char *data;
    size_t length, capacity;
    int failed;
} gn2_text;
void gn2_text_add(gn2_text *text, const char *piece);
void gn2_text_format(gn2_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Names for a message, a space before each; those that do not fit are left out. */
#define GN2_NAME_LIST_SIZE 400
void gn2_name_list_add(char list[GN2_NAME_LIST_SIZE], const char *name);

/* Does the text begin with one of the prefixes, which end with NULL? */
int gn2_begins_with_one_of(const char *text, const char *const *prefixes);

/* Is it UTF-8 (RFC 3629: shortest form, no surrogates)? */
int gn2_is_utf8(const char *text);

/* Edits that turn a into b (Levenshtein), for near-miss suggestions. */
size_t gn2_edit_distance(const char *a, const char *b);

#endif
