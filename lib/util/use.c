/* SPDX-License-Identifier: Apache-2.0 */
#include "util/use.h"

#include "util/error.h"

enum { FREE = 0, TAKEN = 1, OPEN = 2 };

/* Its address tells threads apart. */
static _Thread_local char this_thread;

gn2_status gn2_use_fail_busy(const char *function)
{
    return gn2_fail(GN2_ERR_BUSY,
                    "%s: a call on this object is under way, on another thread or on "
                    "this one (a scheduler that runs other tasks while it waits?)",
                    function);
}

static int turn(gn2_use *use, int from, int to)
{
    return atomic_compare_exchange_strong(&use->state, &from, to);
}

/* Threads ask only whether it is themselves: no order is needed. */
static void note_holder(gn2_use *use, const void *holder)
{
    atomic_store_explicit(&use->holder, holder, memory_order_relaxed);
}

static int is_mine(gn2_use *use)
{
    return atomic_load_explicit(&use->holder, memory_order_relaxed) == &this_thread;
}

gn2_status gn2_use_take(gn2_use *use, const char *function)
{
    if (!turn(use, FREE, TAKEN)) return gn2_use_fail_busy(function);
    note_holder(use, &this_thread);
    return GN2_OK;
}

void gn2_use_give_back(gn2_use *use)
{
    note_holder(use, NULL);
    atomic_store(&use->state, FREE);
}

int gn2_use_is_elsewhere(gn2_use *use)
{
    return atomic_load(&use->state) == TAKEN && !is_mine(use);
}

void gn2_use_open(gn2_use *use)
{
    atomic_store(&use->state, OPEN);
}

void gn2_use_close(gn2_use *use)
{
    atomic_store(&use->state, TAKEN);
}

gn2_status gn2_use_take_between(gn2_use *use, const char *function, int *out_before)
{
    *out_before = FREE;
    if (turn(use, FREE, TAKEN)) return GN2_OK;
    *out_before = OPEN;
    if (is_mine(use) && turn(use, OPEN, TAKEN)) return GN2_OK;
    return gn2_use_fail_busy(function);
}

void gn2_use_put_back(gn2_use *use, int before)
{
    atomic_store(&use->state, before);
}
