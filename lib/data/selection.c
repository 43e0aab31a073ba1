/* SPDX-License-Identifier: Apache-2.0 */
#include "data/selection.h"

#include <math.h>
#include <string.h>

#include "data/field.h"
#include "util/error.h"
#include "util/str.h"

/* Longest number, and what of a text a message shows. */
#define NUMBER_SIZE 64
#define SHOWN 20

#define OPERATORS "<, <=, >, >=, == or !="

/* A place in a text. */
typedef struct cursor {
    const char *text, *at;
} cursor;

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int begins_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static int is_of_name(char c)
{
    return begins_name(c) || is_digit(c) || c == '.';
}

static int is_of_number(char c)
{
    return is_digit(c) || c == '.' || c == '+' || c == '-' || c == 'e' || c == 'E';
}

/* No first byte of a character of UTF-8. */
static int goes_on(char c)
{
    return ((unsigned char)c & 0xC0u) == 0x80;
}

static gn2_status fail(const cursor *c, const char *advice)
{
    int number = 1;
    size_t shown = strnlen(c->at, SHOWN);
    for (const char *p = c->text; p < c->at; p++) number += !goes_on(*p);
    while (c->at[shown] && goes_on(c->at[shown])) shown--;
    if (!*c->at)
        return gn2_fail(GN2_ERR_INVALID_ARG, "data.selection ends too early: %s",
                        advice);
    return gn2_fail(GN2_ERR_INVALID_ARG, "data.selection, character %d, '%.*s': %s",
                    number, (int)shown, c->at, advice);
}

static void skip_blanks(cursor *c)
{
    while (*c->at == ' ' || *c->at == '\t') c->at++;
}

/* Passes over a mark, with blanks before it. */
static int take(cursor *c, const char *mark)
{
    const size_t length = strlen(mark);
    skip_blanks(c);
    if (strncmp(c->at, mark, length) != 0) return 0;
    c->at += length;
    return 1;
}

static size_t name_length(const char *at)
{
    size_t length = 0;
    if (!begins_name(*at)) return 0;
    while (is_of_name(at[length])) length++;
    return length;
}

/* The same of a whole word. */
static int take_word(cursor *c, const char *word)
{
    skip_blanks(c);
    return name_length(c->at) == strlen(word) && take(c, word);
}

/* ---- the parts of a comparison ---- */

static gn2_status fail_field(const cursor *c)
{
    if (*c->at == '(')
        return fail(c, "there are no brackets but those of abs(FIELD); write "
                       "a && c || b && c for (a || b) && c");
    if (*c->at == '!')
        return fail(c, "nothing is negated; write the opposite comparison");
    if (*c->at && is_of_number(*c->at))
        return fail(c, "a field goes first, then the number: pt_btagJes > 20000");
    return fail(c, "a field belongs here, as in pt_btagJes > 20000 or "
                   "abs(eta_btagJes) < 2.5");
}

static gn2_status read_name(cursor *c, gn2_selection_term *term)
{
    skip_blanks(c);
    const size_t length = name_length(c->at);
    if (length == 0) return fail_field(c);
    if (length >= sizeof term->field)
        return fail(c, "a name has at most 127 characters");
    memcpy(term->field, c->at, length);
    term->field[length] = 0;
    c->at += length;
    return GN2_OK;
}

static gn2_status read_field(cursor *c, gn2_selection_term *term)
{
    const cursor before = *c;
    term->absolute = take_word(c, "abs") && take(c, "(");
    if (!term->absolute) *c = before; /* a field may be called so */
    GN2_TRY(read_name(c, term));
    if (term->absolute && !take(c, ")"))
        return fail(c, "a ) belongs here: abs() takes one field");
    return GN2_OK;
}

static gn2_status read_operator(cursor *c, gn2_selection_term *term)
{
    static const struct {
        const char *mark;
        unsigned takes;
    } operators[] = {{"<=", GN2_IS_LESS | GN2_IS_EQUAL},
                     {">=", GN2_IS_GREATER | GN2_IS_EQUAL},
                     {"==", GN2_IS_EQUAL},
                     {"!=", GN2_IS_LESS | GN2_IS_GREATER},
                     {"<", GN2_IS_LESS},
                     {">", GN2_IS_GREATER}};
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++)
        if (take(c, operators[i].mark)) {
            term->takes = operators[i].takes;
            return GN2_OK;
        }
    if (*c->at == '=') return fail(c, "= does not compare; write ==");
    if (*c->at == '(') return fail(c, "abs() is the only function");
    return fail(c, "one of " OPERATORS " belongs here");
}

