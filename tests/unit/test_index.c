/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <stdio.h>

#include "util/index.h"
#include "util/rng.h"

#define NAMES 5000

static char names[NAMES][12];

/* Every number below NAMES once, in a random order. */
static void shuffle(int order[NAMES])
{
    for (int i = 0; i < NAMES; i++) {
        const int k = (int)(gn2_rng_uniform(7, (uint64_t)i) * (i + 1));
        order[i] = order[k];
        order[k] = i;
    }
}

static void fill(gn2_index *index, const int order[NAMES])
{
    for (int i = 0; i < NAMES; i++) {
        char *name = names[order[i]];
        snprintf(name, sizeof names[0], "n%06d", order[i]);
        assert_null(gn2_index_find(index, name));
        assert_true(gn2_index_add(index, name, name));
        assert_ptr_equal(gn2_index_find(index, name), name);
    }
}

static void check(const gn2_index *index)
{
    assert_int_equal(index->count, NAMES);
    for (int i = 0; i < NAMES; i++) {
        assert_ptr_equal(gn2_index_at(index, (size_t)i), names[i]);
        assert_ptr_equal(gn2_index_find(index, names[i]), names[i]);
    }
    assert_null(gn2_index_find(index, ""));
    assert_null(gn2_index_find(index, "n00000"));
    assert_null(gn2_index_find(index, "n0000001"));
    assert_null(gn2_index_find(index, "o"));
}

static void names_in_any_order_come_out_sorted(void **state)
{
    int order[NAMES];
    (void)state;
    for (int way = 0; way < 3; way++) {
        gn2_index index = {0};
        shuffle(order);
        for (int i = 0; i < NAMES && way; i++) order[i] = way == 1 ? i : NAMES - 1 - i;
        fill(&index, order);
        check(&index);
        gn2_index_clear(&index);
        assert_int_equal(index.count, 0);
    }
}

static void an_empty_index_has_nothing(void **state)
{
    (void)state;
    gn2_index index = {0};
    assert_null(gn2_index_find(&index, "a"));
    gn2_index_clear(&index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_in_any_order_come_out_sorted),
        cmocka_unit_test(an_empty_index_has_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
