/* SPDX-License-Identifier: Apache-2.0 */
/* The probe and training: what it says of the last step, when it does not know, and
 * that training does not feel it. */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "data/dataset.h"
#include "probed.h"
#include "util/alloc.h"

#define JETS 60
#define UPDATES "train.probe_updates=yes"

static void step(gn2_trainer *t, const toy *data)
{
    assert_ok(gn2_train_step(t, &data->jets, &data->labels, NULL));
}

/* ---- gradient and update ---- */

/* SGD without momentum and decay: u = fl(w − η·g) − w before, so per weight
 * |u − ηg| ≤ 2⁻²⁴(|w| + 2|ηg|) and, as norms obey the triangle, the same for rms. */
static void an_update_of_sgd_is_the_rate_times_the_gradient(void **state)
{
    toy *data = toy_create(JETS, 51);
    gn2_trainer *t = toy_trainer_of(OPTIONS(
        UPDATES, "optim.name=sgd", "optim.weight_decay=0", "schedule.beta1_max=0",
        "schedule.name=constant", "schedule.max=0.1", "model.parametrization=mup",
        "model.base_width=8", "model.final_norm_pos=pre"));
    int scaled = 0;
    (void)state;
    step(t, data);
    step(t, data);
    probed *p = probed_of(t, data);
    for (size_t i = 0; i < t->params->count; i++) {
        const gn2_tensor *tensor = &t->params->tensor[i];
        const gn2_probe_stats *s = probed_find(p, tensor->name);
        const double want = 0.1 * tensor->lr_mult * s->gradient_rms;
        const double bound = ldexp(s->rms + 4 * want, -24);
        assert_true(want > 0 && fabs(s->update_rms - want) <= bound);
        scaled += tensor->lr_mult != 1;
    }
    assert_true(scaled > 0);
    gn2_free(p);
    gn2_train_delete(t);
    toy_free(data);
}

/* Clipping is behind the gradient, and in the update. */
static void the_gradient_is_the_one_before_clipping(void **state)
{
    toy *data = toy_create(JETS, 52);
    gn2_trainer *t = toy_trainer_of(OPTIONS(
        UPDATES, "optim.name=sgd", "optim.weight_decay=0", "optim.clip_norm=1e-2",
        "schedule.beta1_max=0", "schedule.name=constant", "schedule.max=0.1"));
    double gradient = 0, update = 0;
    gn2_step_stats stats;
    (void)state;
    assert_ok(gn2_train_step(t, &data->jets, &data->labels, &stats));
    probed *p = probed_of(t, data);
    for (int i = 0; i < p->count; i++) {
        const gn2_probe_stats *s = &p->row[i];
        if (s->kind != GN2_PROBE_TENSOR) continue;
        gradient += (double)s->count * s->gradient_rms * s->gradient_rms;
        update += (double)s->count * s->update_rms * s->update_rms;
    }
    assert_true(stats.gradient_norm > 0.1);
    assert_true(fabs(sqrt(gradient) / stats.gradient_norm - 1) < 1e-6);
    assert_true(fabs(sqrt(update) / 1e-3 - 1) < 1e-2); /* 0.1·1e-2, weights rounded */
    gn2_free(p);
    gn2_train_delete(t);
    toy_free(data);
}

/* ---- when it does not know ---- */

static void expect_known(gn2_trainer *t, const toy *data, int gradient, int update)
{
    probed *p = probed_of(t, data);
    for (int i = 0; i < p->count; i++) {
        const gn2_probe_stats *s = &p->row[i];
        const int tensor = s->kind == GN2_PROBE_TENSOR;
        assert_int_equal(!isnan(s->gradient_rms), tensor && gradient);
        assert_int_equal(!isnan(s->update_rms), tensor && update);
        if (tensor) assert_true(isnan(s->dead_share));
    }
    gn2_free(p);
}

static void what_is_not_known_is_nan(void **state)
{
    toy *data = toy_create(JETS, 53);
    gn2_trainer *plain = toy_trainer_of(NULL), *t = toy_trainer_of(OPTIONS(UPDATES));
    (void)state;
    expect_known(t, data, 0, 0);
    step(t, data);
    expect_known(t, data, 1, 1);
    expect_known(plain, data, 0, 0);
    step(plain, data);
    expect_known(plain, data, 1, 0);
    gn2_train_delete(plain);
    gn2_train_delete(t);
    toy_free(data);
}

