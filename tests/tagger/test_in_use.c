/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tagger that is entered while a call is under way says GN2_ERR_BUSY, and the call
 * under way gives the right numbers. A call may be cancelled from outside.
 */
#include "scene.h"

#include <pthread.h>

typedef struct scene {
    gn2_model *model;
    gn2_tagger *tagger;
    sample *jets;
    input *in;
    result *want;
    float p[4 * 100];
    int calls;           /* of the scheduler */
    gn2_status other[6]; /* what calls met while one was under way */
    void (*meanwhile)(struct scene *s);
    int64_t cancel_after; /* tasks; −1: never */
} scene;

static void set_up(scene *s)
{
    *s = (scene){.model = small_model(), .jets = sample_new(100, NULL, 9)};
    s->cancel_after = -1;
    s->tagger = tagger_with(s->model, 1);
    s->in = input_new(s->jets, NULL, 100, (layout){0});
    s->want = result_of(s->tagger, s->in);
}

static void tear_down(scene *s)
{
    result_free(s->want);
    input_free(s->in);
    sample_free(s->jets);
    gn2_tagger_free(s->tagger);
    gn2_model_free(s->model);
}

/* Does something else first, as a scheduler may, then its work. */
static void scheduler(void *user, int64_t count, void (*task)(void *, int64_t),
                      void *context)
{
    scene *s = user;
    s->calls++;
    if (s->meanwhile) s->meanwhile(s);
    for (int64_t i = 0; i < count; i++) {
        if (i == s->cancel_after) gn2_tagger_cancel(s->tagger);
        task(context, i);
    }
}

static gn2_status flavour(scene *s, float *p)
{
    return gn2_tagger_flavour(s->tagger, &s->in->jets, p, NULL);
}

static void try_everything(scene *s)
{
    static const char *const names[] = {"pt_btagJes", "eta_btagJes"};
    float p[4 * 100];
    gn2_output out = {.struct_size = sizeof out, .data = p, .capacity = 100};
    must(gn2_tagger_output(s->tagger, "jets.probabilities", &out.id)); /* is allowed */
    s->other[0] = flavour(s, p);
    s->other[1] = gn2_tagger_run(s->tagger, &s->in->jets, &out, 1);
    s->other[2] = gn2_tagger_bind(s->tagger, "jets", names, 2);
    s->other[3] = gn2_tagger_bind(s->tagger, "jets", NULL, 0);
    s->other[4] = gn2_tagger_set_parallel(s->tagger, NULL, NULL, 1);
    s->other[5] = gn2_tagger_set_parallel(s->tagger, scheduler, s, 3);
}

static void *thread_main(void *argument)
{
    try_everything(argument);
    return NULL;
}

static void try_on_a_thread(scene *s)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, thread_main, s), 0);
    pthread_join(thread, NULL);
}

static void check_busy(void (*meanwhile)(scene *s))
{
    scene s;
    set_up(&s);
    s.meanwhile = meanwhile;
    must(gn2_tagger_set_parallel(s.tagger, scheduler, &s, 2));
    must(flavour(&s, s.p));
    assert_int_equal(s.calls, 1);
    assert_memory_equal(s.p, s.want->data[P], sizeof s.p);
    for (int i = 0; i < 6; i++) assert_int_equal(s.other[i], GN2_ERR_BUSY);
    s.meanwhile = NULL; /* and it is free again */
    must(flavour(&s, s.p));
    assert_memory_equal(s.p, s.want->data[P], sizeof s.p);
    must(gn2_tagger_set_parallel(s.tagger, NULL, NULL, 1));
    tear_down(&s);
}

static void test_reentered_by_the_scheduler(void **state)
{
    (void)state;
    check_busy(try_everything);
    assert_non_null(strstr(gn2_last_error(), "under way"));
}

static void test_entered_by_another_thread(void **state)
{
    (void)state;
    check_busy(try_on_a_thread);
}

static void test_a_failed_call_leaves_it_free(void **state)
{
    (void)state;
    scene s;
    set_up(&s);
    gn2_jets jets = s.in->jets;
    jets.count = -1;
    for (int i = 0; i < 3; i++)
        assert_int_equal(gn2_tagger_flavour(s.tagger, &jets, s.p, NULL),
                         GN2_ERR_INVALID_ARG);
    must(flavour(&s, s.p));
    tear_down(&s);
}

static void test_a_call_can_be_cancelled(void **state)
{
    (void)state;
    scene s;
    set_up(&s);
    must(gn2_tagger_set_parallel(s.tagger, scheduler, &s, 2));
    for (s.cancel_after = 0; s.cancel_after < 2; s.cancel_after++)
        must_refuse(GN2_ERR_CANCELLED, "cancelled", flavour(&s, s.p));
    s.cancel_after = -1;
    gn2_tagger_cancel(s.tagger); /* nothing is under way */
    gn2_tagger_cancel(NULL);
    must(flavour(&s, s.p));
    assert_memory_equal(s.p, s.want->data[P], sizeof s.p);
    tear_down(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reentered_by_the_scheduler),
        cmocka_unit_test(test_entered_by_another_thread),
        cmocka_unit_test(test_a_failed_call_leaves_it_free),
        cmocka_unit_test(test_a_call_can_be_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
