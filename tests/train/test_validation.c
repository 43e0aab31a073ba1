/* SPDX-License-Identifier: Apache-2.0 */
/* Validations inside an epoch: where they come, that they say what an evaluation says
 * and move nothing, and that a run that is stopped anywhere tells and does the same. */
#include <math.h>
#include <stdio.h>

#include "data/dataset.h"
#include "data/dataset_object.h"
#include "session.h"
#include "util/alloc.h"
#include "util/file.h"

#define MOST 128

typedef struct row {
    int32_t event;
    int64_t step, epoch;
    double loss;
} row;

/* What a run tells; it ends at an event of a step, with a checkpoint. */
typedef struct notes {
    gn2_trainer *trainer;
    row rows[MOST];
    int64_t count;
    int32_t event; /* of the end; 0: none */
    int64_t step;
} notes;

static int32_t take_notes(void *user, const gn2_progress *p)
{
    notes *n = user;
    const double loss = p->validation ? p->validation->loss : -1;
    assert_true(n->count < MOST);
    /* of the step before, or of one of an earlier call, which is not known any more */
    assert_int_equal(p->stats->step, p->step);
    assert_int_equal(isnan(p->stats->loss) != 0,
                     n->count == 0 && p->event != GN2_EVENT_STEP);
    n->rows[n->count++] = (row){p->event, p->step, p->epoch, loss};
    if (p->event != n->event || p->step != n->step) return 0;
    assert_ok(gn2_train_save(n->trainer, path));
    return 1;
}

/* A validation every 4 of the 10 steps of an epoch. */
static session session_of(const char *const *options)
{
    session s = open_session();
    gn2_train_delete(s.trainer);
    assert_ok(gn2_config_put_i64(s.config, "train.validate_steps", 4));
    for (; *options; options++) {
        char key[64];
        const char *value = strchr(*options, '=');
        snprintf(key, sizeof key, "%.*s", (int)(value - *options), *options);
        assert_ok(gn2_config_put_text(s.config, key, value + 1));
    }
    s.trainer = toy_trainer(s.config);
    return s;
}

#define PLAIN OPTIONS("train.shards=8")
/* Nothing gets better: the first validation is the best. */
#define STUCK                                                                     \
    OPTIONS("train.early_stopping=3", "schedule.name=constant", "schedule.max=0", \
            "train.shards=1")

static gn2_dataset *val_of(const session *s)
{
    gn2_dataset *val = NULL;
    assert_ok(
        gn2_dataset_arrays_impl(&s->data->jets, &s->data->labels, s->config, &val));
    return val;
}

static gn2_status run(session *s, notes *n)
{
    gn2_dataset *val = val_of(s);
    n->trainer = s->trainer;
    const gn2_status status = gn2_train_fit(s->trainer, s->dataset, val, take_notes, n);
    gn2_dataset_free_impl(val);
    return status;
}

/* ---- where they come ---- */

static void validations_come_every_so_many_steps(void **state)
{
    session s = session_of(PLAIN);
    notes n = {0};
    int64_t validations = 0, epochs = 0;
    (void)state;
    assert_ok(run(&s, &n));
    for (int64_t i = 0; i < n.count; i++) {
        const row *r = &n.rows[i];
        const int validated = r->event != GN2_EVENT_STEP;
        validations += r->event == GN2_EVENT_VALIDATION;
        epochs += r->event == GN2_EVENT_EPOCH;
        assert_int_equal(r->epoch, (r->step - 1) / 10);
        assert_int_equal(validated, r->loss > 0);
        if (r->event == GN2_EVENT_VALIDATION)
            assert_true(r->step % 4 == 0 && r->step % 10 != 0);
    }
    assert_int_equal(validations, 8); /* of ten, two are those of epochs 2 and 4 */
    assert_int_equal(epochs, 4);
    assert_int_equal(n.count, 40 + 8 + 4);
    close_session(&s);
}

static void one_without_data_is_refused(void **state)
{
    session s = session_of(PLAIN);
    (void)state;
    assert_status(GN2_ERR_INVALID_ARG, fit(&s, NULL, NULL));
    assert_message("train.validate_steps = 4 needs validation data");
    assert_int_equal(gn2_train_steps(s.trainer), 0);
    close_session(&s);
}

/* ---- what they say, and what they leave alone ---- */

