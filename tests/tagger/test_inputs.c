/* SPDX-License-Identifier: Apache-2.0 */
/* Columns by name, and what is refused or replaced in the inputs. */
#include "scene.h"

#include <math.h>

typedef struct fixture {
    gn2_model *model;
    gn2_tagger *tagger;
    sample *jets;
    input *in;
    result *scores;
} fixture;

static fixture setup_with(gn2_model *model, int64_t count, layout lay)
{
    fixture f = {.model = model, .jets = sample_new(count, NULL, 41)};
    f.tagger = tagger_with(f.model, 1);
    f.in = input_new(f.jets, NULL, count, lay);
    f.scores = result_of(f.tagger, f.in);
    return f;
}

static fixture setup(int64_t count, layout lay)
{
    return setup_with(small_model(), count, lay);
}

static void teardown(fixture *f)
{
    result_free(f->scores);
    input_free(f->in);
    sample_free(f->jets);
    gn2_tagger_free(f->tagger);
    gn2_model_free(f->model);
}

/* ---- binding ---- */

/* Another spelling of an input, or its own. */
static const char *other_name(const char *name)
{
    static const char *const known[][2] = {
        {"IP3D_signed_d0_significance", "lifetimeSignedD0Significance"},
        {"IP3D_signed_z0_significance", "lifetimeSignedZ0SinThetaSignificance"},
        {"pt_btagJes", "pt"},
        {"eta_btagJes", "eta"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i][0]) == 0) return known[i][1];
    return name;
}

/* Rows of `count` inputs with the columns turned round and two more among them. */
static float *rearranged(const float *data, int64_t rows, int64_t count)
{
    const int64_t wide = count + 2;
    float *out = malloc((size_t)(rows * wide + 1) * sizeof *out);
    for (int64_t r = 0; r < rows; r++) {
        out[r * wide] = NAN; /* extra columns are never looked at */
        for (int64_t i = 0; i < count; i++)
            out[r * wide + 1 + i] = data[r * count + count - 1 - i];
        out[r * wide + wide - 1] = INFINITY;
    }
    return out;
}

static void bind_rearranged(gn2_tagger *tagger, const gn2_model *model,
                            const char *object)
{
    const char *names[TRACK_INPUTS + 2];
    const size_t count = gn2_model_input_count(model, object);
    names[0] = "eventNumber";
    for (size_t i = 0; i < count; i++)
        names[1 + i] = other_name(gn2_model_input_name(model, object, count - 1 - i));
    names[count + 1] = "leptonID";
    must(gn2_tagger_bind(tagger, object, names, count + 2));
}

static void check_rearranged(layout lay)
{
    fixture f = setup(80, lay);
    const int64_t rows = rows_of(f.in, ORIGIN);
    float *features = rearranged(f.in->features, 80, JET_INPUTS);
    float *tracks = rearranged(f.in->tracks, rows, TRACK_INPUTS);
    f.in->jets.features = features;
    f.in->sequence.data = tracks;
    bind_rearranged(f.tagger, f.model, "jets");
    bind_rearranged(f.tagger, f.model, "tracks");
    result *scores = result_of(f.tagger, f.in);
    assert_same_jets(f.in, f.scores, f.in, scores);
    result_free(scores);
    free(features);
    free(tracks);
    teardown(&f);
}

static void test_columns_by_name_in_any_order(void **state)
{
    (void)state;
    check_rearranged((layout){0});
    check_rearranged((layout){.slots = 40, .holes = 1});
}

/* A column that has the model's own name goes before one that has an alias. */
static void test_own_name_goes_before_alias(void **state)
{
    (void)state;
    fixture f = setup(20, (layout){0});
    float *wide = malloc(20 * 4 * sizeof *wide);
    for (int64_t b = 0; b < 20; b++) {
        wide[4 * b] = 1e5f;
        wide[4 * b + 1] = 0.5f;
        wide[4 * b + 2] = f.in->features[2 * b];
        wide[4 * b + 3] = f.in->features[2 * b + 1];
    }
    static const char *const names[] = {"pt", "eta", "pt_btagJes", "eta_btagJes"};
    must(gn2_tagger_bind(f.tagger, "jets", names, 4));
    f.in->jets.features = wide;
    result *scores = result_of(f.tagger, f.in);
    assert_same_jets(f.in, f.scores, f.in, scores);
    result_free(scores);
    free(wide);
    teardown(&f);
}

