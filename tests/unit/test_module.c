/* SPDX-License-Identifier: Apache-2.0 */
/* The loader of private modules, with a module beside this program. */
#define _GNU_SOURCE /* cpu_set_t */
#include "unit.h"

#include <sched.h>

#include "util/module.h"

static const gn2_module binding = {"test module", "gn2-test-binding.so",
                                   "binding_table", 7, 1 << 20};
static const void *found;

static void what_is_not_there_is_named(void **state)
{
    (void)state;
    const gn2_module none = {"nice module", "gn2-no-such.so", "x", 1, 0};
    char error[GN2_ERROR_SIZE];
    assert_int_equal(gn2_module_present(&none), 0);
    assert_status(GN2_ERR_UNSUPPORTED, gn2_module_open(&none, &found, error));
    assert_non_null(strstr(error, "nice module not found"));
    assert_non_null(strstr(error, "gn2/gn2-no-such.so"));
    assert_non_null(strstr(error, gn2_module_home));
}

static void a_module_beside_the_program_is_loaded_without_binding_us(void **state)
{
    (void)state;
    cpu_set_t before, after;
    char error[GN2_ERROR_SIZE];
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_int_equal(gn2_module_present(&binding), 1);
    assert_status(GN2_OK, gn2_module_open(&binding, &found, error));
    const uint32_t *table = found;
    assert_int_equal(table[0], 7);
    assert_int_equal(table[1], 1); /* it did bind the thread */
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    assert_true(CPU_EQUAL(&before, &after));
}

static void another_version_or_symbol_is_refused(void **state)
{
    (void)state;
    char error[GN2_ERROR_SIZE];
    gn2_module other = binding;
    other.version = 8;
    assert_status(GN2_ERR_UNSUPPORTED, gn2_module_open(&other, &found, error));
    assert_non_null(strstr(error, "has version 7, this library needs 8"));
    other = binding;
    other.symbol = "no_such_symbol";
    assert_status(GN2_ERR_UNSUPPORTED, gn2_module_open(&other, &found, error));
    assert_non_null(strstr(error, "is not libgn2's test module"));
}

/* So that asking does not overwrite the message of the call that failed before. */
static void failing_leaves_the_message_of_the_thread(void **state)
{
    (void)state;
    const gn2_module none = {"nice module", "gn2-no-such.so", "x", 1, 0};
    char error[GN2_ERROR_SIZE];
    gn2_fail(GN2_ERR_IO, "what happened before");
    assert_status(GN2_ERR_UNSUPPORTED, gn2_module_open(&none, &found, error));
    assert_string_equal(gn2_error_text(), "what happened before");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_there_is_named),
        cmocka_unit_test(a_module_beside_the_program_is_loaded_without_binding_us),
        cmocka_unit_test(another_version_or_symbol_is_refused),
        cmocka_unit_test(failing_leaves_the_message_of_the_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
