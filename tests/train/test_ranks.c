/* SPDX-License-Identifier: Apache-2.0 */
/* A training by a group of ranks is that of one process, to the bit; what is wrong on
 * one rank ends all of them, by name. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "group/group.h"
#include "ranks.h"
#include "session.h"

#define RUN(...)                                                                 \
    OPTIONS("model.dropout_ffn=0.1", "model.dropout_init=0.1", "train.epochs=3", \
            "data.batch_size=20", "schedule.steps=0", "optim.clip_norm=1",       \
            "train.validate_steps=2", "data.prefetch=0", __VA_ARGS__)

static void run(rank *ranks, int32_t size)
{
    world w = {.fault = FAULT_DELAY};
    run_ranks(ranks, size, &w, join_and_fit);
}

static void assert_all_ok(const rank *ranks, int32_t size)
{
    for (int32_t i = 0; i < size; i++)
        if (ranks[i].status != GN2_OK)
            fail_msg("rank %d: %s", (int)i, ranks[i].message);
}

static void assert_all_say(const rank *ranks, int32_t size, gn2_status status,
                           const char *words)
{
    for (int32_t i = 0; i < size; i++) {
        if (ranks[i].status != status || !strstr(ranks[i].message, words))
            fail_msg("rank %d: status %d, '%s', not '%s'", (int)i, (int)ranks[i].status,
                     ranks[i].message, words);
    }
}

static void assert_same_run(const rank *a, const rank *b)
{
    assert_same_state(a->trainer, b->trainer);
    assert_memory_equal(&a->loss, &b->loss, sizeof a->loss);
    assert_memory_equal(&a->norm, &b->norm, sizeof a->norm);
    assert_memory_equal(&a->val_loss, &b->val_loss, sizeof a->val_loss);
    assert_memory_equal(&a->auc, &b->auc, sizeof a->auc);
}

/* ---- collectives ---- */

static gn2_status spread_and_gather(rank *r)
{
    int32_t blocks[MOST_RANKS][3] = {{0}};
    for (int32_t root = 0; root < r->size; root++) {
        int64_t value = r->number == root ? 100 + root : -1;
        GN2_TRY(gn2_group_spread(r->group, &value, sizeof value, root));
        if (value != 100 + root) return gn2_fail(GN2_ERR_INTERNAL, "spread");
    }
    for (int k = 0; k < 3; k++) blocks[r->number][k] = 10 * r->number + k;
    GN2_TRY(gn2_group_gather(r->group, blocks, sizeof blocks[0]));
    for (int32_t i = 0; i < r->size; i++)
        for (int k = 0; k < 3; k++)
            if (blocks[i][k] != 10 * i + k) return gn2_fail(GN2_ERR_INTERNAL, "gather");
    return GN2_OK;
}

static void bytes_of_each_rank_come_to_all(void **state)
{
    (void)state;
    for (int32_t size = 1; size <= MOST_RANKS; size++) {
        rank ranks[MOST_RANKS] = {{0}};
        world w = {.fault = FAULT_DELAY};
        for (int32_t i = 0; i < size; i++) ranks[i] = (rank){.number = i, .size = size};
        run_ranks(ranks, size, &w, spread_and_gather);
        assert_all_ok(ranks, size);
    }
}

/* ---- bits ---- */

static void compare_with_alone(const char *const *options, const int32_t *sizes)
{
    rank alone;
    make_ranks(&alone, 1, options);
    assert_ok(join_and_fit(&alone));
    for (; *sizes; sizes++) {
        rank ranks[MOST_RANKS];
        make_ranks(ranks, *sizes, options);
        run(ranks, *sizes);
        assert_all_ok(ranks, *sizes);
        for (int32_t i = 0; i < *sizes; i++) assert_same_run(&alone, &ranks[i]);
        free_ranks(ranks, *sizes);
    }
    free_ranks(&alone, 1);
}

#define SIZES(...) ((const int32_t[]){__VA_ARGS__, 0})

