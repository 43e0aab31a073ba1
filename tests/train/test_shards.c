/* SPDX-License-Identifier: Apache-2.0 */
#define _DEFAULT_SOURCE /* mincore */
/* `train.shards` = 0: a number made of the batch, never of the threads, that a
 * checkpoint keeps; the word about threads that have nothing to do; and
 * `train.chunk_tokens` = 0, which the width decides. */
#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "data/shards.h"
#include "session.h"

static void the_number_is_the_largest_that_leaves_64_tokens(void **state)
{
    static const struct {
        int64_t batch;
        double constituents;
        int32_t shards;
    } rows[] = {{1, 0, 1},        {10, 10, 1},      {500, 8.6, 64},
                {500, 15.4, 128}, {12, 9.7, 2},     {11, 10, 1},
                {1000, 0, 8},     {4000, 8.6, 128}, {1e8, 40, 128}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(gn2_shards_of(rows[i].batch, rows[i].constituents),
                         rows[i].shards);
}

/* A run of 100 jets a step: 16 shards of 11 tokens a jet. */
static session open_run(const char *threads, const char *shards)
{
    session s = {.config = toy_config(OPTIONS(
                     "model.dropout_ffn=0.1", "train.epochs=3", "data.batch_size=100",
                     "schedule.steps=0", "data.prefetch=0", "data.class_weights=no")),
                 .data = toy_create(300, 21)};
    assert_ok(gn2_config_put_text(s.config, "train.threads", threads));
    assert_ok(gn2_config_put_text(s.config, "train.shards", shards));
    s.trainer = toy_trainer(s.config);
    assert_ok(
        gn2_dataset_arrays_impl(&s.data->jets, &s.data->labels, s.config, &s.dataset));
    return s;
}

static void bits_are_those_of_the_number_whatever_the_threads(void **state)
{
    static const struct {
        const char *threads, *shards;
    } rows[] = {{"2", "0"}, {"5", "0"}, {"1", "16"}};
    session one = open_run("1", "0");
    (void)state;
    assert_int_equal(one.trainer->engine->options.shards, 16);
    assert_ok(fit(&one, NULL, NULL));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        session s = open_run(rows[i].threads, rows[i].shards);
        assert_ok(fit(&s, NULL, NULL));
        assert_same_state(one.trainer, s.trainer);
        close_session(&s);
    }
    session eight = open_run("1", "8");
    assert_ok(fit(&eight, NULL, NULL));
    assert_memory_not_equal(one.trainer->engine->weights,
                            eight.trainer->engine->weights,
                            (size_t)one.trainer->params->total * sizeof(float));
    close_session(&eight);
    close_session(&one);
}

static int32_t stop_at_1(void *user, const gn2_progress *progress)
{
    (void)user;
    return progress->step == 1;
}

/* Arenas are summed in blocks that shrink with the number of shards, down to 64
 * elements: no element may be left out, or taken twice. The sums of some 600 rows in
 * another order differ by at most 600·2^−24 = 4e-5 of the sum of their sizes, for which
 * the gradient's norm is taken (found: 9e-8 of it). */
static void all_of_many_shards_is_summed(void **state)
{
    static const char *const shards[] = {"7", "16", "100", "1024"};
    session one = open_run("1", "1");
    const gn2_engine_f32 *a = one.trainer->engine;
    (void)state;
    assert_status(GN2_ERR_CANCELLED, fit(&one, stop_at_1, NULL));
    for (size_t i = 0; i < sizeof shards / sizeof *shards; i++) {
        session many = open_run("2", shards[i]);
        const gn2_engine_f32 *b = many.trainer->engine;
        assert_status(GN2_ERR_CANCELLED, fit(&many, stop_at_1, NULL));
        for (int64_t k = 0; k < a->params->total; k++)
            assert_true(fabs((double)(a->share.grads[k] - b->share.grads[k])) <
                        4e-5 * a->gradient_norm);
        assert_true(fabs(a->gradient_norm - b->gradient_norm) <
                    4e-5 * a->gradient_norm);
        close_session(&many);
    }
    close_session(&one);
}

static int32_t stop_at_5(void *user, const gn2_progress *progress)
{
    (void)user;
    return progress->step == 5;
}

