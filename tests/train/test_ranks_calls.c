/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of all ranks, of which one is refused before it begins: the others are told
 * at once, with the reason, and all can go on. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <gn2/gn2.h>

#include "link.h"

#define JETS 12
#define TRACKS 3
#include "few_jets.h"

static const gn2_label label[] = {LABEL(LABEL_JETS, flavour)};
static const gn2_labels labels = LABELS(label);

struct side;
typedef gn2_status (*call_fn)(struct side *s);

/* A rank, and what its call gave. */
typedef struct side {
    int32_t rank;
    gn2_config *config;
    gn2_trainer *trainer;
    gn2_dataset *data;
    gn2_group *group;
    call_fn call;
    gn2_status status;
    char message[512];
    int32_t of_network;
} side;

#define MUST(expr) assert_int_equal(GN2_OK, expr)

static void set_up(side *s, int32_t rank, const char *rate)
{
    const char *const options[][2] = {
        {"model.embed_dim", "16"},  {"model.num_layers", "1"},
        {"model.out_dim", "8"},     {"model.tasks", "jets_classification"},
        {"data.batch_size", "6"},   {"train.epochs", "20"},
        {"data.prefetch", "0"},     {"schedule.steps", "100"},
        {"schedule.initial", rate}, {"schedule.max", rate},
        {"schedule.end", rate},     {"optim.weight_decay", "1"},
    };
    gn2_model *model;
    *s = (side){.rank = rank};
    MUST(gn2_config_create(&s->config));
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        MUST(gn2_config_set_text(s->config, options[i][0], options[i][1]));
    MUST(gn2_model_create(s->config, &model));
    MUST(gn2_trainer_create(model, s->config, &s->trainer));
    gn2_model_free(model);
    MUST(gn2_dataset_from_arrays(&jets, &labels, s->config, &s->data));
}

static void tear_down(side *s)
{
    gn2_dataset_free(s->data);
    gn2_trainer_free(s->trainer);
    gn2_group_free(s->group);
    gn2_config_free(s->config);
}

static void *run(void *user)
{
    side *s = user;
    s->status = s->call(s);
    snprintf(s->message, sizeof s->message, "%s", gn2_last_error());
    s->of_network = gn2_last_error_of_network();
    return NULL;
}

static void both(side *s, call_fn zero, call_fn one)
{
    pthread_t thread[2];
    s[0].call = zero;
    s[1].call = one;
    for (int i = 0; i < 2; i++) pthread_create(&thread[i], NULL, run, &s[i]);
    for (int i = 0; i < 2; i++) pthread_join(thread[i], NULL);
}

static void both_work(side *s, call_fn call)
{
    both(s, call, call);
    for (int i = 0; i < 2; i++)
        if (s[i].status != GN2_OK) fail_msg("rank %d: %s", i, s[i].message);
}

/* Both fail, with the message of rank 1. */
static void both_fail(side *s, call_fn zero, call_fn one, const char *words)
{
    both(s, zero, one);
    for (int i = 0; i < 2; i++)
        if (s[i].status >= 0 || !strstr(s[i].message, words))
            fail_msg("rank %d: status %d, '%s', not '%s'", i, (int)s[i].status,
                     s[i].message, words);
}

static gn2_status join(side *s)
{
    return gn2_trainer_join(s->trainer, s->group);
}

static gn2_status step(side *s)
{
    return gn2_trainer_step(s->trainer, &jets, &labels, NULL);
}

static gn2_status evaluate(side *s)
{
    gn2_metrics metrics = {.struct_size = sizeof metrics};
    return gn2_trainer_evaluate(s->trainer, s->data, &metrics);
}

static gn2_status fit(side *s)
{
    return gn2_trainer_fit(s->trainer, s->data, NULL, NULL, NULL);
}

static gn2_status load(side *s)
{
    return gn2_trainer_checkpoint_load(s->trainer, "/nowhere.gn2");
}

static gn2_status share(side *s)
{
    int64_t value = s->rank;
    return gn2_group_broadcast(s->group, &value, sizeof value, 0);
}

/* ---- what is refused on rank 1 ---- */