static void bits_do_not_depend_on_the_number_of_ranks(void **state)
{
    (void)state;
    compare_with_alone(RUN("train.shards=8"), SIZES(1, 2, 4, 8));
    compare_with_alone(RUN("train.shards=12"), SIZES(1, 3, 6));
    compare_with_alone(RUN("train.shards=5"), SIZES(5));
    compare_with_alone(RUN("train.shards=8", "train.threads=2"), SIZES(2));
    compare_with_alone(RUN("train.shards=12", "train.threads=2"), SIZES(3));
}

static void a_rank_holds_gradients_of_its_own_shards(void **state)
{
    rank ranks[4];
    (void)state;
    make_ranks(ranks, 4, RUN("train.shards=8"));
    const size_t before = gn2_train_memory(ranks[3].trainer);
    const size_t arena = (size_t)ranks[3].trainer->engine->stride * sizeof(float);
    run(ranks, 4);
    assert_all_ok(ranks, 4);
    /* 2 of 8 arenas and one for what comes in */
    assert_true(gn2_train_memory(ranks[3].trainer) < before - 4 * arena);
    free_ranks(ranks, 4);
}

/* ---- stopping and going on ---- */

static gn2_status put_checkpoint(rank *ranks, int32_t size)
{
    for (int32_t i = 0; i < size; i++)
        GN2_TRY(gn2_config_put_str(ranks[i].trainer->config, "train.checkpoint", path));
    return GN2_OK;
}

static void stop_and_go_on(int32_t first, int32_t second)
{
    rank alone, ranks[MOST_RANKS];
    make_ranks(&alone, 1, RUN("train.shards=8"));
    assert_ok(join_and_fit(&alone));
    make_ranks(ranks, first, RUN("train.shards=8"));
    assert_ok(put_checkpoint(ranks, first));
    ranks[first - 1].stop_at = 5;
    run(ranks, first);
    assert_all_say(ranks, first, GN2_ERR_CANCELLED, "after step 5");
    free_ranks(ranks, first);
    make_ranks(ranks, second, RUN("train.shards=8"));
    for (int32_t i = 0; i < second; i++) ranks[i].load = path;
    run(ranks, second);
    assert_all_ok(ranks, second);
    for (int32_t i = 0; i < second; i++) assert_same_run(&alone, &ranks[i]);
    free_ranks(ranks, second);
    free_ranks(&alone, 1);
}

static void a_run_goes_on_with_other_ranks(void **state)
{
    (void)state;
    stop_and_go_on(4, 2);
    stop_and_go_on(2, 8);
}

static void files_are_those_of_one_process(void **state)
{
    rank alone, ranks[2];
    (void)state;
    make_ranks(&alone, 1, RUN("train.shards=8"));
    make_ranks(ranks, 2, RUN("train.shards=8"));
    assert_ok(join_and_fit(&alone));
    assert_ok(gn2_train_save(alone.trainer, other));
    assert_ok(put_checkpoint(ranks, 2));
    run(ranks, 2);
    assert_all_ok(ranks, 2);
    FILE *a = fopen(path, "rb"), *b = fopen(other, "rb");
    int x, y;
    do {
        x = fgetc(a);
        y = fgetc(b);
        assert_int_equal(x, y);
    } while (x != EOF);
    fclose(a);
    fclose(b);
    free_ranks(ranks, 2);
    free_ranks(&alone, 1);
}

/* What ends one rank ends all behind the same step, and they can go on. */
static void a_callback_that_stops_one_rank_stops_all(void **state)
{
    rank ranks[3];
    (void)state;
    make_ranks(ranks, 3, RUN("train.shards=6"));
    ranks[1].cancel_at = 4;
    run(ranks, 3);
    assert_all_say(ranks, 3, GN2_ERR_CANCELLED, "stopped by the progress callback");
    for (int32_t i = 0; i < 3; i++)
        assert_int_equal(gn2_train_steps(ranks[i].trainer), 4);
    free_ranks(ranks, 3);
}