static void test_missing_input_is_named(void **state)
{
    (void)state;
    fixture f = setup(20, (layout){0});
    static const char *const pt[] = {"pt_btagJes", "mass"};
    must_refuse(GN2_ERR_NOT_FOUND, "eta_btagJes",
                gn2_tagger_bind(f.tagger, "jets", pt, 2));
    must_refuse(GN2_ERR_NOT_FOUND, "muons", gn2_tagger_bind(f.tagger, "muons", pt, 2));
    must_refuse(GN2_ERR_NOT_FOUND, "d0", gn2_tagger_bind(f.tagger, "tracks", pt, 2));
    result *scores = result_of(f.tagger, f.in); /* the old binding holds */
    assert_same_jets(f.in, f.scores, f.in, scores);
    result_free(scores);
    teardown(&f);
}

/* A column that two names stand for, or a name that two columns have, is refused. */
static void test_a_column_belongs_to_one_input(void **state)
{
    (void)state;
    fixture f = setup(20, (layout){0});
    static const char *const twice[] = {"eta_btagJes", "pt_btagJes", "mass", "mass",
                                        "eta_btagJes"};
    must_refuse(GN2_ERR_INVALID_ARG, "columns 0 and 4 are both 'eta_btagJes'",
                gn2_tagger_bind(f.tagger, "jets", twice, 5));
    must(gn2_tagger_bind(f.tagger, "jets", twice, 4)); /* what is not read may */
    static const char *const both[] = {"pt", "pt_btagJes"}, *const one[] = {"pt"};
    gn2_config *config;
    gn2_model *model;
    gn2_tagger *tagger;
    must(gn2_config_create(&config));
    must(gn2_config_set_list(config, "inputs.jets", both, 2));
    must(gn2_model_create(config, &model));
    must(gn2_tagger_create(model, NULL, &tagger));
    must(gn2_tagger_bind(tagger, "jets", both, 2));
    must_refuse(GN2_ERR_INVALID_ARG, "'pt' and 'pt_btagJes'",
                gn2_tagger_bind(tagger, "jets", one, 1));
    gn2_tagger_free(tagger);
    gn2_model_free(model);
    gn2_config_free(config);
    teardown(&f);
}

static void test_without_names_the_models_order_holds_again(void **state)
{
    (void)state;
    fixture f = setup(20, (layout){0});
    static const char *const turned[] = {"eta_btagJes", "pt_btagJes"};
    must(gn2_tagger_bind(f.tagger, "jets", NULL, 0)); /* nothing to undo */
    must(gn2_tagger_bind(f.tagger, "jets", turned, 2));
    result *scores = result_of(f.tagger, f.in);
    assert_memory_not_equal(scores->data[P], f.scores->data[P], 80 * sizeof(float));
    result_free(scores);
    must(gn2_tagger_bind(f.tagger, "jets", NULL, 0));
    scores = result_of(f.tagger, f.in);
    assert_same_jets(f.in, f.scores, f.in, scores);
    result_free(scores);
    must_refuse(GN2_ERR_NOT_FOUND, "muons",
                gn2_tagger_bind(f.tagger, "muons", NULL, 0));
    teardown(&f);
}

/* ---- shapes ---- */

static void refuse_jets(fixture *f, gn2_jets jets, gn2_status status, const char *word)
{
    float p[80], d_b[20];
    memset(p, 0x5a, sizeof p);
    memset(d_b, 0x5a, sizeof d_b);
    must_refuse(status, word, gn2_tagger_flavour(f->tagger, &jets, p, d_b));
    for (int i = 0; i < 80; i++) assert_int_equal(((uint32_t *)p)[i], 0x5a5a5a5a);
    for (int i = 0; i < 20; i++) assert_int_equal(((uint32_t *)d_b)[i], 0x5a5a5a5a);
}

static void refuse_sequence(fixture *f, gn2_sequence sequence, const char *word)
{
    gn2_jets jets = f->in->jets;
    jets.sequences = &sequence;
    refuse_jets(f, jets, GN2_ERR_INVALID_ARG, word);
}

static void test_odd_jets_are_refused(void **state)
{
    (void)state;
    fixture f = setup(20, (layout){0});
    gn2_jets jets = f.in->jets;
    jets.count = -1;
    refuse_jets(&f, jets, GN2_ERR_INVALID_ARG, "count = -1");
    jets = f.in->jets;
    jets.features = NULL;
    refuse_jets(&f, jets, GN2_ERR_INVALID_ARG, "features");
    jets = f.in->jets;
    jets.row_stride = 1;
    refuse_jets(&f, jets, GN2_ERR_INVALID_ARG, "row_stride 1");
    jets = f.in->jets;
    jets.sequence_count = 2;
    jets.sequence_stride = sizeof(gn2_sequence);
    gn2_sequence two[2] = {f.in->sequence, f.in->sequence};
    jets.sequences = two;
    refuse_jets(&f, jets, GN2_ERR_INVALID_ARG, "2 constituent types");
    jets = f.in->jets;
    jets.struct_size = 0;
    refuse_jets(&f, jets, GN2_ERR_ABI, "struct_size");
    teardown(&f);
}

