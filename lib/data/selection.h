/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of `data.selection`: comparisons of fields with numbers, joined by and
 * (which binds first) and or. Knows names and numbers, not files.
 */
#ifndef GN2_DATA_SELECTION_H
#define GN2_DATA_SELECTION_H

#include <gn2/base.h>

#define GN2_SELECTION_LENGTH 1000 /* characters of a text */
#define GN2_SELECTION_TERMS 32    /* comparisons in it */
#define GN2_SELECTION_NAME 128    /* bytes of a field's name, the zero included */

/* How a field's value stands to a number; an operator is the set of those it takes. */
enum { GN2_IS_LESS = 1, GN2_IS_EQUAL = 2, GN2_IS_GREATER = 4 };

/* [abs(]FIELD[)] OP NUMBER */
typedef struct gn2_selection_term {
    char field[GN2_SELECTION_NAME];
    int begins; /* the first of those joined by and */
    int absolute;
    unsigned takes; /* GN2_IS_… */
    double number;
    int whole;       /* the number is `integer` exactly, */
    int64_t integer; /* whatever a double holds of it */
} gn2_selection_term;

typedef struct gn2_selection {
    size_t count; /* 0: all jets */
    gn2_selection_term term[GN2_SELECTION_TERMS];
} gn2_selection;

/* Reads a text; an error names the character, from 1, and what to write. */
gn2_status gn2_selection_parse(const char *text, gn2_selection *out_selection);

/* Does a term hold of a real, which is no NaN, or of a whole number? Reals are compared
 * in their own precision, `size` bytes as stored: 0.1 is what such a field makes of it.
 */
int gn2_selection_real(const gn2_selection_term *term, double value, int32_t size);
int gn2_selection_whole(const gn2_selection_term *term, int negative,
                        uint64_t magnitude);

#endif
