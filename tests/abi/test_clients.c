/* SPDX-License-Identifier: Apache-2.0 */
/* Clients whose structs are smaller or larger than the library's get the same bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <gn2/gn2.h>

#include "client.h"

static void assert_works(const findings *found)
{
    if (found->failed) fail_msg("%s: %s", found->failed, gn2_last_error());
    float sum = 0;
    for (int k = 0; k < CLASSES; k++) sum += found->probabilities[k];
    assert_float_equal(sum, 1.0f, 1e-6f);
    assert_memory_equal(found->probabilities, found->again, sizeof found->again);
    assert_memory_not_equal(found->d_b, found->d_c, sizeof found->d_c);
    assert_int_equal(found->jets, JETS);
    assert_int_equal(found->first_count, JETS);
    assert_int_equal(found->flavour[1], 2);
    assert_true(found->pt == 0.25f);
    assert_true(found->key_max == 256);
    assert_true(found->count > 0 && found->fan_in > 0 && found->forward_mult == 1);
}

static void test_todays_structs(void **state)
{
    (void)state;
    const findings now = client_now();
    assert_works(&now);
}

static void test_smaller_structs(void **state)
{
    (void)state;
    const findings now = client_now(), small = client_small();
    assert_works(&small);
    assert_memory_equal(&now, &small, sizeof now);
}

static void test_larger_structs(void **state)
{
    (void)state;
    const findings now = client_now(), large = client_large();
    assert_works(&large);
    assert_memory_equal(&now, &large, sizeof now);
}

static void test_unknown_wishes_are_refused(void **state)
{
    (void)state;
    assert_int_equal(client_large_dirty(), GN2_ERR_ABI);
    assert_non_null(strstr(gn2_last_error(), "gn2_sequence"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_todays_structs),
        cmocka_unit_test(test_smaller_structs),
        cmocka_unit_test(test_larger_structs),
        cmocka_unit_test(test_unknown_wishes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