/* A trainer of the snapshot, with a dataset of its own. */
static int32_t compare_with_evaluation(void *user, const gn2_progress *p)
{
    const session *s = user;
    const gn2_metrics *v = p->validation;
    gn2_model *model = NULL;
    gn2_trainer *other_trainer = NULL;
    gn2_metrics m;
    if (p->event != GN2_EVENT_VALIDATION || p->step != 12) return 0;
    gn2_dataset *val = val_of(s);
    assert_ok(gn2_train_snapshot(s->trainer, &model));
    assert_ok(gn2_train_new(model, s->config, &other_trainer));
    assert_ok(gn2_train_evaluate(other_trainer, val, &m));
    assert_memory_equal(&m.loss, &v->loss, sizeof m.loss);
    assert_int_equal(m.jets, v->jets);
    assert_memory_equal(m.task_losses, v->task_losses,
                        (size_t)m.task_count * sizeof *m.task_losses);
    assert_int_equal(m.metric_count, v->metric_count);
    for (int64_t i = 0; i < m.metric_count; i++)
        assert_memory_equal(&m.metrics[i].value, &v->metrics[i].value, sizeof(double));
    gn2_train_delete(other_trainer);
    gn2_model_unref(model);
    gn2_dataset_free_impl(val);
    return 1;
}

static void a_validation_says_what_an_evaluation_says(void **state)
{
    session s = session_of(PLAIN);
    gn2_dataset *val = val_of(&s);
    (void)state;
    assert_status(GN2_ERR_CANCELLED, gn2_train_fit(s.trainer, s.dataset, val,
                                                   compare_with_evaluation, &s));
    assert_int_equal(gn2_train_steps(s.trainer), 12);
    gn2_dataset_free_impl(val);
    close_session(&s);
}

static void assert_same_files(const char *a, const char *b)
{
    unsigned char *x, *y;
    size_t size, other_size;
    assert_ok(gn2_file_read(a, SIZE_MAX, &x, &size));
    assert_ok(gn2_file_read(b, SIZE_MAX, &y, &other_size));
    assert_int_equal(size, other_size);
    assert_memory_equal(x, y, size);
    gn2_free(x);
    gn2_free(y);
}

/* The validation data may be the training's, and read ahead. */
static void they_move_no_bit_of_a_run(void **state)
{
    static const char *const reading[] = {"data.prefetch=0", "data.prefetch=3"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        session with = session_of(OPTIONS(reading[i]));
        session without = session_of(OPTIONS("train.validate_steps=0"));
        gn2_dataset *val = val_of(&without);
        assert_ok(gn2_train_fit(with.trainer, with.dataset, with.dataset, NULL, NULL));
        assert_ok(gn2_train_fit(without.trainer, without.dataset, val, NULL, NULL));
        assert_same_state(with.trainer, without.trainer);
        assert_ok(gn2_train_save(with.trainer, path));
        assert_ok(gn2_train_save(without.trainer, other));
        assert_same_files(path, other);
        gn2_dataset_free_impl(val);
        close_session(&with);
        close_session(&without);
    }
}

/* ---- stopped and gone on with ---- */

static void assert_same_rows(const notes *whole, const notes *a, const notes *b)
{
    assert_int_equal(whole->count, a->count + b->count);
    for (int64_t i = 0; i < whole->count; i++) {
        const row *w = &whole->rows[i];
        const row *r = i < a->count ? &a->rows[i] : &b->rows[i - a->count];
        assert_int_equal(r->event, w->event);
        assert_int_equal(r->step, w->step);
        assert_int_equal(r->epoch, w->epoch);
        assert_memory_equal(&r->loss, &w->loss, sizeof w->loss);
    }
}