/* A number that is whole is kept as such: a double holds those to 2⁵³ only. */
static void note_whole(const char *text, gn2_selection_term *term)
{
    term->whole = gn2_parse_i64(text, &term->integer);
    if (term->whole || !(fabs(term->number) < 0x1p63)) return;
    term->integer = (int64_t)term->number;
    term->whole = (double)term->integer == term->number;
}

static gn2_status read_number(cursor *c, gn2_selection_term *term)
{
    char text[NUMBER_SIZE];
    size_t length = 0;
    skip_blanks(c);
    while (is_of_number(c->at[length])) length++;
    if (length == 0 || !(is_digit(*c->at) || strchr("+-.", *c->at)))
        return fail(c, "a number belongs here, as 20000 or 2.5e4");
    memcpy(text, c->at, length < NUMBER_SIZE ? length : NUMBER_SIZE - 1);
    text[length < NUMBER_SIZE ? length : NUMBER_SIZE - 1] = 0;
    if (length >= NUMBER_SIZE || !gn2_parse_f64(text, &term->number))
        return fail(c, "this is no number, or none that 64 bits hold; write it as "
                       "20000 or 2.5e4");
    note_whole(text, term);
    c->at += length;
    return GN2_OK;
}

static gn2_status read_term(cursor *c, gn2_selection_term *term)
{
    GN2_TRY(read_field(c, term));
    GN2_TRY(read_operator(c, term));
    return read_number(c, term);
}

/* What joins the next comparison, if there is one. */
static gn2_status read_joint(cursor *c, int *out_begins, int *out_more)
{
    *out_begins = take(c, "||") || take_word(c, "or");
    *out_more = *out_begins || take(c, "&&") || take_word(c, "and");
    if (*out_more || !*c->at) return GN2_OK;
    return fail(c, "&& or || (and, or) belongs here; a range is two comparisons: "
                   "pt > 20000 && pt < 50000");
}

static gn2_status read_terms(cursor *c, gn2_selection *selection)
{
    int begins = 1, more = 1;
    while (more) {
        if (selection->count == GN2_SELECTION_TERMS)
            return fail(c, "at most 32 comparisons are possible; leave this out");
        gn2_selection_term *term = &selection->term[selection->count++];
        term->begins = begins;
        GN2_TRY(read_term(c, term));
        GN2_TRY(read_joint(c, &begins, &more));
    }
    return GN2_OK;
}

gn2_status gn2_selection_parse(const char *text, gn2_selection *out_selection)
{
    cursor c = {text, text};
    memset(out_selection, 0, sizeof *out_selection);
    if (strlen(text) > GN2_SELECTION_LENGTH)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "data.selection has %zu characters, at most %d are possible",
                        strlen(text), GN2_SELECTION_LENGTH);
    skip_blanks(&c);
    return *c.at ? read_terms(&c, out_selection) : GN2_OK;
}

/* ---- comparing ---- */

static unsigned order(double a, double b)
{
    return a < b ? GN2_IS_LESS : a > b ? GN2_IS_GREATER : GN2_IS_EQUAL;
}

/* A number as a field of this size holds it; what is too large for it stays. */
static double rounded(double number, int32_t size)
{
    double held = number;
    if (size == 4) held = (double)(float)number;
    if (size == 2) held = (double)gn2_half_to_float(gn2_float_to_half((float)number));
    return isfinite(held) ? held : number;
}

int gn2_selection_real(const gn2_selection_term *term, double value, int32_t size)
{
    const double given = term->absolute ? fabs(value) : value;
    return (order(given, rounded(term->number, size)) & term->takes) != 0;
}

static unsigned order_whole(int negative, uint64_t magnitude, int64_t number)
{
    const uint64_t other = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    if (negative != (number < 0)) return negative ? GN2_IS_LESS : GN2_IS_GREATER;
    if (magnitude == other) return GN2_IS_EQUAL;
    return (magnitude < other) != negative ? GN2_IS_LESS : GN2_IS_GREATER;
}

int gn2_selection_whole(const gn2_selection_term *term, int negative,
                        uint64_t magnitude)
{
    const int below = negative && !term->absolute;
    const double value = below ? -(double)magnitude : (double)magnitude;
    const unsigned found = term->whole ? order_whole(below, magnitude, term->integer)
                                       : order(value, term->number);
    return (found & term->takes) != 0;
}
