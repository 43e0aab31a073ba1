/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/alloc.h"
#include "util/rng.h"
#include "util/str.h"

static void assert_round_trip(double value)
{
    char text[32];
    double back = 0;
    gn2_format_f64(value, text);
    assert_true(strlen(text) < 32);
    if (!gn2_parse_f64(text, &back)) fail_msg("'%s' is not read back", text);
    assert_memory_equal(&back, &value, sizeof value);
}

static void every_double_comes_back(void **state)
{
    (void)state;
    const double special[] = {0.0,     -0.0,    1.0,      0.1,      1.0 / 3, 5e-324,
                              -5e-324, DBL_MIN, DBL_MAX,  -DBL_MAX, 0x1p53,  0x1p53 + 2,
                              1e22,    1e23,    INFINITY, -INFINITY};
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++)
        assert_round_trip(special[i]);
    for (uint64_t i = 0; i < 20000; i++) {
        const uint64_t bits = gn2_rng_bits(9, i);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value)) assert_round_trip(value);
        assert_round_trip(gn2_rng_normal(10, i));
    }
}

static void numbers_are_written_short(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"},
                 {-0.0, "-0"},
                 {1e-5, "1e-5"},
                 {5e-4, "0.0005"},
                 {0.2, "0.2"},
                 {-12.5, "-12.5"},
                 {1000, "1000"},
                 {1e15, "1000000000000000"},
                 {1e16, "1e16"},
                 {5e-324, "5e-324"},
                 {1.5e300, "1.5e300"},
                 {NAN, "nan"},
                 {INFINITY, "inf"},
                 {-INFINITY, "-inf"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[32];
        gn2_format_f64(cases[i].value, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void only_numbers_are_read(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",    " 1",    "1 ",       "1,5", "0x10", "1e",    "e5",     ".",      "+",
        "--1", "1.2.3", "infinity", "NAN", "1e+",  "1e999", "-1e999", "1e-999", "1d3"};
    static const struct {
        const char *text;
        double value;
    } good[] = {{"1", 1},           {"+1", 1},     {"-1.", -1},
                {".5", 0.5},        {"1E3", 1000}, {"1e+3", 1000},
                {"00012.50", 12.5}, {"0e999", 0},  {"4e-324", 5e-324}};
    double value = 7;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (gn2_parse_f64(bad[i], &value)) fail_msg("'%s' was read", bad[i]);
    assert_true(value == 7);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(gn2_parse_f64(good[i].text, &value));
        assert_true(value == good[i].value);
    }
    assert_true(gn2_parse_f64("nan", &value) && isnan(value));
    assert_true(gn2_parse_f64("-inf", &value) && value < 0 && isinf(value));
}

static void integers_stop_at_their_limits(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "-",
                                      "1.0",
                                      "1e3",
                                      "0x1",
                                      " 1",
                                      "1 ",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999999"};
    int64_t value = 7;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (gn2_parse_i64(bad[i], &value)) fail_msg("'%s' was read", bad[i]);
    assert_int_equal(value, 7);
    assert_true(gn2_parse_i64("9223372036854775807", &value) && value == INT64_MAX);
    assert_true(gn2_parse_i64("-9223372036854775808", &value) && value == INT64_MIN);
    assert_true(gn2_parse_i64("+0012", &value) && value == 12);
}

/* A locale with a decimal comma: an installed one, else one made for the test. */
static const char *set_comma_locale(void)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8",
                                        "de_DE", "fr_FR"};
    const char *found = NULL;
    for (size_t i = 0; !found && i < sizeof names / sizeof names[0]; i++)
        found = setlocale(LC_ALL, names[i]);
    if (found) return found;
    static char folder[] = "/tmp/gn2-locale-XXXXXX";
    char command[256];
    if (!mkdtemp(folder)) return NULL;
    snprintf(command, sizeof command,
             "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 >/dev/null 2>&1", folder);
    if (system(command) != 0) print_message("localedef made no locale\n");
    setenv("LOCPATH", folder, 1);
    found = setlocale(LC_ALL, "de_DE.UTF-8");
    snprintf(command, sizeof command, "rm -r %s", folder);
    if (system(command) != 0) print_message("%s stays\n", folder);
    return found;
}

