/* SPDX-License-Identifier: Apache-2.0 */
#include "ranks.h"

#include <pthread.h>

#include "data/dataset.h"
#include "group/group.h"

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
        *r = (rank){
            .number = i, .size = size, .steps = 2, .config = toy_config(options)};
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
    start starts[MOST_RANKS];
    open_world(w, size);
    for (int32_t i = 0; i < size; i++) {
        const gn2_transport t = link_of(w, i);
        starts[i] = (start){&ranks[i], fn};
        assert_ok(gn2_group_new(&t, &ranks[i].group));
    }
    for (int32_t i = 0; i < size; i++)
        pthread_create(&thread[i], NULL, run_one, &starts[i]);
    for (int32_t i = 0; i < size; i++) pthread_join(thread[i], NULL);
    for (int32_t i = 0; i < size; i++) {
        gn2_group_delete(ranks[i].group);
        ranks[i].group = NULL;
    }
    close_world(w);
}

void assert_all_ok(const rank *ranks, int32_t size)
{
    for (int32_t i = 0; i < size; i++)
        if (ranks[i].status != GN2_OK)
            fail_msg("rank %d: %s", (int)i, ranks[i].message);
}

void assert_all_say(const rank *ranks, int32_t size, gn2_status status,
                    const char *words)
{
    for (int32_t i = 0; i < size; i++) {
        if (ranks[i].status != status || !strstr(ranks[i].message, words))
            fail_msg("rank %d: status %d, '%s', not '%s'", (int)i, (int)ranks[i].status,
                     ranks[i].message, words);
    }
}

void assert_all_at(const rank *ranks, int32_t size, int64_t steps)
{
    for (int32_t i = 0; i < size; i++)
        assert_int_equal(gn2_train_steps(ranks[i].trainer), steps);
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

void fit_ranks(rank *ranks, int32_t size)
{
    world w = {.fault = FAULT_DELAY};
    run_ranks(ranks, size, &w, join_and_fit);
}

gn2_status join_and_step(rank *r)
{
    const gn2_jets *jets = &r->data->jets;
    GN2_TRY(gn2_train_join(r->trainer, r->group));
    for (int64_t i = 0; i < r->steps; i++)
        GN2_TRY(gn2_train_step(r->trainer, jets, &r->data->labels, NULL));
    return GN2_OK;
}

gn2_status join_and_evaluate(rank *r)
{
    r->figures = (gn2_metrics){.struct_size = sizeof r->figures};
    if (r->group) GN2_TRY(gn2_train_join(r->trainer, r->group));
    return gn2_train_evaluate(r->trainer, r->val_set, &r->figures);
}
