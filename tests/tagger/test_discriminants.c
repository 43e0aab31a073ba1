/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Discriminants of any signal class, by the keys discriminant.NAME.*: what they are,
 * where they may be set, and that wrong fractions are refused in the same words
 * wherever they are given.
 */
#include "scene.h"

#include <math.h>

#define JETS 40
#define MOST 6 /* classes */

/* A tagger and the probabilities it gives. */
typedef struct fixture {
    gn2_model *model;
    gn2_tagger *tagger;
    sample *jets;
    input *in;
    int64_t classes;
    float p[JETS * MOST];
} fixture;

typedef struct setting {
    const char *key, *text;
} setting;

static void set_all(gn2_config *config, const setting *settings)
{
    for (; settings && settings->key; settings++)
        must(gn2_config_set_text(config, settings->key, settings->text));
}

static gn2_config *config_of(const char *classes, const setting *settings)
{
    gn2_config *config = small_config();
    must(gn2_config_set_text(config, "model.classes", classes));
    set_all(config, settings);
    return config;
}

static void run(const fixture *f, const char *name, float *out)
{
    gn2_output output = {.struct_size = sizeof output, .data = out, .capacity = JETS};
    must(gn2_tagger_output(f->tagger, name, &output.id));
    must(gn2_tagger_run(f->tagger, &f->in->jets, &output, 1));
}

/* Takes over the model; settings of the tagger. */
static fixture setup(gn2_model *model, const setting *settings)
{
    fixture f = {.model = model, .classes = (int64_t)gn2_model_class_count(model)};
    gn2_config *config = NULL;
    must(gn2_config_create(&config));
    set_all(config, settings);
    must(gn2_tagger_create(model, config, &f.tagger));
    gn2_config_free(config);
    f.jets = sample_new(JETS, NULL, 3);
    f.in = input_new(f.jets, NULL, JETS, (layout){0});
    run(&f, "jets.probabilities", f.p);
    return f;
}

static void teardown(fixture *f)
{
    input_free(f->in);
    sample_free(f->jets);
    gn2_tagger_free(f->tagger);
    gn2_model_free(f->model);
}

/* Output `name` is the formula with these fractions, to the bit. */
static void check(const fixture *f, const char *name, int64_t signal,
                  const double *fractions)
{
    float want[JETS], found[JETS];
    must(gn2_discriminant(f->p, JETS, f->classes, signal, fractions, GN2_FORM_LOG,
                          want));
    run(f, name, found);
    assert_memory_equal(found, want, sizeof want);
}

static void check_none(const fixture *f, const char *name)
{
    int32_t id;
    must_refuse(GN2_ERR_NOT_FOUND, name, gn2_tagger_output(f->tagger, name, &id));
    must_refuse(GN2_ERR_NOT_FOUND, "''", gn2_tagger_output(f->tagger, "", &id));
}

#define USUAL "bjets,cjets,ujets,taujets"
#define HIGGS "hbb,hcc,top,qcd"

static void the_usual_three_are_as_ever(void **state)
{
    (void)state;
    fixture f = setup(model_of(config_of(USUAL, NULL)), NULL);
    check(&f, "jets.D_b", 0, (double[]){0, 0.2, 1 - 0.2 - 0.01, 0.01});
    check(&f, "jets.D_c", 1, (double[]){0.3, 0, 1 - 0.3 - 0.01, 0.01});
    check(&f, "jets.D_tau", 3, (double[]){0.1, 0.1, 1 - 0.1 - 0.1, 0});
    teardown(&f);
}

static void old_keys_are_aliases(void **state)
{
    (void)state;
    static const setting old[] = {
        {"discriminant.D_b.f_c", "0.07"}, {"discriminant.D_b.f_tau", "0.02"}, {0}};
    static const setting new[] = {
        {"discriminant.D_b.fractions", "cjets:0.07,taujets:0.02"}, {0}};
    fixture f = setup(model_of(config_of(USUAL, old)), NULL);
    fixture g = setup(model_of(config_of(USUAL, new)), NULL);
    const double fractions[] = {0, 0.07, 1 - 0.07 - 0.02, 0.02};
    check(&f, "jets.D_b", 0, fractions);
    check(&g, "jets.D_b", 0, fractions);
    teardown(&f);
    teardown(&g);
}

