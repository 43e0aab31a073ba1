/* SPDX-License-Identifier: Apache-2.0 */
/* What a run that goes on is held to: the same batches, a validation that was stopped
 * is made up for, early stopping counts on, and no number that a training cannot leave.
 */
#include <math.h>

#include "session.h"

/* ---- what would not go on where it was ---- */

static int32_t stop_at_15(void *user, const gn2_progress *progress)
{
    (void)user;
    return progress->step == 15;
}

static void other_batches_are_refused(void **state)
{
    session first = open_session();
    (void)state;
    assert_status(GN2_ERR_CANCELLED, fit(&first, stop_at_15, NULL));
    assert_ok(gn2_train_save(first.trainer, path));
    static const struct {
        const char *key, *message;
        int64_t value;
    } rows[] = {{"data.batch_size", "batches of 10 jets", 20},
                {"data.max_jets", "has 8 batches, of the run that is to go on 10", 80}};
    for (size_t i = 0; i < 2; i++) {
        session second = open_session();
        gn2_dataset *other_data = NULL;
        assert_ok(gn2_config_put_i64(second.config, rows[i].key, rows[i].value));
        assert_ok(gn2_dataset_arrays_impl(&second.data->jets, &second.data->labels,
                                          second.config, &other_data));
        assert_ok(gn2_train_load(second.trainer, path));
        assert_status(GN2_ERR_INVALID_ARG,
                      gn2_train_fit(second.trainer, other_data, NULL, NULL, NULL));
        assert_message(rows[i].message);
        assert_status(GN2_ERR_INVALID_ARG,
                      gn2_train_fit(first.trainer, other_data, NULL, NULL, NULL));
        gn2_dataset_free_impl(other_data);
        close_session(&second);
    }
    close_session(&first);
}

/* ---- validation is part of an epoch ---- */

typedef struct counter {
    gn2_trainer *trainer;
    int epochs, early;
    int64_t stop_after; /* step after which a stop is asked for */
} counter;

static int32_t count_epochs(void *user, const gn2_progress *progress)
{
    counter *c = user;
    c->epochs += progress->event == GN2_EVENT_EPOCH;
    c->early += progress->event == GN2_EVENT_EARLY_STOP;
    /* at the end of an epoch the request is heard by its validation */
    if (progress->step == c->stop_after) atomic_store(&c->trainer->stop, 1);
    return 0;
}

/* The position of a validation that was stopped, as a killed process leaves it. */
static int32_t stop_in_validation(void *user, const gn2_progress *progress)
{
    const counter *c = user;
    if (progress->event != GN2_EVENT_STEP || progress->step != 20) return 0;
    assert_ok(gn2_train_save(c->trainer, path));
    return 1;
}

static void a_stopped_validation_is_made_up_for(void **state)
{
    session whole = whole_run(), first = open_session(), second = open_session();
    counter c = {.trainer = first.trainer}, rest = {.trainer = second.trainer};
    gn2_dataset *val = NULL;
    (void)state;
    assert_ok(gn2_dataset_arrays_impl(&first.data->jets, &first.data->labels,
                                      first.config, &val));
    assert_status(GN2_ERR_CANCELLED, gn2_train_fit(first.trainer, first.dataset, val,
                                                   stop_in_validation, &c));
    assert_ok(gn2_train_load(second.trainer, path));
    assert_ok(gn2_train_fit(second.trainer, second.dataset, val, count_epochs, &rest));
    assert_int_equal(rest.epochs, 3); /* the second's, the third's, the fourth's */
    assert_same_state(whole.trainer, second.trainer);
    gn2_dataset_free_impl(val);
    close_session(&whole);
    close_session(&first);
    close_session(&second);
}

static void a_validation_is_stopped_between_batches(void **state)
{
    session s = open_session();
    gn2_metrics metrics;
    (void)state;
    atomic_store(&s.trainer->stop, 1);
    assert_status(GN2_ERR_CANCELLED,
                  gn2_train_evaluate(s.trainer, s.dataset, &metrics));
    assert_message("0 jets");
    assert_ok(gn2_train_evaluate(s.trainer, s.dataset, &metrics)); /* once only */
    close_session(&s);
}

static int32_t ask_after_the_last(void *user, const gn2_progress *progress)
{
    gn2_trainer *t = user;
    if (progress->event == GN2_EVENT_EPOCH && progress->epoch == 3)
        atomic_store(&t->stop, 1);
    return 0;
}

/* There is nothing to go on with, so it is no stopped run; nor is the next one. */
static void a_stop_asked_for_too_late_is_none(void **state)
{
    session s = open_session();
    gn2_metrics metrics;
    (void)state;
    assert_ok(fit(&s, ask_after_the_last, s.trainer));
    assert_int_equal(gn2_train_steps(s.trainer), 40);
    assert_ok(gn2_train_evaluate(s.trainer, s.dataset, &metrics));
    close_session(&s);
}

