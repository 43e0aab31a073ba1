/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules: known values of torch's OneCycleLR, ends and shape of the others,
 * and what is refused. */
#include <math.h>

#include "unit.h"

#include "config/table.h"
#include "optim/schedule.h"
#include "util/alloc.h"
#include "util/str.h"

static gn2_schedule make(const char *name, int64_t steps, double pct)
{
    return (gn2_schedule){.kind = gn2_schedule_find(name),
                          .steps = steps,
                          .initial = 1e-7,
                          .max = 5e-4,
                          .end = 1e-5,
                          .pct_start = pct,
                          .decay_share = 0.2,
                          .beta1_max = 0.95,
                          .beta1_min = 0.85};
}

static double lr_at(const gn2_schedule *s, int64_t step)
{
    double lr, beta1;
    gn2_schedule_at(s, step, &lr, &beta1);
    return lr;
}

static void assert_near(double got, double want, double relative)
{
    if (fabs(got - want) > relative * fabs(want))
        fail_msg("%.17g, not %.17g", got, want);
}

/* Values of torch for GN2's own schedule; printed there with eight digits. */
static void onecycle_gives_torchs_values(void **state)
{
    static const struct {
        int64_t step;
        double lr, beta1;
    } rows[] = {
        {0, 1.0e-7, .95}, {1, 1.5173829e-5, .9469846},   {5, 2.9345336e-4, .8913176},
        {9, 5e-4, .85},   {100, 4.8985556e-4, .8520703}, {500, 2.5810978e-4, .8993654},
        {999, 1e-5, .95},
    };
    const gn2_schedule s = make("onecycle", 1000, 0.01);
    (void)state;
    assert_ok(gn2_schedule_check(&s));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double lr, beta1;
        gn2_schedule_at(&s, rows[i].step, &lr, &beta1);
        assert_near(lr, rows[i].lr, 1e-7);
        assert_near(beta1, rows[i].beta1, 1e-7);
    }
}

static void onecycle_without_warm_up_starts_inside_the_descent(void **state)
{
    const gn2_schedule s = make("onecycle", 50, 0.01); /* e1 = −0.5 */
    const double p = 0.5 / 49.5;
    (void)state;
    assert_near(lr_at(&s, 0), 1e-5 + (5e-4 - 1e-5) / 2 * (1 + cos(acos(-1.0) * p)),
                1e-12);
    assert_near(lr_at(&s, 49), 1e-5, 1e-12);
}

/* 1/pct steps: torch divides by zero. The step is at `max`, and the descent is that of
 * a warm-up a hair shorter. */
static void a_warm_up_of_one_step_is_its_end(void **state)
{
    (void)state;
    for (size_t i = 0; gn2_schedule_name(i); i++) {
        const gn2_schedule s = make(gn2_schedule_name(i), 100, 0.01);
        const gn2_schedule shorter = make(gn2_schedule_name(i), 100, 0.01 - 1e-13);
        assert_ok(gn2_schedule_check(&s));
        assert_near(lr_at(&s, 0), 5e-4, 0);
        for (int64_t k = 0; k < 100; k++)
            assert_near(lr_at(&s, k), lr_at(&shorter, k), 1e-9);
    }
    const gn2_schedule all = make("onecycle", 1, 1);
    assert_near(lr_at(&all, 0), 5e-4, 0);
}

static void a_schedule_without_steps_is_refused(void **state)
{
    const gn2_schedule s = make("cosine", 0, 0.1);
    const gn2_schedule constant = make("constant", 0, 0.1);
    (void)state;
    assert_int_equal(gn2_schedule_check(&s), GN2_ERR_STATE);
    assert_ok(gn2_schedule_check(&constant));
    assert_near(lr_at(&constant, 123456789), 5e-4, 0);
    assert_int_equal(gn2_schedule_length(&constant), INT64_MAX);
    assert_int_equal(gn2_schedule_length(&s), 0);
}

static void descending(const gn2_schedule *s, int64_t from)
{
    for (int64_t k = from + 1; k < s->steps; k++)
        assert_true(lr_at(s, k) < lr_at(s, k - 1));
}

static void warm_up_is_a_line_and_the_end_is_reached(void **state)
{
    static const char *const kinds[] = {"cosine", "linear", "wsd"};
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const gn2_schedule s = make(kinds[i], 101, 11.0 / 101); /* e1 = 10 */
        double lr, beta1;
        assert_near(lr_at(&s, 0), 1e-7, 1e-12);
        assert_near(lr_at(&s, 5), (1e-7 + 5e-4) / 2, 1e-12);
        assert_near(lr_at(&s, 10), 5e-4, 1e-12);
        gn2_schedule_at(&s, 100, &lr, &beta1);
        assert_near(lr, 1e-5, 1e-12);
        assert_near(beta1, 0.95, 0);
    }
}

