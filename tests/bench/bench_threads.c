/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the pool costs: microseconds until every lane has begun its piece, and of a run
 * whose pieces are empty; of runs that follow one another, and of threads that have
 * slept. Medians. Where there are more threads than processors they wait for one
 * another, which is said.
 *
 *   bench_threads [most threads]
 */
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "util/error.h"
#include "util/threads.h"

#define ROUNDS 201
#define SLEEP_NS 300000 /* far beyond the time that threads look before they sleep */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}

static int rising(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct meeting {
    atomic_int there;
    int expected;
    double complete;
} meeting;

/* Every lane has one piece, for none is over before all have begun. */
static void meet(void *context, int64_t index, int32_t worker)
{
    meeting *m = context;
    (void)index;
    (void)worker;
    if (atomic_fetch_add(&m->there, 1) + 1 == m->expected) m->complete = now();
    while (atomic_load(&m->there) < m->expected) sched_yield();
}

static void nothing(void *context, int64_t index, int32_t worker)
{
    (void)context;
    (void)index;
    (void)worker;
}

static double until_all_are_there(gn2_pool *pool)
{
    meeting m = {.expected = gn2_pool_workers(pool)};
    const double start = now();
    gn2_pool_run(pool, m.expected, meet, &m);
    return m.complete - start;
}

static double empty_run(gn2_pool *pool)
{
    const double start = now();
    gn2_pool_run(pool, gn2_pool_workers(pool), nothing, NULL);
    return now() - start;
}

static double median(gn2_pool *pool, double (*fn)(gn2_pool *pool), long sleep_ns)
{
    static double found[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        if (sleep_ns) nanosleep(&(struct timespec){.tv_nsec = sleep_ns}, NULL);
        found[i] = fn(pool);
    }
    qsort(found, ROUNDS, sizeof *found, rising);
    return found[ROUNDS / 2];
}

static int measure(int32_t threads)
{
    gn2_pool *pool;
    if (gn2_pool_create(threads, &pool) != GN2_OK) return 1;
    until_all_are_there(pool);
    printf("%7d %12.1f %12.1f %12.1f %12.1f%s\n", (int)threads,
           median(pool, until_all_are_there, 0),
           median(pool, until_all_are_there, SLEEP_NS), median(pool, empty_run, 0),
           median(pool, empty_run, SLEEP_NS),
           threads > gn2_cpu_available() ? "  more threads than processors" : "");
    fflush(stdout);
    gn2_pool_free(pool);
    return 0;
}

int main(int argc, char **argv)
{
    const int most = argc > 1 ? atoi(argv[1]) : 64;
    printf("microseconds; %d processors\n", (int)gn2_cpu_available());
    printf("%7s %25s %25s\n", "", "until all have begun", "empty run");
    printf("%7s %12s %12s %12s %12s\n", "threads", "at once", "slept", "at once",
           "slept");
    for (int32_t threads = 2; threads <= most; threads *= 2)
        if (measure(threads)) {
            fprintf(stderr, "%s\n", gn2_error_text());
            return 1;
        }
    return 0;
}
