/* SPDX-License-Identifier: Apache-2.0 */
#include "data/fork.h"

#include <pthread.h>
#include <stdatomic.h>

#include "util/error.h"

static pthread_mutex_t hdf5 = PTHREAD_MUTEX_INITIALIZER;

/* Threads at work; `wanted` forks wait for them. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int working;
static atomic_int wanted;
static _Thread_local int depth; /* of this thread's work */

static void prepare(void)
{
    pthread_mutex_lock(&mutex);
    atomic_fetch_add(&wanted, 1);
    const int own = depth > 0; /* a log callback may fork */
    while (working > own) pthread_cond_wait(&changed, &mutex);
    pthread_mutex_lock(&hdf5);
}

static void parent(void)
{
    pthread_mutex_unlock(&hdf5);
    atomic_fetch_sub(&wanted, 1);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

/* There is this thread alone; the condition remembers waiters that are gone. */
static void child(void)
{
    pthread_mutex_unlock(&hdf5);
    pthread_cond_init(&changed, NULL);
    atomic_store(&wanted, 0);
    working = depth > 0;
    pthread_mutex_unlock(&mutex);
}

static int failed;

static void watch(void)
{
    failed = pthread_atfork(prepare, parent, child);
}

gn2_status gn2_fork_watch(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch);
    return failed ? gn2_fail_memory() : GN2_OK;
}

void gn2_fork_lock(void)
{
    pthread_mutex_lock(&hdf5);
}

void gn2_fork_unlock(void)
{
    pthread_mutex_unlock(&hdf5);
}

void gn2_fork_enter(void)
{
    if (depth++ > 0) return;
    pthread_mutex_lock(&mutex);
    while (atomic_load(&wanted)) pthread_cond_wait(&changed, &mutex);
    working++;
    pthread_mutex_unlock(&mutex);
}

void gn2_fork_leave(void)
{
    if (--depth > 0) return;
    pthread_mutex_lock(&mutex);
    working--;
    if (atomic_load(&wanted)) pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

void gn2_fork_pause(void)
{
    if (depth == 0 || !atomic_load_explicit(&wanted, memory_order_relaxed)) return;
    const int before = depth;
    depth = 1;
    gn2_fork_leave();
    gn2_fork_enter();
    depth = before;
}
