/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of trainer.h through the shared library: a run on arrays, structs
 * of other sizes, arguments that are missing. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <gn2/gn2.h>

#define JETS 12
#define TRACKS 3 /* of each jet */
#include "few_jets.h"

static int32_t origin[JETS * TRACKS], vertex[JETS * TRACKS];
static const gn2_label label[] = {LABEL(LABEL_JETS, flavour),
                                  LABEL(LABEL_ORIGIN, origin),
                                  LABEL(LABEL_VERTEX, vertex)};
static const gn2_labels labels = LABELS(label);
static gn2_config *config;
static gn2_trainer *trainer;

static int setup(void **state)
{
    gn2_model *model = NULL;
    (void)state;
    for (int i = 0; i < JETS * 2; i++) features[i] = (float)(i % 5) - 2;
    for (int i = 0; i < JETS * TRACKS * 19; i++) tracks[i] = (float)(i % 7) - 3;
    fill_jets();
    if (gn2_config_create(&config)) return -1;
    if (gn2_config_set_i64(config, "model.embed_dim", 16)) return -1;
    if (gn2_config_set_i64(config, "model.num_layers", 1)) return -1;
    if (gn2_config_set_i64(config, "model.out_dim", 8)) return -1;
    if (gn2_config_set_i64(config, "data.batch_size", 6)) return -1;
    if (gn2_config_set_i64(config, "train.threads", 2)) return -1;
    if (gn2_config_set_i64(config, "train.epochs", 2)) return -1;
    if (gn2_model_create(config, &model)) return -1;
    const gn2_status status = gn2_trainer_create(model, config, &trainer);
    gn2_model_free(model); /* the trainer keeps it alive */
    return status ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    gn2_trainer_free(trainer);
    gn2_config_free(config);
    return 0;
}

static void a_run_works_on_arrays(void **state)
{
    gn2_dataset *data = NULL, *val = NULL;
    gn2_metrics metrics = {.struct_size = sizeof metrics};
    gn2_model *model = NULL;
    (void)state;
    assert_int_equal(0, gn2_dataset_from_arrays(&jets, &labels, config, &data));
    assert_int_equal(0, gn2_dataset_from_arrays(&jets, &labels, config, &val));
    assert_int_equal(0, gn2_trainer_fit(trainer, data, val, NULL, NULL));
    assert_int_equal(0, gn2_trainer_evaluate(trainer, val, &metrics));
    assert_int_equal(metrics.jets, JETS);
    assert_true(metrics.loss > 0);
    assert_true(gn2_trainer_memory(trainer) > 0);
    assert_int_equal(0, gn2_trainer_snapshot(trainer, &model));
    gn2_model_free(model);
    gn2_dataset_free(data);
    gn2_dataset_free(val);
}

/* Losses of the first step with these labels. */
static void first_losses(const gn2_labels *given, double out[3])
{
    gn2_step_stats stats = {.struct_size = sizeof stats};
    gn2_trainer *own = NULL;
    gn2_model *model = NULL;
    assert_int_equal(0, gn2_model_create(config, &model));
    assert_int_equal(0, gn2_trainer_create(model, config, &own));
    assert_int_equal(0, gn2_trainer_step(own, &jets, given, &stats));
    assert_int_equal(stats.task_count, 3);
    memcpy(out, stats.task_losses, 3 * sizeof *out);
    gn2_trainer_free(own);
    gn2_model_free(model);
}

static void labels_may_be_given_short(void **state)
{
    const gn2_labels all = {.struct_size = sizeof all,
                            .flavour = flavour,
                            .origin = origin,
                            .vertex = vertex};
    const gn2_labels mixed = {.struct_size = sizeof mixed,
                              .label_count = 1,
                              .labels = label,
                              .origin = origin,
                              .vertex = vertex};
    gn2_labels twice = labels;
    double long_form[3], short_form[3];
    (void)state;
    assert_int_equal(0, gn2_config_set_str(config, "schedule.name", "constant"));
    first_losses(&labels, long_form);
    first_losses(&all, short_form);
    assert_memory_equal(long_form, short_form, sizeof long_form);
    first_losses(&mixed, short_form);
    assert_memory_equal(long_form, short_form, sizeof long_form);
    twice.vertex = vertex;
    assert_int_equal(GN2_ERR_INVALID_ARG,
                     gn2_trainer_step(trainer, &jets, &twice, NULL));
    assert_non_null(strstr(gn2_last_error(), "'track_vertexing' occurs twice"));
}

/* The first step with these labels. */
static gn2_status step_with(const gn2_label *given, uint32_t count)
{
    const gn2_labels more = {
        .struct_size = sizeof more, .label_count = count, .labels = given};
    gn2_trainer *own = NULL;
    gn2_model *model = NULL;
    assert_int_equal(0, gn2_model_create(config, &model));
    assert_int_equal(0, gn2_trainer_create(model, config, &own));
    const gn2_status status = gn2_trainer_step(own, &jets, &more, NULL);
    gn2_trainer_free(own);
    gn2_model_free(model);
    return status;
}

