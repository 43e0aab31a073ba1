/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finite inputs give finite outputs, or a message that says which value is at fault.
 */
#include "scene.h"

#include <float.h>
#include <math.h>

typedef struct scene {
    gn2_model *model;
    gn2_tagger *tagger;
    sample *jets;
    input *in;
} scene;

static void set_up(scene *s, layout lay, const char *non_finite)
{
    gn2_config *config = small_config();
    must(gn2_config_set_text(config, "norm.tracks.std",
                             "4,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"));
    must(gn2_config_set_text(config, "input.non_finite", non_finite));
    s->model = model_of(config);
    s->tagger = tagger_with(s->model, 1);
    s->jets = sample_new(10, (const int64_t[]){3, 2, 0, 5, 1, 4, 7, 2, 2, 3}, 77);
    s->in = input_new(s->jets, NULL, 10, lay);
}

static void tear_down(scene *s)
{
    input_free(s->in);
    sample_free(s->jets);
    gn2_tagger_free(s->tagger);
    gn2_model_free(s->model);
}

static gn2_status tag(scene *s)
{
    float p[40], d_b[10];
    memset(p, 0x5a, sizeof p);
    const gn2_status status = gn2_tagger_flavour(s->tagger, &s->in->jets, p, d_b);
    for (int i = 0; i < 40 && !status; i++) assert_true(isfinite(p[i]));
    for (int i = 0; i < 10 && !status; i++) assert_true(isfinite(d_b[i]));
    for (int i = 0; i < 40 && status; i++)
        assert_int_equal(((uint32_t *)p)[i], 0x5a5a5a5a);
    return status;
}

/* ---- one large value, in any input ---- */

static void check_large(scene *s, float *at, const char *jet, const char *name)
{
    static const float refused[] = {FLT_MAX, -FLT_MAX, 1e30f, 1e19f, -1e19f};
    const float kept = *at;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        *at = refused[i];
        must_refuse(GN2_ERR_NUMERIC, jet, tag(s));
        assert_int_equal(0, gn2_last_error_of_network());
        assert_non_null(strstr(gn2_last_error(), name));
        assert_non_null(strstr(gn2_last_error(), "standard deviations"));
    }
    *at = kept;
}

static void check_layout(layout lay, const char *non_finite)
{
    scene s;
    set_up(&s, lay, non_finite);
    const int64_t wide = TRACK_INPUTS + lay.extra;
    float *track = s.in->tracks + s.in->row[s.in->offset[3]] * wide;
    for (size_t i = 0; i < TRACK_INPUTS; i++)
        check_large(&s, track + i,
                    "jet 3: ", gn2_model_input_name(s.model, "tracks", i));
    float *jet = s.in->features + 2 * (JET_INPUTS + lay.extra); /* without a track */
    for (size_t i = 0; i < JET_INPUTS; i++)
        check_large(&s, jet + i, "jet 2: ", gn2_model_input_name(s.model, "jets", i));
    must(tag(&s));
    tear_down(&s);
}

static void test_what_no_norm_can_hold_is_refused(void **state)
{
    (void)state;
    check_layout((layout){0}, "error");
    check_layout((layout){.extra = 3}, "error");
    check_layout((layout){.slots = 9, .holes = 1}, "error");
    check_layout((layout){0}, "default"); /* only NaN and Inf are replaced */
}

/* The limit of the first input, whose std is 4, is four times that of the second. */
static void test_the_limit_is_in_standard_deviations(void **state)
{
    (void)state;
    scene s;
    set_up(&s, (layout){0}, "error");
    float *track = s.in->tracks;
    const float kept = track[0];
    track[0] = 3.9e12f;
    must(tag(&s));
    track[0] = -4.1e12f;
    must_refuse(GN2_ERR_NUMERIC, "of tracks 0", tag(&s));
    track[0] = kept;
    track[1] = 3.9e12f;
    must_refuse(GN2_ERR_NUMERIC, "3.9e+12 standard deviations", tag(&s));
    tear_down(&s);
}

static void test_bound_columns_are_looked_at(void **state)
{
    (void)state;
    scene s;
    static const char *const names[] = {"eta", "pt", "rubbish"};
    set_up(&s, (layout){.extra = 1}, "error");
    must(gn2_tagger_bind(s.tagger, "jets", names, 3));
    s.in->features[3 * 4 + 2] = FLT_MAX; /* is called rubbish */
    must(tag(&s));
    s.in->features[3 * 4 + 1] = FLT_MAX;
    must_refuse(GN2_ERR_NUMERIC, "jet 4: 'pt_btagJes'", tag(&s));
    tear_down(&s);
}

/* ---- weights that make too much of it ---- */

static void set_bias(gn2_model *model, const char *prefix, float value)
{
    for (size_t i = 0; i < gn2_model_param_count(model); i++) {
        gn2_param_info info = {.struct_size = sizeof info};
        must(gn2_model_param_info(model, i, &info));
        if (strncmp(info.name, prefix, strlen(prefix)) != 0) continue;
        float *values = malloc((size_t)info.count * sizeof *values);
        for (int64_t k = 0; k < info.count; k++) values[k] = value;
        must(gn2_model_param_set(model, info.name, values, (size_t)info.count));
        free(values);
    }
}

static gn2_status run(gn2_tagger *tagger, const input *in, const char *name)
{
    static float room[1 << 14];
    gn2_output out = {.struct_size = sizeof out, .data = room, .capacity = 1 << 10};
    must(gn2_tagger_output(tagger, name, &out.id));
    return gn2_tagger_run(tagger, &in->jets, &out, 1);
}

/* Jet 2 has no track, and jet 4 one, which makes no pair. */
static void test_results_that_are_not_finite_name_the_jet(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"tasks.0.", "jets.probabilities", "jet 0:"},
        {"tasks.1.", "tracks.origin", "jet 0:"},
        {"tasks.2.", "tracks.vertex", "jet 0:"},
        {"tasks.2.", "pairs.logits", "jet 0:"},
        {"encoder.out_proj", "jets.embedding", "jet 0:"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        scene s;
        set_up(&s, (layout){0}, "error");
        gn2_model *model = small_model();
        set_bias(model, cases[i][0], 1e38f);
        gn2_tagger *tagger = tagger_with(model, 2);
        must_refuse(GN2_ERR_NUMERIC, cases[i][2], run(tagger, s.in, cases[i][1]));
        assert_int_equal(1, gn2_last_error_of_network());
        gn2_tagger_free(tagger);
        gn2_model_free(model);
        tear_down(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_no_norm_can_hold_is_refused),
        cmocka_unit_test(test_the_limit_is_in_standard_deviations),
        cmocka_unit_test(test_bound_columns_are_looked_at),
        cmocka_unit_test(test_results_that_are_not_finite_name_the_jet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
