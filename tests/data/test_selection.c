/* SPDX-License-Identifier: Apache-2.0 */
/*
 * data.selection: what its text means and what is no such text; sets of rows; jets that
 * are chosen are those that were asked for, and as they are without.
 */
#include "../common/labels.h"
#include "score_case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/row_set.h"
#include "data/selection.h"
#include "util/alloc.h"
#include "util/rng.h"
#include "util/str.h"

/* ---- the text ---- */

static gn2_selection parsed(const char *text)
{
    gn2_selection selection;
    MUST(gn2_selection_parse(text, &selection));
    return selection;
}

static void a_text_is_read_in_full(void **state)
{
    (void)state;
    const gn2_selection s =
        parsed(" pt>20000&&abs( eta_btagJes )<=2.5e0 or or_.2 != -4 "
               "and abs>=+.5||abs_==12\t");
    static const struct {
        const char *field;
        int begins, absolute;
        unsigned takes;
        double number;
    } wanted[] = {
        {"pt", 1, 0, GN2_IS_GREATER, 20000},
        {"eta_btagJes", 0, 1, GN2_IS_LESS | GN2_IS_EQUAL, 2.5},
        {"or_.2", 1, 0, GN2_IS_LESS | GN2_IS_GREATER, -4},
        {"abs", 0, 0, GN2_IS_GREATER | GN2_IS_EQUAL, 0.5},
        {"abs_", 1, 0, GN2_IS_EQUAL, 12},
    };
    assert_int_equal(s.count, 5);
    for (size_t i = 0; i < s.count; i++) {
        assert_string_equal(s.term[i].field, wanted[i].field);
        assert_int_equal(s.term[i].begins, wanted[i].begins);
        assert_int_equal(s.term[i].absolute, wanted[i].absolute);
        assert_int_equal(s.term[i].takes, wanted[i].takes);
        assert_true(s.term[i].number == wanted[i].number);
    }
    assert_int_equal(parsed("").count, 0);
    assert_int_equal(parsed(" \t").count, 0);
}

static void what_is_no_selection_is_told_with_its_place(void **state)
{
    (void)state;
    static const char *const bad[][3] = {
        {"pt", "ends too early", "<, <=, >, >=, == or !="},
        {"pt > ", "ends too early", "a number belongs here"},
        {"pt > 5 &&", "ends too early", "a field belongs here"},
        {"pt > 5 && || eta < 1", "character 11, '|| eta < 1'", "a field"},
        {"pt > 5 & eta < 1", "character 8, '& eta < 1'", "&& or ||"},
        {"pt > 5 eta < 1", "character 8, 'eta < 1'", "&& or ||"},
        {"20 < pt", "character 1, '20 < pt'", "pt_btagJes > 20000"},
        {"pt > 20 < 50", "character 9, '< 50'", "two comparisons"},
        {"pt = 5", "character 4, '= 5'", "write =="},
        {"pt >> 5", "character 5, '> 5'", "a number"},
        {"pt > eta", "character 6, 'eta'", "a number"},
        {"pt > nan", "character 6, 'nan'", "a number"},
        {"pt > inf", "character 6, 'inf'", "a number"},
        {"pt > 0x10", "character 7, 'x10'", "&& or ||"},
        {"pt > 1e999", "character 6, '1e999'", "64 bits"},
        {"pt > 1-2", "character 6, '1-2'", "no number"},
        {"pt > --2", "character 6, '--2'", "no number"},
        {"(pt > 5)", "character 1, '(pt > 5)'", "no brackets"},
        {"pt > 5 && (eta < 1 || x > 2)", "character 11", "a && c || b && c"},
        {"!pt > 5", "character 1", "opposite"},
        {"abs(eta < 1)", "character 9, '< 1)'", "abs() takes one field"},
        {"abs() < 1", "character 5, ') < 1'", "a field belongs here"},
        {"log(pt) > 3", "character 4, '(pt) > 3'", "abs() is the only"},
        {"p\xC3\xA4t > 3", "character 2, '\xC3\xA4t > 3'", "<, <="},
        {"pt > 5; x", "character 7, '; x'", "&& or ||"},
        {"pt > 5 xor eta < 1", "character 8", "&& or ||"},
    };
    gn2_selection s;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        FAILS(gn2_selection_parse(bad[i][0], &s), GN2_ERR_INVALID_ARG, "data.selection",
              bad[i][1], bad[i][2]);
}

