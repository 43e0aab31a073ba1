/* SPDX-License-Identifier: Apache-2.0 */
/* A training by a group of ranks is that of one process, to the bit. */
#include <stdio.h>

#include "group/group.h"
#include "ranks.h"
#include "session.h"

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
        fit_ranks(ranks, *sizes);
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
    if (gn2_bf16_detect() != GN2_BF16_NONE)
        compare_with_alone(RUN("train.shards=8", "train.precision=bf16"), SIZES(2, 4));
}

/* One that waits for all of a message, against one that is told of parts. */
static void compare_transports(int32_t size, const char *const *options)
{
    rank ranks[2][MOST_RANKS];
    world w[2] = {{.whole = 0}, {.whole = 1}};
    for (int k = 0; k < 2; k++) {
        make_ranks(ranks[k], size, options);
        run_ranks(ranks[k], size, &w[k], join_and_fit);
        assert_all_ok(ranks[k], size);
    }
    for (int32_t i = 0; i < size; i++) {
        assert_same_run(&ranks[0][i], &ranks[1][i]);
        assert_int_equal(w[0].exchanges[i], w[1].exchanges[i]);
        assert_int_equal(w[1].in_parts[i], 0);
    }
    assert_true(w[0].in_parts[0] > 0);
    for (int k = 0; k < 2; k++) free_ranks(ranks[k], size);
}

static void bits_do_not_depend_on_parts_of_messages(void **state)
{
    (void)state;
    compare_transports(2, RUN("train.shards=8"));
    compare_transports(4, RUN("train.shards=8", "train.threads=2"));
    compare_transports(3, RUN("train.shards=12"));
}

/* ---- figures ---- */

static void assert_same_figures(const gn2_metrics *a, const gn2_metrics *b)
{
    assert_int_equal(a->jets, b->jets);
    assert_int_equal(a->metric_count, b->metric_count);
    assert_memory_equal(&a->loss, &b->loss, sizeof a->loss);
    assert_memory_equal(a->task_losses, b->task_losses,
                        (size_t)a->task_count * sizeof *a->task_losses);
    for (int64_t i = 0; i < a->metric_count; i++) {
        assert_string_equal(a->metrics[i].name, b->metrics[i].name);
        assert_memory_equal(&a->metrics[i].value, &b->metrics[i].value,
                            sizeof a->metrics[i].value);
    }
}

static void compare_figures(const char *const *options, const int32_t *sizes)
{
    rank alone;
    make_ranks(&alone, 1, options);
    assert_ok(join_and_evaluate(&alone));
    assert_true(alone.figures.metric_count > 10);
    for (; *sizes; sizes++) {
        rank ranks[MOST_RANKS];
        world w = {.fault = FAULT_ORDER};
        make_ranks(ranks, *sizes, options);
        run_ranks(ranks, *sizes, &w, join_and_evaluate);
        assert_all_ok(ranks, *sizes);
        for (int32_t i = 0; i < *sizes; i++)
            assert_same_figures(&alone.figures, &ranks[i].figures);
        free_ranks(ranks, *sizes);
    }
    free_ranks(&alone, 1);
}

/* The last batch has fewer jets than there are shards, so that some ranks have none. */
static void figures_of_an_evaluation_are_those_of_one_rank(void **state)
{
    (void)state;
    compare_figures(RUN("train.shards=8"), SIZES(1, 2, 4, 8));
    compare_figures(RUN("train.shards=12"), SIZES(1, 3, 6));
    compare_figures(RUN("train.shards=8", "data.batch_size=33"), SIZES(4, 8));
    compare_figures(RUN("train.shards=6", "train.threads=2"), SIZES(3));
}

static void count_jets(void *user, const gn2_pass_f32 *pass)
{
    *(int64_t *)user += pass->chunk.jets;
}