/* The share of a class that the model does not know goes to light. */
static void an_absent_class_has_no_fraction(void **state)
{
    (void)state;
    fixture f = setup(model_of(config_of("bjets,cjets,ujets", NULL)), NULL);
    check(&f, "jets.D_b", 0, (double[]){0, 0.2, 0.8});
    check(&f, "jets.D_c", 1, (double[]){0.3, 0, 0.7});
    check_none(&f, "jets.D_tau");
    teardown(&f);
    /* nobody gets the rest */
    f = setup(model_of(config_of("bjets,cjets,taujets", NULL)), NULL);
    check_none(&f, "jets.D_b");
    check_none(&f, "jets.D_c");
    teardown(&f);
    static const setting whole[] = {{"discriminant.D_b.f_c", "0.99"},
                                    {"discriminant.D_c.fractions", "bjets:0.5"},
                                    {0}};
    f = setup(model_of(config_of("bjets,cjets,taujets", whole)), NULL);
    check(&f, "jets.D_b", 0, (double[]){0, 0.99, 0.01});
    check(&f, "jets.D_c", 1, (double[]){0.5, 0, 0});
    check_none(&f, "jets.D_tau");
    teardown(&f);
    gn2_config *half =
        config_of("bjets,cjets", (setting[]){{"discriminant.D_b.f_c", "0.5"}, {0}});
    gn2_model *model = NULL;
    must_refuse(GN2_ERR_INVALID_ARG, "'discriminant.D_b.f_c': no class gets",
                gn2_model_create(half, &model));
    gn2_config_free(half);
    f = setup(model_of(config_of("bjets,others", NULL)), NULL);
    check_none(&f, "jets.D_b"); /* nothing to compare with */
    teardown(&f);
}

static void without_a_b_class_there_is_none(void **state)
{
    (void)state;
    fixture f = setup(model_of(config_of(HIGGS, NULL)), NULL);
    float p[JETS * 4], d_b[JETS];
    check_none(&f, "jets.D_b");
    check_none(&f, "jets.D_c");
    check_none(&f, "jets.D_tau");
    must(gn2_tagger_flavour(f.tagger, &f.in->jets, p, NULL));
    assert_memory_equal(p, f.p, sizeof p);
    must_refuse(GN2_ERR_NOT_FOUND, "jets.D_b",
                gn2_tagger_flavour(f.tagger, &f.in->jets, p, d_b));
    teardown(&f);
}

static const setting hbb[] = {
    {"discriminant.D_hbb.signal", "hbb"},
    {"discriminant.D_hbb.fractions", "hcc:0.02, top:0.25, qcd:rest"},
    {"discriminant.D_qcd.signal", "qcd"},
    {"discriminant.D_qcd.fractions", "top:0.5"},
    {0},
};

static void check_hbb(const fixture *f)
{
    check(f, "jets.D_hbb", 0, (double[]){0, 0.02, 0.25, 1 - 0.02 - 0.25});
    check(f, "jets.D_qcd", 3, (double[]){0, 0, 0.5, 0});
    check_none(f, "jets.D_b");
}

static void any_class_may_be_the_signal(void **state)
{
    (void)state;
    fixture f = setup(model_of(config_of(HIGGS, hbb)), NULL);
    check_hbb(&f);
    char path[] = "/tmp/gn2_discriminants_XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    must(gn2_model_save(f.model, path));
    teardown(&f);
    gn2_model *loaded = NULL;
    must(gn2_model_load(path, &loaded));
    f = setup(loaded, NULL);
    check_hbb(&f);
    teardown(&f);
    fclose(fdopen(file, "r"));
    remove(path);
}

static void a_tagger_may_define_its_own(void **state)
{
    (void)state;
    static const setting other[] = {{"discriminant.D_hbb.fractions", "top:1"}, {0}};
    fixture f = setup(model_of(config_of(HIGGS, NULL)), hbb);
    check_hbb(&f);
    teardown(&f);
    f = setup(model_of(config_of(HIGGS, hbb)), other);
    check(&f, "jets.D_hbb", 0, (double[]){0, 0, 1, 0});
    check(&f, "jets.D_qcd", 3, (double[]){0, 0, 0.5, 0});
    teardown(&f);
}

static void light_gets_the_rest_unless_it_is_given(void **state)
{
    (void)state;
    static const setting settings[] = {
        {"discriminant.D_b.fractions", "ujets:0.4,cjets:0.3"},
        {"discriminant.D_c.fractions", "bjets:rest"},
        {"discriminant.D_all.signal", "bjets"},
        {"discriminant.D_light.signal", "ujets"},
        {"discriminant.D_light.fractions", "bjets:0.5,cjets:0.25"},
        {0},
    };
    fixture f = setup(model_of(config_of(USUAL, settings)), NULL);
    check(&f, "jets.D_b", 0, (double[]){0, 0.3, 0.4, 0});
    check(&f, "jets.D_c", 1, (double[]){1, 0, 0, 0});
    check(&f, "jets.D_all", 0, (double[]){0, 0, 1, 0});
    check(&f, "jets.D_light", 2, (double[]){0.5, 0.25, 0, 0});
    teardown(&f);
}