/* Reads so many characters, the last ones given. */
static gn2_status read_filled(char with, size_t length, const char *end)
{
    char text[GN2_SELECTION_LENGTH + 8];
    gn2_selection s;
    const size_t tail = strlen(end);
    memset(text, with, length - tail);
    memcpy(text + length - tail, end, tail + 1);
    return gn2_selection_parse(text, &s);
}

static void a_text_has_limits(void **state)
{
    (void)state;
    gn2_text text = {0};
    gn2_selection s;
    for (int i = 0; i < GN2_SELECTION_TERMS; i++)
        gn2_text_add(&text, i ? "&&a>1" : "a>1");
    MUST(gn2_selection_parse(text.data, &s));
    assert_int_equal(s.count, GN2_SELECTION_TERMS);
    gn2_text_add(&text, "&&a>1");
    FAILS(gn2_selection_parse(text.data, &s), GN2_ERR_INVALID_ARG, "at most 32");
    gn2_free(text.data);
    MUST(read_filled('a', GN2_SELECTION_NAME + 1, ">1"));
    FAILS(read_filled('a', GN2_SELECTION_NAME + 2, ">1"), GN2_ERR_INVALID_ARG,
          "at most 127");
    MUST(read_filled(' ', GN2_SELECTION_LENGTH, "a>1"));
    FAILS(read_filled(' ', GN2_SELECTION_LENGTH + 1, "a>1"), GN2_ERR_INVALID_ARG,
          "1001", "1000");
}

/* ---- comparing ---- */

static int of_real(const char *text, double value, int32_t size)
{
    const gn2_selection s = parsed(text);
    return gn2_selection_real(&s.term[0], value, size);
}

static int of_whole(const char *text, int64_t value)
{
    const gn2_selection s = parsed(text);
    const uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    return gn2_selection_whole(&s.term[0], value < 0, magnitude);
}

static void reals_are_compared_in_their_own_precision(void **state)
{
    (void)state;
    const double tenth = (double)0.1f;
    assert_true(of_real("x == 0.1", tenth, 4) && of_real("x <= 0.1", tenth, 4));
    assert_false(of_real("x > 0.1", tenth, 4) || of_real("x != 0.1", tenth, 4));
    assert_true(of_real("x > 0.1", tenth, 8) && of_real("x == 0.1", 0.1, 8));
    assert_true(of_real("x == 0.1", 0.0999755859375, 2)); /* the nearest of 16 bits */
    assert_true(of_real("x < 1e39", 3e38, 4) && of_real("x > 1e39", HUGE_VAL, 4));
    assert_true(of_real("x < 1e6", 65504, 2) && of_real("x > -1e6", -65504, 2));
    assert_true(of_real("abs(x) > 2", -3, 4) && of_real("x == 0", -0.0, 4));
}

static void whole_numbers_are_compared_exactly(void **state)
{
    (void)state;
    assert_true(of_whole("n == 9007199254740993", 9007199254740993));
    assert_false(of_whole("n == 9007199254740993", 9007199254740992));
    assert_true(of_whole("n < 9223372036854775807", INT64_MAX - 1));
    assert_true(of_whole("n == -9223372036854775808", INT64_MIN));
    assert_true(of_whole("abs(n) > 9223372036854775807", INT64_MIN));
    assert_true(of_whole("n > -9223372036854775808", INT64_MIN + 1));
    assert_true(of_whole("n < 1e300", INT64_MAX) && of_whole("n > -1e300", INT64_MIN));
    assert_true(of_whole("n == 1.5e1", 15) && of_whole("n < 15.5", 15));
    assert_true(of_whole("n > -2", -1) && !of_whole("n > -2", -3));
    assert_true(of_whole("abs(n) >= 5", -5) && of_whole("n != 0", -1));
    const gn2_selection s = parsed("n > 9223372036854775807");
    assert_true(gn2_selection_whole(&s.term[0], 0, UINT64_MAX));
}

/* ---- sets of rows ---- */

static void check_set(int64_t rows, uint64_t one_in)
{
    _Atomic int64_t memory = 0;
    gn2_row_set set;
    int64_t count = 0;
    MUST(gn2_row_set_init(&set, rows, &memory));
    assert_true(memory > 0);
    for (int64_t row = 0; row < rows; row++)
        if (gn2_mix64((uint64_t)row) % one_in == 0) gn2_row_set_put(&set, row);
    gn2_row_set_count(&set);
    for (int64_t row = 0; row < rows; row++) {
        assert_int_equal(gn2_row_set_before(&set, row), count);
        const int there = gn2_mix64((uint64_t)row) % one_in == 0;
        assert_int_equal(gn2_row_set_has(&set, row), there);
        if (there) assert_int_equal(gn2_row_set_at(&set, count++), row);
    }
    assert_int_equal(set.count, count);
    assert_int_equal(gn2_row_set_before(&set, rows), count);
    gn2_row_set_free(&set);
    assert_int_equal(memory, 0);
}

