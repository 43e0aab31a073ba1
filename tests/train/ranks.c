/* SPDX-License-Identifier: Apache-2.0 */
#include "ranks.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "data/dataset.h"
#include "group/group.h"

/* Seconds after which a rank gives up: no test waits for ever. */
#define PATIENCE 20

/* ---- the transport ---- */

typedef struct message {
    struct message *next;
    size_t size;
    char bytes[];
} message;

typedef struct queues {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int broken;
    message *from[MOST_RANKS][MOST_RANKS]; /* [sender][receiver], oldest first */
} queues;

/* What the transport of one rank knows. */
typedef struct post {
    world *world;
    int32_t me;
} post;

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

static int wait_for(queues *q, message **head)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE;
    int late = 0;
    while (!*head && !q->broken && !late)
        late = pthread_cond_timedwait(&q->changed, &q->lock, &until);
    return *head && !q->broken;
}

static gn2_status take(queues *q, message **head, void *bytes, size_t size)
{
    if (!wait_for(q, head)) return GN2_ERR_IO;
    message *m = *head;
    *head = m->next;
    const int fits = m->size == size;
    if (fits) memcpy(bytes, m->bytes, size);
    free(m);
    return fits ? GN2_OK : GN2_ERR_FORMAT;
}

static void sleep_a_little(int64_t seed)
{
    const struct timespec t = {.tv_nsec = (long)(seed * 7919 % 200) * 1000};
    nanosleep(&t, NULL);
}

/* The fault of this exchange. */
static fault fault_of(world *w, int32_t me)
{
    if (w->fault == FAULT_DELAY) sleep_a_little(w->at += me + 1);
    if (me != w->at_rank || w->fault == FAULT_DELAY) return FAULT_NONE;
    return w->exchanges++ == w->at ? w->fault : FAULT_NONE;
}

static gn2_status exchange(void *user, int32_t peer, const void *send, size_t send_size,
                           void *receive, size_t receive_size)
{
    const post *p = user;
    queues *q = p->world->queues;
    gn2_status status = GN2_OK;
    pthread_mutex_lock(&q->lock);
    const fault f = fault_of(p->world, p->me);
    const size_t lost = f == FAULT_TRUNCATE && send_size ? 1 : 0;
    if (f == FAULT_FAIL) status = GN2_ERR_IO;
    if (status == GN2_OK && send_size)
        put(q, &q->from[p->me][peer], send, send_size - lost);
    if (status == GN2_OK && receive_size)
        status = take(q, &q->from[peer][p->me], receive, receive_size);
    pthread_mutex_unlock(&q->lock);
    return status;
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

static void free_queues(queues *q)
{
    for (int i = 0; i < MOST_RANKS * MOST_RANKS; i++)
        for (message *m = q->from[i / MOST_RANKS][i % MOST_RANKS], *next; m; m = next) {
            next = m->next;
            free(m);
        }
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->changed);
    free(q);
}

/* ---- ranks ---- */

static gn2_dataset *dataset_of(const toy *data, const gn2_config *config)
{
    gn2_dataset *dataset = NULL;
    assert_ok(gn2_dataset_arrays_impl(&data->jets, &data->labels, config, &dataset));
    return dataset;
}

void make_ranks(rank *ranks, int32_t size, const char *const *options)
{
    for (int32_t i = 0; i < size; i++) {
        rank *r = &ranks[i];
        *r = (rank){.number = i, .size = size, .config = toy_config(options)};
        r->data = toy_create(60, 41);
        r->val = toy_create(35, 42);
        r->trainer = toy_trainer(r->config);
        r->train_set = dataset_of(r->data, r->config);
        r->val_set = dataset_of(r->val, r->config);
    }
}

void free_ranks(rank *ranks, int32_t size)
{
    for (int32_t i = 0; i < size; i++) {
        gn2_dataset_free_impl(ranks[i].train_set);
        gn2_dataset_free_impl(ranks[i].val_set);
        gn2_train_delete(ranks[i].trainer);
        gn2_config_delete(ranks[i].config);
        toy_free(ranks[i].data);
        toy_free(ranks[i].val);
    }
}

typedef struct start {
    rank *rank;
    rank_fn fn;
} start;

/* A thread has a message of its own; it is kept for the test's. */
static void *run_one(void *user)
{
    const start *s = user;
    s->rank->status = s->fn(s->rank);
    strcpy(s->rank->message, s->rank->status == GN2_OK ? "" : gn2_error_text());
    return NULL;
}

void run_ranks(rank *ranks, int32_t size, world *w, rank_fn fn)
{
    pthread_t thread[MOST_RANKS];
    post posts[MOST_RANKS];
    start starts[MOST_RANKS];
    w->queues = calloc(1, sizeof *w->queues);
    pthread_mutex_init(&w->queues->lock, NULL);
    pthread_cond_init(&w->queues->changed, NULL);
    for (int32_t i = 0; i < size; i++) {
        posts[i] = (post){w, i};
        starts[i] = (start){&ranks[i], fn};
        const gn2_transport t = {.struct_size = sizeof t,
                                 .rank = i,
                                 .size = size,
                                 .user = &posts[i],
                                 .exchange = exchange,
                                 .abort = end_others};
        assert_ok(gn2_group_new(&t, &ranks[i].group));
    }
    for (int32_t i = 0; i < size; i++)
        pthread_create(&thread[i], NULL, run_one, &starts[i]);
    for (int32_t i = 0; i < size; i++) pthread_join(thread[i], NULL);
    for (int32_t i = 0; i < size; i++) {
        gn2_group_delete(ranks[i].group);
        ranks[i].group = NULL;
    }
    free_queues(w->queues);
}

/* ---- what they do ---- */

static int32_t note(void *user, const gn2_progress *p)
{
    rank *r = user;
    if (p->event == GN2_EVENT_STEP) {
        r->loss = p->stats->loss;
        r->norm = p->stats->gradient_norm;
    } else {
        r->val_loss = p->validation->loss;
        r->auc = p->validation->auc_b_light;
    }
    if (p->step == r->stop_at) atomic_store(&r->trainer->stop, 1);
    return p->step == r->cancel_at;
}

gn2_status join_and_fit(rank *r)
{
    if (r->group) GN2_TRY(gn2_train_join(r->trainer, r->group));
    if (r->load) GN2_TRY(gn2_train_load(r->trainer, r->load));
    return gn2_train_fit(r->trainer, r->train_set, r->val_set, note, r);
}

gn2_status join_and_step(rank *r)
{
    const gn2_jets *jets = &r->data->jets;
    GN2_TRY(gn2_train_join(r->trainer, r->group));
    GN2_TRY(gn2_train_step(r->trainer, jets, &r->data->labels, NULL));
    return gn2_train_step(r->trainer, jets, &r->data->labels, NULL);
}
