/* SPDX-License-Identifier: Apache-2.0 */
/* Score files of models with any tasks: what goes where, and what is refused. */
#include <gn2/tagger.h>

#include "score_case.h"
#include "tag/discriminant.h"

/* Two constituent types, no b class, several classifications; what is called like
 * GN2's own tasks is not about tracks. */
#define OTHER_MODEL                                                                    \
    "model.name", "X", "model.constituents", "tracks,flows", "inputs.flows", "d0",     \
        "model.classes", "hbb,top,qcd", "model.tasks", "leptons,flavour,truth,kinds",  \
        "task.leptons.kind", "classification", "task.flavour.kind", "classification",  \
        "task.flavour.classes", "bjets,none", "task.truth.kind", "classification",     \
        "task.truth.object", "tracks", "task.truth.classes", "A,B", "task.kinds.kind", \
        "classification", "task.kinds.object", "flows", "task.kinds.classes", "K,L,M", \
        "discriminant.D_hbb.signal", "hbb", "discriminant.D_hbb.fractions",            \
        "top:0.25,qcd:0.75"

static void names_of_other_tasks_tell_them_apart(void **state)
{
    (void)state;
    case_jets j = make_input();
    j.twin = "flow";
    case_jets_write(&j, case_file("input.h5"));
    gn2_model *model = MODEL(OTHER_MODEL);
    gn2_config *config =
        CONFIG("scores.write_tracks", "yes", "scores.jet_fields", "",
               "data.dataset.flows", "flow", "scores.track_fields", "d0");
    gn2_score_writer *w = NULL;
    const char *path = case_file("other.h5");
    static float two[JETS * 2];
    const gn2_score scores[] = {score("flows.kinds", origin, JETS * SLOTS),
                                score("jets.flavour", two, JETS),
                                score("jets.leptons", probabilities, JETS),
                                score("tracks.truth", origin, JETS * SLOTS)};
    for (int i = 0; i < JETS * 2; i++) two[i] = (float)i;
    MUST(gn2_score_writer_create_impl(path, case_file("input.h5"), model, config, &w));
    MUST(gn2_score_writer_add_impl(w, JETS, scores, 4));
    MUST(gn2_score_writer_close_impl(w));
    gn2_score_writer_free_impl(w);
    table t = open_table(path, "jets");
    check_fields(&t,
                 (const char *const[]){"X_phbb", "X_ptop", "X_pqcd", "X_flavour_pb",
                                       "X_flavour_pnone", "X_Dhbb", NULL},
                 4);
    for (int64_t i = 0; i < JETS; i++) {
        const float *p = probabilities + 3 * i;
        assert_true((float)value(&t, "X_pqcd", i) == p[2]);
        assert_true((float)value(&t, "X_flavour_pnone", i) == two[2 * i + 1]);
        assert_true(
            (float)value(&t, "X_Dhbb", i) ==
            gn2_discriminant_value(p, 3, 0, (double[]){0, 0.25, 0.75}, GN2_FORM_LOG));
    }
    close_table(&t);
    t = open_table(path, "tracks");
    check_fields(
        &t, (const char *const[]){"d0", "X_truth_pA", "X_truth_pB", "mask", NULL}, 4);
    for (int64_t i = 0; i < JETS * SLOTS; i++)
        assert_true((float)value(&t, "X_truth_pB", i) == origin[2 * i + 1]);
    close_table(&t);
    t = open_table(path, "flow");
    check_fields(&t,
                 (const char *const[]){"d0", "X_kinds_pK", "X_kinds_pL", "X_kinds_pM",
                                       "mask", NULL},
                 4);
    for (int64_t i = 0; i < JETS * SLOTS; i++)
        assert_true((float)value(&t, "X_kinds_pM", i) == origin[3 * i + 2]);
    close_table(&t);
    gn2_config_delete(config);
    gn2_model_unref(model);
    case_jets_free(&j);
}