/* Between a step and its validation, behind it, and elsewhere. */
static void a_run_that_goes_on_tells_the_same(void **state)
{
    static const row ends[] = {{GN2_EVENT_STEP, 12, 0, 0},
                               {GN2_EVENT_VALIDATION, 12, 0, 0},
                               {GN2_EVENT_STEP, 14, 0, 0},
                               {GN2_EVENT_STEP, 20, 0, 0},
                               {GN2_EVENT_EPOCH, 20, 0, 0}};
    static const char *const early[] = {"train.early_stopping=0",
                                        "train.early_stopping=1000"};
    (void)state;
    for (size_t i = 0; i < 2 * sizeof ends / sizeof ends[0]; i++) {
        const char *const *options = OPTIONS(early[i % 2]);
        session whole = session_of(options), first = session_of(options),
                second = session_of(options);
        notes all = {0}, rest = {0};
        notes begun = {.event = ends[i / 2].event, .step = ends[i / 2].step};
        assert_ok(run(&whole, &all));
        assert_status(GN2_ERR_CANCELLED, run(&first, &begun));
        assert_ok(gn2_train_load(second.trainer, path));
        assert_ok(run(&second, &rest));
        assert_same_rows(&all, &begun, &rest);
        assert_same_state(whole.trainer, second.trainer);
        assert_int_equal(whole.trainer->waited, second.trainer->waited);
        assert_memory_equal(&whole.trainer->best_loss, &second.trainer->best_loss,
                            sizeof(double));
        close_session(&whole);
        close_session(&first);
        close_session(&second);
    }
}

/* At 4 (the best), 8, 10 (the epoch's) and 12. */
static void early_stopping_counts_those_inside(void **state)
{
    session first = session_of(STUCK), second = session_of(STUCK);
    notes begun = {.event = GN2_EVENT_STEP, .step = 9}, rest = {0};
    (void)state;
    assert_status(GN2_ERR_CANCELLED, run(&first, &begun));
    assert_ok(gn2_train_load(second.trainer, path));
    assert_int_equal(second.trainer->waited, 1);
    assert_ok(gn2_config_put_str(second.trainer->config, "train.checkpoint", path));
    assert_ok(run(&second, &rest));
    assert_int_equal(gn2_train_steps(second.trainer), 12);
    const row *last = &rest.rows[rest.count - 1];
    assert_int_equal(last[-1].event, GN2_EVENT_VALIDATION);
    assert_int_equal(last->event, GN2_EVENT_EARLY_STOP);
    assert_true(last->epoch == 1 && last->step == 12 && last->loss == last[-1].loss);
    assert_ok(gn2_train_load(first.trainer, path)); /* it was left at the end */
    assert_status(GN2_ERR_STATE, run(&first, &rest));
    assert_message("3 validations");
    close_session(&first);
    close_session(&second);
}

/* ---- asked to stop while one is under way ---- */

static gn2_trainer *asked;
static int64_t loads;
static gn2_status (*load_of_arrays)(gn2_source *, int64_t, int64_t, gn2_non_finite,
                                    gn2_rows *);

static gn2_status ask_at_the_third(gn2_source *source, int64_t start, int64_t count,
                                   gn2_non_finite policy, gn2_rows *rows)
{
    if (++loads == 3) atomic_store(&asked->stop, 1);
    return load_of_arrays(source, start, count, policy, rows);
}

/* And what is stopped so is made up for, before anything else. */
static void a_request_is_heard_within_a_batch(void **state)
{
    static const char *const options[] = {"data.sampling=sequential", NULL};
    session s = session_of(options), again = session_of(options);
    notes n = {.event = GN2_EVENT_VALIDATION, .step = 4};
    gn2_dataset *val = val_of(&s);
    (void)state;
    asked = s.trainer;
    load_of_arrays = val->source->load;
    val->source->load = ask_at_the_third;
    assert_ok(gn2_config_put_str(s.trainer->config, "train.checkpoint", path));
    assert_status(GN2_ERR_CANCELLED,
                  gn2_train_fit(s.trainer, s.dataset, val, NULL, NULL));
    assert_message("after 30 jets of an evaluation");
    assert_ok(gn2_train_load(again.trainer, path));
    assert_status(GN2_ERR_CANCELLED, run(&again, &n));
    assert_int_equal(n.count, 1);
    gn2_dataset_free_impl(val);
    close_session(&s);
    close_session(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(validations_come_every_so_many_steps),
        cmocka_unit_test(one_without_data_is_refused),
        cmocka_unit_test(a_validation_says_what_an_evaluation_says),
        cmocka_unit_test(they_move_no_bit_of_a_run),
        cmocka_unit_test(a_run_that_goes_on_tells_the_same),
        cmocka_unit_test(early_stopping_counts_those_inside),
        cmocka_unit_test(a_request_is_heard_within_a_batch),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