static void test_odd_sequences_are_refused(void **state)
{
    (void)state;
    fixture f = setup(20, (layout){0});
    int64_t offsets[21];
    gn2_sequence s = f.in->sequence;
    s.slots = 40;
    refuse_sequence(&f, s, "exclude");
    s = f.in->sequence;
    s.data = NULL;
    refuse_sequence(&f, s, "data is NULL");
    s = f.in->sequence;
    s.row_stride = 18;
    refuse_sequence(&f, s, "row_stride 18");
    s = f.in->sequence;
    memcpy(offsets, s.offsets, sizeof offsets);
    s.offsets = offsets;
    offsets[0] = 1;
    refuse_sequence(&f, s, "offsets[0]");
    offsets[0] = 0;
    offsets[7] = offsets[6] - 1;
    refuse_sequence(&f, s, "offsets[7]");
    offsets[7] = INT64_MAX;
    refuse_sequence(&f, s, "offsets[7]");
    s = f.in->sequence;
    s.offsets = NULL;
    s.slots = -1;
    refuse_sequence(&f, s, "slots = -1");
    s.slots = INT64_MAX / 2;
    refuse_sequence(&f, s, "slots");
    teardown(&f);
}

static void test_a_workspace_that_cannot_be_is_an_error(void **state)
{
    (void)state;
    fixture f = setup(2, (layout){0});
    size_t bytes = 77;
    must_refuse(GN2_ERR_INVALID_ARG, "any memory",
                gn2_tagger_workspace_size(f.tagger, INT64_MAX, INT32_MAX, &bytes));
    must_refuse(GN2_ERR_INVALID_ARG, "max_jets = -1",
                gn2_tagger_workspace_size(f.tagger, -1, 1, &bytes));
    assert_int_equal(bytes, 77);
    must(gn2_tagger_workspace_size(f.tagger, 100, 40, &bytes));
    assert_true(bytes > 1000);
    teardown(&f);
}

/* ---- values ---- */

/* The value at `at` becomes `value`; the message must name what `words` say. */
static void check_non_finite(fixture *f, float *at, float value,
                             const char *const words[3])
{
    const float kept = *at;
    *at = value;
    refuse_jets(f, f->in->jets, GN2_ERR_NUMERIC, words[0]);
    for (int i = 1; i < 3; i++)
        if (!strstr(gn2_last_error(), words[i]))
            fail_msg("'%s' is not in '%s'", words[i], gn2_last_error());
    *at = kept;
}

static void check_values(layout lay)
{
    fixture f = setup(20, lay);
    const int64_t jet = 13, k = f.in->offset[jet + 1] - f.in->offset[jet] - 1;
    assert_true(k >= 1);
    const int64_t row = f.in->row[f.in->offset[jet] + k];
    const int64_t first = lay.slots ? jet * lay.slots : f.in->offset[jet];
    const int64_t wide = TRACK_INPUTS + lay.extra;
    char track[32];
    snprintf(track, sizeof track, "tracks %lld", (long long)(row - first));
    const float values[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        check_non_finite(&f, f.in->tracks + row * wide + 3, values[i],
                         (const char *const[]){"jet 13", "'deta'", track});
        check_non_finite(&f, f.in->features + jet * (JET_INPUTS + lay.extra) + 1,
                         values[i],
                         (const char *const[]){"jet 13", "'eta_btagJes'", ""});
    }
    result *scores = result_of(f.tagger, f.in);
    assert_same_jets(f.in, f.scores, f.in, scores);
    result_free(scores);
    teardown(&f);
}

static void test_nan_and_inf_are_named_and_nothing_is_written(void **state)
{
    (void)state;
    check_values((layout){0});
    check_values((layout){.extra = 2});
    check_values((layout){.slots = 40});
    check_values((layout){.slots = 40, .holes = 1});
}

