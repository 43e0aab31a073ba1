/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool. Threads start at the first run that needs them and sleep between runs, each
 * on a condition variable of its own. They wake as a tree, lane i those of 2i+1 and
 * 2i+2, so the caller calls two of them and all are awake after log2 of their number.
 * A run is open while pieces are left; a thread that wakes too late finds it closed and
 * sleeps on, so the caller waits only for threads that have really taken part.
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
/* Looks before a thread goes to sleep, a few microseconds in all: runs that follow one
 * another need no call to the kernel then. */
#define LOOKS 64

/* One call of gn2_pool_run(). */
typedef struct run {
    gn2_task_fn task;
    void *context;
    int64_t count;
    int32_t lanes; /* that can have a piece */
    _Alignas(GN2_ALIGN) atomic_int_fast64_t next;
    fenv_t modes; /* of the caller */
} run;

/* A thread; in lines of the cache of its own. */
typedef struct hand {
    _Alignas(GN2_ALIGN) struct crew *crew;
    pthread_t thread;
    int32_t lane;
    atomic_int called; /* there may be a run for it, or the end */
    atomic_int asleep;
    pthread_mutex_t mutex;
    pthread_cond_t work;
} hand;

/* A run is open: the bit above the number of threads inside it. */
#define OPEN 0x10000

/* The threads of one process, apart from the pool, because a fork must be able
 * to leave them behind: what the parent's threads held is lost in the child.
 * `state`, which all of them change, is in another line of the cache than what they
 * only read. */
/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): for that it is padded */
typedef struct crew {
    int32_t size; /* threads started */
    int looks;
    pid_t pid;
    run *run; /* of whoever is inside */
    _Alignas(GN2_ALIGN) atomic_int state;
    atomic_int stop;
    pthread_mutex_t mutex; /* of `done` alone */
    pthread_cond_t done;
    hand hands[]; /* as many as are asked for */
} crew;

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

static void relax(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#endif
}

/* `asleep` is set before `called` is read, and here they are used the other way round:
 * one of the two sees the other's. */
static void hand_call(hand *h)
{
    atomic_store(&h->called, 1);
    if (!atomic_load(&h->asleep)) return;
    pthread_mutex_lock(&h->mutex);
    pthread_cond_signal(&h->work);
    pthread_mutex_unlock(&h->mutex);
}

/* The call is taken before the run is looked at, so that none is lost. */
static void hand_wait(hand *h)
{
    for (int i = 0; i < h->crew->looks && !atomic_load(&h->called); i++) relax();
    if (!atomic_load(&h->called)) {
        pthread_mutex_lock(&h->mutex);
        atomic_store(&h->asleep, 1);
        while (!atomic_load(&h->called)) pthread_cond_wait(&h->work, &h->mutex);
        atomic_store(&h->asleep, 0);
        pthread_mutex_unlock(&h->mutex);
    }
    atomic_store(&h->called, 0);
}

/* Calls the threads below a lane, unless there is nothing left for them. */
static void call_below(crew *c, run *r, int32_t lane)
{
    for (int32_t i = 2 * lane + 1; i <= 2 * lane + 2 && i < r->lanes; i++)
        if (atomic_load(&r->next) < r->count) hand_call(&c->hands[i - 1]);
}

static int enter(crew *c)
{
    int state = atomic_load(&c->state);
    while (state & OPEN)
        if (atomic_compare_exchange_weak(&c->state, &state, state + 1)) return 1;
    return 0;
}

/* The last one out of a closed run tells the caller. */
static void leave(crew *c)
{
    if (atomic_fetch_sub(&c->state, 1) != 1) return;
    pthread_mutex_lock(&c->mutex);
    pthread_cond_signal(&c->done);
    pthread_mutex_unlock(&c->mutex);
}

static void *hand_main(void *argument)
{
    hand *self = argument;
    crew *c = self->crew;
    for (;;) {
        hand_wait(self);
        if (atomic_load(&c->stop)) return NULL;
        if (!enter(c)) continue;
        call_below(c, c->run, self->lane);
        fesetenv(&c->run->modes);
        pull(c->run, self->lane);
        leave(c);
    }
}

/* Signals go to the caller's threads, but faults stay where they happen. */
static void worker_signals(sigset_t *set)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigfillset(set);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(set, faults[i]);
}

static void hand_clear(hand *h)
{
    pthread_cond_destroy(&h->work);
    pthread_mutex_destroy(&h->mutex);
}

static int hand_start(crew *c, int32_t i)
{
    hand *h = &c->hands[i];
    h->crew = c;
    h->lane = i + 1;
    pthread_mutex_init(&h->mutex, NULL);
    pthread_cond_init(&h->work, NULL);
    if (pthread_create(&h->thread, NULL, hand_main, h) == 0) return 1;
    hand_clear(h);
    return 0;
}

static void crew_start(crew *c, int32_t threads)
{
    sigset_t blocked, before;
    worker_signals(&blocked);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    for (int32_t i = 0; i < threads && hand_start(c, i); i++) c->size = i + 1;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (c->size < threads)
        gn2_log_line(GN2_LOG_WARNING, "only %d of %d threads could be started",
                     c->size + 1, threads + 1);
}

static crew *crew_create(int32_t threads)
{
    crew *c = gn2_alloc(1, sizeof *c + (size_t)threads * sizeof *c->hands);
    if (!c) return NULL;
    c->pid = getpid();
    c->looks = threads < gn2_cpu_available() ? LOOKS : 0;
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->done, NULL);
    crew_start(c, threads);
    return c;
}

static void crew_stop(crew *c)
{
    atomic_store(&c->stop, 1);
    for (int32_t i = 0; i < c->size; i++) hand_call(&c->hands[i]);
    for (int32_t i = 0; i < c->size; i++) {
        pthread_join(c->hands[i].thread, NULL);
        hand_clear(&c->hands[i]);
    }
    pthread_cond_destroy(&c->done);
    pthread_mutex_destroy(&c->mutex);
}

/* In a forked child the threads are gone and the locks in an unknown state, so
 * only the memory is given back. */
static void crew_free(crew *c)
{
    if (!c) return;
    if (c->pid == getpid()) crew_stop(c);
    gn2_free(c);
}

static crew *crew_of_process(gn2_pool *pool)
{
    if (pool->crew && pool->crew->pid == getpid()) return pool->crew;
    crew_free(pool->crew);
    pool->crew = crew_create(pool->workers - 1);
    return pool->crew;
}

static void wait_for_all(crew *c)
{
    for (int i = 0; i < c->looks && atomic_load(&c->state); i++) relax();
    if (!atomic_load(&c->state)) return;
    pthread_mutex_lock(&c->mutex);
    while (atomic_load(&c->state)) pthread_cond_wait(&c->done, &c->mutex);
    pthread_mutex_unlock(&c->mutex);
}

static void crew_run(crew *c, run *r)
{
    r->lanes = (int32_t)(r->count <= c->size ? r->count : c->size + 1);
    c->run = r;
    atomic_store(&c->state, OPEN);
    call_below(c, r, 0);
    pull(r, 0);
    atomic_fetch_and(&c->state, ~OPEN);
    wait_for_all(c);
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
