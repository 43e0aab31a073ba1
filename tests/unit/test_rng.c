/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistical bounds are five standard errors of the figure under test, so that a
 * right generator with another key would fail in less than one of 10^6 tries.
 */
#include "unit.h"

#include <math.h>

#include "util/rng.h"

#define COUNT 200000

/* Files and runs are repeatable only while these never change. Computed once from
 * the published splitmix64 finaliser with the constants of rng.h (Python integers). */
static void bits_are_the_documented_function(void **state)
{
    (void)state;
    assert_true(gn2_mix64(0) == 0);
    assert_true(gn2_mix64(0x9E3779B97F4A7C15u) == 0xE220A8397B1DCDAFu);
    assert_true(gn2_rng_bits(0, 0) == 0xA706DD2F4D197E6Fu);
    assert_true(gn2_rng_bits(42, 7) == 0xBC16A3D4CC48678Eu);
    assert_true(gn2_rng_key(42, 1) == 0x0099485F6A894C67u);
}

static void uniform_has_mean_and_variance(void **state)
{
    (void)state;
    double sum = 0, squares = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        const double u = gn2_rng_uniform(1, i);
        assert_true(u > 0 && u < 1);
        sum += u;
        squares += (u - 0.5) * (u - 0.5);
    }
    /* variance 1/12; of (u − ½)²: 1/80 − 1/144 = 1/180 */
    assert_true(fabs(sum / COUNT - 0.5) < 5 * sqrt(1.0 / 12 / COUNT));
    assert_true(fabs(squares / COUNT - 1.0 / 12) < 5 * sqrt(1.0 / 180 / COUNT));
}

static void normal_has_its_first_four_moments(void **state)
{
    (void)state;
    double moment[4] = {0};
    for (uint64_t i = 0; i < COUNT; i++) {
        const double x = gn2_rng_normal(2, i);
        for (int k = 0; k < 4; k++) moment[k] += pow(x, k + 1) / COUNT;
    }
    /* E x^k = 0, 1, 0, 3 with variances 1, 2, 15, 96 */
    const double mean[4] = {0, 1, 0, 3}, variance[4] = {1, 2, 15, 96};
    for (int k = 0; k < 4; k++)
        assert_true(fabs(moment[k] - mean[k]) < 5 * sqrt(variance[k] / COUNT));
}

static void neighbouring_streams_do_not_correlate(void **state)
{
    (void)state;
    for (uint64_t key = 0; key < 8; key++) {
        double product = 0;
        for (uint64_t i = 0; i < COUNT; i++)
            product += (gn2_rng_uniform(key, i) - 0.5) *
                       (gn2_rng_uniform(key + 1, i) - 0.5) / COUNT;
        assert_true(fabs(product) < 5.0 / 12 / sqrt(COUNT));
    }
}

static void below_is_flat(void **state)
{
    (void)state;
    int64_t hits[7] = {0};
    for (uint64_t i = 0; i < COUNT; i++) hits[gn2_rng_below(3, i, 7)]++;
    const double p = 1.0 / 7;
    for (int k = 0; k < 7; k++)
        assert_true(fabs((double)hits[k] - COUNT * p) < 5 * sqrt(COUNT * p * (1 - p)));
    for (uint64_t i = 0; i < 100; i++) assert_true(gn2_rng_below(3, i, 1) == 0);
}

static void permutation_is_one_and_depends_on_the_key(void **state)
{
    (void)state;
    enum { n = 1000 };
    int64_t index[n], other[n];
    unsigned char seen[n] = {0};
    gn2_rng_permutation(5, index, n);
    gn2_rng_permutation(6, other, n);
    for (int i = 0; i < n; i++) {
        assert_in_range(index[i], 0, n - 1);
        assert_int_equal(seen[index[i]]++, 0);
    }
    assert_memory_not_equal(index, other, sizeof index);
    gn2_rng_permutation(5, other, n);
    assert_memory_equal(index, other, sizeof index);
    gn2_rng_permutation(5, NULL, 0);
}

/* All 24 orders of four things come equally often. */
static void permutations_are_uniform(void **state)
{
    (void)state;
    enum { tries = 48000 };
    int hits[256] = {0}, orders = 0;
    for (uint64_t key = 0; key < tries; key++) {
        int64_t p[4];
        gn2_rng_permutation(key, p, 4);
        hits[p[0] * 64 + p[1] * 16 + p[2] * 4 + p[3]]++;
    }
    for (int i = 0; i < 256; i++) {
        if (!hits[i]) continue;
        orders++;
        assert_true(fabs(hits[i] - tries / 24.0) <
                    5 * sqrt(tries / 24.0 * (23.0 / 24)));
    }
    assert_int_equal(orders, 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_are_the_documented_function),
        cmocka_unit_test(uniform_has_mean_and_variance),
        cmocka_unit_test(normal_has_its_first_four_moments),
        cmocka_unit_test(neighbouring_streams_do_not_correlate),
        cmocka_unit_test(below_is_flat),
        cmocka_unit_test(permutation_is_one_and_depends_on_the_key),
        cmocka_unit_test(permutations_are_uniform),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
