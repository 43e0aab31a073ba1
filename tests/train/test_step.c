/* SPDX-License-Identifier: Apache-2.0 */
/* Single steps: they learn, they do not depend on threads, and what is wrong is
 * refused with the weights unchanged. */
#include <math.h>

#include "toy.h"
#include "util/alloc.h"

static gn2_step_stats one_step(gn2_trainer *t, const toy *data)
{
    gn2_step_stats stats;
    assert_ok(gn2_train_step(t, &data->jets, &data->labels, &stats));
    return stats;
}

static void run_steps(gn2_trainer *t, const toy *data, int steps)
{
    for (int k = 0; k < steps; k++) one_step(t, data);
}

static void threads_do_not_change_a_bit(void **state)
{
    static const char *const threads[] = {"train.threads=1", "train.threads=2",
                                          "train.threads=4"};
    toy *data = toy_create(90, 5);
    gn2_trainer *t[3];
    (void)state;
    for (int i = 0; i < 3; i++) {
        t[i] =
            toy_trainer_of(OPTIONS(threads[i], "model.dropout_init=0.1",
                                   "model.dropout_ffn=0.1", "model.dropout_heads=0.1"));
        run_steps(t[i], data, 50);
    }
    assert_same_weights(t[0], t[1]);
    assert_same_weights(t[0], t[2]);
    assert_int_equal(gn2_pool_workers(t[2]->pool), 4);
    for (int i = 0; i < 3; i++) gn2_train_delete(t[i]);
    toy_free(data);
}

/* Sums are made in another order, not over other jets. */
static void shards_change_rounding_only(void **state)
{
    static const char *const shards[] = {"train.shards=1", "train.shards=64"};
    toy *data = toy_create(20, 6); /* most of the 64 shards are empty */
    gn2_step_stats stats[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        gn2_trainer *t = toy_trainer_of(OPTIONS(shards[i]));
        stats[i] = one_step(t, data);
        gn2_train_delete(t);
    }
    /* float sums of some 1000 terms each */
    assert_true(fabs(stats[0].loss - stats[1].loss) < 1e-5 * stats[0].loss);
    assert_true(fabs(stats[0].gradient_norm - stats[1].gradient_norm) <
                1e-4 * stats[0].gradient_norm);
    toy_free(data);
}

static void check_learns(const char *const *options)
{
    toy *data = toy_create(200, 7);
    gn2_trainer *t = toy_trainer_of(options);
    const gn2_step_stats first = one_step(t, data);
    const double jets_at_first = first.task_losses[0];
    gn2_step_stats last = first;
    for (int k = 1; k < 60; k++) last = one_step(t, data);
    if (!(last.loss < 0.9 * first.loss))
        fail_msg("loss %g after 60 steps, %g at first", last.loss, first.loss);
    assert_true(last.task_losses[0] < jets_at_first);
    assert_int_equal(last.step, 60);
    assert_int_equal(last.jets, 200);
    gn2_train_delete(t);
    toy_free(data);
}

static void the_loss_falls_with_every_optimiser_and_schedule(void **state)
{
    static const char *const schedules[] = {
        "schedule.name=onecycle", "schedule.name=cosine", "schedule.name=constant",
        "schedule.name=linear", "schedule.name=wsd"};
    (void)state;
    for (int i = 0; i < 5; i++) check_learns(OPTIONS(schedules[i]));
    check_learns(
        OPTIONS("optim.name=sgd", "schedule.max=0.1", "schedule.initial=0.01"));
}

static void steps_report_the_schedule(void **state)
{
    toy *data = toy_create(10, 8);
    gn2_trainer *t =
        toy_trainer_of(OPTIONS("schedule.steps=4", "schedule.pct_start=0.5"));
    (void)state;
    const gn2_step_stats first = one_step(t, data), second = one_step(t, data);
    assert_true(fabs(first.learning_rate - 1e-7) < 1e-16 && first.beta1 == 0.95);
    assert_true(fabs(second.learning_rate - 5e-3) < 1e-15);
    assert_true(fabs(second.beta1 - 0.85) < 1e-12);
    assert_int_equal(first.tokens, data->offsets[10] + 10); /* a register each */
    run_steps(t, data, 2);
    assert_status(GN2_ERR_STATE, gn2_train_step(t, &data->jets, &data->labels, NULL));
    assert_message("4 steps");
    gn2_train_delete(t);
    toy_free(data);
}

