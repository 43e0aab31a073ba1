/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call at a time on an object. A second one, from another thread or from inside
 * the first (a scheduler that runs another task on the thread that waits), is told
 * so instead of sharing what the first is working on.
 */
#ifndef GN2_UTIL_USE_H
#define GN2_UTIL_USE_H

#include <gn2/base.h>
#include <stdatomic.h>

/* Zero: free. */
typedef struct gn2_use {
    atomic_int state;
    _Atomic(const void *) holder; /* the thread whose call is under way */
} gn2_use;

/* Takes the object for a call named `function`, or fails with GN2_ERR_BUSY. */
gn2_status gn2_use_take(gn2_use *use, const char *function);
void gn2_use_give_back(gn2_use *use);

gn2_status gn2_use_fail_busy(const char *function);
/* Is a call of another thread under way, which lets nothing in? */
int gn2_use_is_elsewhere(gn2_use *use);

/* Between steps the holder lets in calls of its own thread that ask for it. */
void gn2_use_open(gn2_use *use);
void gn2_use_close(gn2_use *use);
/* As gn2_use_take(), but goes in where the same thread has opened the object too.
 * out_before is for gn2_use_put_back(). */
gn2_status gn2_use_take_between(gn2_use *use, const char *function, int *out_before);
void gn2_use_put_back(gn2_use *use, int before);

#endif