/* A model without a classification of the jets: nothing is computed for it. */
static void regressions_are_called_like_their_targets(void **state)
{
    (void)state;
    case_jets j = make_input();
    gn2_model *model = MODEL(
        "model.name", "R", "model.tasks", "energy,angles", "task.energy.kind",
        "regression", "task.energy.targets", "pt,mass", "task.angles.kind",
        "regression", "task.angles.object", "tracks", "task.angles.targets", "phi");
    gn2_config *config = CONFIG("scores.write_tracks", "yes", "scores.jet_fields", "");
    gn2_score_writer *w = NULL;
    const char *path = case_file("values.h5");
    const gn2_score scores[] = {score("jets.energy", probabilities, JETS),
                                score("tracks.angles", origin, JETS * SLOTS)};
    MUST(gn2_score_writer_create_impl(path, case_file("input.h5"), model, config, &w));
    MUST(gn2_score_writer_add_impl(w, JETS, scores, 2));
    MUST(gn2_score_writer_close_impl(w));
    gn2_score_writer_free_impl(w);
    table t = open_table(path, "jets");
    check_fields(&t, (const char *const[]){"R_pt", "R_mass", NULL}, 4);
    for (int64_t i = 0; i < JETS; i++)
        assert_true((float)value(&t, "R_mass", i) == probabilities[2 * i + 1]);
    close_table(&t);
    t = open_table(path, "tracks");
    check_fields(&t, (const char *const[]){"R_phi", "mask", NULL}, 4);
    for (int64_t i = 0; i < JETS * SLOTS; i++)
        assert_true((float)value(&t, "R_phi", i) == origin[i]);
    close_table(&t);
    gn2_model_unref(model);
    model = MODEL("model.tasks", "a,b", "task.a.kind", "regression", "task.a.targets",
                  "pt", "task.b.kind", "regression", "task.b.targets", "pt");
    MUST(gn2_score_writer_create_impl(path, case_file("input.h5"), model, NULL, &w));
    const gn2_score same[] = {score("jets.a", d_b, 10), score("jets.b", d_b, 10)};
    FAILS(gn2_score_writer_add_impl(w, 10, same, 2), GN2_ERR_INVALID_ARG, "two scores",
          "'GN2_pt'");
    gn2_score_writer_free_impl(w);
    gn2_config_delete(config);
    gn2_model_unref(model);
    case_jets_free(&j);
}

static void outputs_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    case_jets j = make_input();
    gn2_model *model = MODEL("model.name", "GN2");
    gn2_score_writer *w = NULL;
    MUST(gn2_score_writer_create_impl(case_file("x.h5"), case_file("input.h5"), model,
                                      NULL, &w));
#define ADD(...) \
    gn2_score_writer_add_impl(w, 10, &(gn2_score){.struct_size = 72, __VA_ARGS__}, 1)
    const float *p = probabilities;
    FAILS(ADD(.output = "jets.pT", .data = p, .rows = 10), GN2_ERR_NOT_FOUND,
          "'jets.pT'", "jets.probabilities");
    FAILS(ADD(.output = "pairs.logits", .data = p, .rows = 10), GN2_ERR_INVALID_ARG,
          "'pairs.logits' has no place", "pair of a jet's constituents");
    FAILS(ADD(.output = "tracks.embedding", .data = p, .rows = 10), GN2_ERR_INVALID_ARG,
          "tracks.embedding", "scores.outputs");
    FAILS(ADD(.output = "tracks.origin", .data = p, .rows = 10), GN2_ERR_INVALID_ARG,
          "tracks.origin", "scores.write_tracks");
    FAILS(ADD(.output = "jets.probabilities", .data = p, .rows = 9), GN2_ERR_SHAPE,
          "jets.probabilities", "9 rows", "10 jets");
    FAILS(ADD(.output = "jets.probabilities", .rows = 10), GN2_ERR_INVALID_ARG,
          "jets.probabilities", "NULL");
    FAILS(ADD(.output = "jets.probabilities", .data = p, .rows = 10, .columns = 3),
          GN2_ERR_SHAPE, "3 columns", "4");
    FAILS(ADD(.output = "jets.probabilities", .data = p, .rows = 10,
              .type = GN2_DATA_I32),
          GN2_ERR_INVALID_ARG, "type");
    const gn2_score twice[] = {score("jets.probabilities", p, 10),
                               score("jets.jets_classification", p, 10)};
    FAILS(gn2_score_writer_add_impl(w, 10, twice, 2), GN2_ERR_INVALID_ARG, "twice");
    MUST(ADD(.output = "jets.jets_classification", .data = p, .rows = 10));
