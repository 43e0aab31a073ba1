/* SPDX-License-Identifier: Apache-2.0 */
/* Half precision ↔ float, against the definition of IEEE 754 binary16. */
#include "data_case.h"

#include <math.h>
#include <string.h>

#include "data/field.h"

/* value = (−1)^s · 2^(e−15) · (1 + f/1024), or 2^−14 · f/1024 when e = 0 */
static double value_of(uint16_t half)
{
    const int e = half >> 10 & 31, f = half & 1023;
    const double sign = half & 0x8000 ? -1 : 1;
    return e ? sign * ldexp(1 + f / 1024.0, e - 15) : sign * ldexp(f / 1024.0, -14);
}

static void every_half_is_read_exactly(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        const float got = gn2_half_to_float((uint16_t)h);
        if ((h & 0x7C00) == 0x7C00) {
            assert_int_equal(isnan(got) != 0, (h & 0x3FF) != 0);
            assert_int_equal(isinf(got) != 0, (h & 0x3FF) == 0);
            continue;
        }
        assert_true((double)got == value_of((uint16_t)h));
        assert_int_equal(signbit(got) != 0, (h & 0x8000) != 0);
    }
}

static void every_half_survives_the_way_back(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        if ((h & 0x7C00) == 0x7C00 && (h & 0x3FF)) continue; /* NaN */
        assert_int_equal(gn2_float_to_half(gn2_half_to_float((uint16_t)h)), h);
    }
    assert_true(isnan(gn2_half_to_float(gn2_float_to_half(NAN))));
}

/* Between neighbours the nearer one is taken, in the middle the even one. */
static void floats_round_to_nearest_even(void **state)
{
    (void)state;
    for (uint16_t h = 0; h < 0x7BFF; h++) {
        const float low = gn2_half_to_float(h);
        const float high = gn2_half_to_float((uint16_t)(h + 1));
        const float middle = (low + high) / 2; /* exact in float */
        const uint16_t even = h & 1 ? (uint16_t)(h + 1) : h;
        assert_int_equal(gn2_float_to_half(middle), even);
        assert_int_equal(gn2_float_to_half(nextafterf(middle, 0)), h);
        assert_int_equal(gn2_float_to_half(nextafterf(middle, INFINITY)), h + 1);
    }
    assert_int_equal(gn2_float_to_half(65519.996f), 0x7BFF);
    assert_int_equal(gn2_float_to_half(65520.0f), 0x7C00);
}

static void integers_of_all_sizes_are_read(void **state)
{
    (void)state;
    const int64_t value = -3;
    const int32_t sizes[] = {1, 2, 4, 8};
    for (size_t i = 0; i < 4; i++) {
        char bytes[8];
        memcpy(bytes, &value, 8);
        const int64_t wide = 8 * sizes[i];
        assert_int_equal(gn2_field_reader_of(GN2_H5_INT, sizes[i])->to_int(bytes), -3);
        assert_true(gn2_field_reader_of(GN2_H5_INT, sizes[i])->to_float(bytes) ==
                    -3.0f);
        if (wide < 64)
            assert_int_equal(gn2_field_reader_of(GN2_H5_UINT, sizes[i])->to_int(bytes),
                             (INT64_C(1) << wide) - 3);
    }
    assert_null(gn2_field_reader_of(GN2_H5_OTHER, 4));
    assert_null(gn2_field_reader_of(GN2_H5_FLOAT, 3));
}

/* In every precision that has the value. */
static void check_whole(double value, int64_t want)
{
    const float single = (float)value;
    const uint16_t half = gn2_float_to_half(single);
    const struct {
        int32_t size;
        const void *at;
    } held[] = {{2, &half}, {4, &single}, {8, &value}};
    for (size_t i = 0; i < 3; i++)
        assert_true(
            gn2_field_reader_of(GN2_H5_FLOAT, held[i].size)->to_int(held[i].at) ==
            want);
}

static void reals_that_are_no_integer_are_told(void **state)
{
    (void)state;
    const double odd[] = {NAN, INFINITY, -INFINITY, -0.5, 1.7, 3.99, 1e30, 0x1p-20};
    const double good[] = {0, -0.0, 2, -2, 1024, -1};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        check_whole(odd[i], GN2_FIELD_NOT_WHOLE);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        check_whole(good[i], (int64_t)good[i]);
}

/* 2⁶⁴−1 is not −1. */
static void large_unsigned_numbers_do_not_wrap(void **state)
{
    (void)state;
    const uint64_t values[] = {UINT64_MAX, UINT64_C(1) << 63, INT64_MAX};
    const gn2_field_reader *reader = gn2_field_reader_of(GN2_H5_UINT, 8);
    assert_true(reader->to_int((const char *)&values[0]) == GN2_FIELD_NOT_WHOLE);
    assert_true(reader->to_int((const char *)&values[1]) == GN2_FIELD_NOT_WHOLE);
    assert_true(reader->to_int((const char *)&values[2]) == INT64_MAX);
}

static void numbers_are_printed_as_they_stand(void **state)
{
    (void)state;
    const uint64_t large = UINT64_MAX;
    const double real = 3.99;
    const int8_t small = -3;
    char text[32];
    gn2_field_print(gn2_field_reader_of(GN2_H5_UINT, 8), (const char *)&large, text);
    assert_string_equal(text, "18446744073709551615");
    gn2_field_print(gn2_field_reader_of(GN2_H5_FLOAT, 8), (const char *)&real, text);
    assert_string_equal(text, "3.99");
    gn2_field_print(gn2_field_reader_of(GN2_H5_INT, 1), (const char *)&small, text);
    assert_string_equal(text, "-3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_is_read_exactly),
        cmocka_unit_test(every_half_survives_the_way_back),
        cmocka_unit_test(floats_round_to_nearest_even),
        cmocka_unit_test(integers_of_all_sizes_are_read),
        cmocka_unit_test(reals_that_are_no_integer_are_told),
        cmocka_unit_test(large_unsigned_numbers_do_not_wrap),
        cmocka_unit_test(numbers_are_printed_as_they_stand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
