/* SPDX-License-Identifier: Apache-2.0 */
/* A jet's results are the same bits alone or in company, in any layout and order, on
 * any number of threads. */
#include "scene.h"

#include <pthread.h>

typedef gn2_model *(*model_maker)(void);

/* What a test compares with: a sample tagged ragged, in one thread. */
typedef struct base {
    gn2_model *model;
    gn2_tagger *tagger;
    sample *jets;
    input *in;
    result *scores;
} base;

static base base_of(gn2_model *model, sample *jets)
{
    base b = {.model = model, .tagger = tagger_with(model, 1), .jets = jets};
    b.in = input_new(jets, NULL, jets->count, (layout){0});
    b.scores = result_of(b.tagger, b.in);
    return b;
}

static void base_free(base *b)
{
    result_free(b->scores);
    input_free(b->in);
    sample_free(b->jets);
    gn2_tagger_free(b->tagger);
    gn2_model_free(b->model);
}

/* Vertex logits of both signs, so that vertices are neither all nor none. */
static gn2_model *mixed_model(void)
{
    sample *jets = sample_new(50, NULL, 3);
    base b = base_of(small_model(), jets);
    double sum = 0;
    const float *logits = b.scores->data[PAIRS];
    const int64_t pairs = b.scores->rows[PAIRS];
    for (int64_t i = 0; i < pairs; i++) sum += (double)logits[i];
    base_free(&b);
    gn2_model *model = small_model();
    set_vertex_bias(model, (float)(-sum / (double)pairs));
    return model;
}

static void compare_layout(const base *b, gn2_tagger *tagger, layout lay)
{
    input *in = input_new(b->jets, NULL, b->jets->count, lay);
    result *scores = result_of(tagger, in);
    assert_same_jets(b->in, b->scores, in, scores);
    result_free(scores);
    input_free(in);
}

static void test_layouts_give_the_same_bits(void **state)
{
    (void)state;
    base b = base_of(mixed_model(), sample_new(300, NULL, 11));
    const layout layouts[] = {{0, 0, 0},  {0, 0, 5},  {40, 0, 0}, {80, 0, 0},
                              {40, 1, 0}, {80, 1, 3}, {41, 1, 1}};
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        compare_layout(&b, b.tagger, layouts[i]);
    base_free(&b);
}

/* Without `valid` every slot counts. */
static void test_padded_without_mask(void **state)
{
    (void)state;
    const int64_t five[4] = {5, 5, 5, 5};
    base b = base_of(mixed_model(), sample_new(4, five, 12));
    input *in = input_new(b.jets, NULL, 4, (layout){.slots = 5});
    in->sequence.valid = NULL;
    result *scores = result_of(b.tagger, in);
    assert_same_jets(b.in, b.scores, in, scores);
    result_free(scores);
    input_free(in);
    base_free(&b);
}

static void compare_alone(const base *b, int64_t jet, layout lay)
{
    input *in = input_new(b->jets, &jet, 1, lay);
    result *scores = result_of(b->tagger, in);
    assert_same_jet((place){b->in, b->scores, jet}, (place){in, scores, 0});
    result_free(scores);
    input_free(in);
}

static void test_alone_or_in_a_thousand(void **state)
{
    (void)state;
    base b = base_of(mixed_model(), sample_new(1000, NULL, 13));
    for (int64_t jet = 0; jet < 1000; jet++) compare_alone(&b, jet, (layout){0});
    for (int64_t jet = 0; jet < 1000; jet += 9)
        compare_alone(&b, jet, (layout){.slots = 40, .holes = 1});
    base_free(&b);
}

static void test_alone_or_in_company_at_full_width(void **state)
{
    (void)state;
    base b = base_of(full_model(), sample_new(120, NULL, 14));
    for (int64_t jet = 0; jet < 120; jet++) compare_alone(&b, jet, (layout){0});
    base_free(&b);
}

static void compare_shuffled(const base *b, gn2_tagger *tagger, uint64_t seed)
{
    const int64_t count = b->jets->count;
    int64_t *order = calloc((size_t)count, sizeof *order);
    for (int64_t i = 0; i < count; i++) {
        const int64_t j = (int64_t)(draw(&seed) % (uint64_t)(i + 1));
        order[i] = order[j];
        order[j] = i;
    }
    input *in = input_new(b->jets, order, count, (layout){0});
    result *scores = result_of(tagger, in);
    for (int64_t i = 0; i < count; i++)
        assert_same_jet((place){b->in, b->scores, order[i]}, (place){in, scores, i});
    result_free(scores);
    input_free(in);
    free(order);
}

static void test_order_does_not_matter(void **state)
{
    (void)state;
    base b = base_of(mixed_model(), sample_new(1000, NULL, 15));
    for (uint64_t seed = 1; seed <= 3; seed++) compare_shuffled(&b, b.tagger, seed);
    base_free(&b);
}

