/* SPDX-License-Identifier: Apache-2.0 */
/* One model, many taggers: threads, order of freeing, fork. */
#include "scene.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER
#endif
#elif defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER
#endif

#define USERS 4

typedef struct user {
    gn2_model *model;
    const input *in;
    const result *want;
    int wrong;
} user;

static int same_flavour(gn2_tagger *tagger, const input *in, const result *want)
{
    const size_t jets = (size_t)in->count;
    float *p = malloc(4 * jets * sizeof *p), *d_b = malloc(jets * sizeof *d_b);
    const int same = gn2_tagger_flavour(tagger, &in->jets, p, d_b) == GN2_OK &&
                     !memcmp(p, want->data[P], 4 * jets * sizeof *p) &&
                     !memcmp(d_b, want->data[D_B], jets * sizeof *d_b);
    free(p);
    free(d_b);
    return same;
}

/* Makes its own taggers, which race for the packed weights, and tags. */
static void *use(void *argument)
{
    user *u = argument;
    for (int round = 0; round < 3; round++) {
        gn2_tagger *tagger = NULL;
        if (gn2_tagger_create(u->model, NULL, &tagger)) {
            u->wrong++;
            continue;
        }
        for (int call = 0; call < 5; call++)
            u->wrong += !same_flavour(tagger, u->in, u->want);
        gn2_tagger_free(tagger);
    }
    return NULL;
}

static void test_many_taggers_on_one_model(void **state)
{
    (void)state;
    sample *jets = sample_new(60, NULL, 51);
    input *in = input_new(jets, NULL, 60, (layout){.slots = 40, .holes = 1});
    gn2_model *reference = small_model(), *shared = small_model();
    gn2_tagger *tagger = tagger_with(reference, 1);
    result *want = result_of(tagger, in);
    pthread_t thread[USERS];
    user users[USERS];
    for (int i = 0; i < USERS; i++) {
        users[i] = (user){shared, in, want, 0};
        assert_int_equal(pthread_create(&thread[i], NULL, use, &users[i]), 0);
    }
    for (int i = 0; i < USERS; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(users[i].wrong, 0);
    }
    result_free(want);
    gn2_tagger_free(tagger);
    gn2_model_free(reference);
    gn2_model_free(shared);
    input_free(in);
    sample_free(jets);
}

static void test_objects_are_freed_in_any_order(void **state)
{
    (void)state;
    sample *jets = sample_new(30, NULL, 52);
    input *in = input_new(jets, NULL, 30, (layout){0});
    gn2_model *model = small_model();
    gn2_tagger *first = tagger_with(model, 1), *second = tagger_with(model, 2);
    result *want = result_of(first, in);
    gn2_model_free(model);
    assert_true(same_flavour(second, in, want));
    gn2_tagger_free(first);
    assert_true(same_flavour(second, in, want));
    gn2_tagger_free(second);
    gn2_tagger_free(NULL);
    gn2_model_free(NULL);
    result_free(want);
    input_free(in);
    sample_free(jets);
}

static void test_a_model_in_use_keeps_its_weights(void **state)
{
    (void)state;
    gn2_model *model = small_model();
    set_vertex_bias(model, 1);
    gn2_tagger *tagger = tagger_with(model, 1);
    gn2_param_info info = {.struct_size = sizeof info};
    must(gn2_model_param_info(model, 0, &info));
    float *values = malloc((size_t)info.count * sizeof *values);
    must(gn2_model_param_get(model, info.name, values, (size_t)info.count));
    must_refuse(GN2_ERR_BUSY, info.name,
                gn2_model_param_set(model, info.name, values, (size_t)info.count));
    gn2_tagger_free(tagger);
    free(values);
    gn2_model_free(model);
}

/* The child must not touch what the test framework holds: it only exits. */
static int in_child(gn2_tagger *tagger, const input *in, const result *want)
{
    const pid_t child = fork();
    if (child == 0) {
        alarm(60);
        _exit(same_flavour(tagger, in, want) ? 0 : 1);
    }
    int status = -1;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

static void check_fork(int64_t threads)
{
    sample *jets = sample_new(200, NULL, 53);
    input *in = input_new(jets, NULL, 200, (layout){0});
    gn2_model *model = small_model();
    gn2_tagger *tagger = tagger_with(model, threads);
    result *want = result_of(tagger, in);
    for (int i = 0; i < 3; i++) assert_int_equal(in_child(tagger, in, want), 0);
    assert_true(same_flavour(tagger, in, want));
    result_free(want);
    gn2_tagger_free(tagger);
    gn2_model_free(model);
    input_free(in);
    sample_free(jets);
}

static void test_a_child_goes_on_tagging(void **state)
{
    (void)state;
    check_fork(1);
}

static void test_a_child_makes_threads_of_its_own(void **state)
{
    (void)state;
#ifdef THREAD_SANITIZER
    print_message("ThreadSanitizer ends a child that makes threads\n");
    skip();
#endif
    check_fork(3);
}

/* The text of a number may be another. */
static void options_of_the_model_are_refused(void **state)
{
    (void)state;
    gn2_config *config = small_config();
    must(gn2_config_set_text(config, "task.track_origin.weight", "0.5"));
    gn2_model *model = NULL;
    gn2_tagger *tagger = NULL;
    must(gn2_model_create(config, &model));
    must(gn2_config_set_text(config, "task.track_origin.weight", "5.0e-1"));
    must(gn2_config_set_text(config, "model.dropout_init", "0.5"));
    must(gn2_tagger_create(model, config, &tagger));
    gn2_tagger_free(tagger);
    must(gn2_config_set_text(config, "task.track_origin.weight", "0.25"));
    must_refuse(GN2_ERR_INVALID_ARG,
                "task.track_origin.weight = '0.25': a tagger takes it from the model, "
                "which says '0.5'",
                gn2_tagger_create(model, config, &tagger));
    gn2_config_free(config);
    gn2_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_taggers_on_one_model),
        cmocka_unit_test(test_objects_are_freed_in_any_order),
        cmocka_unit_test(test_a_model_in_use_keeps_its_weights),
        cmocka_unit_test(test_a_child_goes_on_tagging),
        cmocka_unit_test(test_a_child_makes_threads_of_its_own),
        cmocka_unit_test(options_of_the_model_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