/* Each does its part of the work: what another rank does is not done here. */
static gn2_status count_values(rank *r)
{
    int64_t seen = 0;
    GN2_TRY(gn2_train_join(r->trainer, r->group));
    gn2_engine_f32 *engine = r->trainer->engine;
    gn2_batch_f32 batch;
    GN2_TRY(gn2_input_read(&r->trainer->input, r->trainer->model, NULL, &r->val->jets,
                           &batch));
    const gn2_visitor_f32 visitor = {.fn = count_jets, .user = &seen, .together = 1};
    GN2_TRY(gn2_engine_forward_f32(engine, &batch, NULL, &visitor));
    r->steps = seen;
    return GN2_OK;
}

static void ranks_share_the_jets_of_an_evaluation(void **state)
{
    rank ranks[4];
    world w = {0};
    int64_t all = 0;
    (void)state;
    make_ranks(ranks, 4, RUN("train.shards=8"));
    run_ranks(ranks, 4, &w, count_values);
    assert_all_ok(ranks, 4);
    for (int32_t i = 0; i < 4; i++) {
        assert_in_range(ranks[i].steps, 1, 20);
        all += ranks[i].steps;
    }
    assert_int_equal(all, 35);
    free_ranks(ranks, 4);
}

/* The same numbers added in another order: what compares bits must find it. */
static void a_wrong_tree_gives_other_bits(void **state)
{
    rank alone, ranks[3];
    world w = {.fault = FAULT_SWAP};
    (void)state;
    make_ranks(&alone, 1, RUN("train.shards=6"));
    make_ranks(ranks, 3, RUN("train.shards=6"));
    assert_ok(join_and_fit(&alone));
    run_ranks(ranks, 3, &w, join_and_fit);
    assert_all_ok(ranks, 3);
    const size_t bytes = (size_t)alone.trainer->params->total * sizeof(float);
    assert_same_weights(ranks[0].trainer, ranks[2].trainer);
    assert_memory_not_equal(alone.trainer->engine->weights,
                            ranks[0].trainer->engine->weights, bytes);
    free_ranks(ranks, 3);
    free_ranks(&alone, 1);
}

/* ---- memory ---- */

static void a_rank_holds_gradients_of_its_own_shards(void **state)
{
    rank ranks[4];
    (void)state;
    make_ranks(ranks, 4, RUN("train.shards=8", "train.threads=4"));
    const size_t before = gn2_train_memory(ranks[3].trainer);
    const size_t arena = (size_t)ranks[3].trainer->engine->stride * sizeof(float);
    fit_ranks(ranks, 4);
    assert_all_ok(ranks, 4);
    /* 2 of 8 arenas, so many threads want each shard's, and one for what comes in */
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
    fit_ranks(ranks, first);
    assert_all_say(ranks, first, GN2_ERR_CANCELLED, "after step 5");
    free_ranks(ranks, first);
    make_ranks(ranks, second, RUN("train.shards=8"));
    for (int32_t i = 0; i < second; i++) ranks[i].load = path;
    fit_ranks(ranks, second);
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
    fit_ranks(ranks, 2);
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
    fit_ranks(ranks, 3);
    assert_all_say(ranks, 3, GN2_ERR_CANCELLED, "stopped by the progress callback");
    assert_all_at(ranks, 3, 4);
    free_ranks(ranks, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_of_each_rank_come_to_all),
        cmocka_unit_test(bits_do_not_depend_on_the_number_of_ranks),
        cmocka_unit_test(bits_do_not_depend_on_parts_of_messages),
        cmocka_unit_test(figures_of_an_evaluation_are_those_of_one_rank),
        cmocka_unit_test(ranks_share_the_jets_of_an_evaluation),
        cmocka_unit_test(a_wrong_tree_gives_other_bits),
        cmocka_unit_test(a_rank_holds_gradients_of_its_own_shards),
        cmocka_unit_test(a_run_goes_on_with_other_ranks),
        cmocka_unit_test(files_are_those_of_one_process),
        cmocka_unit_test(a_callback_that_stops_one_rank_stops_all),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