static void a_failed_step_leaves_no_gradient(void **state)
{
    toy *data = toy_create(JETS, 54);
    gn2_trainer *t = toy_trainer_of(OPTIONS(UPDATES));
    const float x = data->features[0];
    (void)state;
    step(t, data);
    data->features[0] = NAN; /* refused before anything was computed */
    assert_status(GN2_ERR_NUMERIC, gn2_train_step(t, &data->jets, &data->labels, NULL));
    data->features[0] = x;
    expect_known(t, data, 1, 1);
    float *first = &t->engine->weights[0]; /* of the init net */
    const float weight = *first;
    *first = 3e38f;
    gn2_net_pack_f32(t->engine->net, t->engine->weights);
    assert_status(GN2_ERR_NUMERIC, gn2_train_step(t, &data->jets, &data->labels, NULL));
    *first = weight;
    gn2_net_pack_f32(t->engine->net, t->engine->weights);
    expect_known(t, data, 0, 0);
    step(t, data);
    expect_known(t, data, 1, 1);
    gn2_train_delete(t);
    toy_free(data);
}

static void a_checkpoint_knows_the_start_but_not_the_last_step(void **state)
{
    char path[] = "/tmp/gn2_probe_XXXXXX";
    toy *data = toy_create(JETS, 55);
    gn2_trainer *t = toy_trainer_of(OPTIONS(UPDATES));
    (void)state;
    assert_true(close(mkstemp(path)) == 0);
    for (int i = 0; i < 3; i++) step(t, data);
    assert_ok(gn2_train_save(t, path));
    probed *before = probed_of(t, data);
    step(t, data);
    assert_ok(gn2_train_load(t, path));
    unlink(path);
    expect_known(t, data, 0, 0);
    probed *after = probed_of(t, data);
    assert_int_equal(before->count, after->count);
    for (int i = 0; i < before->count; i++)
        assert_true(before->row[i].change_rms == after->row[i].change_rms);
    assert_true(before->row[0].change_rms > 0);
    step(t, data);
    expect_known(t, data, 1, 1);
    gn2_free(before);
    gn2_free(after);
    gn2_train_delete(t);
    toy_free(data);
}

/* ---- training does not feel it ---- */

#define DROPS \
    "model.dropout_init=0.1", "model.dropout_ffn=0.1", "model.dropout_heads=0.1"

static void probed_steps_are_steps_to_the_bit(void **state)
{
    toy *data = toy_create(JETS, 56), *other = toy_create(200, 57);
    gn2_trainer *plain = toy_trainer_of(OPTIONS(DROPS));
    gn2_trainer *t = toy_trainer_of(OPTIONS(DROPS, UPDATES, "train.threads=2"));
    (void)state;
    for (int i = 0; i < 6; i++) {
        gn2_step_stats a, b;
        gn2_free(probed_of(t, i % 2 ? data : other));
        assert_ok(gn2_train_step(plain, &data->jets, &data->labels, &a));
        assert_ok(gn2_train_step(t, &data->jets, &data->labels, &b));
        assert_true(a.loss == b.loss && a.gradient_norm == b.gradient_norm);
    }
    assert_same_weights(plain, t);
    gn2_train_delete(plain);
    gn2_train_delete(t);
    toy_free(data);
    toy_free(other);
}

/* What a callback of a fit saw. */
typedef struct watch {
    gn2_trainer *trainer;
    const toy *other;
    probed *third; /* after step 3 */
    int probes;
} watch;

static int32_t probe_all(void *user, const gn2_progress *progress)
{
    watch *w = user;
    probed *p = probed_of(w->trainer, w->other);
    w->probes++;
    if (progress->event == GN2_EVENT_STEP && progress->step == 3)
        w->third = p;
    else
        gn2_free(p);
    return 0;
}

static void assert_same_rows(const probed *a, const probed *b)
{
    assert_int_equal(a->count, b->count);
    for (int i = 0; i < a->count; i++) {
        assert_string_equal(a->name[i], b->name[i]);
        assert_memory_equal(&a->row[i], &b->row[i], sizeof a->row[i]);
    }
}