static void tasks_can_be_switched_off(void **state)
{
    toy *data = toy_create(30, 9);
    (void)state;
    gn2_trainer *all = toy_trainer_of(NULL);
    gn2_trainer *jets = toy_trainer_of(OPTIONS("model.tasks=jets_classification"));
    gn2_trainer *two =
        toy_trainer_of(OPTIONS("model.tasks=jets_classification,track_vertexing"));
    const gn2_step_stats a = one_step(all, data), b = one_step(jets, data),
                         c = one_step(two, data);
    const double *l = a.task_losses;
    assert_int_equal(a.task_count, 3);
    assert_true(l[0] > 0 && l[1] > 0 && l[2] > 0 && a.loss == l[0] + l[1] + l[2]);
    assert_true(b.task_count == 1 && b.loss == b.task_losses[0]);
    assert_true(c.task_count == 2 && c.task_losses[1] > 0);
    gn2_train_delete(all);
    gn2_train_delete(jets);
    gn2_train_delete(two);
    toy_free(data);
}

/* ---- what is refused ---- */

typedef struct refusal {
    gn2_trainer *trainer;
    toy *data;
    float *before;
} refusal;

static refusal begin(const char *const *options)
{
    refusal r = {.trainer = toy_trainer_of(options), .data = toy_create(30, 10)};
    one_step(r.trainer, r.data);
    const size_t bytes = (size_t)r.trainer->params->total * sizeof(float);
    r.before = gn2_alloc(bytes, 1);
    memcpy(r.before, r.trainer->engine->weights, bytes);
    return r;
}

static void expect(refusal *r, gn2_status status)
{
    const size_t bytes = (size_t)r->trainer->params->total * sizeof(float);
    assert_status(status,
                  gn2_train_step(r->trainer, &r->data->jets, &r->data->labels, NULL));
    assert_memory_equal(r->before, r->trainer->engine->weights, bytes);
    assert_int_equal(gn2_train_steps(r->trainer), 1);
}

static void end(refusal *r)
{
    gn2_free(r->before);
    gn2_train_delete(r->trainer);
    toy_free(r->data);
}

static void labels_out_of_range_are_named(void **state)
{
    refusal r = begin(NULL);
    (void)state;
    r.data->flavour[11] = 4;
    expect(&r, GN2_ERR_INVALID_ARG);
    assert_message("jets_classification: label 4 of jet 11");
    r.data->flavour[11] = -2;
    expect(&r, GN2_ERR_INVALID_ARG);
    r.data->flavour[11] = -1;
    const int64_t jet = 12, row = r.data->offsets[jet] + 1;
    assert_true(r.data->offsets[jet + 1] > row);
    r.data->origin[row] = 8;
    expect(&r, GN2_ERR_INVALID_ARG);
    assert_message("track_origin: label 8 of jet 12, constituent 1");
    r.data->origin[row] = -7;
    one_step(r.trainer, r.data);
    end(&r);
}

static void missing_labels_are_named(void **state)
{
    refusal r = begin(NULL);
    (void)state;
    r.data->label[1].data = NULL;
    expect(&r, GN2_ERR_INVALID_ARG);
    assert_message("track_origin");
    end(&r);
}

static void a_batch_without_jets_is_refused(void **state)
{
    refusal r = begin(NULL);
    (void)state;
    r.data->jets.count = 0;
    expect(&r, GN2_ERR_INVALID_ARG);
    end(&r);
}

static void inputs_that_are_not_finite_are_named(void **state)
{
    refusal r = begin(NULL);
    (void)state;
    r.data->features[2 * TOY_JET_INPUTS + 1] = NAN;
    expect(&r, GN2_ERR_NUMERIC);
    assert_message("jet 2");
    r.data->features[2 * TOY_JET_INPUTS + 1] = 0;
    r.data->values[r.data->offsets[3] * TOY_TRACK_INPUTS] = INFINITY;
    assert_true(r.data->offsets[4] > r.data->offsets[3]);
    expect(&r, GN2_ERR_NUMERIC);
    assert_message("'d0'");
    end(&r);
}

