/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models and configs as objects: shared by several owners, written to and read from
 * memory, looked at without their weights, and what a NULL config means.
 */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <gn2/gn2.h>

#include "../common/labels.h"

#define MUST(expr) assert_int_equal(GN2_OK, expr)
#define FAILS(wanted, word, expr)                          \
    do {                                                   \
        assert_int_equal(wanted, expr);                    \
        assert_non_null(strstr(gn2_last_error(), (word))); \
    } while (0)

static gn2_config *small_config(void)
{
    static const char *const options[][2] = {
        {"model.embed_dim", "16"},     {"model.num_heads", "2"},
        {"model.num_layers", "1"},     {"model.classes", "hbb,hcc,top"},
        {"provenance.data", "a test"}, {"schedule.max", "0.01"},
        {"model.dropout_ffn", "0.25"}, {"schedule.steps", "1000"},
    };
    gn2_config *config;
    MUST(gn2_config_create(&config));
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        MUST(gn2_config_set_text(config, options[i][0], options[i][1]));
    return config;
}

static gn2_model *small_model(void)
{
    gn2_config *config = small_config();
    gn2_model *model;
    MUST(gn2_model_create(config, &model));
    gn2_config_free(config);
    return model;
}

/* The whole model, for comparing. */
static char *bytes_of(const gn2_model *model, size_t *out_size)
{
    size_t size = 0;
    MUST(gn2_model_save_buffer(model, NULL, 0, &size));
    char *bytes = malloc(size);
    assert_non_null(bytes);
    MUST(gn2_model_save_buffer(model, bytes, size, out_size));
    assert_int_equal(size, *out_size);
    return bytes;
}

/* ---- models ---- */

static void every_owner_lets_go_for_itself(void **state)
{
    (void)state;
    size_t before, after;
    gn2_model *first = small_model();
    char *want = bytes_of(first, &before);
    gn2_model *second = gn2_model_ref(first);
    assert_ptr_equal(first, second);
    gn2_model_free(first);
    char *got = bytes_of(second, &after);
    assert_int_equal(before, after);
    assert_memory_equal(want, got, before);
    gn2_model_free(second);
    assert_null(gn2_model_ref(NULL));
    free(want);
    free(got);
}

static void a_model_goes_through_memory(void **state)
{
    (void)state;
    size_t size, again_size, unchanged = 77;
    gn2_model *model = small_model(), *copy;
    char *bytes = bytes_of(model, &size);
    MUST(gn2_model_load_buffer(bytes, size, &copy));
    char *again = bytes_of(copy, &again_size);
    assert_int_equal(size, again_size);
    assert_memory_equal(bytes, again, size);
    FAILS(GN2_ERR_SHAPE, "room",
          gn2_model_save_buffer(model, bytes, size - 1, &unchanged));
    assert_int_equal(unchanged, 77);
    FAILS(GN2_ERR_INVALID_ARG, "NULL", gn2_model_save_buffer(model, NULL, 5, &size));
    gn2_model_free(model);
    gn2_model_free(copy);
    free(bytes);
    free(again);
}

/* The same file as gn2_model_save() writes. */
static void a_file_has_the_same_bytes(void **state)
{
    (void)state;
    size_t size;
    gn2_model *model = small_model();
    char *bytes = bytes_of(model, &size), *from_file = malloc(size + 1);
    MUST(gn2_model_save(model, "test_objects.gn2"));
    FILE *file = fopen("test_objects.gn2", "rb");
    assert_int_equal(fread(from_file, 1, size + 1, file), size);
    fclose(file);
    remove("test_objects.gn2");
    assert_memory_equal(bytes, from_file, size);
    gn2_model_free(model);
    free(bytes);
    free(from_file);
}

