/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool. Threads start at the first run that needs them and sleep on a
 * condition variable between runs. A run is open while pieces are left; a thread
 * that wakes too late finds it closed and sleeps on, so the caller waits only for
 * threads that have really taken part.
 */
#include "util/threads.h"

#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <unistd.h>

#include "util/alloc.h"
#include "util/error.h"

#define MAX_WORKERS 4096

/* One call of gn2_pool_run(). */
typedef struct run {
    gn2_task_fn task;
    void *context;
    int64_t count;
    atomic_int_fast64_t next;
    fenv_t modes; /* of the caller */
} run;

/* The threads of one process, apart from the pool, because a fork must be able
 * to leave them behind: what the parent's threads held is lost in the child. */
typedef struct crew {
    pthread_mutex_t mutex;
    pthread_cond_t work, done;
    run *run;            /* open run, or NULL */
    uint64_t generation; /* number of the open run */
    int32_t active;      /* threads inside it */
    int32_t size;        /* threads started */
    int stop;
    pid_t pid;
    struct hand *hands;
} crew;

typedef struct hand {
    crew *crew;
    pthread_t thread;
    int32_t lane;
} hand;

struct gn2_pool {
    int32_t workers;
    crew *crew; /* NULL until needed */
    gn2_pool_foreign foreign;
    void *user;
};

static void pull(run *r, int32_t lane)
{
    for (;;) {
        const int64_t i = atomic_fetch_add(&r->next, 1);
        if (i >= r->count) return;
        r->task(r->context, i, lane);
    }
}

/* ---- the threads ---- */

static void *hand_main(void *argument)
{
    const hand *self = argument;
    crew *c = self->crew;
    uint64_t seen = 0;
    pthread_mutex_lock(&c->mutex);
    while (!c->stop) {
        if (!c->run || c->generation == seen) {
            pthread_cond_wait(&c->work, &c->mutex);
            continue;
        }
        run *r = c->run;
        seen = c->generation;
        c->active++;
        pthread_mutex_unlock(&c->mutex);
        fesetenv(&r->modes);
        pull(r, self->lane);
        pthread_mutex_lock(&c->mutex);
        if (--c->active == 0) pthread_cond_signal(&c->done);
    }
    pthread_mutex_unlock(&c->mutex);
    return NULL;
}

/* Signals go to the caller's threads, but faults stay where they happen. */
static void worker_signals(sigset_t *set)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigfillset(set);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(set, faults[i]);
}

static void crew_start(crew *c, int32_t threads)
{
    sigset_t blocked, before;
    worker_signals(&blocked);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    for (int32_t i = 0; i < threads; i++) {
        c->hands[i] = (hand){.crew = c, .lane = i + 1};
        if (pthread_create(&c->hands[i].thread, NULL, hand_main, &c->hands[i])) break;
        c->size = i + 1;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (c->size < threads)
        gn2_log_line(GN2_LOG_WARNING, "only %d of %d threads could be started",
                     c->size + 1, threads + 1);
}

static crew *crew_create(int32_t threads)
{
    crew *c = gn2_alloc(1, sizeof *c);
    if (!c) return NULL;
    c->hands = gn2_alloc((size_t)threads, sizeof *c->hands);
    if (!c->hands) {
        gn2_free(c);
        return NULL;
    }
    c->pid = getpid();
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->work, NULL);
    pthread_cond_init(&c->done, NULL);
    crew_start(c, threads);
    return c;
}

static void crew_stop(crew *c)
{
    pthread_mutex_lock(&c->mutex);
    c->stop = 1;
    pthread_cond_broadcast(&c->work);
    pthread_mutex_unlock(&c->mutex);
    for (int32_t i = 0; i < c->size; i++) pthread_join(c->hands[i].thread, NULL);
    pthread_cond_destroy(&c->done);
    pthread_cond_destroy(&c->work);
    pthread_mutex_destroy(&c->mutex);
}

/* In a forked child the threads are gone and the locks in an unknown state, so
 * only the memory is given back. */
static void crew_free(crew *c)
{
    if (!c) return;
    if (c->pid == getpid()) crew_stop(c);
    gn2_free(c->hands);
    gn2_free(c);
}

static crew *crew_of_process(gn2_pool *pool)
{
    if (pool->crew && pool->crew->pid == getpid()) return pool->crew;
    crew_free(pool->crew);
    pool->crew = crew_create(pool->workers - 1);
    return pool->crew;
}

static void crew_run(crew *c, run *r)
{
    pthread_mutex_lock(&c->mutex);
    c->run = r;
    c->generation++;
    if (r->count > c->size)
        pthread_cond_broadcast(&c->work);
    else
        for (int64_t i = 1; i < r->count; i++) pthread_cond_signal(&c->work);
    pthread_mutex_unlock(&c->mutex);

    pull(r, 0);

    pthread_mutex_lock(&c->mutex);
    c->run = NULL;
    while (c->active > 0) pthread_cond_wait(&c->done, &c->mutex);
    pthread_mutex_unlock(&c->mutex);
}

/* ---- a foreign scheduler ---- */

/* Its threads are not ours: they get their own modes back. */
static void foreign_lane(void *context, int64_t index)
{
    run *r = context;
    fenv_t own;
    fegetenv(&own);
    fesetenv(&r->modes);
    pull(r, (int32_t)index);
    fesetenv(&own);
}

/* ---- the pool ---- */

gn2_status gn2_pool_create(int32_t workers, gn2_pool **out_pool)
{
    *out_pool = NULL;
    if (workers < 1 || workers > MAX_WORKERS)
        return gn2_fail(GN2_ERR_INVALID_ARG, "%d workers: must be 1 to %d", workers,
                        MAX_WORKERS);
    gn2_pool *pool = gn2_alloc(1, sizeof *pool);
    if (!pool) return gn2_fail_memory();
    pool->workers = workers;
    *out_pool = pool;
    return GN2_OK;
}

void gn2_pool_free(gn2_pool *pool)
{
    if (!pool) return;
    crew_free(pool->crew);
    gn2_free(pool);
}

int32_t gn2_pool_workers(const gn2_pool *pool)
{
    return pool ? pool->workers : 1;
}

void gn2_pool_set_foreign(gn2_pool *pool, gn2_pool_foreign fn, void *user)
{
    pool->foreign = fn;
    pool->user = user;
}

void gn2_pool_run(gn2_pool *pool, int64_t count, gn2_task_fn task, void *context)
{
    run r = {.task = task, .context = context, .count = count};
    atomic_init(&r.next, 0);
    if (!pool || pool->workers == 1 || count < 2) {
        pull(&r, 0);
        return;
    }
    fegetenv(&r.modes);
    if (pool->foreign) {
        const int64_t lanes = count < pool->workers ? count : pool->workers;
        pool->foreign(pool->user, lanes, foreign_lane, &r);
        pull(&r, 0); /* pieces a scheduler that ran no lane has left */
        return;
    }
    crew *c = crew_of_process(pool);
    if (c)
        crew_run(c, &r);
    else
        pull(&r, 0); /* no memory for threads: slower, same result */
}