#define SUM "fractions sum to 1.25, more than 1"

static const struct {
    setting set[2];
    const char *words;
} wrong[] = {
    {{{"discriminant.D_b.fractions", "cjets:0.5,taujets:0.75"}}, "D_b: " SUM},
    {{{"discriminant.D_b.fractions", "cjets:0.5,ujets:0.75"}}, "D_b: " SUM},
    {{{"discriminant.D_b.fractions", "cjets:0.5,charm:0.1"}}, "no class 'charm'"},
    {{{"discriminant.D_b.fractions", "cjets:0.5,cjets:0.1"}}, "named twice"},
    {{{"discriminant.D_b.fractions", "bjets:0.5"}}, "is the signal"},
    {{{"discriminant.D_b.fractions", "cjets"}}, "'cjets' is not class:fraction"},
    {{{"discriminant.D_b.fractions", "cjets:"}}, "'cjets:' is not class:fraction"},
    {{{"discriminant.D_b.fractions", "cjets:-0.1"}}, "'cjets:-0.1' is not"},
    {{{"discriminant.D_b.fractions", "cjets:nan"}}, "'cjets:nan' is not"},
    {{{"discriminant.D_b.fractions", "cjets:1.5"}}, "'cjets:1.5' is not"},
    {{{"discriminant.D_b.fractions", "cjets:rest,ujets:rest"}}, "'ujets:rest' is not"},
    {{{"discriminant.D_b.signal", "beauty"}}, "no class 'beauty'; the model has bjets"},
    {{{"discriminant.D_x.fractions", "cjets:0.5"}}, "discriminant.D_x.signal' is not"},
    {{{"discriminant.x.signal", "bjets"}}, "discriminant.x.signal"},
    {{{"discriminant.D_.signal", "bjets"}}, "discriminant.D_.signal"},
    {{{"discriminant.D_x.signal", "bjets"},
      {"discriminant.D_x.fractions", "cjets:0,"
                                     "ujets:0"}},
     "D_x compares with no class"},
    {{{"discriminant.D_x_gradient.signal", "cjets"},
      {"discriminant.D_x.signal", "bjets"}},
     "discriminant.D_x_gradient: that is the name of the gradient of D_x"},
    {{{"discriminant.D_b_gradient.signal", "cjets"}}, "D_b_gradient: that is the name"},
};

static void wrong_ones_are_refused_by_model_and_tagger_alike(void **state)
{
    (void)state;
    gn2_model *model = model_of(config_of(USUAL, NULL));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        gn2_config *config = config_of(USUAL, NULL);
        gn2_model *refused = NULL;
        gn2_tagger *tagger = NULL;
        char message[512];
        for (int k = 0; k < 2 && wrong[i].set[k].key; k++)
            must(
                gn2_config_set_text(config, wrong[i].set[k].key, wrong[i].set[k].text));
        must_refuse(GN2_ERR_INVALID_ARG, wrong[i].words,
                    gn2_model_create(config, &refused));
        assert_null(refused);
        snprintf(message, sizeof message, "%s", gn2_last_error());
        must_refuse(GN2_ERR_INVALID_ARG, wrong[i].words,
                    gn2_tagger_create(model, config, &tagger));
        assert_null(tagger);
        assert_string_equal(message, gn2_last_error());
        gn2_config_free(config);
    }
    gn2_model_free(model);
}

static void a_list_stands_alone(void **state)
{
    (void)state;
    static const setting both[] = {{"discriminant.D_b.fractions", "cjets:0.1"},
                                   {"discriminant.D_b.f_c", "0.4"},
                                   {0}};
    gn2_config *config = config_of(USUAL, both);
    gn2_model *model = NULL;
    must_refuse(GN2_ERR_INVALID_ARG,
                "key 'discriminant.D_b.f_c' has no effect beside "
                "'discriminant.D_b.fractions'",
                gn2_model_create(config, &model));
    gn2_config_free(config);
    fixture f = setup(model_of(config_of(USUAL, both + 1)), both + 2);
    check(&f, "jets.D_b", 0, (double[]){0, 0.4, 1 - 0.4 - 0.01, 0.01});
    teardown(&f);
    static const setting list[] = {{"discriminant.D_b.fractions", "cjets:0.1"}, {0}};
    f = setup(model_of(config_of(USUAL, both + 1)), list);
    check(&f, "jets.D_b", 0, (double[]){0, 0.1, 0.9, 0});
    teardown(&f);
}