/* ---- what is refused ---- */

/* Steps without a run need the schedule's length. */
#define STEPS(...) RUN("schedule.steps=60", __VA_ARGS__)

static void refuse(rank *ranks, int32_t size, const char *words)
{
    world w = {0};
    run_ranks(ranks, size, &w, join_and_step);
    assert_all_say(ranks, size, GN2_ERR_INVALID_ARG, words);
}

static void other_numbers_of_ranks_are_refused(void **state)
{
    rank ranks[3];
    (void)state;
    make_ranks(ranks, 3, RUN("train.shards=8"));
    refuse(ranks, 3, "take 1, 2, 4, 8 ranks");
    /* each is as it was, and trains alone */
    ranks[2].group = NULL;
    assert_ok(join_and_fit(&ranks[2]));
    free_ranks(ranks, 3);
    make_ranks(ranks, 2, RUN("train.shards=12"));
    refuse(ranks, 2, "take 1, 3, 6, 12 ranks");
    free_ranks(ranks, 2);
}

static void another_option_is_refused_by_name(void **state)
{
    static const char *const changed[][2] = {
        {"train.seed=7", "train.seed = 7"},
        {"optim.beta2=0.9", "optim.beta2 = 0.9"},
        {"train.shards=16", "train.shards = 16"},
        {"compute.isa=reference", "(compute.isa) = reference"}};
    (void)state;
    for (size_t i = 0; i < sizeof changed / sizeof changed[0]; i++) {
        rank ranks[4], different[1];
        make_ranks(ranks, 4, RUN("train.shards=8"));
        make_ranks(different, 1, RUN(changed[i][0]));
        free_ranks(&ranks[2], 1);
        ranks[2] = different[0];
        ranks[2].number = 2;
        refuse(ranks, 4, changed[i][1]);
        assert_non_null(strstr(ranks[0].message, "rank 2: "));
        free_ranks(ranks, 4);
    }
}

static void a_weight_of_another_bit_is_refused(void **state)
{
    rank ranks[4];
    uint32_t bits;
    (void)state;
    make_ranks(ranks, 4, RUN("train.shards=8"));
    float *weight = &ranks[3].trainer->engine->weights[100];
    memcpy(&bits, weight, sizeof bits);
    bits ^= 1;
    memcpy(weight, &bits, sizeof bits);
    refuse(ranks, 4, "rank 3: digest of the weights");
    free_ranks(ranks, 4);
}

static void another_batch_is_refused(void **state)
{
    rank ranks[2];
    (void)state;
    make_ranks(ranks, 2, STEPS("train.shards=8"));
    ranks[1].data->origin[3] ^= 1;
    refuse(ranks, 2, "rank 1 has another batch");
    free_ranks(ranks, 2);
}

/* Its options are the same: the dataset was opened with others. */
static void another_order_of_batches_is_refused(void **state)
{
    rank ranks[2], other_order;
    (void)state;
    make_ranks(ranks, 2, RUN("train.shards=8"));
    make_ranks(&other_order, 1, RUN("data.seed=5"));
    gn2_dataset *mine = ranks[1].train_set;
    ranks[1].train_set = other_order.train_set;
    run(ranks, 2);
    assert_all_say(ranks, 2, GN2_ERR_INVALID_ARG, "rank 1 has another batch");
    ranks[1].train_set = mine;
    free_ranks(ranks, 2);
    free_ranks(&other_order, 1);
}

static void another_plan_of_the_run_is_refused(void **state)
{
    rank ranks[2];
    (void)state;
    make_ranks(ranks, 2, RUN("train.shards=8"));
    gn2_dataset *validation = ranks[1].val_set;
    ranks[1].val_set = ranks[1].train_set;
    run(ranks, 2);
    assert_all_say(ranks, 2, GN2_ERR_INVALID_ARG,
                   "rank 1: batches of the validation = 3, where rank 0 has");
    ranks[1].val_set = validation;
    free_ranks(ranks, 2);
}

