/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers and growing text. The locale decides neither what is read nor what is
 * written: reading goes through the "C" locale object, writing takes only the
 * digits and the exponent from printf and sets the point itself.
 */
#define _GNU_SOURCE /* strtod_l */
#include "util/str.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/alloc.h"

/* Digits that name every double apart. */
#define MAX_DIGITS 17

static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;
static locale_t c_locale;

static void c_locale_make(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *skip_digits(const char *text)
{
    while (is_digit(*text)) text++;
    return text;
}

static const char *skip_sign(const char *text)
{
    return *text == '+' || *text == '-' ? text + 1 : text;
}

int gn2_parse_i64(const char *text, int64_t *out_value)
{
    const char *digits = skip_sign(text);
    const int64_t sign = *text == '-' ? -1 : 1;
    if (!is_digit(*digits) || *skip_digits(digits)) return 0;
    int64_t value = 0;
    for (const char *p = digits; *p; p++) {
        if (__builtin_mul_overflow(value, (int64_t)10, &value)) return 0;
        if (__builtin_add_overflow(value, sign * (*p - '0'), &value)) return 0;
    }
    *out_value = value;
    return 1;
}

/* digits[.digits][e[sign]digits], at least one digit before the exponent */
static int is_decimal(const char *text)
{
    const char *whole = skip_digits(text);
    const char *end = whole;
    int64_t digits = whole - text;
    if (*end == '.') {
        end = skip_digits(whole + 1);
        digits += end - whole - 1;
    }
    if (digits == 0) return 0;
    if (*end != 'e' && *end != 'E') return *end == '\0';
    const char *exponent = skip_sign(end + 1);
    return is_digit(*exponent) && *skip_digits(exponent) == '\0';
}

int gn2_parse_f64(const char *text, double *out_value)
{
    const char *unsigned_part = skip_sign(text);
    const int is_word = !strcmp(unsigned_part, "inf") || !strcmp(unsigned_part, "nan");
    if (!is_word && !is_decimal(unsigned_part)) return 0;
    pthread_once(&c_locale_once, c_locale_make);
    if (!c_locale) return 0;
    const int saved_errno = errno;
    errno = 0;
    const double value = strtod_l(text, NULL, c_locale);
    const int lost = errno == ERANGE && (value == 0.0 || isinf(value));
    errno = saved_errno;
    if (lost) return 0;
    *out_value = value;
    return 1;
}

/* A finite number as digits d₀d₁… and exponent: ±d₀.d₁… × 10^exponent. */
typedef struct decimal {
    char digits[MAX_DIGITS + 1];
    int count, exponent, negative;
} decimal;

static void split_decimal(double value, int count, decimal *out)
{
    char text[64];
    snprintf(text, sizeof text, "%.*e", count - 1, value);
    out->negative = text[0] == '-';
    out->count = 0;
    const char *p = text;
    for (; *p != 'e'; p++)
        if (is_digit(*p) && out->count < MAX_DIGITS) out->digits[out->count++] = *p;
    out->exponent = atoi(p + 1);
    while (out->count > 1 && out->digits[out->count - 1] == '0') out->count--;
    out->digits[out->count] = '\0';
}

/* From the highest place down; places without a digit hold 0. */
static void write_fixed(const decimal *d, char *out)
{
    const int last = d->exponent - d->count + 1;
    if (d->negative) *out++ = '-';
    for (int place = d->exponent > 0 ? d->exponent : 0; place >= 0 || place >= last;
         place--) {
        const int i = d->exponent - place;
        if (place == -1) *out++ = '.';
        *out++ = (char)(i >= 0 && i < d->count ? d->digits[i] : '0');
    }
    *out = '\0';
}

static void write_decimal(const decimal *d, char *out)
{
    if (d->exponent >= -4 && d->exponent < 16)
        write_fixed(d, out);
    else
        snprintf(out, 32, "%s%c%s%se%d", d->negative ? "-" : "", d->digits[0],
                 d->count > 1 ? "." : "", d->digits + 1, d->exponent);
}

void gn2_format_f64(double value, char out_text[32])
{
    if (!isfinite(value)) {
        const char *name = isnan(value) ? "nan" : value < 0 ? "-inf" : "inf";
        snprintf(out_text, 32, "%s", name);
        return;
    }
    for (int count = 1; count <= MAX_DIGITS; count++) {
        decimal d;
        double back = 0;
        split_decimal(value, count, &d);
        write_decimal(&d, out_text);
        if (gn2_parse_f64(out_text, &back) && back == value) return;
    }
}

char *gn2_trim(char *text)
{
    text += strspn(text, " \t\r");
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t\r", text[length - 1])) length--;
    text[length] = '\0';
    return text;
}

/* Room for `more` characters and the zero behind them. */
static int text_reserve(gn2_text *text, size_t more)
{
    size_t need, doubled;
    if (text->failed) return 0;
    text->failed = !gn2_add_size(text->length, more, &need) ||
                   !gn2_add_size(need, 1, &need) || !gn2_mul_size(need, 2, &doubled);
    if (text->failed || need <= text->capacity) return !text->failed;
    text->failed = !gn2_grow(&text->data, text->capacity, doubled, 1);
    if (!text->failed) text->capacity = doubled;
    return !text->failed;
}

void gn2_text_add(gn2_text *text, const char *piece)
{
    const size_t length = strlen(piece);
    if (!text_reserve(text, length)) return;
    memcpy(text->data + text->length, piece, length + 1);
    text->length += length;
}

void gn2_text_format(gn2_text *text, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0) text->failed = 1;
    if (length >= 0 && text_reserve(text, (size_t)length)) {
        vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    }
    va_end(again);
}

int gn2_begins_with_one_of(const char *text, const char *const *prefixes)
{
    for (; *prefixes; prefixes++)
        if (strncmp(text, *prefixes, strlen(*prefixes)) == 0) return 1;
    return 0;
}

void gn2_name_list_add(char list[GN2_NAME_LIST_SIZE], const char *name)
{
    const size_t used = strlen(list), length = strlen(name);
    if (used + 1 + length >= GN2_NAME_LIST_SIZE) return;
    list[used] = ' ';
    memcpy(list + used + 1, name, length + 1);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Long texts are compared by their beginning: it serves suggestions only. */
#define EDIT_MAX 255

size_t gn2_edit_distance(const char *a, const char *b)
{
    const size_t m = least(strlen(a), EDIT_MAX), n = least(strlen(b), EDIT_MAX);
    size_t row[EDIT_MAX + 1];
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 1; i <= m; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            const size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = least(replaced, 1 + least(row[j], row[j - 1]));
        }
    }
    return row[n];
}

/* Characters by their first byte: bounds of the second, bytes in all. */
static const struct utf8 {
    unsigned char first, last, low, high, length;
} utf8[] = {
    {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
    {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
    {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
    {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

/* Bytes of the character at p, 0: it is none. */
static size_t character_length(const unsigned char *p)
{
    if (*p < 0x80) return 1;
    for (size_t i = 0; i < sizeof utf8 / sizeof *utf8; i++) {
        const struct utf8 *row = &utf8[i];
        if (*p < row->first || *p > row->last) continue;
        if (p[1] < row->low || p[1] > row->high) return 0;
        for (size_t k = 2; k < row->length; k++)
            if (p[k] < 0x80 || p[k] > 0xbf) return 0; /* the end is 0 */
        return row->length;
    }
    return 0;
}

int gn2_is_utf8(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    while (*p) {
        const size_t length = character_length(p);
        if (length == 0) return 0;
        p += length;
    }
    return 1;
}