static void write_file(const char *path, const char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static void check_inspected(const char *path)
{
    gn2_config *config;
    const char *text;
    int64_t width;
    MUST(gn2_model_inspect(path, &config));
    MUST(gn2_config_get_i64(config, "model.embed_dim", &width));
    assert_int_equal(width, 16);
    MUST(gn2_config_get_str(config, "provenance.data", &text));
    assert_string_equal(text, "a test");
    gn2_config_free(config);
}

/* A file whose tensors are gone still says what it was. */
static void a_file_is_inspected_without_its_weights(void **state)
{
    (void)state;
    const char *path = "test_objects.gn2";
    size_t size;
    gn2_config *config = NULL;
    gn2_model *model = small_model();
    char *bytes = bytes_of(model, &size);
    write_file(path, bytes, size);
    check_inspected(path);
    write_file(path, bytes, size / 2);
    check_inspected(path);
    bytes[60] ^= 1; /* in the header */
    write_file(path, bytes, size);
    FAILS(GN2_ERR_FORMAT, "CRC of the header", gn2_model_inspect(path, &config));
    assert_null(config);
    write_file(path, bytes, 39);
    FAILS(GN2_ERR_FORMAT, "cut off", gn2_model_inspect(path, &config));
    write_file(path, "no model", 8);
    FAILS(GN2_ERR_FORMAT, "not a .gn2 file", gn2_model_inspect(path, &config));
    remove(path);
    FAILS(GN2_ERR_NOT_FOUND, path, gn2_model_inspect(path, &config));
    gn2_model_free(model);
    free(bytes);
}

static void classes_are_found_by_name(void **state)
{
    (void)state;
    gn2_model *model = small_model();
    size_t index = 77;
    FAILS(GN2_ERR_NOT_FOUND, "hbb hcc top",
          gn2_model_class_find(model, "bjets", &index));
    assert_int_equal(index, 77);
    MUST(gn2_model_class_find(model, "top", &index));
    assert_int_equal(index, 2);
    gn2_model_free(model);
}

static void metrics_are_found_by_name(void **state)
{
    (void)state;
    const gn2_metric one = {.name = "auc", .value = 0.5};
    gn2_metrics m = {.struct_size = sizeof m, .metrics = &one, .metric_count = 1};
    double value = 0;
    assert_int_equal(gn2_metrics_find(&m, "auc", &value), GN2_OK);
    assert_true(value == 0.5);
    FAILS(GN2_ERR_NOT_FOUND, "there are auc", gn2_metrics_find(&m, "loss", &value));
    assert_true(isnan(value));
    m.metrics = NULL;
    FAILS(GN2_ERR_INVALID_ARG, "metric_count = 1", gn2_metrics_find(&m, "auc", &value));
}

static void a_vector_has_one_dimension(void **state)
{
    (void)state;
    gn2_model *model = small_model();
    int seen[3] = {0};
    for (size_t i = 0; i < gn2_model_param_count(model); i++) {
        gn2_param_info info = {.struct_size = sizeof info};
        MUST(gn2_model_param_info(model, i, &info));
        assert_int_equal(info.rank, info.shape[1] ? 2 : 1);
        seen[info.rank]++;
    }
    assert_true(seen[1] > 0 && seen[2] > 0);
    gn2_model_free(model);
}

/* ---- a NULL config ---- */

static double rate_of_first_step(const gn2_model *model)
{
    static const float features[2] = {1, 1}, tracks[19] = {1};
    static const int64_t offsets[2] = {0, 1};
    static const int32_t label = 0;
    const gn2_sequence sequence = {
        .struct_size = sizeof sequence, .data = tracks, .offsets = offsets};
    const gn2_jets jets = {.struct_size = sizeof jets,
                           .sequence_count = 1,
                           .count = 1,
                           .features = features,
                           .sequences = &sequence};
    const gn2_label one[] = {LABEL(LABEL_JETS, &label)};
    const gn2_labels labels = LABELS(one);
    gn2_step_stats stats = {.struct_size = sizeof stats};
    gn2_trainer *trainer;
    MUST(gn2_trainer_create(model, NULL, &trainer));
    const gn2_status status = gn2_trainer_step(trainer, &jets, &labels, &stats);
    gn2_trainer_free(trainer);
    return status ? -1 : stats.learning_rate;
}

static gn2_model *through_memory(gn2_model *model)
{
    size_t size;
    gn2_model *copy;
    char *bytes = bytes_of(model, &size);
    MUST(gn2_model_load_buffer(bytes, size, &copy));
    gn2_model_free(model);
    free(bytes);
    return copy;
}

/* Options of the training are not a model's: 1000 steps were set, none are kept. */
static void no_config_means_the_same_before_and_after_saving(void **state)
{
    (void)state;
    gn2_model *model = small_model();
    const double before = rate_of_first_step(model);
    model = through_memory(model);
    assert_true(before == rate_of_first_step(model));
    assert_true(before == -1);
    assert_non_null(strstr(gn2_last_error(), "schedule"));
    gn2_model_free(model);
}

/* ---- configs ---- */

static void a_config_is_copied(void **state)
{
    (void)state;
    gn2_config *config = small_config(), *copy;
    int64_t width;
    MUST(gn2_config_copy(config, &copy));
    MUST(gn2_config_set_i64(config, "model.embed_dim", 32));
    gn2_config_free(config);
    MUST(gn2_config_get_i64(copy, "model.embed_dim", &width));
    assert_int_equal(width, 16);
    gn2_config_free(copy);
    FAILS(GN2_ERR_INVALID_ARG, "NULL", gn2_config_copy(NULL, &copy));
    assert_null(copy);
}

static void a_config_goes_through_memory(void **state)
{
    (void)state;
    gn2_config *config = small_config(), *other;
    char text[1 << 14], again[1 << 14];
    size_t size, told, more;
    MUST(gn2_config_save_buffer(config, NULL, 0, &told));
    MUST(gn2_config_save_buffer(config, text, sizeof text, &size));
    assert_int_equal(size, told);
    MUST(gn2_config_create(&other));
    MUST(gn2_config_load_buffer(other, text, size));
    MUST(gn2_config_save_buffer(other, again, sizeof again, &more));
    assert_int_equal(size, more);
    assert_memory_equal(text, again, size);
    FAILS(GN2_ERR_SHAPE, "room", gn2_config_save_buffer(config, text, size - 1, &more));
    FAILS(GN2_ERR_NOT_FOUND, "buffer:1", gn2_config_load_buffer(other, "a.b = 1", 7));
    MUST(gn2_config_load_buffer(other, NULL, 0));
    gn2_config_free(config);
    gn2_config_free(other);
}

/* ---- log ---- */

typedef struct listener {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    int inside, go_on, lines;
} listener;

static void wait_for(listener *l, const int *flag)
{
    pthread_mutex_lock(&l->mutex);
    while (!*flag) pthread_cond_wait(&l->cond, &l->mutex);
    pthread_mutex_unlock(&l->mutex);
}

static void set(listener *l, int *flag)
{
    pthread_mutex_lock(&l->mutex);
    *flag = 1;
    pthread_cond_broadcast(&l->cond);
    pthread_mutex_unlock(&l->mutex);
}

static void slow(void *user, int32_t severity, const char *line)
{
    listener *l = user;
    (void)severity;
    (void)line;
    set(l, &l->inside);
    wait_for(l, &l->go_on);
    l->lines++;
}

static void unplug(void *user, int32_t severity, const char *line)
{
    int *lines = user;
    (void)severity;
    (void)line;
    gn2_set_log(NULL, NULL); /* from inside: does not wait for itself */
    ++*lines;
}

/* Jets in GeV for a model in MeV: one line. */
static void *make_a_line(void *unused)
{
    gn2_config *config = small_config();
    gn2_model *model;
    gn2_tagger *tagger;
    const float features[2] = {1, 1};
    const int64_t offsets[2] = {0, 0};
    const gn2_sequence sequence = {.struct_size = sizeof sequence, .offsets = offsets};
    const gn2_jets jets = {.struct_size = sizeof jets,
                           .sequence_count = 1,
                           .count = 1,
                           .features = features,
                           .sequences = &sequence};
    float p[3];
    MUST(gn2_config_set_text(config, "norm.jets.mean", "100000,0"));
    MUST(gn2_config_set_text(config, "norm.jets.std", "50000,1"));
    MUST(gn2_model_create(config, &model));
    MUST(gn2_tagger_create(model, NULL, &tagger));
    MUST(gn2_tagger_flavour(tagger, &jets, p, NULL));
    gn2_tagger_free(tagger);
    gn2_model_free(model);
    gn2_config_free(config);
    return unused;
}

static void *unplug_slow(void *user)
{
    listener *l = user;
    gn2_set_log(NULL, NULL);
    assert_int_equal(l->lines, 1); /* the line is over */
    return NULL;
}

static void a_callback_that_was_replaced_is_not_running(void **state)
{
    (void)state;
    listener l = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    gn2_log_fn fn;
    void *user;
    pthread_t line, setter;
    gn2_set_log(slow, &l);
    gn2_get_log(&fn, &user);
    assert_true(fn == slow && user == &l);
    assert_int_equal(pthread_create(&line, NULL, make_a_line, NULL), 0);
    wait_for(&l, &l.inside);
    assert_int_equal(pthread_create(&setter, NULL, unplug_slow, &l), 0);
    do gn2_get_log(&fn, NULL);
    while (fn); /* the setter has begun, and waits */
    set(&l, &l.go_on);
    pthread_join(setter, NULL);
    pthread_join(line, NULL);
    assert_int_equal(l.lines, 1);
}

static void a_callback_may_unplug_itself(void **state)
{
    (void)state;
    int lines = 0;
    gn2_log_fn fn;
    gn2_set_log(unplug, &lines);
    make_a_line(NULL);
    make_a_line(NULL);
    assert_int_equal(lines, 1);
    gn2_get_log(&fn, NULL);
    assert_true(fn == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_owner_lets_go_for_itself),
        cmocka_unit_test(a_model_goes_through_memory),
        cmocka_unit_test(a_file_has_the_same_bytes),
        cmocka_unit_test(a_file_is_inspected_without_its_weights),
        cmocka_unit_test(classes_are_found_by_name),
        cmocka_unit_test(metrics_are_found_by_name),
        cmocka_unit_test(a_vector_has_one_dimension),
        cmocka_unit_test(no_config_means_the_same_before_and_after_saving),
        cmocka_unit_test(a_config_is_copied),
        cmocka_unit_test(a_config_goes_through_memory),
        cmocka_unit_test(a_callback_that_was_replaced_is_not_running),
        cmocka_unit_test(a_callback_may_unplug_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
