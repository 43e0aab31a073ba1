/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever exchange goes wrong on whatever rank, all ranks fail, none waits for ever.
 */
#include "group/group.h"
#include "ranks.h"

/* Exchanges of each rank from joining to the end of two steps. */
static world count_exchanges(int32_t size, const char *const *options)
{
    rank ranks[MOST_RANKS];
    world w = {0};
    make_ranks(ranks, size, options);
    run_ranks(ranks, size, &w, join_and_step);
    assert_all_ok(ranks, size);
    free_ranks(ranks, size);
    assert_true(w.in_parts[0] > 0);
    return w;
}

/* A rank whose last message of a step is lost hears of it in the next one. */
static void spoil(int32_t size, const char *const *options, const world *wrong)
{
    rank ranks[MOST_RANKS];
    world w = *wrong;
    make_ranks(ranks, size, options);
    for (int32_t i = 0; i < size; i++) ranks[i].steps = 3;
    run_ranks(ranks, size, &w, join_and_step);
    for (int32_t i = 0; i < size; i++) {
        if (ranks[i].status == GN2_OK)
            fail_msg("exchange %d of rank %d: rank %d went on", (int)w.at,
                     (int)w.at_rank, (int)i);
        assert_int_not_equal(ranks[i].message[0], 0);
    }
    free_ranks(ranks, size);
}

static void spoil_each(int32_t size, const char *const *options, const world *wrong)
{
    const world whole = count_exchanges(size, options);
    for (int32_t at_rank = 0; at_rank < size; at_rank++) {
        const int64_t count = whole.exchanges[at_rank];
        assert_true(count > 5);
        for (int64_t k = 0; k < count; k++) {
            world w = *wrong;
            w.at = k;
            w.at_rank = at_rank;
            spoil(size, options, &w);
        }
    }
}

static void every_exchange_that_fails_ends_all_ranks(void **state)
{
    const world parts = {.fault = FAULT_FAIL};
    const world whole = {.fault = FAULT_FAIL, .whole = 1};
    (void)state;
    spoil_each(4, STEPS("train.shards=8"), &parts);
    spoil_each(3, STEPS("train.shards=6"), &parts);
    spoil_each(2, STEPS("train.shards=8"), &whole);
}

static void every_message_cut_short_ends_all_ranks(void **state)
{
    const world parts = {.fault = FAULT_TRUNCATE};
    (void)state;
    spoil_each(2, STEPS("train.shards=8"), &parts);
    spoil_each(3, STEPS("train.shards=6"), &parts);
}

/* Late is not wrong. */
static void ranks_may_arrive_in_any_order(void **state)
{
    static const fault kinds[] = {FAULT_DELAY, FAULT_ORDER};
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        rank ranks[8];
        world w = {.fault = kinds[i]};
        make_ranks(ranks, 8, STEPS("train.shards=8"));
        run_ranks(ranks, 8, &w, join_and_step);
        assert_all_ok(ranks, 8);
        for (int32_t r = 1; r < 8; r++)
            assert_same_weights(ranks[0].trainer, ranks[r].trainer);
        free_ranks(ranks, 8);
    }
}

/* A rank that leaves in silence: the others wait as long as group.timeout says. */
static gn2_status leave_behind_joining(rank *r)
{
    r->steps = r->number == 1 ? 0 : 2;
    return join_and_step(r);
}

static void a_silent_rank_is_waited_for_as_long_as_asked(void **state)
{
    rank ranks[2];
    world w = {0};
    (void)state;
    make_ranks(ranks, 2, STEPS("train.shards=8", "group.timeout=0.1"));
    run_ranks(ranks, 2, &w, leave_behind_joining);
    assert_int_equal(ranks[1].status, GN2_OK);
    assert_int_equal(ranks[0].status, GN2_ERR_IO);
    assert_non_null(
        strstr(ranks[0].message, "rank 0 of 2: exchange with rank 1 failed"));
    free_ranks(ranks, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_exchange_that_fails_ends_all_ranks),
        cmocka_unit_test(every_message_cut_short_ends_all_ranks),
        cmocka_unit_test(ranks_may_arrive_in_any_order),
        cmocka_unit_test(a_silent_rank_is_waited_for_as_long_as_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
