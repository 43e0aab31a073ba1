/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients of discriminants: that they are what changes D, and that they are a jet's
 * own, whatever the company, the layout and the number of threads. */
#include "scene.h"

#include <math.h>

#define JETS 24
#define D_NOISE 4e-7 /* of two D of about 1 in float, one from the other */

/* D_b and its gradients by the inputs of the jets and of the tracks. */
typedef struct gradients {
    float *d, *jets, *tracks;
} gradients;

static gradients gradients_of(gn2_tagger *tagger, const input *in, const char *suffix)
{
    char jets[64], tracks[64];
    snprintf(jets, sizeof jets, "jets.%s", suffix);
    snprintf(tracks, sizeof tracks, "tracks.%s", suffix);
    const int64_t rows = rows_of(in, ORIGIN);
    const gradients g = {malloc((size_t)in->count * sizeof(float)),
                         malloc((size_t)in->count * JET_INPUTS * sizeof(float)),
                         malloc((size_t)rows * TRACK_INPUTS * sizeof(float) + 1)};
    const gn2_output out[] = {output_named(tagger, "jets.D_b", g.d, in->count),
                              output_named(tagger, jets, g.jets, in->count),
                              output_named(tagger, tracks, g.tracks, rows)};
    must(gn2_tagger_run(tagger, &in->jets, out, 3));
    return g;
}

static void free_gradients(gradients g)
{
    free(g.d);
    free(g.jets);
    free(g.tracks);
}

/* ---- values ---- */

static float d_at(gn2_tagger *tagger, const input *in, int64_t b)
{
    float d[JETS];
    const gn2_output out = output_named(tagger, "jets.D_b", d, in->count);
    must(gn2_tagger_run(tagger, &in->jets, &out, 1));
    return d[b];
}

/* How D of jet b changes with *x, by a step up and a step down. NaN where these differ:
 * between them a unit of a ReLU comes or goes. */
static double slope(gn2_tagger *tagger, const input *in, int64_t b, float *x, float h)
{
    const float at[] = {*x - h, *x, *x + h};
    double d[3];
    for (int i = 0; i < 3; i++) {
        *x = at[i];
        d[i] = (double)d_at(tagger, in, b);
    }
    *x = at[1];
    const double down = (d[1] - d[0]) / ((double)at[1] - (double)at[0]);
    const double up = (d[2] - d[1]) / ((double)at[2] - (double)at[1]);
    const int straight =
        fabs(up - down) < 0.02 * (fabs(up) + fabs(down)) + D_NOISE / (double)h;
    return straight ? (up + down) / 2 : (double)NAN;
}

/* What has been compared, and what differs: where units come and go on both sides the
 * step sees another slope than the point, which is seldom. */
typedef struct tally {
    int64_t wanted, compared, different;
} tally;

static void compare(tally *t, double wanted, float found, float h)
{
    t->wanted++;
    if (isnan(wanted)) return;
    const double tolerance = 0.02 * fabs(wanted) + D_NOISE / (double)h;
    t->compared++;
    t->different += fabs(wanted - (double)found) > tolerance;
}

static void test_they_say_how_the_discriminant_changes(void **state)
{
    (void)state;
    gn2_model *model = small_model();
    gn2_tagger *tagger = tagger_with(model, 1);
    sample *jets = sample_new(JETS, NULL, 11);
    input *in = input_new(jets, NULL, JETS, (layout){0});
    const gradients g = gradients_of(tagger, in, "D_b_gradient");
    tally t = {0};
    for (int64_t b = 0; b < JETS; b++) {
        const float steps[JET_INPUTS] = {40, 0.001F};
        float *x = in->features + b * JET_INPUTS;
        for (int i = 0; i < JET_INPUTS; i++)
            compare(&t, slope(tagger, in, b, x + i, steps[i]),
                    g.jets[b * JET_INPUTS + i], steps[i]);
        for (int64_t k = in->offset[b] * TRACK_INPUTS;
             k < in->offset[b + 1] * TRACK_INPUTS; k += 7)
            compare(&t, slope(tagger, in, b, in->tracks + k, 0.001F), g.tracks[k],
                    0.001F);
        if (in->offset[b] < in->offset[b + 1]) continue;
        assert_true(g.jets[b * JET_INPUTS] == 0); /* nothing enters */
    }
    print_message("%lld of %lld inputs compared, %lld differ\n", (long long)t.compared,
                  (long long)t.wanted, (long long)t.different);
    assert_true(t.compared > t.wanted / 2 && t.different * 50 < t.compared);
    free_gradients(g);
    input_free(in);
    sample_free(jets);
    gn2_tagger_free(tagger);
    gn2_model_free(model);
}