/* The trainer that goes on would choose another number by itself. */
static void a_run_goes_on_with_the_number_it_began_with(void **state)
{
    session whole = open_run("1", "32"), first = open_run("1", "32");
    session second = open_run("2", "0");
    (void)state;
    assert_ok(fit(&whole, NULL, NULL));
    assert_status(GN2_ERR_CANCELLED, fit(&first, stop_at_5, NULL));
    assert_ok(gn2_train_save(first.trainer, path));
    assert_int_equal(second.trainer->engine->options.shards, 16);
    assert_ok(gn2_train_load(second.trainer, path));
    assert_int_equal(second.trainer->engine->options.shards, 32);
    assert_ok(fit(&second, NULL, NULL));
    assert_same_state(whole.trainer, second.trainer);
    session four = open_run("1", "4");
    assert_status(GN2_ERR_INVALID_ARG, gn2_train_load(four.trainer, path));
    assert_message("train.shards = 32");
    close_session(&four);
    close_session(&second);
    close_session(&first);
    close_session(&whole);
}

/* 300 jets of the toy have 0 to 12 tracks, 4.8 on the average. */
static void data_replaces_the_0_in_a_config(void **state)
{
    session s = open_run("1", "0");
    (void)state;
    const int64_t *offsets = s.data->offsets;
    const double mean = (double)offsets[300] / 300;
    assert_true(gn2_shards_of(100, mean) != 16);
    assert_ok(gn2_dataset_setup_impl(s.dataset, s.config));
    assert_int_equal(gn2_config_i64(s.config, "train.shards"),
                     gn2_shards_of(100, mean));
    assert_ok(gn2_config_put_i64(s.config, "train.shards", 3));
    assert_ok(gn2_dataset_setup_impl(s.dataset, s.config));
    assert_int_equal(gn2_config_i64(s.config, "train.shards"), 3);
    close_session(&s);
}

/* ---- where memory comes to lie ---- */

/* Share of the pages of a block that are there. */
static double resident(const void *block, size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = bytes / page - 1;
    const uintptr_t first = ((uintptr_t)block + page - 1) / page * page;
    unsigned char *there = malloc(pages);
    size_t count = 0;
    assert_non_null(there);
    assert_int_equal(mincore((void *)first, pages * page, there), 0);
    for (size_t i = 0; i < pages; i++) count += there[i] & 1;
    free(there);
    return (double)count / (double)pages;
}

/* Nobody has touched the gradients before those that work on them: with so many threads
 * each shard is a block of its own. */
static void gradients_lie_where_they_are_worked_on(void **state)
{
#ifdef __GLIBC__
    mallopt(M_PERTURB, 0); /* which meson sets: malloc() would write to all of it */
#endif
    session s = open_run("128", "1024");
    const gn2_engine_f32 *e = s.trainer->engine;
    const size_t bytes = 1024 * (size_t)e->stride * sizeof(float);
    (void)state;
    assert_int_equal(e->share.blocks, 1024);
    assert_true(bytes > (size_t)33 << 20); /* malloc asks the system for it */
    assert_true(e->space[0]->fresh && e->space[1]->fresh);
    assert_true(resident(e->share.grads, bytes) < 0.01);
    assert_status(GN2_ERR_CANCELLED, fit(&s, stop_at_1, NULL));
    assert_true(resident(e->share.grads, bytes) > 0.99);
    close_session(&s);
}

/* A thread sums a block of shards on its way: the arenas are as many as there are
 * blocks, and log2 of a block for each thread. */
static void few_threads_need_few_gradients(void **state)
{
    static const struct {
        const char *threads, *shards;
        int32_t blocks, levels;
    } rows[] = {{"1", "1", 1, 0},   {"1", "8", 1, 3},  {"1", "100", 1, 7},
                {"2", "64", 16, 2}, {"2", "8", 8, 0},  {"3", "100", 25, 2},
                {"8", "64", 64, 0}, {"5", "40", 40, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        session s = open_run(rows[i].threads, rows[i].shards);
        const gn2_engine_f32 *e = s.trainer->engine;
        assert_int_equal(e->share.blocks, rows[i].blocks);
        assert_int_equal(e->share.levels, rows[i].levels);
        close_session(&s);
    }
}

/* What is dear is begun first, whatever it is that shards are joined to. */
static void dear_blocks_are_handed_out_first(void **state)
{
    static const char *const threads[] = {"1", "2", "30"};
    (void)state;
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        session s = open_run(threads[i], "33");
        const gn2_engine_f32 *e = s.trainer->engine;
        const gn2_turn *order = e->share.order;
        unsigned char seen[33] = {0};
        assert_status(GN2_ERR_CANCELLED, fit(&s, stop_at_1, NULL));
        for (int32_t k = 0; k < e->share.blocks; k++) {
            assert_true(order[k].cost > 0);
            assert_true(k == 0 || order[k].cost <= order[k - 1].cost);
            assert_int_equal(seen[order[k].block]++, 0);
        }
        close_session(&s);
    }
}