/* ---- early stopping ---- */

/* Rates so small that no loss is smaller than the first but by rounding. */
static session early_session(void)
{
    session s = open_session();
    gn2_train_delete(s.trainer);
    assert_ok(gn2_config_put_i64(s.config, "train.epochs", 50));
    assert_ok(gn2_config_put_i64(s.config, "train.early_stopping", 3));
    assert_ok(gn2_config_put_i64(s.config, "train.shards", 1));
    assert_ok(gn2_config_put_text(s.config, "schedule.name", "constant"));
    assert_ok(gn2_config_put_text(s.config, "schedule.max", "0"));
    s.trainer = toy_trainer(s.config);
    return s;
}

static void a_run_ends_when_nothing_gets_better(void **state)
{
    session s = early_session(), again = early_session();
    counter c = {.trainer = s.trainer}, rest = {.trainer = again.trainer};
    gn2_dataset *val = NULL;
    (void)state;
    assert_status(GN2_ERR_INVALID_ARG, fit(&s, NULL, NULL));
    assert_message("train.early_stopping");
    assert_ok(gn2_dataset_arrays_impl(&s.data->jets, &s.data->labels, s.config, &val));
    c.stop_after = 25; /* in the third epoch, after two without a better one */
    assert_status(GN2_ERR_CANCELLED,
                  gn2_train_fit(s.trainer, s.dataset, val, count_epochs, &c));
    assert_true(c.epochs == 2 && c.early == 0);
    assert_ok(gn2_train_save(s.trainer, path));
    assert_ok(gn2_train_load(again.trainer, path));
    assert_ok(gn2_train_fit(again.trainer, again.dataset, val, count_epochs, &rest));
    assert_true(rest.epochs == 2 && rest.early == 1); /* best, 1, 2, 3 */
    assert_status(GN2_ERR_STATE,
                  gn2_train_fit(again.trainer, again.dataset, val, NULL, NULL));
    assert_message("3 validations");
    gn2_dataset_free_impl(val);
    close_session(&s);
    close_session(&again);
}

/* ---- numbers that no training leaves ---- */

static gn2_status save_and_load(const gn2_trainer *from)
{
    gn2_trainer *to = toy_trainer_of(NULL);
    assert_ok(gn2_train_save(from, path));
    const gn2_status status = gn2_train_load(to, path);
    gn2_train_delete(to);
    return status;
}

static void impossible_states_are_refused(void **state)
{
    gn2_trainer *t = toy_trainer_of(NULL);
    float *v = t->engine->optimizer.moment[1];
    (void)state;
    assert_ok(save_and_load(t));
    v[3] = -1e-30F;
    assert_status(GN2_ERR_FORMAT, save_and_load(t));
    assert_message("values below 0");
    v[3] = INFINITY;
    assert_status(GN2_ERR_FORMAT, save_and_load(t));
    assert_message("NaN or Inf");
    v[3] = 0;
    t->batch = 1; /* without a step */
    assert_status(GN2_ERR_FORMAT, save_and_load(t));
    assert_message("after 0 steps");
    t->engine->optimizer.steps = 1;
    assert_ok(save_and_load(t));
    t->engine->optimizer.steps = 9;
    t->batch = 6, t->batches = 5;
    assert_status(GN2_ERR_FORMAT, save_and_load(t));
    gn2_train_delete(t);
}

/* A rate that takes a large first moment beyond what a float holds. */
static void an_update_that_is_not_finite_is_no_success(void **state)
{
    gn2_trainer *t =
        toy_trainer_of(OPTIONS("schedule.initial=1000", "schedule.max=1000"));
    toy *data = toy_create(20, 21);
    gn2_model *model = NULL;
    (void)state;
    assert_ok(gn2_train_save(t, path));
    t->engine->optimizer.moment[0][0] = 3e38F;
    assert_status(GN2_ERR_NUMERIC, gn2_train_step(t, &data->jets, &data->labels, NULL));
    assert_message(t->params->tensor[0].name);
    assert_status(GN2_ERR_STATE, gn2_train_step(t, &data->jets, &data->labels, NULL));
    assert_status(GN2_ERR_STATE, gn2_train_save(t, other));
    assert_status(GN2_ERR_STATE, gn2_train_snapshot(t, &model));
    assert_ok(gn2_train_load(t, path)); /* whole again */
    assert_ok(gn2_train_step(t, &data->jets, &data->labels, NULL));
    gn2_train_delete(t);
    toy_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_batches_are_refused),
        cmocka_unit_test(a_stopped_validation_is_made_up_for),
        cmocka_unit_test(a_validation_is_stopped_between_batches),
        cmocka_unit_test(a_stop_asked_for_too_late_is_none),
        cmocka_unit_test(a_run_ends_when_nothing_gets_better),
        cmocka_unit_test(impossible_states_are_refused),
        cmocka_unit_test(an_update_that_is_not_finite_is_no_success),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