/* A decimal comma in the program's locale changes nothing. */
static void the_locale_does_not_matter(void **state)
{
    (void)state;
    if (!set_comma_locale()) {
        print_message("no locale with a decimal comma can be had\n");
        skip();
    }
    assert_string_equal(localeconv()->decimal_point, ",");
    char text[32];
    double value = 0;
    gn2_format_f64(1234.5, text);
    assert_string_equal(text, "1234.5");
    assert_true(gn2_parse_f64("0.25", &value) && value == 0.25);
    assert_false(gn2_parse_f64("0,25", &value));
    setlocale(LC_ALL, "C");
}

static void text_grows(void **state)
{
    (void)state;
    gn2_text text = {0};
    for (int i = 0; i < 1000; i++) gn2_text_format(&text, "%d,", i % 10);
    gn2_text_add(&text, "end");
    assert_false(text.failed);
    assert_int_equal(text.length, 2003);
    assert_int_equal(strlen(text.data), 2003);
    assert_memory_equal(text.data, "0,1,2,3,4,5,6,7,8,9,0,", 22);
    assert_string_equal(text.data + 2000, "end");
    gn2_free(text.data);
}

static void edit_distance_counts_edits(void **state)
{
    (void)state;
    assert_int_equal(gn2_edit_distance("", ""), 0);
    assert_int_equal(gn2_edit_distance("", "abc"), 3);
    assert_int_equal(gn2_edit_distance("abc", ""), 3);
    assert_int_equal(gn2_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(gn2_edit_distance("embed_dim", "embed_dm"), 1);
    assert_int_equal(gn2_edit_distance("ab", "ba"), 2);
}

static void a_list_leaves_out_what_does_not_fit(void **state)
{
    char list[GN2_NAME_LIST_SIZE] = "", wide[GN2_NAME_LIST_SIZE];
    (void)state;
    gn2_name_list_add(list, "b");
    memset(wide, 'x', sizeof wide - 3);
    wide[sizeof wide - 3] = 0; /* one more than there is room for */
    gn2_name_list_add(list, wide);
    gn2_name_list_add(list, "c");
    assert_string_equal(list, " b c");
    gn2_name_list_add(list, wide + 3);
    assert_int_equal(strlen(list), sizeof list - 1);
    gn2_name_list_add(list, "d");
    assert_int_equal(strlen(list), sizeof list - 1);
}

static void only_utf8_is_utf8(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "GN2",
                                       "\xc2\x80 \xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf",
                                       "\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf"};
    /* a byte too few, alone, too long a form, a surrogate, beyond U+10FFFF */
    static const char *const bad[] = {"\xff\xfe",
                                      "a\xc3",
                                      "\xe2\x82",
                                      "\xf0\x9f\x98",
                                      "\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xed\xa0\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xc3(",
                                      "\xe2(\xa1",
                                      "\xf5\x80\x80\x80"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!gn2_is_utf8(good[i])) fail_msg("good text %zu", i);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (gn2_is_utf8(bad[i])) fail_msg("bad text %zu", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_double_comes_back),
        cmocka_unit_test(a_list_leaves_out_what_does_not_fit),
        cmocka_unit_test(numbers_are_written_short),
        cmocka_unit_test(only_numbers_are_read),
        cmocka_unit_test(integers_stop_at_their_limits),
        cmocka_unit_test(the_locale_does_not_matter),
        cmocka_unit_test(text_grows),
        cmocka_unit_test(edit_distance_counts_edits),
        cmocka_unit_test(only_utf8_is_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