static void a_bad_label_on_one_rank_ends_the_step_of_all(void **state)
{
    rank ranks[4];
    (void)state;
    make_ranks(ranks, 4, STEPS("train.shards=8"));
    ranks[2].data->flavour[5] = 99;
    refuse(ranks, 4, "rank 2: ");
    for (int32_t i = 0; i < 4; i++)
        assert_int_equal(gn2_train_steps(ranks[i].trainer), 0);
    free_ranks(ranks, 4);
}

/* ---- transports that fail ---- */

static int64_t count_exchanges(int32_t size, const char *const *options,
                               int32_t at_rank)
{
    rank ranks[MOST_RANKS];
    world w = {.fault = FAULT_FAIL, .at = -1, .at_rank = at_rank};
    make_ranks(ranks, size, options);
    run_ranks(ranks, size, &w, join_and_step);
    assert_all_ok(ranks, size);
    free_ranks(ranks, size);
    return w.exchanges;
}

/* A rank that has nothing more to receive ends well: its last message is lost. */
static void fail_each(int32_t size, const char *const *options, fault kind)
{
    for (int32_t at_rank = 0; at_rank < 2; at_rank++) {
        const int64_t count = count_exchanges(size, options, at_rank);
        assert_true(count > 5);
        for (int64_t k = 0; k < count; k++) {
            rank ranks[MOST_RANKS];
            world w = {.fault = kind, .at = k, .at_rank = at_rank};
            int failed = 0;
            make_ranks(ranks, size, options);
            run_ranks(ranks, size, &w, join_and_step);
            for (int32_t i = 0; i < size; i++) failed += ranks[i].status != GN2_OK;
            if (kind == FAULT_FAIL) assert_int_not_equal(ranks[at_rank].status, GN2_OK);
            if (failed < (k + 4 < count ? size : 1))
                fail_msg("exchange %d of rank %d: %d of %d ranks failed", (int)k,
                         (int)at_rank, failed, (int)size);
            free_ranks(ranks, size);
        }
    }
}

static void every_exchange_that_fails_ends_all_ranks(void **state)
{
    (void)state;
    fail_each(4, STEPS("train.shards=8"), FAULT_FAIL);
    fail_each(3, STEPS("train.shards=6"), FAULT_FAIL);
}

static void a_message_cut_short_ends_all_ranks(void **state)
{
    rank ranks[4];
    (void)state;
    for (int64_t k = 0; k < 12; k += 3) {
        world w = {.fault = FAULT_TRUNCATE, .at = k, .at_rank = 1};
        make_ranks(ranks, 4, STEPS("train.shards=8"));
        run_ranks(ranks, 4, &w, join_and_step);
        for (int32_t i = 0; i < 4; i++) assert_int_not_equal(ranks[i].status, GN2_OK);
        free_ranks(ranks, 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_of_each_rank_come_to_all),
        cmocka_unit_test(bits_do_not_depend_on_the_number_of_ranks),
        cmocka_unit_test(a_rank_holds_gradients_of_its_own_shards),
        cmocka_unit_test(a_run_goes_on_with_other_ranks),
        cmocka_unit_test(files_are_those_of_one_process),
        cmocka_unit_test(a_callback_that_stops_one_rank_stops_all),
        cmocka_unit_test(other_numbers_of_ranks_are_refused),
        cmocka_unit_test(another_option_is_refused_by_name),
        cmocka_unit_test(a_weight_of_another_bit_is_refused),
        cmocka_unit_test(another_batch_is_refused),
        cmocka_unit_test(another_order_of_batches_is_refused),
        cmocka_unit_test(another_plan_of_the_run_is_refused),
        cmocka_unit_test(a_bad_label_on_one_rank_ends_the_step_of_all),
        cmocka_unit_test(every_exchange_that_fails_ends_all_ranks),
        cmocka_unit_test(a_message_cut_short_ends_all_ranks),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
