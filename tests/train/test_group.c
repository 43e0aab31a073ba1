/* SPDX-License-Identifier: Apache-2.0 */
/* Groups as a user makes them: what is refused, one rank, bytes of any root to all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <gn2/gn2.h>

static gn2_status never(void *user, int32_t peer, const void *send, size_t send_size,
                        void *receive, size_t receive_size)
{
    (void)user, (void)peer, (void)send, (void)send_size, (void)receive;
    (void)receive_size;
    return GN2_ERR_IO;
}

static void count_close(void *user)
{
    ++*(int *)user;
}

static gn2_transport transport(int32_t rank, int32_t size, void *user)
{
    return (gn2_transport){.struct_size = sizeof(gn2_transport),
                           .rank = rank,
                           .size = size,
                           .user = user,
                           .exchange = never,
                           .close = count_close};
}

static void refuse(const gn2_transport *t, gn2_status status, const char *words)
{
    gn2_group *group = (gn2_group *)(uintptr_t)1;
    assert_int_equal(status, gn2_group_create(t, &group));
    assert_null(group);
    assert_non_null(strstr(gn2_last_error(), words));
}

static void a_transport_that_cannot_be_is_refused(void **state)
{
    int closed = 0;
    gn2_transport t;
    (void)state;
    t = transport(0, 0, &closed);
    refuse(&t, GN2_ERR_INVALID_ARG, "size = 0");
    t = transport(0, 1025, &closed);
    refuse(&t, GN2_ERR_INVALID_ARG, "1 to 1024");
    t = transport(2, 2, &closed);
    refuse(&t, GN2_ERR_INVALID_ARG, "rank = 2 of 2");
    t = transport(-1, 2, &closed);
    refuse(&t, GN2_ERR_INVALID_ARG, "rank = -1");
    t = transport(0, 2, &closed);
    t.exchange = NULL;
    refuse(&t, GN2_ERR_INVALID_ARG, "exchange is NULL");
    t = transport(0, 2, &closed);
    t.flags = 1;
    refuse(&t, GN2_ERR_ABI, "flags");
    t = transport(0, 2, &closed);
    t.reserved[1] = 1;
    refuse(&t, GN2_ERR_ABI, "gn2_transport");
    t.struct_size = 4;
    refuse(&t, GN2_ERR_ABI, "struct_size");
    refuse(NULL, GN2_ERR_INVALID_ARG, "transport is NULL");
    assert_int_equal(closed, 0);
}

static void a_group_of_one_needs_no_peer(void **state)
{
    int closed = 0, value = 7;
    gn2_group *group = NULL;
    const gn2_transport t = transport(0, 1, &closed);
    (void)state;
    assert_int_equal(GN2_OK, gn2_group_create(&t, &group));
    assert_int_equal(gn2_group_rank(group), 0);
    assert_int_equal(gn2_group_size(group), 1);
    assert_int_equal(GN2_OK, gn2_group_broadcast(group, &value, sizeof value, 0));
    assert_int_equal(value, 7);
    assert_int_equal(GN2_ERR_INVALID_ARG,
                     gn2_group_broadcast(group, &value, sizeof value, 1));
    assert_int_equal(GN2_ERR_INVALID_ARG, gn2_group_broadcast(group, NULL, 1, 0));
    gn2_group_free(group);
    assert_int_equal(closed, 1);
    gn2_group_free(NULL);
    assert_int_equal(gn2_group_size(NULL), 1);
}

static void a_dead_group_says_of_what(void **state)
{
    int closed = 0, value = 7;
    gn2_group *group = NULL;
    const gn2_transport t = transport(1, 2, &closed);
    (void)state;
    assert_int_equal(GN2_OK, gn2_group_create(&t, &group));
    assert_int_equal(GN2_ERR_IO, gn2_group_broadcast(group, &value, sizeof value, 0));
    assert_non_null(strstr(gn2_last_error(), "rank 1 of 2: exchange with rank 0"));
    assert_int_equal(GN2_ERR_STATE,
                     gn2_group_broadcast(group, &value, sizeof value, 0));
    assert_non_null(strstr(gn2_last_error(), "exchange with rank 0"));
    gn2_group_free(group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_transport_that_cannot_be_is_refused),
        cmocka_unit_test(a_group_of_one_needs_no_peer),
        cmocka_unit_test(a_dead_group_says_of_what),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