static void weights_of_rows_take_effect_or_are_refused(void **state)
{
    float weight[JETS * TRACKS];
    gn2_label given[] = {label[0],
                         label[1],
                         label[2],
                         {.struct_size = sizeof(gn2_label),
                          .name = LABEL_JETS ".sample_weight",
                          .data = weight,
                          .type = GN2_DATA_F32}};
    (void)state;
    for (int i = 0; i < JETS * TRACKS; i++) weight[i] = 1;
    given[3].name = LABEL_VERTEX ".sample_weight";
    assert_int_equal(GN2_ERR_INVALID_ARG, step_with(given, 4));
    assert_non_null(strstr(gn2_last_error(), "a vertexing has no weights of rows"));
    weight[2 * TRACKS] = -1;
    given[3].name = LABEL_ORIGIN ".sample_weight";
    assert_int_equal(GN2_ERR_INVALID_ARG, step_with(given, 4));
    assert_non_null(strstr(gn2_last_error(), "track_origin: weight -1 of jet 2"));
    weight[5] = NAN;
    given[3].name = LABEL_JETS ".sample_weight";
    assert_int_equal(GN2_ERR_INVALID_ARG, step_with(given, 4));
    assert_non_null(strstr(gn2_last_error(), "weight nan of jet 5"));
}

enum { MOST = 16 }; /* tasks a model can have */

/* As many labels as a model can want, and one that it does not. */
static void one_label_more_than_there_can_be_is_refused(void **state)
{
    static char name[2 * MOST][32], key[48], tasks[256] = "t0";
    static float weight[JETS];
    gn2_label given[2 * MOST];
    gn2_labels full = {
        .struct_size = sizeof full, .label_count = 2 * MOST, .labels = given};
    gn2_config *own = NULL;
    gn2_dataset *data = NULL;
    (void)state;
    assert_int_equal(0, gn2_config_create(&own));
    assert_int_equal(0, gn2_config_set_i64(own, "data.batch_size", 6));
    for (int i = 1; i < MOST; i++)
        snprintf(tasks + strlen(tasks), sizeof tasks - strlen(tasks), ",t%d", i);
    assert_int_equal(0, gn2_config_set_text(own, "model.tasks", tasks));
    for (int i = 0; i < MOST; i++) {
        snprintf(name[2 * i], sizeof name[0], "t%d", i);
        snprintf(name[2 * i + 1], sizeof name[0], "t%d.sample_weight", i);
        given[2 * i] = (gn2_label)LABEL(name[2 * i], flavour);
        given[2 * i + 1] = (gn2_label)LABEL(name[2 * i + 1], weight);
        given[2 * i + 1].type = GN2_DATA_F32;
        snprintf(key, sizeof key, "task.t%d.kind", i);
        assert_int_equal(0, gn2_config_set_text(own, key, "classification"));
        snprintf(key, sizeof key, "task.t%d.sample_weight", i);
        assert_int_equal(0, gn2_config_set_text(own, key, "w"));
        snprintf(key, sizeof key, "task.t%d.label", i);
        assert_int_equal(0, gn2_config_set_text(own, key, "class"));
        snprintf(key, sizeof key, "task.t%d.classes", i);
        if (i) assert_int_equal(0, gn2_config_set_text(own, key, "a,b,c,d"));
    }
    if (gn2_dataset_from_arrays(&jets, &full, own, &data))
        fail_msg("%s", gn2_last_error());
    gn2_dataset_free(data);
    full.flavour = flavour;
    assert_int_equal(GN2_ERR_NOT_FOUND,
                     gn2_dataset_from_arrays(&jets, &full, own, &data));
    assert_non_null(strstr(gn2_last_error(), "'jets_classification'"));
    gn2_config_free(own);
}

/* A client with a longer struct gets zeros behind what we know. */
static void structs_may_be_longer(void **state)
{
    struct {
        gn2_step_stats stats;
        uint64_t more[4];
    } longer;
    gn2_trainer *own = NULL;
    gn2_model *model = NULL;
    (void)state;
    memset(&longer, 0xff, sizeof longer);
    longer.stats.struct_size = sizeof longer;
    assert_int_equal(0, gn2_config_set_str(config, "schedule.name", "constant"));
    assert_int_equal(0, gn2_model_create(config, &model));
    assert_int_equal(0, gn2_trainer_create(model, config, &own));
    assert_int_equal(0, gn2_trainer_step(own, &jets, &labels, &longer.stats));
    assert_int_equal(longer.stats.struct_size, sizeof longer);
    assert_int_equal(longer.stats.step, 1);
    assert_int_equal(longer.stats.jets, JETS);
    for (int i = 0; i < 4; i++) assert_true(longer.more[i] == 0);
    longer.stats.struct_size = 8;
    assert_int_equal(GN2_ERR_ABI, gn2_trainer_step(own, &jets, &labels, &longer.stats));
    gn2_trainer_free(own);
    gn2_model_free(model);
}

/* ---- numbers that are too large ---- */

static gn2_trainer *trainer_of(gn2_model *model)
{
    gn2_trainer *own = NULL;
    assert_int_equal(0, gn2_config_set_str(config, "schedule.name", "constant"));
    assert_int_equal(0, gn2_trainer_create(model, config, &own));
    gn2_model_free(model);
    return own;
}