static void poison(gn2_trainer *t, const char *name, float value)
{
    const gn2_tensor *tensor = gn2_params_find(t->params, name);
    assert_non_null(tensor);
    for (int64_t i = 0; i < tensor->count; i++)
        t->engine->weights[tensor->offset + i] = value;
    gn2_net_pack_f32(t->engine->net, t->engine->weights);
}

static void check_poison(const char *tensor, const char *layer)
{
    refusal r = begin(NULL);
    poison(r.trainer, tensor, 3e38f);
    memcpy(r.before, r.trainer->engine->weights,
           (size_t)r.trainer->params->total * sizeof(float));
    expect(&r, GN2_ERR_NUMERIC);
    assert_message(layer);
    end(&r);
}

static void a_loss_that_is_not_finite_names_the_first_layer(void **state)
{
    (void)state;
    check_poison("init_nets.0.net.net.2.weight", "init net");
    check_poison("encoder.layers.1.dense.fn.in_proj.weight", "encoder layer 1");
    check_poison("tasks.0.net.net.0.weight", "jets_classification head");
    check_poison("tasks.1.net.net.2.weight", "track_origin head");
    check_poison("tasks.2.net.net.2.weight", "track_vertexing head");
}

/* ---- unusual batches ---- */

static void jets_without_tracks_and_labels_are_fine(void **state)
{
    toy *data = toy_create(12, 11);
    gn2_trainer *t = toy_trainer_of(NULL);
    (void)state;
    for (int b = 0; b <= 12; b++) data->offsets[b] = 0;
    gn2_step_stats stats = one_step(t, data);
    assert_true(stats.task_losses[0] > 0 && stats.task_losses[1] == 0 &&
                stats.task_losses[2] == 0);
    for (int b = 0; b < 12; b++) data->flavour[b] = -1;
    stats = one_step(t, data);
    assert_true(stats.loss == 0 && stats.gradient_norm == 0);
    gn2_train_delete(t);
    toy_free(data);
}

/* 300 tracks in one jet: more than a chunk, more than was planned. */
static void a_jet_may_exceed_every_plan(void **state)
{
    toy *data = toy_create(60, 12);
    toy large = *data;
    int64_t offsets[] = {0, 300, 302};
    gn2_trainer *t = toy_trainer_of(OPTIONS("train.threads=2"));
    (void)state;
    assert_true(data->offsets[60] > 302);
    const size_t before = gn2_train_memory(t);
    one_step(t, data);
    assert_int_equal(gn2_train_memory(t), before);
    large.tracks.offsets = offsets;
    large.jets.sequences = &large.tracks;
    large.jets.count = 2;
    one_step(t, &large);
    assert_true(gn2_train_memory(t) > before);
    one_step(t, data);
    gn2_train_delete(t);
    toy_free(data);
}

/* A padded batch with holes gives what the ragged one gives, to the bit. */
static void padded_batches_equal_ragged_ones(void **state)
{
    enum { SLOTS = 15 };
    toy *data = toy_create(20, 13);
    float *values = gn2_alloc(20 * SLOTS * TOY_TRACK_INPUTS, sizeof *values);
    int32_t *origin = gn2_alloc(20 * SLOTS, sizeof *origin);
    int32_t *vertex = gn2_alloc(20 * SLOTS, sizeof *vertex);
    uint8_t *valid = gn2_alloc(20 * SLOTS, 1);
    (void)state;
    for (int64_t i = 0; i < 20 * SLOTS; i++) {
        origin[i] = 99; /* must not be looked at */
        for (int k = 0; k < TOY_TRACK_INPUTS; k++)
            values[i * TOY_TRACK_INPUTS + k] = NAN;
    }
    for (int64_t b = 0; b < 20; b++)
        for (int64_t r = data->offsets[b]; r < data->offsets[b + 1]; r++) {
            const int64_t slot = b * SLOTS + 2 + (r - data->offsets[b]);
            valid[slot] = 1;
            origin[slot] = data->origin[r];
            vertex[slot] = data->vertex[r];
            memcpy(values + slot * TOY_TRACK_INPUTS,
                   data->values + r * TOY_TRACK_INPUTS,
                   TOY_TRACK_INPUTS * sizeof(float));
        }
    toy padded = *data;
    padded.tracks = (gn2_sequence){.struct_size = sizeof padded.tracks,
                                   .data = values,
                                   .valid = valid,
                                   .slots = SLOTS};
    padded.jets.sequences = &padded.tracks;
    toy_label(&padded, data->flavour, origin, vertex);
    gn2_trainer *a = toy_trainer_of(NULL), *b = toy_trainer_of(NULL);
    run_steps(a, data, 3);
    run_steps(b, &padded, 3);
    assert_same_weights(a, b);
    gn2_train_delete(a);
    gn2_train_delete(b);
    gn2_free(values);
    gn2_free(origin);
    gn2_free(vertex);
    gn2_free(valid);
    toy_free(data);
}