/* With input.non_finite = default NaN counts as the number in input.defaults. */
static void test_non_finite_may_be_replaced(void **state)
{
    (void)state;
    gn2_config *config = small_config();
    double defaults[TRACK_INPUTS] = {0};
    defaults[3] = 0.25;
    must(gn2_config_set_text(config, "input.non_finite", "default"));
    must(gn2_config_set_text(config, "input.defaults.jets", "50000,0.5"));
    must(gn2_config_set_f64_list(config, "input.defaults.tracks", defaults,
                                 TRACK_INPUTS));
    fixture f = setup_with(model_of(config), 20, (layout){0});
    float *deta = f.in->tracks + f.in->offset[4] * TRACK_INPUTS + 3;
    float *eta = f.in->features + 4 * JET_INPUTS + 1;
    *deta = 0.25f;
    *eta = 0.5f;
    result *plain = result_of(f.tagger, f.in);
    *deta = NAN;
    *eta = -INFINITY;
    result *replaced = result_of(f.tagger, f.in);
    assert_same_jets(f.in, plain, f.in, replaced);
    result_free(plain);
    result_free(replaced);
    teardown(&f);
}

/* ---- units ---- */

typedef struct log_lines {
    int count;
    char last[300];
} log_lines;

static void keep_line(void *user, int32_t severity, const char *line)
{
    log_lines *lines = user;
    assert_int_equal(severity, GN2_LOG_WARNING);
    lines->count++;
    snprintf(lines->last, sizeof lines->last, "%s", line);
}

static void in_gev(input *in)
{
    for (int64_t b = 0; b < in->count; b++) in->features[b * JET_INPUTS] /= 1000;
}

static void test_wrong_units_are_told_once(void **state)
{
    (void)state;
    log_lines lines = {0};
    float p[80];
    gn2_set_log(keep_line, &lines);
    fixture f = setup(20, (layout){0});
    assert_int_equal(lines.count, 0);
    in_gev(f.in);
    must(gn2_tagger_flavour(f.tagger, &f.in->jets, p, NULL));
    must(gn2_tagger_flavour(f.tagger, &f.in->jets, p, NULL));
    assert_int_equal(lines.count, 1);
    assert_non_null(strstr(lines.last, "pt_btagJes"));
    assert_non_null(strstr(lines.last, "GeV"));
    gn2_set_log(NULL, NULL);
    teardown(&f);
}

static void test_wrong_units_may_be_an_error(void **state)
{
    (void)state;
    gn2_config *config = small_config();
    must(gn2_config_set_text(config, "input.unit_check", "error"));
    fixture f = setup_with(model_of(config), 20, (layout){0});
    in_gev(f.in);
    refuse_jets(&f, f.in->jets, GN2_ERR_INVALID_ARG, "GeV");
    teardown(&f);
}

/* ---- objects without inputs ---- */

/* A model that reads nothing of one object, and jets that have no memory for it. */
static void check_no_inputs(const char *object, int of_jets)
{
    static const char *const parts[][2] = {
        {"inputs.", ""}, {"norm.", ".mean"}, {"norm.", ".std"}};
    gn2_config *config = small_config();
    must(gn2_config_set_text(config, "input.unit_check", "off"));
    for (int i = 0; i < 3; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s%s%s", parts[i][0], object, parts[i][1]);
        must(gn2_config_set_text(config, key, ""));
    }
    fixture f = setup_with(model_of(config), 20, (layout){0});
    if (of_jets)
        f.in->jets.features = NULL;
    else
        f.in->sequence.data = NULL;
    result *again = result_of(f.tagger, f.in);
    assert_same_jets(f.in, f.scores, f.in, again);
    result_free(again);
    teardown(&f);
}

/* Where undefined behaviour is looked for: nothing is added to NULL. */
static void test_an_object_without_inputs_needs_no_memory(void **state)
{
    (void)state;
    check_no_inputs("jets", 1);
    check_no_inputs("tracks", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_by_name_in_any_order),
        cmocka_unit_test(test_own_name_goes_before_alias),
        cmocka_unit_test(test_missing_input_is_named),
        cmocka_unit_test(test_a_column_belongs_to_one_input),
        cmocka_unit_test(test_without_names_the_models_order_holds_again),
        cmocka_unit_test(test_odd_jets_are_refused),
        cmocka_unit_test(test_odd_sequences_are_refused),
        cmocka_unit_test(test_a_workspace_that_cannot_be_is_an_error),
        cmocka_unit_test(test_nan_and_inf_are_named_and_nothing_is_written),
        cmocka_unit_test(test_non_finite_may_be_replaced),
        cmocka_unit_test(test_wrong_units_are_told_once),
        cmocka_unit_test(test_wrong_units_may_be_an_error),
        cmocka_unit_test(test_an_object_without_inputs_needs_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