static void rows_of_a_set_are_found_by_number(void **state)
{
    (void)state;
    static const int64_t sizes[] = {0, 1, 63, 64, 65, 4095, 4096, 4097, 20000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        check_set(sizes[i], 1);
        check_set(sizes[i], 3);
        check_set(sizes[i], 900);
        check_set(sizes[i], UINT64_MAX);
    }
}

/* ---- datasets ---- */

#define ROWS 300

/* Jet j has pt 1000 + j, which tells who was chosen; but jet 7 has NaN. */
static int write_jets(void **state)
{
    (void)state;
    case_jets j = case_jets_make(ROWS, 5);
    for (int64_t i = 0; i < ROWS; i++) j.flavour[i] = i % 4;
    j.pt[7] = NAN;
    case_jets_write(&j, case_file("some.h5"));
    case_jets_free(&j);
    return 0;
}

static int64_t jets_of(const gn2_dataset *data)
{
    gn2_dataset_info info;
    gn2_dataset_info_impl(data, &info);
    return info.jet_count;
}

/* Every jet of an epoch must be one that `is_wanted` says, and as the file has it. */
static void check_epoch(gn2_dataset *data, int (*is_wanted)(int64_t jet),
                        int64_t expected)
{
    int seen[ROWS] = {0};
    int64_t count = 0;
    gn2_jets jets;
    gn2_labels labels;
    for (;;) {
        MUST(gn2_dataset_next_impl(data, &jets, &labels));
        if (jets.count == 0) break;
        const gn2_sequence *s = &jets.sequences[0];
        for (int64_t i = 0; i < jets.count; i++, count++) {
            const int64_t j = (int64_t)jets.features[i * jets.row_stride] - 1000;
            assert_true(is_wanted(j) && !seen[j]++);
            assert_int_equal(labels_i32(&labels, LABEL_JETS)[i], j % 4);
            assert_int_equal(s->offsets[i + 1] - s->offsets[i], j % 6);
            for (int64_t row = s->offsets[i]; row < s->offsets[i + 1]; row++)
                assert_true(fabsf(s->data[row * s->row_stride] - (float)j) < 0.1f);
        }
    }
    assert_int_equal(count, expected);
}

static int is_asked_for(int64_t jet)
{
    return (jet > 100 && jet % 4 != 3) || jet < 5;
}

#define ASKED "pt_btagJes > 1100 && flavour_label != 3 || pt < 1005"

static void chosen_jets_come_once_and_as_they_are(void **state)
{
    (void)state;
    static const char *const modes[] = {"jets", "batches", "sequential"};
    int64_t wanted = 0;
    for (int64_t j = 0; j < ROWS; j++) wanted += is_asked_for(j);
    for (size_t m = 0; m < 6; m++) {
        gn2_config *config =
            CONFIG(SMALL_INPUTS, "data.sampling", modes[m / 2], "data.prefetch",
                   m % 2 ? "3" : "0", "data.block_size", "20", "data.class_weights",
                   "no", "data.selection", ASKED);
        gn2_dataset *data = case_open(case_file("some.h5"), config);
        assert_int_equal(jets_of(data), wanted);
        for (int64_t e = 0; e < 2; e++) {
            MUST(gn2_dataset_reset_impl(data, e, 0));
            check_epoch(data, is_asked_for, m < 4 ? wanted / 4 * 4 : wanted);
        }
        MUST(gn2_dataset_setup_impl(data, config)); /* NaN of jet 7 is not looked at */
        gn2_dataset_free_impl(data);
        gn2_config_delete(config);
    }
}

static int is_of_the_first(int64_t jet)
{
    return is_asked_for(jet) && jet < 103;
}

static void the_most_jets_are_those_that_were_chosen(void **state)
{
    (void)state;
    gn2_config *config = CONFIG(SMALL_INPUTS, "data.sampling", "sequential",
                                "data.selection", ASKED, "data.max_jets", "7");
    gn2_dataset *data = case_open(case_file("some.h5"), config);
    check_epoch(data, is_of_the_first, 7); /* 0 to 4, 101, 102 */
    gn2_dataset_free_impl(data);
    const char *path = case_file("some.h5");
    MUST(gn2_config_put_text(config, "data.max_jets", "299"));
    FAILS(gn2_dataset_open_impl(&path, 1, config, &data), GN2_ERR_INVALID_ARG,
          "data.max_jets is 299", "that data.selection chooses");
    gn2_config_delete(config);
}