static void an_input_too_large_is_named(void **state)
{
    gn2_model *model = NULL;
    gn2_dataset *data = NULL;
    gn2_metrics metrics = {.struct_size = sizeof metrics};
    const float kept = tracks[5 * TRACKS * 19 + 2];
    (void)state;
    assert_int_equal(0, gn2_model_create(config, &model));
    gn2_trainer *own = trainer_of(model);
    tracks[5 * TRACKS * 19 + 2] = FLT_MAX;
    assert_int_equal(0, gn2_dataset_from_arrays(&jets, &labels, config, &data));
    assert_int_equal(GN2_ERR_NUMERIC, gn2_trainer_step(own, &jets, &labels, NULL));
    assert_non_null(strstr(gn2_last_error(), "jet 5: "));
    assert_int_equal(0, gn2_last_error_of_network());
    assert_int_equal(GN2_ERR_NUMERIC, gn2_trainer_evaluate(own, data, &metrics));
    gn2_dataset_free(data); /* the arrays were to stay as they are */
    tracks[5 * TRACKS * 19 + 2] = kept;
    assert_int_equal(0, gn2_trainer_step(own, &jets, &labels, NULL));
    assert_int_equal(0, gn2_dataset_from_arrays(&jets, &labels, config, &data));
    assert_int_equal(0, gn2_trainer_evaluate(own, data, &metrics));
    assert_true(isfinite(metrics.loss));
    gn2_dataset_free(data);
    gn2_trainer_free(own);
}

/* Weights of which the sums overflow: the place is named, no NaN comes out. */
static void a_loss_that_is_not_finite_ends_an_evaluation(void **state)
{
    static float values[16 * 21];
    gn2_model *model = NULL;
    gn2_dataset *data = NULL;
    gn2_metrics metrics = {.struct_size = sizeof metrics};
    gn2_param_info info = {.struct_size = sizeof info};
    (void)state;
    assert_int_equal(0, gn2_model_create(config, &model));
    size_t i = 0;
    do assert_int_equal(0, gn2_model_param_info(model, i++, &info));
    while (info.count > 16 * 21 || info.rank != 2);
    for (int k = 0; k < 16 * 21; k++) values[k] = 3e38f;
    assert_int_equal(0,
                     gn2_model_param_set(model, info.name, values, (size_t)info.count));
    gn2_trainer *own = trainer_of(model);
    assert_int_equal(0, gn2_dataset_from_arrays(&jets, &labels, config, &data));
    assert_int_equal(GN2_ERR_NUMERIC, gn2_trainer_evaluate(own, data, &metrics));
    assert_non_null(strstr(gn2_last_error(), "not finite"));
    assert_int_equal(1, gn2_last_error_of_network());
    assert_int_equal(GN2_ERR_INVALID_ARG, gn2_trainer_step(own, NULL, NULL, NULL));
    assert_int_equal(0, gn2_last_error_of_network());
    assert_int_equal(GN2_ERR_NUMERIC, gn2_trainer_step(own, &jets, &labels, NULL));
    assert_int_equal(1, gn2_last_error_of_network());
    gn2_dataset_free(data);
    gn2_trainer_free(own);
}

static void missing_arguments_are_refused(void **state)
{
    gn2_trainer *none = trainer;
    gn2_model *model = NULL;
    const gn2_status bad = GN2_ERR_INVALID_ARG;
    (void)state;
    assert_int_equal(bad, gn2_trainer_create(NULL, config, &none));
    assert_null(none);
    assert_int_equal(bad, gn2_trainer_step(NULL, &jets, &labels, NULL));
    assert_int_equal(bad, gn2_trainer_step(trainer, NULL, &labels, NULL));
    assert_int_equal(bad, gn2_trainer_step(trainer, &jets, NULL, NULL));
    assert_int_equal(bad, gn2_trainer_fit(trainer, NULL, NULL, NULL, NULL));
    assert_int_equal(bad, gn2_trainer_evaluate(trainer, NULL, NULL));
    assert_int_equal(bad, gn2_trainer_checkpoint_save(trainer, NULL));
    assert_int_equal(bad, gn2_trainer_checkpoint_load(NULL, "x"));
    assert_int_equal(bad, gn2_trainer_snapshot(NULL, &model));
    assert_int_equal(bad, gn2_trainer_probe(trainer, &jets, NULL, NULL));
    assert_int_equal(0, gn2_trainer_memory(NULL));
    gn2_trainer_request_stop(NULL);
    gn2_dataset_request_stop(NULL);
    gn2_trainer_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_works_on_arrays),
        cmocka_unit_test(labels_may_be_given_short),
        cmocka_unit_test(weights_of_rows_take_effect_or_are_refused),
        cmocka_unit_test(one_label_more_than_there_can_be_is_refused),
        cmocka_unit_test(structs_may_be_longer),
        cmocka_unit_test(an_input_too_large_is_named),
        cmocka_unit_test(a_loss_that_is_not_finite_ends_an_evaluation),
        cmocka_unit_test(missing_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