#undef ADD
    MUST(add(w, 10, 0, p, NULL, NULL, NULL)); /* the same by its short name */
    gn2_score_writer_free_impl(w);
    gn2_config *config = CONFIG("scores.write_tracks", "yes");
    MUST(gn2_score_writer_create_impl(case_file("x.h5"), case_file("input.h5"), model,
                                      config, &w));
    FAILS(add(w, 10, 10 * SLOTS + 1, p, NULL, origin, NULL), GN2_ERR_SHAPE,
          "tracks.origin", "71 rows", "7 slots");
    gn2_score_writer_free_impl(w);
    gn2_model_unref(model);
    model = MODEL("model.tasks", "jets_classification");
    FAILS(gn2_score_writer_create_impl(case_file("x.h5"), case_file("input.h5"), model,
                                       config, &w),
          GN2_ERR_INVALID_ARG, "scores.write_tracks", "no task");
    gn2_config_delete(config);
    gn2_model_unref(model);
    case_jets_free(&j);
}

static void keep_last(void *context, size_t index, const char *text)
{
    char **last = context;
    (void)index;
    gn2_free(*last);
    *last = gn2_strdup(text);
}

static void check_names(const char *path, const char *dataset, const char *output,
                        const char *last)
{
    const char *found = NULL;
    table t = open_table(path, dataset);
    MUST(gn2_h5_strings_read(t.table, output, keep_last, &found));
    assert_string_equal(found, last);
    gn2_free((void *)(uintptr_t)found);
    close_table(&t);
}

static void outputs_asked_for_are_written_by_name(void **state)
{
    (void)state;
    case_jets j = make_input();
    gn2_model *model = MODEL("model.name", "X", "model.out_dim", "4");
    gn2_config *config = CONFIG("scores.jet_fields", "", "scores.outputs",
                                "jets.embedding,tracks.origin_logits");
    gn2_score_writer *w = NULL;
    const char *path = case_file("more.h5");
    const gn2_score scores[] = {score("jets.probabilities", probabilities, JETS),
                                score("jets.embedding", probabilities, JETS),
                                score("tracks.origin_logits", origin, JETS * SLOTS)};
    MUST(gn2_score_writer_create_impl(path, case_file("input.h5"), model, config, &w));
    FAILS(gn2_score_writer_add_impl(w, JETS, scores, 2), GN2_ERR_INVALID_ARG,
          "tracks.origin_logits", "not given");
    MUST(gn2_score_writer_add_impl(w, JETS, scores, 3));
    MUST(gn2_score_writer_close_impl(w));
    gn2_score_writer_free_impl(w);
    table t = open_table(path, "jets");
    check_fields(&t,
                 (const char *const[]){"X_pb", "X_pc", "X_pu", "X_ptau", "X_Db", "X_Dc",
                                       "X_Dtau", "X_embedding_0", "X_embedding_1",
                                       "X_embedding_2", "X_embedding_3", NULL},
                 4);
    for (int64_t i = 0; i < JETS; i++)
        assert_true((float)value(&t, "X_embedding_2", i) == probabilities[4 * i + 2]);
    close_table(&t);
    t = open_table(path, "tracks");
    assert_int_equal(t.info->field_count, ORIGINS + 1);
    for (int64_t i = 0; i < JETS * SLOTS; i++)
        assert_true((float)value(&t, "X_pFromB_logit", i) == origin[ORIGINS * i + 3]);
    close_table(&t);
    check_names(path, "jets", "jets.embedding", "X_embedding_3");
    check_names(path, "tracks", "tracks.origin_logits", "X_pOtherSecondary_logit");
    gn2_config_delete(config);
    gn2_model_unref(model);
    case_jets_free(&j);
}

static void options_that_write_nothing_are_refused(void **state)
{
    (void)state;
    case_jets j = make_input();
    gn2_model *model = MODEL("model.name", "GN2");
    static const struct {
        const char *key, *value;
        gn2_status status;
        const char *what, *why;
    } given[] = {
        {"scores.track_fields", "d0", GN2_ERR_INVALID_ARG, "scores.track_fields = d0",
         "scores.write_tracks"},
        {"scores.outputs", "pairs.logits", GN2_ERR_INVALID_ARG, "'pairs.logits'",
         "pair"},
        {"scores.outputs", "jets.pT", GN2_ERR_NOT_FOUND, "'jets.pT'", "jets.embedding"},
    };
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        gn2_config *config = CONFIG(given[i].key, given[i].value);
        gn2_score_writer *w = NULL;
        FAILS(gn2_score_writer_create_impl(case_file("x.h5"), case_file("input.h5"),
                                           model, config, &w),
              given[i].status, given[i].what, given[i].why);
        gn2_config_delete(config);
    }
    gn2_model_unref(model);
    case_jets_free(&j);
}

