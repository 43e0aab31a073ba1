/* SPDX-License-Identifier: Apache-2.0 */
#include "data/reader.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "data/fork.h"
#include "util/alloc.h"
#include "util/error.h"

struct gn2_reader {
    gn2_sampler *sampler;
    int64_t slot_count; /* batches ahead and the one in use */
    gn2_rows *slot;
    pthread_t thread;
    pid_t process; /* whose locks these are, and whose thread */
    int running;
    int64_t epoch, next; /* the thread's place */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    /* under the mutex */
    int64_t made, taken; /* batches since the start; `taken` includes the one used */
    int stop;
    gn2_trouble failed;
};

static void make_locks(gn2_reader *r)
{
    pthread_mutex_init(&r->mutex, NULL);
    pthread_cond_init(&r->changed, NULL);
    r->process = getpid();
}

/* In a forked child the thread is gone, and the locks are as it left them: to destroy
 * them could wait for it. What it was making is whole (data/fork.h), and made anew. */
static void leave_parent(gn2_reader *r)
{
    if (r->process == getpid()) return;
    r->running = 0;
    make_locks(r);
}

gn2_status gn2_reader_create(gn2_sampler *sampler, const gn2_rows_shape *shape,
                             int64_t ahead, _Atomic int64_t *memory,
                             gn2_reader **out_reader)
{
    gn2_reader *r = gn2_alloc(1, sizeof *r);
    *out_reader = r;
    if (!r) return gn2_fail_memory();
    r->sampler = sampler;
    r->slot_count = ahead + 1;
    make_locks(r);
    GN2_TRY(gn2_fork_watch());
    r->slot = gn2_alloc((size_t)r->slot_count, sizeof *r->slot);
    if (!r->slot) return gn2_fail_memory();
    for (int64_t i = 0; i < r->slot_count; i++)
        GN2_TRY(gn2_rows_init(&r->slot[i], shape, memory));
    return GN2_OK;
}

void gn2_reader_free(gn2_reader *r)
{
    if (!r) return;
    gn2_reader_stop(r);
    for (int64_t i = 0; r->slot && i < r->slot_count; i++) gn2_rows_free(&r->slot[i]);
    gn2_free(r->slot);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->mutex);
    gn2_free(r);
}

/* Waits for a slot nobody uses; 0 when asked to stop. */
static int wait_for_room(gn2_reader *r)
{
    pthread_mutex_lock(&r->mutex);
    /* the batch taken last is still being read by the caller */
    while (!r->stop && r->made - (r->taken > 0 ? r->taken - 1 : 0) >= r->slot_count)
        pthread_cond_wait(&r->changed, &r->mutex);
    const int go_on = !r->stop;
    pthread_mutex_unlock(&r->mutex);
    return go_on;
}

static void publish(gn2_reader *r, gn2_status status)
{
    pthread_mutex_lock(&r->mutex);
    r->made += status == GN2_OK;
    gn2_trouble_note(&r->failed, status);
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mutex);
}

static void *run(void *context)
{
    gn2_reader *r = context;
    const int64_t end = gn2_sampler_batch_count(r->sampler);
    gn2_status status = GN2_OK;
    for (int64_t i = 0; r->next < end && status == GN2_OK && wait_for_room(r); i++) {
        gn2_rows *rows = &r->slot[i % r->slot_count];
        gn2_fork_enter();
        status = gn2_sampler_batch(r->sampler, r->epoch, r->next, rows);
        gn2_fork_leave();
        r->next++;
        publish(r, status);
    }
    return NULL;
}

/* Signals are for the program's own threads. */
static int create_thread(gn2_reader *r)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    const int failed = pthread_create(&r->thread, NULL, run, r);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return failed;
}

gn2_status gn2_reader_start(gn2_reader *r, int64_t epoch, int64_t batch)
{
    gn2_reader_stop(r);
    r->epoch = epoch;
    r->next = batch;
    r->made = r->taken = 0;
    r->stop = 0;
    r->failed.status = GN2_OK;
    if (create_thread(r))
        return gn2_fail(GN2_ERR_NO_MEMORY, "the reading thread cannot be started");
    r->running = 1;
    return GN2_OK;
}

void gn2_reader_stop(gn2_reader *r)
{
    leave_parent(r);
    if (!r->running) return;
    r->running = 0;
    pthread_mutex_lock(&r->mutex);
    r->stop = 1;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mutex);
    pthread_join(r->thread, NULL);
}

int gn2_reader_running(gn2_reader *r)
{
    leave_parent(r);
    return r->running;
}

gn2_status gn2_reader_take(gn2_reader *r, const gn2_rows **out_rows)
{
    pthread_mutex_lock(&r->mutex);
    while (r->made == r->taken && r->failed.status == GN2_OK)
        pthread_cond_wait(&r->changed, &r->mutex);
    const int there = r->made > r->taken;
    if (there) *out_rows = &r->slot[r->taken++ % r->slot_count];
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mutex);
    return there ? GN2_OK : gn2_trouble_raise(&r->failed); /* it has ended */
}
