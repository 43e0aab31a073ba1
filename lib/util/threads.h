/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool of threads that exists only when asked for. Idle threads sleep. Workers
 * take over the floating-point modes of the caller. After a fork the child makes
 * its own threads at the next use.
 */
#ifndef GN2_UTIL_THREADS_H
#define GN2_UTIL_THREADS_H

#include <gn2/base.h>

typedef struct gn2_pool gn2_pool;

/* One piece of work: `worker` in 0 … workers−1 names the lane that does it; no
 * two pieces run in one lane at the same time. */
typedef void (*gn2_task_fn)(void *context, int64_t index, int32_t worker);

/* Processors this process may use: affinity mask and cgroup quota; ≥ 1. */
int32_t gn2_cpu_available(void);

/* Processors the calling thread may use, to be restored; `mask` NULL if unknown. */
typedef struct gn2_affinity {
    void *mask; /* cpu_set_t of `size` bytes */
    size_t size;
} gn2_affinity;
gn2_affinity gn2_affinity_take(void);
/* Gives the thread what was taken, and frees it. */
void gn2_affinity_restore(gn2_affinity *before);

/* Processors granted to the cgroups of `membership` (/proc/self/cgroup's text)
 * mounted at `root`; ≥ 1, INT32_MAX without a quota. */
int32_t gn2_cgroup_quota(const char *membership, const char *root);

/* Pool of `workers` lanes: the caller and workers−1 threads. */
gn2_status gn2_pool_create(int32_t workers, gn2_pool **out_pool);
void gn2_pool_free(gn2_pool *pool);
int32_t gn2_pool_workers(const gn2_pool *pool);

/* Runs task(context, i, worker) for i in 0 … count−1 and waits. Pieces are handed
 * out in rising order. NULL pool: all in lane 0. */
void gn2_pool_run(gn2_pool *pool, int64_t count, gn2_task_fn task, void *context);

/* Lets a foreign scheduler run the pieces instead; same signature as
 * gn2_parallel_fn of tagger.h. fn NULL: own threads again. */
typedef void (*gn2_pool_foreign)(void *user, int64_t count,
                                 void (*task)(void *context, int64_t index),
                                 void *context);
void gn2_pool_set_foreign(gn2_pool *pool, gn2_pool_foreign fn, void *user);

#endif
