/* SPDX-License-Identifier: Apache-2.0 */
/* Structs of other sizes than ours: smaller, larger, with an unknown tail, never
 * initialised, in arrays with and without a stride. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "abi/guard.h"

typedef struct now {
    uint32_t struct_size;
    int32_t a;
    int64_t b;
    uint64_t reserved[2];
} now;

/* without the reserved tail: the least there is */
typedef struct small {
    uint32_t struct_size;
    int32_t a;
    int64_t b;
} small;

typedef struct large {
    now old;
    uint64_t news[3];
} large;

static void test_same_size_is_copied(void **state)
{
    (void)state;
    const now theirs = {.struct_size = sizeof theirs, .a = 3, .b = -7};
    now ours;
    memset(&ours, 0xff, sizeof ours);
    assert_int_equal(gn2_guard_in(GN2_GUARD(now), &ours, &theirs), GN2_OK);
    assert_memory_equal(&ours, &theirs, sizeof ours);
}

typedef struct asked {
    uint32_t struct_size;
    uint32_t flags;
    int64_t b;
    uint64_t reserved[2];
} asked;

static void test_flags_without_a_meaning_are_refused(void **state)
{
    (void)state;
    asked theirs = {.struct_size = sizeof theirs, .b = 5}, ours;
    const gn2_guard *guard = GN2_GUARD_IN(asked, reserved);
    assert_int_equal(gn2_guard_in(guard, &ours, &theirs), GN2_OK);
    theirs.flags = 0x80000000u;
    assert_int_equal(gn2_guard_in(guard, &ours, &theirs), GN2_ERR_ABI);
    assert_non_null(strstr(gn2_error_text(), "asked.flags = 0x80000000"));
}

static void test_missing_tail_counts_as_zero(void **state)
{
    (void)state;
    const small theirs[2] = {{sizeof(small), 3, -7}, {~0u, -1, -1}};
    now ours;
    memset(&ours, 0xff, sizeof ours);
    assert_int_equal(gn2_guard_in(GN2_GUARD(now), &ours, &theirs[0]), GN2_OK);
    assert_int_equal(ours.a, 3);
    assert_int_equal(ours.b, -7);
    assert_int_equal(ours.reserved[0] | ours.reserved[1], 0);
}

static void test_larger_struct_passes_while_its_tail_is_zero(void **state)
{
    (void)state;
    large theirs = {.old = {.struct_size = sizeof theirs, .a = 3, .b = -7}};
    struct {
        now ours;
        uint64_t canary;
    } room = {.canary = 99};
    assert_int_equal(gn2_guard_in(GN2_GUARD(now), &room.ours, &theirs), GN2_OK);
    assert_int_equal(room.ours.b, -7);
    assert_int_equal(room.canary, 99);
    for (size_t i = 0; i < 3; i++) {
        theirs.news[i] = (uint64_t)1 << 63;
        assert_int_equal(gn2_guard_in(GN2_GUARD(now), &room.ours, &theirs),
                         GN2_ERR_ABI);
        theirs.news[i] = 0;
    }
}

static void test_reserved_words_must_be_zero(void **state)
{
    (void)state;
    const now theirs = {.struct_size = sizeof theirs, .reserved = {0, 1}};
    now ours;
    assert_int_equal(gn2_guard_in(GN2_GUARD(now), &ours, &theirs), GN2_ERR_ABI);
    assert_non_null(strstr(gn2_error_text(), "now: byte 24 is set"));
}

static void test_impossible_sizes_are_refused(void **state)
{
    (void)state;
    const uint32_t sizes[] = {0, 4, sizeof(small) - 1, 4097, UINT32_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        now theirs = {.struct_size = sizes[i]}, ours = {.a = 5};
        assert_int_equal(gn2_guard_in(GN2_GUARD(now), &ours, &theirs), GN2_ERR_ABI);
        assert_int_equal(ours.a, 5);
        assert_int_equal(gn2_guard_out_check(GN2_GUARD(now), &theirs), GN2_ERR_ABI);
    }
}

static void test_arrays_go_by_their_own_element_size(void **state)
{
    (void)state;
    const gn2_guard *guard = GN2_GUARD(now);
    const small few[3] = {
        {sizeof(small), 0, 10}, {sizeof(small), 1, 11}, {sizeof(small), 2, 12}};
    large many[3];
    memset(many, 0, sizeof many);
    for (int i = 0; i < 3; i++) many[i].old = (now){sizeof(large), i, 20 + i, {0}};
    for (int i = 0; i < 3; i++) {
        now ours;
        assert_int_equal(gn2_guard_in_at(guard, &ours, few, 0, i), GN2_OK);
        assert_int_equal(ours.b, 10 + i);
        assert_int_equal(gn2_guard_in_at(guard, &ours, many, 0, i), GN2_OK);
        assert_int_equal(ours.b, 20 + i);
        assert_int_equal(gn2_guard_in_at(guard, &ours, many, sizeof(large), i), GN2_OK);
        assert_int_equal(ours.b, 20 + i);
    }
    now ours;
    assert_int_equal(gn2_guard_in_at(guard, &ours, few, sizeof(small) - 1, 1),
                     GN2_ERR_INVALID_ARG);
    assert_int_equal(gn2_guard_in_at(guard, &ours, few, -16, 1), GN2_ERR_INVALID_ARG);
}

static void test_output_stays_within_the_callers_struct(void **state)
{
    (void)state;
    const now ours = {.a = 3, .b = -7, .reserved = {8, 9}};
    struct {
        small theirs;
        uint64_t canary;
    } tight = {{.struct_size = sizeof(small)}, 99};
    gn2_guard_out(GN2_GUARD(now), &tight.theirs, &ours);
    assert_int_equal(tight.theirs.struct_size, sizeof(small));
    assert_int_equal(tight.theirs.b, -7);
    assert_int_equal(tight.canary, 99);

    large wide;
    memset(&wide, 0xff, sizeof wide);
    wide.old.struct_size = sizeof wide;
    gn2_guard_out(GN2_GUARD(now), &wide, &ours);
    assert_int_equal(wide.old.struct_size, sizeof wide);
    assert_int_equal(wide.old.b, -7);
    for (size_t i = 0; i < 3; i++) assert_int_equal(wide.news[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_size_is_copied),
        cmocka_unit_test(test_flags_without_a_meaning_are_refused),
        cmocka_unit_test(test_missing_tail_counts_as_zero),
        cmocka_unit_test(test_larger_struct_passes_while_its_tail_is_zero),
        cmocka_unit_test(test_reserved_words_must_be_zero),
        cmocka_unit_test(test_impossible_sizes_are_refused),
        cmocka_unit_test(test_arrays_go_by_their_own_element_size),
        cmocka_unit_test(test_output_stays_within_the_callers_struct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