static void sums_above_one_are_refused_by_all(void **state)
{
    (void)state;
    static const setting old[] = {
        {"discriminant.D_b.f_c", "0.5"}, {"discriminant.D_b.f_tau", "0.75"}, {0}};
    gn2_config *config = config_of(USUAL, old);
    gn2_model *model = NULL;
    must_refuse(GN2_ERR_INVALID_ARG, "D_b: " SUM, gn2_model_create(config, &model));
    gn2_config_free(config);
    const float p[3] = {0.5f, 0.25f, 0.25f};
    float d;
    must_refuse(
        GN2_ERR_INVALID_ARG, SUM,
        gn2_discriminant(p, 1, 3, 0, (double[]){7, 0.5, 0.75}, GN2_FORM_LOG, &d));
    /* decimals that are 1 to the reader */
    must(gn2_discriminant(p, 1, 3, 0, (double[]){7, 0.9, 0.1 + 3e-17}, GN2_FORM_LOG,
                          &d));
    must(gn2_discriminant(p, 1, 3, 0, (double[]){7, 0.7, 0.3 + 1e-12}, GN2_FORM_LOG,
                          &d));
    assert_true(isfinite(d));
}

static int has_key(const gn2_config *config, const char *wanted)
{
    int found = 0;
    const char *key;
    for (size_t i = 0; (key = gn2_config_key_name(config, i)); i++)
        found += strcmp(key, wanted) == 0;
    return found;
}

static void rules_can_be_asked_of_a_config(void **state)
{
    (void)state;
    gn2_model *model = model_of(config_of(HIGGS, hbb));
    gn2_config *config = NULL;
    double fractions[4];
    int64_t signal, rest;
    int32_t form;
    must(gn2_model_config(model, &config));
    assert_int_equal(has_key(config, "discriminant.D_hbb.signal"), 1);
    assert_int_equal(has_key(config, "model.classes"), 1);
    assert_int_equal(has_key(config, "discriminant.*.signal"), 0);
    assert_null(gn2_config_key_name(NULL, 0));
    must(gn2_discriminant_get(config, "D_hbb", fractions, 4, &signal, &rest, &form));
    const double want[4] = {0, 0.02, 0.25, 1 - 0.02 - 0.25};
    assert_memory_equal(fractions, want, sizeof want);
    assert_int_equal(signal, 0);
    assert_int_equal(rest, 3);
    assert_int_equal(form, GN2_FORM_LOG);
    must(gn2_config_set_text(config, "discriminant.form", "ratio"));
    must(gn2_discriminant_get(config, "D_qcd", fractions, 4, &signal, &rest, &form));
    assert_int_equal(signal, 3);
    assert_int_equal(rest, -1);
    assert_int_equal(form, GN2_FORM_RATIO);
    must_refuse(
        GN2_ERR_NOT_FOUND, "'D_b'",
        gn2_discriminant_get(config, "D_b", fractions, 4, &signal, &rest, &form));
    must_refuse(
        GN2_ERR_SHAPE, "3 classes, there are 4",
        gn2_discriminant_get(config, "D_hbb", fractions, 3, &signal, &rest, &form));
    must_refuse(
        GN2_ERR_INVALID_ARG, "out_rest",
        gn2_discriminant_get(config, "D_hbb", fractions, 4, &signal, NULL, &form));
    must(gn2_config_set_text(config, "discriminant.D_hbb.fractions", "hbb:1"));
    must_refuse(
        GN2_ERR_INVALID_ARG, "is the signal",
        gn2_discriminant_get(config, "D_hbb", fractions, 4, &signal, &rest, &form));
    gn2_config_free(config);
    gn2_model_free(model);
}

static void there_is_an_end_to_their_number(void **state)
{
    (void)state;
    gn2_config *config = config_of(USUAL, NULL);
    gn2_model *model = NULL;
    for (int i = 0; i < 14; i++) {
        char key[64];
        snprintf(key, sizeof key, "discriminant.D_%d.signal", i);
        must(gn2_config_set_text(config, key, "bjets"));
        if (i < 13) must(gn2_model_create(config, &model));
        if (i < 13) gn2_model_free(model);
    }
    must_refuse(GN2_ERR_INVALID_ARG, "more than 16", gn2_model_create(config, &model));
    gn2_config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_usual_three_are_as_ever),
        cmocka_unit_test(old_keys_are_aliases),
        cmocka_unit_test(an_absent_class_has_no_fraction),
        cmocka_unit_test(without_a_b_class_there_is_none),
        cmocka_unit_test(any_class_may_be_the_signal),
        cmocka_unit_test(a_tagger_may_define_its_own),
        cmocka_unit_test(light_gets_the_rest_unless_it_is_given),
        cmocka_unit_test(wrong_ones_are_refused_by_model_and_tagger_alike),
        cmocka_unit_test(a_list_stands_alone),
        cmocka_unit_test(sums_above_one_are_refused_by_all),
        cmocka_unit_test(rules_can_be_asked_of_a_config),
        cmocka_unit_test(there_is_an_end_to_their_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