static void an_ensemble_has_its_spread_and_names(void **state)
{
    (void)state;
    case_jets j = make_input();
    gn2_model *model = MODEL("model.name", "GN2");
    gn2_config *config = CONFIG("scores.models", "one 12,two 34", "scores.jet_fields",
                                "", "scores.half_precision", "yes");
    gn2_score_writer *w = NULL;
    const char *path = case_file("ensemble.h5");
    const gn2_score scores[] = {
        score("jets.probabilities", probabilities, JETS),
        score("jets.probabilities_spread", probabilities, JETS)};
    MUST(gn2_score_writer_create_impl(path, case_file("input.h5"), model, config, &w));
    MUST(gn2_score_writer_add_impl(w, JETS, scores, 2));
    MUST(gn2_score_writer_close_impl(w));
    gn2_score_writer_free_impl(w);
    table t = open_table(path, "jets");
    check_fields(&t,
                 (const char *const[]){"GN2_pb", "GN2_pc", "GN2_pu", "GN2_ptau",
                                       "GN2_Db", "GN2_Dc", "GN2_Dtau", "GN2_pb_spread",
                                       "GN2_pc_spread", "GN2_pu_spread",
                                       "GN2_ptau_spread", NULL},
                 2);
    for (int64_t i = 0; i < JETS; i++)
        assert_true(value(&t, "GN2_pu_spread", i) == value(&t, "GN2_pu", i));
    close_table(&t);
    gn2_config_delete(config);
    gn2_model_unref(model);
    model = MODEL("model.tasks", "track_origin");
    config = CONFIG("scores.models", "one,two");
    FAILS(gn2_score_writer_create_impl(path, case_file("input.h5"), model, config, &w),
          GN2_ERR_INVALID_ARG, "scores.models", "does not classify");
    gn2_model_unref(model);
    model = MODEL("model.tasks", "jets_classification,probabilities_spread",
                  "task.probabilities_spread.kind", "classification",
                  "task.probabilities_spread.classes", "A,B");
    FAILS(gn2_score_writer_create_impl(path, case_file("input.h5"), model, config, &w),
          GN2_ERR_INVALID_ARG, "two outputs", "'jets.probabilities_spread'");
    gn2_config_delete(config);
    gn2_model_unref(model);
    case_jets_free(&j);
}

static void a_file_without_rows_has_all_fields(void **state)
{
    (void)state;
    case_jets j = make_input();
    gn2_model *model = MODEL("model.name", "GN2");
    gn2_config *config = CONFIG("scores.write_tracks", "yes", "scores.jet_fields", "");
    gn2_score_writer *w = NULL;
    const char *path = case_file("empty.h5");
    MUST(gn2_score_writer_create_impl(path, case_file("input.h5"), model, config, &w));
    MUST(gn2_score_writer_close_impl(w));
    gn2_score_writer_free_impl(w);
    table t = open_table(path, "jets");
    check_fields(&t,
                 (const char *const[]){"GN2_pb", "GN2_pc", "GN2_pu", "GN2_ptau",
                                       "GN2_Db", "GN2_Dc", "GN2_Dtau", NULL},
                 4);
    assert_int_equal(t.info->rows, 0);
    close_table(&t);
    t = open_table(path, "tracks");
    assert_int_equal(t.info->field_count, ORIGINS + 2);
    close_table(&t);
    gn2_config_delete(config);
    gn2_model_unref(model);
    case_jets_free(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_other_tasks_tell_them_apart),
        cmocka_unit_test(regressions_are_called_like_their_targets),
        cmocka_unit_test(outputs_that_do_not_fit_are_refused),
        cmocka_unit_test(outputs_asked_for_are_written_by_name),
        cmocka_unit_test(options_that_write_nothing_are_refused),
        cmocka_unit_test(an_ensemble_has_its_spread_and_names),
        cmocka_unit_test(a_file_without_rows_has_all_fields),
    };
    return cmocka_run_group_tests(tests, NULL, case_clean);
}