static gn2_status join_nothing(side *s)
{
    return gn2_trainer_join(NULL, s->group);
}

static gn2_status step_null(side *s)
{
    return gn2_trainer_step(s->trainer, NULL, &labels, NULL);
}

static gn2_status evaluate_null(side *s)
{
    gn2_metrics metrics = {.struct_size = sizeof metrics};
    return gn2_trainer_evaluate(s->trainer, NULL, &metrics);
}

static gn2_status evaluate_nowhere(side *s)
{
    return gn2_trainer_evaluate(s->trainer, s->data, NULL);
}

static gn2_status evaluate_small(side *s)
{
    gn2_metrics metrics = {.struct_size = 4};
    return gn2_trainer_evaluate(s->trainer, s->data, &metrics);
}

static gn2_status fit_null(side *s)
{
    return gn2_trainer_fit(s->trainer, NULL, NULL, NULL, NULL);
}

static gn2_status load_null(side *s)
{
    return gn2_trainer_checkpoint_load(s->trainer, NULL);
}

static gn2_status share_null(side *s)
{
    return gn2_group_broadcast(s->group, NULL, 8, 0);
}

static gn2_status share_other_size(side *s)
{
    char value[3] = "";
    return gn2_group_broadcast(s->group, value, sizeof value, 0);
}

static gn2_status share_other_root(side *s)
{
    int64_t value = 0;
    return gn2_group_broadcast(s->group, &value, sizeof value, 1);
}

/* ---- tests ---- */

typedef struct pair {
    side s[2];
    world world;
} pair;

static void open_pair_at(pair *p, const char *rate)
{
    fill_jets();
    p->world = (world){0};
    open_world(&p->world, 2);
    for (int32_t i = 0; i < 2; i++) {
        const gn2_transport t = link_of(&p->world, i);
        set_up(&p->s[i], i, rate);
        MUST(gn2_group_create(&t, &p->s[i].group));
    }
}

static void open_pair(pair *p)
{
    open_pair_at(p, "1e-4");
}

static void close_pair(pair *p)
{
    for (int i = 0; i < 2; i++) tear_down(&p->s[i]);
    close_world(&p->world);
}

static void what_is_null_on_one_rank_is_told_to_all(void **state)
{
    static const struct {
        call_fn call, refused;
        const char *words;
    } cases[] = {
        {step, step_null, "rank 1: gn2_trainer_step: jets is NULL"},
        {evaluate, evaluate_null, "rank 1: gn2_trainer_evaluate: dataset is NULL"},
        {evaluate, evaluate_nowhere, "evaluate: out_metrics is NULL"},
        {evaluate, evaluate_small, "rank 1: gn2_metrics.struct_size = 4"},
        {fit, fit_null, "rank 1: gn2_trainer_fit: train is NULL"},
        {load, load_null, "(and 1 more): "},
        {share, share_null, "rank 1: gn2_group_broadcast: data is NULL"},
        {share, share_other_size, "rank 1 has 3 bytes to broadcast, rank 0 8"},
        {share, share_other_root, "rank 1 expects the bytes of another rank"},
        {step, evaluate, "rank 1 is evaluating, rank 0 is at a step"},
    };
    pair p;
    (void)state;
    open_pair(&p);
    both_fail(p.s, join, join_nothing, "rank 1: gn2_trainer_join: trainer is NULL");
    both_work(p.s, join);
    both_fail(p.s, join, join, "joined a group already");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        both_fail(p.s, cases[i].call, cases[i].refused, cases[i].words);
        both_work(p.s, step);
    }
    close_pair(&p);
}

/* ---- busy ---- */

static int32_t enter(void *user, const gn2_progress *progress)
{
    side *s = user;
    (void)progress;
    assert_int_equal(GN2_ERR_BUSY, step(s));
    return 0;
}

static gn2_status fit_and_enter(side *s)
{
    return gn2_trainer_fit(s->trainer, s->data, NULL, enter, s);
}

/* A dataset that is held by the run of another trainer. */
static int32_t hold(void *user, const gn2_progress *progress)
{
    side *s = user;
    s->status = progress->step == 1 ? fit(s) : s->status;
    return 1;
}