static void descents_have_their_shapes(void **state)
{
    const gn2_schedule cosine = make("cosine", 101, 0);
    const gn2_schedule linear = make("linear", 101, 0);
    const gn2_schedule wsd = make("wsd", 101, 0); /* decay from 79.8 */
    (void)state;
    descending(&cosine, 0);
    descending(&linear, 0);
    descending(&wsd, 80);
    assert_near(lr_at(&cosine, 0), 5e-4, 1e-12);
    assert_near(lr_at(&cosine, 50), (5e-4 + 1e-5) / 2, 1e-12);
    assert_near(lr_at(&cosine, 25), 1e-5 + (5e-4 - 1e-5) * (1 + sqrt(0.5)) / 2, 1e-12);
    assert_near(lr_at(&linear, 25), 5e-4 + (1e-5 - 5e-4) / 4, 1e-12);
    assert_near(lr_at(&wsd, 79), 5e-4, 1e-12);
    assert_near(lr_at(&wsd, 90), 5e-4 + (1e-5 - 5e-4) * (90 - 79.8) / 20.2, 1e-12);
}

static void a_decay_longer_than_the_rest_begins_after_the_warm_up(void **state)
{
    gn2_schedule s = make("wsd", 101, 51.0 / 101); /* e1 = 50 */
    s.decay_share = 1;
    (void)state;
    assert_near(lr_at(&s, 50), 5e-4, 1e-12);
    assert_near(lr_at(&s, 75), (5e-4 + 1e-5) / 2, 1e-12);
}

static void rates_stay_between_their_bounds(void **state)
{
    (void)state;
    for (size_t kind = 0; gn2_schedule_name(kind); kind++)
        for (int64_t steps = 1; steps <= 40; steps++)
            for (int p = 0; p <= 10; p++) {
                const gn2_schedule s = make(gn2_schedule_name(kind), steps, p / 10.0);
                assert_ok(gn2_schedule_check(&s));
                for (int64_t k = 0; k < steps; k++) {
                    double lr, beta1;
                    gn2_schedule_at(&s, k, &lr, &beta1);
                    assert_true(lr >= 1e-7 * (1 - 1e-12) && lr <= 5e-4 * (1 + 1e-12));
                    assert_true(beta1 >= 0.85 - 1e-12 && beta1 <= 0.95 + 1e-12);
                }
            }
}

static void keys_are_read(void **state)
{
    gn2_config *config = NULL;
    gn2_schedule s;
    (void)state;
    assert_ok(gn2_config_new(&config));
    assert_ok(gn2_config_put_str(config, "schedule.name", "wsd"));
    assert_ok(gn2_config_put_i64(config, "schedule.steps", 77));
    assert_ok(gn2_config_put_f64(config, "schedule.decay_share", 0.5));
    gn2_schedule_read(config, &s);
    gn2_config_delete(config);
    assert_ptr_equal(s.kind, gn2_schedule_find("wsd"));
    assert_int_equal(s.steps, 77);
    assert_near(s.decay_share, 0.5, 0);
    assert_near(s.max, 5e-4, 0);
}

static void the_words_of_the_key_are_the_table(void **state)
{
    gn2_text words = {0};
    (void)state;
    for (size_t i = 0; gn2_schedule_name(i); i++) {
        gn2_text_format(&words, "%s%s", i ? "|" : "", gn2_schedule_name(i));
        assert_ptr_not_equal(gn2_schedule_find(gn2_schedule_name(i)), NULL);
    }
    assert_string_equal(words.data, gn2_config_find_row("schedule.name")->choices);
    assert_null(gn2_schedule_find("none"));
    gn2_free(words.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(onecycle_gives_torchs_values),
        cmocka_unit_test(onecycle_without_warm_up_starts_inside_the_descent),
        cmocka_unit_test(a_warm_up_of_one_step_is_its_end),
        cmocka_unit_test(a_schedule_without_steps_is_refused),
        cmocka_unit_test(warm_up_is_a_line_and_the_end_is_reached),
        cmocka_unit_test(descents_have_their_shapes),
        cmocka_unit_test(a_decay_longer_than_the_rest_begins_after_the_warm_up),
        cmocka_unit_test(rates_stay_between_their_bounds),
        cmocka_unit_test(keys_are_read),
        cmocka_unit_test(the_words_of_the_key_are_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
