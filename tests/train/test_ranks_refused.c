/* SPDX-License-Identifier: Apache-2.0 */
/* What is not the same on all ranks ends all of them, by name. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "data/dataset.h"
#include "data/module.h"
#include "group/group.h"
#include "ranks.h"
#include "train/trainer.h"
#include "util/alloc.h"

static void refuse(rank *ranks, int32_t size, const char *words)
{
    world w = {0};
    run_ranks(ranks, size, &w, join_and_step);
    assert_all_say(ranks, size, GN2_ERR_INVALID_ARG, words);
}

/* Makes one of the ranks anew. */
static void change_rank(rank *ranks, int32_t at, const char *const *options)
{
    free_ranks(&ranks[at], 1);
    make_ranks(&ranks[at], 1, options);
    ranks[at].number = at;
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
        rank ranks[4];
        make_ranks(ranks, 4, RUN("train.shards=8"));
        change_rank(ranks, 2, RUN(changed[i][0]));
        refuse(ranks, 4, changed[i][1]);
        assert_non_null(strstr(ranks[0].message, "rank 2: "));
        if (strstr(changed[i][1], "isa"))
            assert_non_null(strstr(ranks[1].message, "All have compute.isa = "));
        free_ranks(ranks, 4);
    }
}

static void another_arithmetic_is_refused_by_name(void **state)
{
    rank ranks[2];
    (void)state;
    if (gn2_bf16_detect() == GN2_BF16_NONE) skip();
    make_ranks(ranks, 2, RUN("train.shards=8"));
    change_rank(ranks, 1, RUN("train.precision=bf16"));
    refuse(ranks, 2, "(train.precision) = bf16, where rank 0 has ");
    free_ranks(ranks, 2);
}

static void all_ranks_that_differ_are_named(void **state)
{
    rank ranks[8];
    (void)state;
    make_ranks(ranks, 8, RUN("train.shards=8"));
    for (int32_t at = 2; at <= 6; at += 2)
        change_rank(ranks, at, RUN("optim.beta2=0.9"));
    refuse(ranks, 8, "rank 2: optim.beta2 = 0.9, where rank 0 has optim.beta2 = ");
    assert_non_null(strstr(ranks[5].message, "(another one too: 4, 6)"));
    free_ranks(ranks, 8);
}

/* ---- data ---- */

#define SAMPLE TEST_FILES "/../../../examples/data/jets_train.h5"

/* Writes the sample to `path`, and `more` bytes behind it. */
static void copy_sample(const char *path, size_t more)
{
    FILE *from = fopen(SAMPLE, "rb"), *to = fopen(path, "wb");
    int c;
    assert_true(from && to);
    while ((c = fgetc(from)) != EOF) fputc(c, to);
    while (more--) fputc(0, to);
    fclose(from);
    fclose(to);
}

static gn2_status fit_files(rank *r)
{
    gn2_dataset *files = NULL;
    const char *path = r->load;
    GN2_TRY(gn2_train_join(r->trainer, r->group));
    GN2_TRY(gn2_dataset_open_impl(&path, 1, r->config, &files));
    const gn2_status status = gn2_train_fit(r->trainer, files, NULL, NULL, NULL);
    gn2_dataset_free_impl(files);
    return status;
}

static void another_data_file_is_refused_by_name(void **state)
{
    rank ranks[2];
    world w = {0};
    char other[] = "/tmp/gn2_ranks_XXXXXX";
    (void)state;
    if (!gn2_h5_present()) skip();
    close(mkstemp(other));
    for (size_t more = 0; more < 2; more++) {
        copy_sample(other, more);
        make_ranks(ranks, 2,
                   RUN("train.shards=8", "data.max_jets=30", "train.epochs=1",
                       "train.validate_steps=0"));
        ranks[0].load = SAMPLE;
        ranks[1].load = other;
        run_ranks(ranks, 2, &w, fit_files);
        if (more == 0) /* the same elsewhere is the same */
            assert_all_ok(ranks, 2);
        else
            assert_all_say(ranks, 2, GN2_ERR_INVALID_ARG,
                           "rank 1: file 1 of the training data = ");
        if (more) assert_non_null(strstr(ranks[0].message, other));
        free_ranks(ranks, 2);
    }
    unlink(other);
}

/* More lines than there is room for, the last one of the rank's own; behind the tabs
 * what is only shown. */
static gn2_status tell_much(rank *r)
{
    gn2_text text = {0};
    GN2_TRY(gn2_train_join(r->trainer, r->group));
    for (int i = 0; i < 3000; i++)
        gn2_text_format(&text, "file %d of the training data\t%s\n", i, r->load);
    gn2_text_format(&text, "%lld\n", (long long)r->steps);
    const gn2_status status = gn2_train_agree_run(r->trainer, GN2_OK, &text);
    gn2_free(text.data);
    return status;
}

static void much_that_lies_elsewhere_is_the_same(void **state)
{
    (void)state;
    for (int other = 0; other < 2; other++) {
        rank ranks[2];
        world w = {0};
        make_ranks(ranks, 2, RUN("train.shards=8"));
        ranks[0].load = "/a";
        ranks[1].load = "/much/further/away/than/that";
        ranks[1].steps += other;
        run_ranks(ranks, 2, &w, tell_much);
        if (other)
            assert_all_say(ranks, 2, GN2_ERR_INVALID_ARG,
                           "rank 1: digest of more options = ");
        else
            assert_all_ok(ranks, 2);
        free_ranks(ranks, 2);
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
    fit_ranks(ranks, 2);
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
    fit_ranks(ranks, 2);
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
    assert_all_at(ranks, 4, 0);
    free_ranks(ranks, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_numbers_of_ranks_are_refused),
        cmocka_unit_test(another_option_is_refused_by_name),
        cmocka_unit_test(another_arithmetic_is_refused_by_name),
        cmocka_unit_test(all_ranks_that_differ_are_named),
        cmocka_unit_test(another_data_file_is_refused_by_name),
        cmocka_unit_test(much_that_lies_elsewhere_is_the_same),
        cmocka_unit_test(a_weight_of_another_bit_is_refused),
        cmocka_unit_test(another_batch_is_refused),
        cmocka_unit_test(another_order_of_batches_is_refused),
        cmocka_unit_test(another_plan_of_the_run_is_refused),
        cmocka_unit_test(a_bad_label_on_one_rank_ends_the_step_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
