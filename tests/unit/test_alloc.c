/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "util/alloc.h"

static void blocks_are_zeroed_and_aligned(void **state)
{
    (void)state;
    for (size_t count = 0; count < 300; count += 7) {
        unsigned char *block = gn2_alloc(count, 3);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % GN2_ALIGN, 0);
        for (size_t i = 0; i < 3 * count; i++) assert_int_equal(block[i], 0);
        memset(block, 0xff, 3 * count);
        gn2_free(block);
    }
}

static void products_that_overflow_are_refused(void **state)
{
    (void)state;
    size_t out = 7;
    assert_null(gn2_alloc(SIZE_MAX / 2, 3));
    assert_null(gn2_alloc(SIZE_MAX, 1));
    assert_false(gn2_mul_size(SIZE_MAX / 2, 3, &out));
    assert_false(gn2_add_size(SIZE_MAX, 1, &out));
    assert_true(gn2_mul_size(SIZE_MAX / 2, 2, &out));
    assert_int_equal(out, SIZE_MAX - 1);
    assert_true(gn2_add_size(SIZE_MAX - 1, 1, &out));
    assert_int_equal(out, SIZE_MAX);
}

static void reserving_grows_by_more_than_was_asked_for(void **state)
{
    void *block = NULL;
    size_t capacity = 0;
    (void)state;
    assert_true(gn2_reserve(&block, &capacity, 0, 4, sizeof(int)));
    assert_int_equal(capacity, 6);
    ((int *)block)[1] = 7;
    const void *before = block;
    assert_true(gn2_reserve(&block, &capacity, 2, 6, sizeof(int)));
    assert_ptr_equal(block, before);
    assert_true(gn2_reserve(&block, &capacity, 2, 7, sizeof(int)));
    assert_int_equal(capacity, 10);
    assert_int_equal(((int *)block)[1], 7);
    assert_false(gn2_reserve(&block, &capacity, 2, SIZE_MAX / 4, sizeof(int)));
    assert_int_equal(capacity, 10);
    gn2_free(block);
}

static void growing_keeps_the_old_elements(void **state)
{
    (void)state;
    void *block = NULL;
    assert_true(gn2_grow(&block, 0, 4, sizeof(int)));
    for (int i = 0; i < 4; i++) ((int *)block)[i] = i + 1;
    assert_true(gn2_grow(&block, 4, 9, sizeof(int)));
    for (int i = 0; i < 9; i++) assert_int_equal(((int *)block)[i], i < 4 ? i + 1 : 0);
    void *same = block;
    assert_false(gn2_grow(&block, 9, SIZE_MAX, sizeof(int)));
    assert_ptr_equal(block, same);
    gn2_free(block);
}

/* The same calls with and without a base give the same places. */
static void arena_counts_what_it_carves(void **state)
{
    (void)state;
    gn2_arena plan = {0};
    assert_null(gn2_arena_take(&plan, 3, 5));
    assert_null(gn2_arena_take(&plan, 0, 8));
    assert_null(gn2_arena_take(&plan, 65, 1));
    gn2_arena arena = {.base = gn2_alloc(plan.used, 1)};
    char *first = gn2_arena_take(&arena, 3, 5);
    char *none = gn2_arena_take(&arena, 0, 8);
    char *last = gn2_arena_take(&arena, 65, 1);
    assert_ptr_equal(first, arena.base);
    assert_ptr_equal(none, first + 64);
    assert_ptr_equal(last, first + 64);
    assert_int_equal(arena.used, plan.used);
    assert_int_equal(plan.used, 192);
    gn2_free(arena.base);
}

static void arena_overflow_saturates(void **state)
{
    (void)state;
    gn2_arena plan = {0};
    gn2_arena_take(&plan, 10, 10);
    gn2_arena_take(&plan, SIZE_MAX / 4, 8);
    assert_int_equal(plan.used, SIZE_MAX);
    gn2_arena_take(&plan, 1, 1);
    assert_int_equal(plan.used, SIZE_MAX);
    assert_null(gn2_alloc(plan.used, 1));
}

static void asking_for_memory_takes_none(void **state)
{
    (void)state;
    assert_true(gn2_memory_at_hand(0));
    assert_true(gn2_memory_at_hand(1));
    for (int i = 0; i < 10000; i++) assert_true(gn2_memory_at_hand((size_t)1 << 30));
    assert_false(gn2_memory_at_hand(SIZE_MAX / 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_zeroed_and_aligned),
        cmocka_unit_test(products_that_overflow_are_refused),
        cmocka_unit_test(growing_keeps_the_old_elements),
        cmocka_unit_test(reserving_grows_by_more_than_was_asked_for),
        cmocka_unit_test(arena_counts_what_it_carves),
        cmocka_unit_test(arena_overflow_saturates),
        cmocka_unit_test(asking_for_memory_takes_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
