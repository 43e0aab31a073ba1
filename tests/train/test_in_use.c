/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trainers and datasets that are entered while a call is under way: what the callback
 * of a fit may do works, all else is GN2_ERR_BUSY and changes nothing.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <gn2/gn2.h>

#define JETS 12
#define TRACKS 3
#include "few_jets.h"

static const gn2_label label[] = {LABEL(LABEL_JETS, flavour)};
static const gn2_labels labels = LABELS(label);

typedef struct run {
    gn2_trainer *trainer;
    gn2_dataset *train, *val;
    gn2_config *config;
    char path[40];
    int steps, probed, probes_refused;
} run;

#define MUST(expr) assert_int_equal(GN2_OK, expr)
#define IS_BUSY(expr) assert_int_equal(GN2_ERR_BUSY, expr)

static void set_up(run *r)
{
    static const char *const options[][2] = {
        {"model.embed_dim", "16"}, {"model.num_layers", "1"},
        {"model.out_dim", "8"},    {"model.tasks", "jets_classification"},
        {"data.batch_size", "6"},  {"train.epochs", "2"},
        {"data.prefetch", "0"},
    };
    gn2_model *model;
    *r = (run){.path = "/tmp/gn2_in_use_XXXXXX"};
    close(mkstemp(r->path));
    fill_jets();
    MUST(gn2_config_create(&r->config));
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        MUST(gn2_config_set_text(r->config, options[i][0], options[i][1]));
    MUST(gn2_model_create(r->config, &model));
    MUST(gn2_trainer_create(model, r->config, &r->trainer));
    gn2_model_free(model);
    MUST(gn2_dataset_from_arrays(&jets, &labels, r->config, &r->train));
    MUST(gn2_dataset_from_arrays(&jets, &labels, r->config, &r->val));
}

static void tear_down(run *r)
{
    unlink(r->path);
    gn2_dataset_free(r->train);
    gn2_dataset_free(r->val);
    gn2_trainer_free(r->trainer);
    gn2_config_free(r->config);
}

/* A probe inside the callback of a probe is one too many. */
static void probed(void *user, const gn2_probe_stats *stats)
{
    run *r = user;
    (void)stats;
    r->probed++;
    r->probes_refused += gn2_trainer_probe(r->trainer, &jets, probed, r) != GN2_OK;
}

static void do_what_is_allowed(run *r)
{
    gn2_model *model;
    MUST(gn2_trainer_checkpoint_save(r->trainer, r->path));
    MUST(gn2_trainer_snapshot(r->trainer, &model));
    gn2_model_free(model);
    MUST(gn2_trainer_probe(r->trainer, &jets, probed, r));
    assert_true(gn2_trainer_memory(r->trainer) > 0);
}

static void try_what_changes_it(run *r)
{
    gn2_metrics metrics = {.struct_size = sizeof metrics};
    gn2_jets batch = {.struct_size = sizeof batch};
    IS_BUSY(gn2_trainer_step(r->trainer, &jets, &labels, NULL));
    IS_BUSY(gn2_trainer_fit(r->trainer, r->train, NULL, NULL, NULL));
    IS_BUSY(gn2_trainer_evaluate(r->trainer, r->val, &metrics));
    IS_BUSY(gn2_trainer_checkpoint_load(r->trainer, r->path));
    IS_BUSY(gn2_dataset_next(r->train, &batch, NULL));
    IS_BUSY(gn2_dataset_reset(r->train, 0, 0));
    IS_BUSY(gn2_dataset_setup(r->train, r->config));
    IS_BUSY(gn2_dataset_reset(r->val, 0, 0));
}

/* Another thread may not even look: the fit does not wait for it. */
static void *on_another_thread(void *argument)
{
    run *r = argument;
    gn2_model *model = NULL;
    try_what_changes_it(r);
    IS_BUSY(gn2_trainer_snapshot(r->trainer, &model));
    assert_null(model);
    IS_BUSY(gn2_trainer_checkpoint_save(r->trainer, r->path));
    IS_BUSY(gn2_trainer_probe(r->trainer, &jets, probed, r));
    return NULL;
}

static int32_t watch(void *user, const gn2_progress *progress)
{
    run *r = user;
    pthread_t thread;
    r->steps += progress->event == GN2_EVENT_STEP;
    try_what_changes_it(r);
    do_what_is_allowed(r);
    assert_int_equal(pthread_create(&thread, NULL, on_another_thread, r), 0);
    pthread_join(thread, NULL);
    return 0;
}

static void a_fit_holds_trainer_and_data(void **state)
{
    run r;
    gn2_metrics metrics = {.struct_size = sizeof metrics};
    (void)state;
    set_up(&r);
    MUST(gn2_trainer_fit(r.trainer, r.train, r.val, watch, &r));
    assert_int_equal(r.steps, 4);
    assert_true(r.probed > 0);
    assert_int_equal(r.probes_refused, r.probed);
    MUST(gn2_trainer_evaluate(r.trainer, r.val, &metrics)); /* all are free again */
    MUST(gn2_trainer_checkpoint_load(r.trainer, r.path));
    MUST(gn2_dataset_reset(r.train, 0, 0));
    tear_down(&r);
}

static void a_failed_fit_leaves_them_free(void **state)
{
    run r;
    gn2_dataset *bare;
    (void)state;
    set_up(&r);
    MUST(gn2_dataset_from_arrays(&jets, NULL, r.config, &bare));
    assert_int_not_equal(GN2_OK, gn2_trainer_fit(r.trainer, r.train, bare, NULL, NULL));
    assert_int_not_equal(GN2_OK, gn2_trainer_fit(r.trainer, bare, r.val, NULL, NULL));
    MUST(gn2_dataset_reset(bare, 0, 0));
    MUST(gn2_trainer_fit(r.trainer, r.train, r.val, NULL, NULL));
    gn2_dataset_free(bare);
    tear_down(&r);
}

/* A run on a dataset that another trainer is using is refused at once. */
static int32_t share(void *user, const gn2_progress *progress)
{
    run *r = user;
    run other;
    (void)progress;
    set_up(&other);
    IS_BUSY(gn2_trainer_fit(other.trainer, r->train, NULL, NULL, NULL));
    IS_BUSY(gn2_trainer_fit(other.trainer, other.train, r->val, NULL, NULL));
    MUST(gn2_trainer_fit(other.trainer, other.train, other.val, NULL, NULL));
    tear_down(&other);
    return 1;
}

static void a_dataset_serves_one_run(void **state)
{
    run r;
    (void)state;
    set_up(&r);
    assert_int_equal(GN2_ERR_CANCELLED,
                     gn2_trainer_fit(r.trainer, r.train, r.val, share, &r));
    MUST(gn2_trainer_fit(r.trainer, r.train, r.val, NULL, NULL));
    tear_down(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fit_holds_trainer_and_data),
        cmocka_unit_test(a_failed_fit_leaves_them_free),
        cmocka_unit_test(a_dataset_serves_one_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