/* The tree of the sums is that of the shards, however threads share them out: at 30
 * threads each shard is a block. */
static void blocks_of_shards_keep_the_bits(void **state)
{
    static const char *const shards[] = {"7", "33", "64", "100", "128"};
    static const char *const threads[] = {"1", "2", "3"};
    (void)state;
    for (size_t i = 0; i < sizeof shards / sizeof *shards; i++) {
        session alone = open_run("30", shards[i]);
        assert_int_equal(alone.trainer->engine->share.block, 1);
        assert_status(GN2_ERR_CANCELLED, fit(&alone, stop_at_5, NULL));
        for (size_t k = 0; k < sizeof threads / sizeof *threads; k++) {
            session s = open_run(threads[k], shards[i]);
            assert_status(GN2_ERR_CANCELLED, fit(&s, stop_at_5, NULL));
            assert_same_state(alone.trainer, s.trainer);
            close_session(&s);
        }
        close_session(&alone);
    }
}

/* ---- the word about idle threads ---- */

static char said[512];
static int lines;

static void keep_line(void *user, int32_t severity, const char *line)
{
    (void)user;
    if (severity != GN2_LOG_WARNING) return;
    lines++;
    strncpy(said, line, sizeof said - 1);
}

static void idle_threads_are_told_of(void **state)
{
    static const struct {
        const char *threads, *shards, *words;
    } rows[] = {{"9", "8", "1 of 9 threads have nothing to do"},
                {"20", "0", "4 of 20 threads have nothing to do"},
                {"8", "8", NULL},
                {"1", "0", NULL}};
    (void)state;
    gn2_log_set(keep_line, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lines = 0;
        session s = open_run(rows[i].threads, rows[i].shards);
        assert_int_equal(lines, rows[i].words != NULL);
        if (rows[i].words) assert_non_null(strstr(said, rows[i].words));
        close_session(&s);
    }
    gn2_log_set(NULL, NULL);
}

static void the_width_decides_what_is_worked_on_at_a_time(void **state)
{
    static const struct {
        const char *width, *asked;
        int64_t tokens;
    } rows[] = {{"16", "0", 128}, {"128", "0", 128}, {"136", "0", 512}, {"16", "7", 7}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        session s = {.config = toy_config(OPTIONS("model.num_layers=1"))};
        assert_ok(gn2_config_put_text(s.config, "model.embed_dim", rows[i].width));
        assert_ok(gn2_config_put_text(s.config, "train.chunk_tokens", rows[i].asked));
        s.trainer = toy_trainer(s.config);
        assert_int_equal(s.trainer->engine->options.chunk_tokens, rows[i].tokens);
        gn2_train_delete(s.trainer);
        gn2_config_delete(s.config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_number_is_the_largest_that_leaves_64_tokens),
        cmocka_unit_test(bits_are_those_of_the_number_whatever_the_threads),
        cmocka_unit_test(all_of_many_shards_is_summed),
        cmocka_unit_test(a_run_goes_on_with_the_number_it_began_with),
        cmocka_unit_test(data_replaces_the_0_in_a_config),
        cmocka_unit_test(gradients_lie_where_they_are_worked_on),
        cmocka_unit_test(few_threads_need_few_gradients),
        cmocka_unit_test(dear_blocks_are_handed_out_first),
        cmocka_unit_test(blocks_of_shards_keep_the_bits),
        cmocka_unit_test(idle_threads_are_told_of),
        cmocka_unit_test(the_width_decides_what_is_worked_on_at_a_time),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