static gn2_status fit_held(side *s)
{
    gn2_model *model;
    gn2_trainer *other;
    MUST(gn2_model_create(s->config, &model));
    MUST(gn2_trainer_create(model, s->config, &other));
    gn2_model_free(model);
    gn2_trainer_fit(other, s->data, NULL, hold, s);
    gn2_trainer_free(other);
    return s->status;
}

static void a_call_inside_a_call_is_told_to_all(void **state)
{
    pair p;
    (void)state;
    open_pair(&p);
    both_work(p.s, join);
    both_fail(p.s, fit, fit_and_enter, "rank 1: gn2_trainer_step: a call on this");
    assert_int_equal(p.s[0].status, GN2_ERR_BUSY);
    both_work(p.s, step);
    close_pair(&p);
}

static void a_dataset_in_use_is_told_to_all(void **state)
{
    pair p;
    (void)state;
    open_pair(&p);
    both_work(p.s, join);
    both(p.s, fit, fit_held);
    for (int r = 0; r < 2; r++) assert_int_equal(p.s[r].status, GN2_ERR_BUSY);
    assert_non_null(strstr(p.s[0].message, "rank 1: gn2_trainer_fit: a call on this"));
    close_pair(&p);
}

/* ---- whose values are not finite ---- */

static gn2_status step_bad(side *s)
{
    static float values[JETS * 2];
    gn2_jets bad = jets;
    for (int i = 0; i < JETS * 2; i++) values[i] = i == 7 ? NAN : 0;
    bad.features = values;
    return gn2_trainer_step(s->trainer, &bad, &labels, NULL);
}

static void what_diverges_is_the_networks_fault_on_all_ranks(void **state)
{
    pair p;
    (void)state;
    open_pair_at(&p, "1e3");
    both_work(p.s, join);
    both(p.s, step, step_bad);
    for (int r = 0; r < 2; r++) {
        assert_int_equal(p.s[r].status, GN2_ERR_NUMERIC);
        assert_non_null(strstr(p.s[r].message, "rank 1: jet 3: "));
        assert_int_equal(p.s[r].of_network, 0);
    }
    both(p.s, fit, fit);
    for (int r = 0; r < 2; r++) {
        assert_int_equal(p.s[r].status, GN2_ERR_NUMERIC);
        assert_int_equal(p.s[r].of_network, 1);
    }
    close_pair(&p);
}

/* ---- two threads of a rank ---- */

static void *step_again(void *user)
{
    side *s = user;
    s->status = step(s);
    return NULL;
}

/* Two calls at once: whichever comes second is refused, on both ranks or on one. */
static gn2_status step_twice_at_once(side *s)
{
    side other = *s;
    pthread_t thread;
    pthread_create(&thread, NULL, step_again, &other);
    const gn2_status status = step(s);
    pthread_join(thread, NULL);
    return status == GN2_OK || status == GN2_ERR_BUSY ? other.status : status;
}

static gn2_status step_twice(side *s)
{
    const gn2_status status = step(s);
    const gn2_status second = step(s);
    return status == GN2_OK || status == GN2_ERR_BUSY ? second : status;
}

/* Each call of a rank meets one of the other, refused or not: nobody waits for ever. */
static void calls_of_two_threads_meet_those_of_the_other_rank(void **state)
{
    pair p;
    (void)state;
    open_pair(&p);
    both_work(p.s, join);
    for (int i = 0; i < 20; i++) {
        both(p.s, step_twice, step_twice_at_once);
        for (int r = 0; r < 2; r++)
            assert_true(p.s[r].status == GN2_OK || p.s[r].status == GN2_ERR_BUSY);
    }
    both_work(p.s, step);
    close_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_null_on_one_rank_is_told_to_all),
        cmocka_unit_test(a_call_inside_a_call_is_told_to_all),
        cmocka_unit_test(a_dataset_in_use_is_told_to_all),
        cmocka_unit_test(what_diverges_is_the_networks_fault_on_all_ranks),
        cmocka_unit_test(calls_of_two_threads_meet_those_of_the_other_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
