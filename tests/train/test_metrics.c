/* SPDX-License-Identifier: Apache-2.0 */
/* Figures of merit on numbers that were worked out by hand. */
#include <math.h>

#include "../unit/unit.h"
#include "train/metrics.h"

#define SCORES(...)                                \
    ((gn2_scores){.value = (float[]){__VA_ARGS__}, \
                  .count = sizeof((float[]){__VA_ARGS__}) / sizeof(float)})

static void auc_counts_ordered_pairs(void **state)
{
    const gn2_scores signal = SCORES(1, 3, 5), background = SCORES(0, 2, 4);
    (void)state;
    /* above: 1 beats 1, 3 beats 2, 5 beats 3: 6 of 9 */
    assert_true(fabs(gn2_metric_auc(&signal, &background) - 6.0 / 9) < 1e-15);
    assert_true(fabs(gn2_metric_auc(&background, &signal) - 3.0 / 9) < 1e-15);
}

static void auc_counts_ties_half(void **state)
{
    const gn2_scores signal = SCORES(1, 2, 2, 7), background = SCORES(2, 2, 2);
    (void)state;
    /* 1: 0 of 3, each 2: 1.5 of 3, 7: 3 of 3 */
    assert_true(gn2_metric_auc(&signal, &background) == 6.0 / 12);
    assert_true(gn2_metric_auc(&background, &background) == 0.5);
}

static void auc_of_nothing_is_nan(void **state)
{
    const gn2_scores none = {0}, some = SCORES(1);
    (void)state;
    assert_true(isnan(gn2_metric_auc(&none, &some)));
    assert_true(isnan(gn2_metric_auc(&some, &none)));
}

static void sorting_orders_scores(void **state)
{
    gn2_scores s = SCORES(3, -1, 2, 2, 0);
    const float want[] = {-1, 0, 2, 2, 3};
    (void)state;
    gn2_scores_sort(&s);
    assert_memory_equal(s.value, want, sizeof want);
}

static void cuts_keep_at_least_the_efficiency(void **state)
{
    const gn2_scores b = SCORES(0, 1, 2, 3, 4, 5, 6, 7, 8, 9);
    const gn2_scores none = {0};
    (void)state;
    assert_true(gn2_metric_cut(&b, 0.7) == 3);  /* floor(0.3·10) */
    assert_true(gn2_metric_cut(&b, 0.65) == 3); /* floor(3.5) */
    assert_true(gn2_metric_cut(&b, 0.85) == 1);
    assert_true(isnan(gn2_metric_cut(&none, 0.7)));
}

static void rejection_is_one_over_the_share_that_passes(void **state)
{
    const gn2_scores light = SCORES(0, 1, 2, 3, 4), none = {0};
    (void)state;
    assert_true(gn2_metric_rejection(&light, 3) == 2.5); /* 3 and 4 pass */
    assert_true(gn2_metric_rejection(&light, -1) == 1);
    assert_true(isinf(gn2_metric_rejection(&light, 5)));
    assert_true(isnan(gn2_metric_rejection(&none, 5)));
    assert_true(isnan(gn2_metric_rejection(&light, (double)NAN)));
}

static void figures_of_unknown_scores_are_unknown(void **state)
{
    const gn2_scores known = SCORES(1, 2, 3);
    gn2_scores s = SCORES(2, (float)NAN, -1, (float)NAN, 5, 0);
    (void)state;
    gn2_scores_sort(&s);
    const float want[] = {-1, 0, 2, 5};
    assert_memory_equal(s.value, want, sizeof want);
    assert_true(isnan(s.value[4]) && isnan(s.value[5]));
    assert_true(isnan(gn2_metric_auc(&s, &known)));
    assert_true(isnan(gn2_metric_auc(&known, &s)));
    assert_true(isnan(gn2_metric_cut(&s, 0.7)));
    assert_true(isnan(gn2_metric_rejection(&s, 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auc_counts_ordered_pairs),
        cmocka_unit_test(auc_counts_ties_half),
        cmocka_unit_test(auc_of_nothing_is_nan),
        cmocka_unit_test(sorting_orders_scores),
        cmocka_unit_test(cuts_keep_at_least_the_efficiency),
        cmocka_unit_test(rejection_is_one_over_the_share_that_passes),
        cmocka_unit_test(figures_of_unknown_scores_are_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