static void test_each_discriminant_has_its_own(void **state)
{
    (void)state;
    gn2_model *model = small_model();
    gn2_tagger *tagger = tagger_with(model, 1);
    sample *jets = sample_new(JETS, NULL, 12);
    input *in = input_new(jets, NULL, JETS, (layout){0});
    const gradients b = gradients_of(tagger, in, "D_b_gradient");
    const gradients c = gradients_of(tagger, in, "D_c_gradient");
    const gradients first = gradients_of(tagger, in, "gradient");
    const size_t bytes = (size_t)rows_of(in, ORIGIN) * TRACK_INPUTS * sizeof(float);
    assert_memory_equal(b.tracks, first.tracks, bytes);
    assert_memory_not_equal(b.tracks, c.tracks, bytes);
    free_gradients(b);
    free_gradients(c);
    free_gradients(first);
    input_free(in);
    sample_free(jets);
    gn2_tagger_free(tagger);
    gn2_model_free(model);
}

/* ---- several of one call ---- */

/* Those of D_b, D_c and D_tau by the inputs of the jets and of the tracks. */
#define ASKED 6

static const char *const asked[ASKED] = {
    "jets.D_b_gradient",   "tracks.D_b_gradient", "jets.D_c_gradient",
    "tracks.D_c_gradient", "jets.D_tau_gradient", "tracks.D_tau_gradient",
};

typedef struct several {
    float *data[ASKED];
    size_t bytes[ASKED];
    gn2_output out[ASKED];
} several;

static several room_for(gn2_tagger *tagger, const input *in)
{
    several s;
    for (int i = 0; i < ASKED; i++) {
        const int64_t rows = i % 2 ? rows_of(in, ORIGIN) : in->count;
        s.bytes[i] =
            (size_t)(rows * (i % 2 ? TRACK_INPUTS : JET_INPUTS)) * sizeof(float);
        s.data[i] = malloc(s.bytes[i]);
        memset(s.data[i], 0xa5, s.bytes[i]);
        s.out[i] = output_named(tagger, asked[i], s.data[i], rows);
    }
    return s;
}

static void free_several(several s)
{
    for (int i = 0; i < ASKED; i++) free(s.data[i]);
}

/* All in one call are, to the bit, each in a call of its own. */
static void check_together(const char *key, const char *value, int64_t threads)
{
    gn2_config *config = small_config();
    must(gn2_config_set_text(config, key, value));
    gn2_model *model = model_of(config);
    gn2_tagger *tagger = tagger_with(model, threads);
    sample *jets = sample_new(3 * JETS, NULL, 15); /* several chunks a worker */
    input *in = input_new(jets, NULL, 3 * JETS, (layout){0});
    const several alone = room_for(tagger, in), all = room_for(tagger, in);
    for (int i = 0; i < ASKED; i++)
        must(gn2_tagger_run(tagger, &in->jets, &alone.out[i], 1));
    must(gn2_tagger_run(tagger, &in->jets, all.out, ASKED));
    for (int i = 0; i < ASKED; i++) {
        assert_memory_equal(alone.data[i], all.data[i], all.bytes[i]);
        if (i >= 2) assert_memory_not_equal(all.data[i], all.data[i - 2], all.bytes[i]);
    }
    free_several(alone);
    free_several(all);
    input_free(in);
    sample_free(jets);
    gn2_tagger_free(tagger);
    gn2_model_free(model);
}