static void what_cannot_be_chosen_is_refused(void **state)
{
    (void)state;
    static const char *const bad[][4] = {
        {"ptt > 5", "data.selection", "dataset 'jets' has no field 'ptt'", "'pt"},
        {"pt_btagJes > 5 && other != 1", "some.h5", "jets", "'other'"},
        {"pt_btagJes > 5000", "chooses none of the 300 jets", "some.h5", "(1 of them"},
        {"pt_btagJes >", "data.selection", "ends too early", "a number"},
    };
    const char *path = case_file("some.h5");
    gn2_dataset *data = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        gn2_config *config = CONFIG(SMALL_INPUTS, "data.selection", bad[i][0]);
        const gn2_status status = gn2_dataset_open_impl(&path, 1, config, &data);
        assert_int_equal(status, i < 3 ? GN2_ERR_NOT_FOUND : GN2_ERR_INVALID_ARG);
        for (size_t w = 1; w < 4; w++)
            assert_non_null(strstr(gn2_error_text(), bad[i][w]));
        gn2_config_delete(config);
    }
}

static void where_nothing_can_be_chosen_it_is_refused(void **state)
{
    (void)state;
    gn2_config *config = CONFIG(SMALL_INPUTS, "data.selection", "pt > 5");
    const gn2_jets jets = {.struct_size = sizeof jets};
    gn2_dataset *data = NULL;
    FAILS(gn2_dataset_arrays_impl(&jets, NULL, config, &data), GN2_ERR_INVALID_ARG,
          "data.selection", "arrays", "rows");
    gn2_model *model = MODEL("model.name", "GN2");
    gn2_score_writer *writer = NULL;
    FAILS(gn2_score_writer_create_impl(case_file("s.h5"), case_file("some.h5"), model,
                                       config, &writer),
          GN2_ERR_INVALID_ARG, "data.selection", "row for every jet");
    gn2_model_unref(model);
    gn2_config_delete(config);
}

/* Logged lines. */
static char logged[600];
static void keep_line(void *user, int32_t severity, const char *line)
{
    (void)user;
    snprintf(logged, sizeof logged, "%d %s", severity, line);
}

static void files_are_chosen_from_together(void **state)
{
    (void)state;
    gn2_config *config = CONFIG(SMALL_INPUTS, "data.sampling", "sequential",
                                "data.selection", "pt >= 1290 || pt < 1001");
    const char *path = case_file("some.h5"), *paths[] = {path, path, path};
    gn2_dataset *data = NULL;
    gn2_log_set(keep_line, NULL);
    MUST(gn2_dataset_open_impl(paths, 3, config, &data));
    gn2_log_set(NULL, NULL);
    assert_int_equal(jets_of(data), 33);
    assert_non_null(strstr(logged, "chooses 33 of the 900 jets of"));
    assert_non_null(strstr(logged, "some.h5' and 2 more; 3 have NaN"));
    gn2_jets jets;
    MUST(gn2_dataset_reset_impl(data, 0, 2)); /* jets 8 to 11: the files meet */
    MUST(gn2_dataset_next_impl(data, &jets, NULL));
    static const float wanted[] = {1297, 1298, 1299, 1000};
    for (int i = 0; i < 4; i++) assert_true(jets.features[2 * i] == wanted[i]);
    gn2_dataset_free_impl(data);
    gn2_config_delete(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_read_in_full),
        cmocka_unit_test(what_is_no_selection_is_told_with_its_place),
        cmocka_unit_test(a_text_has_limits),
        cmocka_unit_test(reals_are_compared_in_their_own_precision),
        cmocka_unit_test(whole_numbers_are_compared_exactly),
        cmocka_unit_test(rows_of_a_set_are_found_by_number),
        cmocka_unit_test(chosen_jets_come_once_and_as_they_are),
        cmocka_unit_test(the_most_jets_are_those_that_were_chosen),
        cmocka_unit_test(what_cannot_be_chosen_is_refused),
        cmocka_unit_test(where_nothing_can_be_chosen_it_is_refused),
        cmocka_unit_test(files_are_chosen_from_together),
    };
    return cmocka_run_group_tests(tests, write_jets, case_clean);
}
