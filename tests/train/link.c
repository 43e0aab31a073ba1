/* SPDX-License-Identifier: Apache-2.0 */
#include "link.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Bytes above which a message is a part of the gradient. */
#define LONG 4096

typedef struct message {
    struct message *next;
    size_t size;
    char bytes[];
} message;

/* What the transport of one rank knows. */
typedef struct post {
    world *world;
    int32_t me;
    double patience; /* seconds: no test waits for ever */
} post;

typedef struct queues {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int32_t size;
    int broken, spoilt;
    post post[MOST_RANKS];
    message *from[MOST_RANKS][MOST_RANKS]; /* [sender][receiver], oldest first */
} queues;

static void put(queues *q, message **tail, const void *bytes, size_t size)
{
    message *m = malloc(sizeof *m + size);
    m->next = NULL;
    m->size = size;
    memcpy(m->bytes, bytes, size);
    while (*tail) tail = &(*tail)->next;
    *tail = m;
    pthread_cond_broadcast(&q->changed);
}

static int wait_for(queues *q, message **head, double patience)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    const double end = (double)until.tv_nsec + patience * 1e9;
    until.tv_sec += (time_t)(end / 1e9);
    until.tv_nsec = (long)(end - 1e9 * (double)(int64_t)(end / 1e9));
    int late = 0;
    while (!*head && !q->broken && !late)
        late = pthread_cond_timedwait(&q->changed, &q->lock, &until);
    return *head && !q->broken;
}

static gn2_status take(message **head, void *bytes, size_t size)
{
    message *m = *head;
    *head = m->next;
    const int fits = m->size == size;
    if (fits) memcpy(bytes, m->bytes, size);
    free(m);
    return fits ? GN2_OK : GN2_ERR_FORMAT;
}

/* Before the queues are looked at. */
static void dawdle(const world *w, int32_t me, int64_t number)
{
    const int64_t size = w->queues->size;
    int64_t share = 0;
    if (w->fault == FAULT_DELAY) share = (number + me + 1) * 7919 % 8;
    if (w->fault == FAULT_ORDER) share = (me * (number % size + 1) + number) % size;
    const struct timespec t = {.tv_nsec = (long)share * 25000};
    if (share) nanosleep(&t, NULL);
}

/* Does exchange `number` of a rank fail? */
static int fails(const world *w, int32_t me, int64_t number)
{
    return w->fault == FAULT_FAIL && me == w->at_rank && number == w->at;
}

static int is_cut(const world *w, int32_t me, int64_t number, size_t size)
{
    queues *q = w->queues;
    if (w->fault != FAULT_TRUNCATE || me != w->at_rank || number < w->at) return 0;
    if (size == 0 || q->spoilt) return 0;
    q->spoilt = 1;
    return 1;
}

static gn2_status receive_from(const post *p, int32_t peer, void *bytes, size_t size)
{
    const world *w = p->world;
    queues *q = w->queues;
    int32_t from = peer;
    if (w->fault == FAULT_SWAP && p->me == 0 && size > LONG) from = 3 - peer;
    message **head = &q->from[from][p->me];
    if (!wait_for(q, head, p->patience)) return GN2_ERR_IO;
    return take(head, bytes, size);
}

static gn2_status exchange(void *user, int32_t peer, const void *send, size_t send_size,
                           void *receive, size_t receive_size)
{
    const post *p = user;
    world *w = p->world;
    queues *q = w->queues;
    gn2_status status = GN2_OK;
    const int64_t number = w->exchanges[p->me]++;
    dawdle(w, p->me, number);
    pthread_mutex_lock(&q->lock);
    if (fails(w, p->me, number)) status = GN2_ERR_IO;
    const size_t lost = is_cut(w, p->me, number, send_size) ? 1 : 0;
    if (status == GN2_OK && send_size)
        put(q, &q->from[p->me][peer], send, send_size - lost);
    if (status == GN2_OK && receive_size)
        status = receive_from(p, peer, receive, receive_size);
    pthread_mutex_unlock(&q->lock);
    return status;
}

/* Parts end anywhere in a number; what has not come is no number; of the last bytes
 * nothing is told. */
static void deliver(char *receive, size_t size, gn2_arrived_fn arrived, void *context)
{
    char *whole = malloc(size);
    memcpy(whole, receive, size);
    memset(receive, 0xff, size);
    for (size_t part = 1; part < size; part = 3 * part + 1) {
        memcpy(receive, whole, part);
        arrived(context, part);
    }
    memcpy(receive, whole, size);
    free(whole);
}

static gn2_status exchange_parts(void *user, int32_t peer, const void *send,
                                 size_t send_size, void *receive, size_t receive_size,
                                 gn2_arrived_fn arrived, void *context)
{
    const post *p = user;
    const gn2_status status =
        exchange(user, peer, send, send_size, receive, receive_size);
    if (status != GN2_OK || receive_size == 0) return status;
    p->world->in_parts[p->me]++;
    deliver(receive, receive_size, arrived, context);
    return GN2_OK;
}

static void end_others(void *user, const char *why)
{
    const post *p = user;
    queues *q = p->world->queues;
    (void)why;
    pthread_mutex_lock(&q->lock);
    q->broken = 1;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
}

static void set_patience(void *user, double seconds)
{
    post *p = user;
    p->patience = seconds;
}

void open_world(world *w, int32_t size)
{
    queues *q = w->queues = calloc(1, sizeof *q);
    memset(w->exchanges, 0, sizeof w->exchanges);
    memset(w->in_parts, 0, sizeof w->in_parts);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->changed, NULL);
    q->size = size;
    for (int32_t i = 0; i < size; i++) q->post[i] = (post){w, i, 20};
}

void close_world(world *w)
{
    queues *q = w->queues;
    for (int i = 0; i < MOST_RANKS * MOST_RANKS; i++)
        for (message *m = q->from[i / MOST_RANKS][i % MOST_RANKS], *next; m; m = next) {
            next = m->next;
            free(m);
        }
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->changed);
    free(q);
    w->queues = NULL;
}

gn2_transport link_of(world *w, int32_t rank)
{
    return (gn2_transport){.struct_size = sizeof(gn2_transport),
                           .rank = rank,
                           .size = w->queues->size,
                           .user = &w->queues->post[rank],
                           .exchange = exchange,
                           .abort = end_others,
                           .set_timeout = set_patience,
                           .exchange_parts = w->whole ? NULL : exchange_parts};
}