/* Whatever layers have to keep for going back more than once. */
static void test_together_they_are_what_they_are_alone(void **state)
{
    (void)state;
    const char *const forms[][2] = {
        {"model.final_norm_pos", "post"}, {"model.final_norm_pos", "pre"},
        {"model.final_norm_pos", "none"}, {"model.encoder", "legacy"},
        {"model.num_registers", "0"},     {"model.num_layers", "0"},
        {"model.parametrization", "mup"}, {"model.init_hidden", ""},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        check_together(forms[i][0], forms[i][1], 1 + (int64_t)(i % 2));
}

/* ---- bits ---- */

/* Jet `at` of one call and jet `alone` of another are one jet. */
static void assert_same(const input *a, gradients ga, int64_t at, const input *b,
                        gradients gb, int64_t alone)
{
    const int64_t n = a->offset[at + 1] - a->offset[at];
    assert_int_equal(n, b->offset[alone + 1] - b->offset[alone]);
    assert_memory_equal(ga.d + at, gb.d + alone, sizeof(float));
    assert_memory_equal(ga.jets + at * JET_INPUTS, gb.jets + alone * JET_INPUTS,
                        JET_INPUTS * sizeof(float));
    for (int64_t i = 0; i < n; i++)
        assert_memory_equal(ga.tracks + a->row[a->offset[at] + i] * TRACK_INPUTS,
                            gb.tracks + b->row[b->offset[alone] + i] * TRACK_INPUTS,
                            TRACK_INPUTS * sizeof(float));
}

static void test_they_are_the_jets_own(void **state)
{
    (void)state;
    gn2_model *model = small_model();
    gn2_tagger *one = tagger_with(model, 1), *two = tagger_with(model, 2);
    sample *jets = sample_new(JETS, NULL, 13);
    input *all = input_new(jets, NULL, JETS, (layout){0});
    input *holes = input_new(jets, NULL, JETS, (layout){.slots = 47, .holes = 1});
    const gradients g = gradients_of(one, all, "D_b_gradient");
    const gradients padded = gradients_of(two, holes, "D_b_gradient");
    for (int64_t b = 0; b < JETS; b++) {
        assert_same(all, g, b, holes, padded, b);
        input *single = input_new(jets, &b, 1, (layout){.extra = 2});
        const gradients alone = gradients_of(two, single, "D_b_gradient");
        assert_same(all, g, b, single, alone, 0);
        free_gradients(alone);
        input_free(single);
    }
    for (int64_t r = 0; r < rows_of(holes, ORIGIN); r++)
        for (int i = 0; i < TRACK_INPUTS && !holes->valid[r]; i++)
            assert_true(padded.tracks[r * TRACK_INPUTS + i] == 0);
    free_gradients(g);
    free_gradients(padded);
    input_free(all);
    input_free(holes);
    sample_free(jets);
    gn2_tagger_free(one);
    gn2_tagger_free(two);
    gn2_model_free(model);
}

/* ---- what does not enter ---- */

static void test_a_replaced_input_does_not_matter(void **state)
{
    (void)state;
    gn2_config *config = small_config();
    must(gn2_config_set_text(config, "input.non_finite", "default"));
    gn2_model *model = model_of(config);
    gn2_tagger *tagger = tagger_with(model, 1);
    sample *jets = sample_new(JETS, NULL, 14);
    jets->tracks[5] = NAN;
    jets->features[1] = INFINITY;
    input *in = input_new(jets, NULL, JETS, (layout){0});
    const gradients g = gradients_of(tagger, in, "D_b_gradient");
    assert_true(g.tracks[5] == 0 && g.tracks[4] != 0);
    assert_true(g.jets[1] == 0 && g.jets[0] != 0);
    free_gradients(g);
    input_free(in);
    sample_free(jets);
    gn2_tagger_free(tagger);
    gn2_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_they_say_how_the_discriminant_changes),
        cmocka_unit_test(test_each_discriminant_has_its_own),
        cmocka_unit_test(test_together_they_are_what_they_are_alone),
        cmocka_unit_test(test_they_are_the_jets_own),
        cmocka_unit_test(test_a_replaced_input_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
