/* SPDX-License-Identifier: Apache-2.0 */
#include "util/use.h"

#include "util/error.h"

enum { FREE = 0, TAKEN = 1, OPEN = 2 };

/* Its address tells threads apart. */
static _Thread_local char this_thread;

static gn2_status fail_busy(const char *function)
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

gn2_status gn2_use_take(gn2_use *use, const char *function)
{
    return turn(use, FREE, TAKEN) ? GN2_OK : fail_busy(function);
}

void gn2_use_give_back(gn2_use *use)
{
    atomic_store(&use->state, FREE);
}

void gn2_use_open(gn2_use *use)
{
    atomic_store(&use->holder, &this_thread);
    atomic_store(&use->state, OPEN);
}

void gn2_use_close(gn2_use *use)
{
    atomic_store(&use->state, TAKEN);
    atomic_store(&use->holder, NULL);
}

gn2_status gn2_use_take_between(gn2_use *use, const char *function, int *out_before)
{
    *out_before = FREE;
    if (turn(use, FREE, TAKEN)) return GN2_OK;
    *out_before = OPEN;
    if (atomic_load(&use->holder) == &this_thread && turn(use, OPEN, TAKEN))
        return GN2_OK;
    return fail_busy(function);
}

void gn2_use_put_back(gn2_use *use, int before)
{
    atomic_store(&use->state, before);
}