static void run(gn2_trainer *t, const toy *data, gn2_progress_fn fn, void *user)
{
    gn2_dataset *train = NULL, *val = NULL;
    assert_ok(gn2_dataset_arrays_impl(&data->jets, &data->labels, t->config, &train));
    assert_ok(gn2_dataset_arrays_impl(&data->jets, &data->labels, t->config, &val));
    assert_ok(gn2_train_fit(t, train, val, fn, user));
    gn2_dataset_free_impl(train);
    gn2_dataset_free_impl(val);
}

static void a_fit_may_be_probed_from_its_callback(void **state)
{
    const char *const *options =
        OPTIONS(DROPS, UPDATES, "train.epochs=2", "data.batch_size=20",
                "data.sampling=sequential", "schedule.steps=6");
    toy *data = toy_create(JETS, 58), *other = toy_create(200, 59), batch;
    gn2_trainer *plain = toy_trainer_of(options), *t = toy_trainer_of(options);
    gn2_trainer *by_hand = toy_trainer_of(options);
    watch w = {.trainer = t, .other = other};
    (void)state;
    run(plain, data, NULL, NULL);
    run(t, data, probe_all, &w);
    assert_same_weights(plain, t);
    assert_int_equal(w.probes, 6 + 2);
    for (int i = 0; i < 3; i++) { /* the first epoch, step by step */
        toy_batch(data, 20 * i, 20, &batch);
        step(by_hand, &batch);
        gn2_free(batch.offsets);
    }
    probed *third = probed_of(by_hand, other);
    assert_same_rows(w.third, third);
    gn2_free(third);
    gn2_free(w.third);
    gn2_train_delete(plain);
    gn2_train_delete(t);
    gn2_train_delete(by_hand);
    toy_free(data);
    toy_free(other);
}

static void tell_nobody(void *user, const gn2_probe_stats *stats)
{
    (void)user;
    fail_msg("told of '%s'", stats->name);
}

static void a_refused_probe_changes_nothing(void **state)
{
    toy *data = toy_create(JETS, 60);
    gn2_trainer *plain = toy_trainer_of(NULL), *t = toy_trainer_of(NULL);
    const float x = data->values[7];
    (void)state;
    step(plain, data);
    step(t, data);
    const size_t memory = gn2_train_memory(t);
    data->values[7] = NAN;
    assert_status(GN2_ERR_NUMERIC, gn2_train_probe(t, &data->jets, tell_nobody, NULL));
    assert_message("tracks 0");
    data->values[7] = x;
    data->jets.count = 0;
    assert_status(GN2_ERR_INVALID_ARG,
                  gn2_train_probe(t, &data->jets, tell_nobody, NULL));
    data->jets.count = JETS;
    assert_int_equal(gn2_train_memory(t), memory);
    assert_same_weights(plain, t);
    probed *a = probed_of(plain, data), *b = probed_of(t, data);
    assert_same_rows(a, b);
    gn2_free(a);
    gn2_free(b);
    gn2_train_delete(plain);
    gn2_train_delete(t);
    toy_free(data);
}

static void keeping_updates_costs_one_copy_of_the_weights(void **state)
{
    gn2_trainer *plain = toy_trainer_of(NULL), *t = toy_trainer_of(OPTIONS(UPDATES));
    const size_t copy = (size_t)t->engine->stride * sizeof(float);
    (void)state;
    assert_int_equal(gn2_train_memory(t), gn2_train_memory(plain) + copy);
    gn2_train_delete(plain);
    gn2_train_delete(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_update_of_sgd_is_the_rate_times_the_gradient),
        cmocka_unit_test(the_gradient_is_the_one_before_clipping),
        cmocka_unit_test(what_is_not_known_is_nan),
        cmocka_unit_test(a_failed_step_leaves_no_gradient),
        cmocka_unit_test(a_checkpoint_knows_the_start_but_not_the_last_step),
        cmocka_unit_test(probed_steps_are_steps_to_the_bit),
        cmocka_unit_test(a_fit_may_be_probed_from_its_callback),
        cmocka_unit_test(a_refused_probe_changes_nothing),
        cmocka_unit_test(keeping_updates_costs_one_copy_of_the_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