static void compare_threads(model_maker make, int64_t count)
{
    base b = base_of(make(), sample_new(count, NULL, 16));
    const int64_t threads[] = {2, 3, 4};
    for (size_t i = 0; i < 3; i++) {
        gn2_tagger *tagger = tagger_with(b.model, threads[i]);
        compare_layout(&b, tagger, (layout){0});
        compare_layout(&b, tagger, (layout){.slots = 40, .holes = 1});
        compare_shuffled(&b, tagger, 5);
        gn2_tagger_free(tagger);
    }
    base_free(&b);
}

static void test_threads_do_not_matter(void **state)
{
    (void)state;
    compare_threads(mixed_model, 1000);
}

static void test_threads_do_not_matter_at_full_width(void **state)
{
    (void)state;
    compare_threads(full_model, 100);
}

static void test_chunks_do_not_matter(void **state)
{
    (void)state;
    base b = base_of(mixed_model(), sample_new(400, NULL, 17));
    const int64_t tokens[] = {16, 100, 1000, 1 << 20};
    for (size_t i = 0; i < 4; i++) {
        gn2_config *config = NULL;
        gn2_tagger *tagger = NULL;
        must(gn2_config_create(&config));
        must(gn2_config_set_i64(config, "tagger.chunk_tokens", tokens[i]));
        must(gn2_tagger_create(b.model, config, &tagger));
        gn2_config_free(config);
        compare_layout(&b, tagger, (layout){0});
        gn2_tagger_free(tagger);
    }
    base_free(&b);
}

/* ---- a scheduler of the caller's ---- */

typedef struct share {
    int64_t from, to;
    void (*task)(void *, int64_t);
    void *context;
} share;

static void *run_share(void *argument)
{
    const share *s = argument;
    for (int64_t i = s->to; i-- > s->from;) s->task(s->context, i);
    return NULL;
}

/* Two threads, each half of the work, from the end. */
static void two_threads(void *user, int64_t count, void (*task)(void *, int64_t),
                        void *context)
{
    share low = {0, count / 2, task, context};
    share high = {count / 2, count, task, context};
    pthread_t thread;
    ++*(int *)user;
    assert_int_equal(pthread_create(&thread, NULL, run_share, &high), 0);
    run_share(&low);
    pthread_join(thread, NULL);
}

static void test_foreign_scheduler(void **state)
{
    (void)state;
    int calls = 0;
    base b = base_of(mixed_model(), sample_new(500, NULL, 18));
    gn2_tagger *tagger = tagger_with(b.model, 1);
    must(gn2_tagger_set_parallel(tagger, two_threads, &calls, 2));
    compare_layout(&b, tagger, (layout){0});
    assert_true(calls > 0);
    const int before = calls;
    must(gn2_tagger_set_parallel(tagger, NULL, NULL, 2));
    compare_layout(&b, tagger, (layout){0});
    assert_int_equal(calls, before);
    must_refuse(GN2_ERR_INVALID_ARG, "workers",
                gn2_tagger_set_parallel(tagger, two_threads, &calls, 0));
    gn2_tagger_free(tagger);
    base_free(&b);
}

/* ---- sizes ---- */

static void test_odd_multiplicities(void **state)
{
    (void)state;
    const int64_t n[] = {0, 1, 2, 40, 500, 0, 0, 3, 129, 128, 127, 1, 0};
    const int64_t count = sizeof n / sizeof *n;
    base b = base_of(mixed_model(), sample_new(count, n, 19));
    for (int64_t jet = 0; jet < count; jet++) {
        compare_alone(&b, jet, (layout){0});
        compare_alone(&b, jet, (layout){.slots = 500});
    }
    gn2_tagger *tagger = tagger_with(b.model, 4);
    compare_layout(&b, tagger, (layout){0});
    gn2_tagger_free(tagger);
    base_free(&b);
}

static void test_only_jets_without_tracks(void **state)
{
    (void)state;
    const int64_t none[3] = {0, 0, 0};
    base b = base_of(small_model(), sample_new(3, none, 20));
    compare_layout(&b, b.tagger, (layout){.slots = 40});
    b.in->sequence.data = NULL; /* there is nothing to point at */
    result *scores = result_of(b.tagger, b.in);
    assert_same_jets(b.in, b.scores, b.in, scores);
    result_free(scores);
    base_free(&b);
}

static void test_no_jets(void **state)
{
    (void)state;
    base b = base_of(small_model(), sample_new(0, NULL, 21));
    compare_layout(&b, b.tagger, (layout){.slots = 40});
    must(gn2_tagger_flavour(b.tagger, &b.in->jets, NULL, NULL));
    base_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layouts_give_the_same_bits),
        cmocka_unit_test(test_padded_without_mask),
        cmocka_unit_test(test_alone_or_in_a_thousand),
        cmocka_unit_test(test_alone_or_in_company_at_full_width),
        cmocka_unit_test(test_order_does_not_matter),
        cmocka_unit_test(test_threads_do_not_matter),
        cmocka_unit_test(test_threads_do_not_matter_at_full_width),
        cmocka_unit_test(test_chunks_do_not_matter),
        cmocka_unit_test(test_foreign_scheduler),
        cmocka_unit_test(test_odd_multiplicities),
        cmocka_unit_test(test_only_jets_without_tracks),
        cmocka_unit_test(test_no_jets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