/* With plain SGD and one clipped step, |Δp| = lr·clip_norm. */
static void clipping_bounds_the_step(void **state)
{
    toy *data = toy_create(40, 14);
    gn2_trainer *t = toy_trainer_of(
        OPTIONS("optim.name=sgd", "optim.clip_norm=0.01", "optim.weight_decay=0",
                "schedule.name=constant", "schedule.max=0.5", "schedule.beta1_max=0"));
    const int64_t total = t->params->total;
    float *before = gn2_alloc((size_t)total, sizeof *before);
    double sum = 0;
    (void)state;
    memcpy(before, t->engine->weights, (size_t)total * sizeof *before);
    const gn2_step_stats stats = one_step(t, data);
    assert_true(stats.gradient_norm > 0.1); /* before clipping */
    for (int64_t i = 0; i < total; i++) {
        const double d = (double)t->engine->weights[i] - (double)before[i];
        sum += d * d;
    }
    /* Δp is read off weights of size 1: 2^-24 each over some 10^4 of them */
    assert_true(fabs(sqrt(sum) - 0.5 * 0.01) < 6e-8 * sqrt((double)total));
    gn2_free(before);
    gn2_train_delete(t);
    toy_free(data);
}

static void a_snapshot_is_a_model_with_the_weights(void **state)
{
    toy *data = toy_create(20, 15);
    gn2_trainer *t = toy_trainer_of(NULL);
    gn2_model *model = NULL;
    const char *steps = NULL;
    (void)state;
    run_steps(t, data, 2);
    assert_ok(gn2_train_snapshot(t, &model));
    one_step(t, data);
    assert_int_equal(model->params->total, t->params->total);
    assert_memory_not_equal(model->weights, t->engine->weights,
                            (size_t)t->params->total * sizeof(float));
    assert_ok(gn2_config_read_text(model->config, "provenance.steps", &steps));
    assert_string_equal(steps, "2");
    gn2_trainer *again = NULL;
    gn2_config *config = toy_config(NULL);
    assert_ok(gn2_train_new(model, config, &again));
    assert_memory_equal(model->weights, again->engine->weights,
                        (size_t)t->params->total * sizeof(float));
    gn2_config_delete(config);
    gn2_model_unref(model);
    gn2_train_delete(again);
    gn2_train_delete(t);
    toy_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(shards_change_rounding_only),
        cmocka_unit_test(the_loss_falls_with_every_optimiser_and_schedule),
        cmocka_unit_test(steps_report_the_schedule),
        cmocka_unit_test(tasks_can_be_switched_off),
        cmocka_unit_test(labels_out_of_range_are_named),
        cmocka_unit_test(missing_labels_are_named),
        cmocka_unit_test(a_batch_without_jets_is_refused),
        cmocka_unit_test(inputs_that_are_not_finite_are_named),
        cmocka_unit_test(a_loss_that_is_not_finite_names_the_first_layer),
        cmocka_unit_test(jets_without_tracks_and_labels_are_fine),
        cmocka_unit_test(a_jet_may_exceed_every_plan),
        cmocka_unit_test(padded_batches_equal_ragged_ones),
        cmocka_unit_test(clipping_bounds_the_step),
        cmocka_unit_test(a_snapshot_is_a_model_with_the_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
