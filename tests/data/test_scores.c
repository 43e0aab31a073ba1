/* SPDX-License-Identifier: Apache-2.0 */
/* Score files hold what salt's hold, in its order and types, whole or not at all. */
#include "score_case.h"

#include <gn2/tagger.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/field.h"
#include "tag/discriminant.h"

/* Writes all scores in calls of `step` jets. */
static void write_scores(const char *path, const gn2_config *config, int64_t step)
{
    gn2_score_writer *w = NULL;
    gn2_model *model = MODEL("model.name", "GN2");
    const int tracks =
        strcmp(gn2_config_str(config, "scores.write_tracks"), "yes") == 0;
    MUST(gn2_score_writer_create_impl(path, case_file("input.h5"), model, config, &w));
    for (int64_t i = 0; i < JETS; i += step) {
        const int64_t count = step < JETS - i ? step : JETS - i;
        MUST(add(w, count, count * SLOTS, probabilities + 4 * i, d_b + i,
                 tracks ? origin + i * SLOTS * ORIGINS : NULL,
                 tracks ? vertex + i * SLOTS : NULL));
    }
    assert_int_not_equal(access(path, F_OK), 0); /* not before it is whole */
    MUST(gn2_score_writer_close_impl(w));
    gn2_score_writer_free_impl(w);
    gn2_model_unref(model);
    assert_int_equal(access(path, F_OK), 0);
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    case_jets j = make_input();
    const char *path = case_file("scores.h5");
    gn2_config *config = CONFIG("scores.write_tracks", "yes", "scores.track_fields",
                                "d0,valid", "scores.jet_fields", "*");
    write_scores(path, config, 33);
    table t = open_table(path, "jets");
    check_fields(&t,
                 (const char *const[]){"pt_btagJes", "eta_btagJes", "flavour_label",
                                       "eventNumber", "GN2_pb", "GN2_pc", "GN2_pu",
                                       "GN2_ptau", "GN2_Db", "GN2_Dc", "GN2_Dtau",
                                       NULL},
                 4);
    assert_int_equal(t.info->rows, JETS);
    assert_int_equal(t.info->rank, 1);
    assert_int_equal(field_of(&t, "eventNumber")->size, 8);
    for (int64_t i = 0; i < JETS; i++) {
        assert_true(value(&t, "pt_btagJes", i) == 1000.0 + (double)i);
        assert_true(value(&t, "flavour_label", i) == (double)(i % 4));
        assert_true((float)value(&t, "GN2_pb", i) == probabilities[4 * i]);
        assert_true((float)value(&t, "GN2_ptau", i) == probabilities[4 * i + 3]);
        assert_true(value(&t, "GN2_Db", i) == (double)-i);
    }
    close_table(&t);
    t = open_table(path, "tracks");
    check_fields(
        &t,
        (const char *const[]){"d0", "valid", "GN2_pPileup", "GN2_pFake", "GN2_pPrimary",
                              "GN2_pFromB", "GN2_pFromBC", "GN2_pFromC", "GN2_pFromTau",
                              "GN2_pOtherSecondary", "VertexIndex", "mask", NULL},
        4);
    assert_int_equal(t.info->slots, SLOTS);
    assert_int_equal(t.info->chunk_rows, 100);
    assert_int_equal(field_of(&t, "VertexIndex")->size, 8);
    assert_int_equal(field_of(&t, "VertexIndex")->kind, GN2_H5_INT);
    assert_int_equal(field_of(&t, "mask")->kind, GN2_H5_BOOL);
    for (int64_t i = 0; i < JETS * SLOTS; i++) {
        assert_true(value(&t, "mask", i) == (i % 3 == 1 ? 0 : 1));
        assert_true(value(&t, "valid", i) == (i % 3 == 1 ? 1 : 0));
        assert_true(value(&t, "VertexIndex", i) == (double)vertex[i]);
        assert_true((float)value(&t, "d0", i) == (float)j.d0[i]);
        assert_true((float)value(&t, "GN2_pPileup", i) == origin[i * ORIGINS]);
        assert_true((float)value(&t, "GN2_pOtherSecondary", i) ==
                    origin[i * ORIGINS + 7]);
    }
    close_table(&t);
    gn2_config_delete(config);
    case_jets_free(&j);
}

static void half_precision_rounds_every_real(void **state)
{
    (void)state;
    case_jets j = make_input();
    const char *path = case_file("half.h5");
    gn2_config *config =
        CONFIG("scores.half_precision", "yes", "scores.jet_fields", "pt,flavour_label");
    write_scores(path, config, JETS);
    table t = open_table(path, "jets");
    check_fields(&t,
                 (const char *const[]){"pt_btagJes", "flavour_label", "GN2_pb",
                                       "GN2_pc", "GN2_pu", "GN2_ptau", "GN2_Db",
                                       "GN2_Dc", "GN2_Dtau", NULL},
                 2);
    for (int64_t i = 0; i < JETS; i++) {
        const float want = gn2_half_to_float(gn2_float_to_half(probabilities[4 * i]));
        assert_true((float)value(&t, "GN2_pb", i) == want);
        assert_true(value(&t, "flavour_label", i) == (double)(i % 4));
    }
    close_table(&t);
    gn2_config_delete(config);
    case_jets_free(&j);
}

static void old_scores_of_that_name_give_way(void **state)
{
    (void)state;
    case_jets j = make_input();
    j.label = "GN2_pc";
    case_jets_write(&j, case_file("input.h5"));
    gn2_config *config = CONFIG("scores.jet_fields", "*");
    write_scores(case_file("again.h5"), config, 100);
    table t = open_table(case_file("again.h5"), "jets");
    check_fields(&t,
                 (const char *const[]){"pt_btagJes", "eta_btagJes", "eventNumber",
                                       "GN2_pb", "GN2_pc", "GN2_pu", "GN2_ptau",
                                       "GN2_Db", "GN2_Dc", "GN2_Dtau", NULL},
                 4);
    for (int64_t i = 0; i < JETS; i++)
        assert_true((float)value(&t, "GN2_pc", i) == probabilities[4 * i + 1]);
    close_table(&t);
    gn2_config_delete(config);
    case_jets_free(&j);
}

static double d_of(int64_t jet, int64_t signal, const double *fractions)
{
    return (double)gn2_discriminant_value(probabilities + 4 * jet, 4, signal, fractions,
                                          GN2_FORM_LOG);
}

/* One that is given stays as it is; the others come from the probabilities. */
static void every_discriminant_has_a_field(void **state)
{
    (void)state;
    case_jets j = make_input();
    const char *path = case_file("discriminants.h5");
    gn2_model *model = MODEL("model.name", "GN2", "discriminant.D_b.fractions",
                             "cjets:1", "discriminant.D_c.fractions", "ujets:0.5");
    gn2_config *own = CONFIG("discriminant.D_light.signal", "ujets",
                             "discriminant.D_light.fractions", "bjets:rest,cjets:0.25");
    gn2_score_writer *w = NULL;
    MUST(gn2_score_writer_create_impl(path, case_file("input.h5"), model, own, &w));
    for (int64_t i = 0; i < JETS; i += 125) {
        const gn2_score scores[] = {
            score("jets.D_tau", d_b + i, 125),
            score("jets.probabilities", probabilities + 4 * i, 125)};
        MUST(gn2_score_writer_add_impl(w, 125, scores, 2));
    }
    MUST(gn2_score_writer_close_impl(w));
    gn2_score_writer_free_impl(w);
    table t = open_table(path, "jets");
    check_fields(&t,
                 (const char *const[]){"pt_btagJes", "eta_btagJes", "flavour_label",
                                       "eventNumber", "GN2_pb", "GN2_pc", "GN2_pu",
                                       "GN2_ptau", "GN2_Db", "GN2_Dc", "GN2_Dtau",
                                       "GN2_Dlight", NULL},
                 4);
    for (int64_t i = 0; i < JETS; i++) {
        assert_true(value(&t, "GN2_Dc", i) == d_of(i, 1, (double[]){0, 0, 0.5, 0}));
        assert_true(value(&t, "GN2_Db", i) == d_of(i, 0, (double[]){0, 1, 0, 0}));
        assert_true(value(&t, "GN2_Dtau", i) == (double)d_b[i]);
        assert_true(value(&t, "GN2_Dlight", i) ==
                    d_of(i, 2, (double[]){0.75, 0.25, 0, 0}));
    }
    close_table(&t);
    MUST(gn2_config_put_text(own, "discriminant.D_light.fractions",
                             "bjets:0.75,cjets:0.5"));
    FAILS(gn2_score_writer_create_impl(path, case_file("input.h5"), model, own, &w),
          GN2_ERR_INVALID_ARG, "D_light: fractions sum to 1.25, more than 1");
    gn2_model_unref(model);
    gn2_config_delete(own);
    case_jets_free(&j);
}

static int temporary_files(void)
{
    char command[160], line[32] = "";
    snprintf(command, sizeof command, "ls '%s' | grep -c tmp", case_file(""));
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    if (!fgets(line, sizeof line, pipe)) line[0] = 0;
    pclose(pipe);
    return atoi(line);
}

static void an_unfinished_file_leaves_nothing(void **state)
{
    (void)state;
    case_jets j = make_input();
    const char *path = case_file("kept.h5");
    gn2_model *model = MODEL("model.name", "GN2");
    gn2_score_writer *w = NULL;
    case_write_text(path, "old");
    MUST(gn2_score_writer_create_impl(path, case_file("input.h5"), model, NULL, &w));
    MUST(add(w, 10, 0, probabilities, NULL, NULL, NULL));
    assert_int_equal(temporary_files(), 1);
    FAILS(add(w, 10, 0, probabilities, d_b, NULL, NULL), GN2_ERR_STATE, "kept.h5",
          "jets.D_b", "given");
    FAILS(add(w, 10, 0, NULL, NULL, NULL, NULL), GN2_ERR_STATE, "kept.h5",
          "jets.probabilities", "missing");
    FAILS(add(w, JETS, 0, probabilities, NULL, NULL, NULL), GN2_ERR_SHAPE, "260",
          "250");
    gn2_score_writer_free_impl(w);
    assert_int_equal(temporary_files(), 0);
    char text[8] = "";
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fread(text, 1, 7, file), 3);
    fclose(file);
    assert_string_equal(text, "old");
    gn2_model_unref(model);
    case_jets_free(&j);
}

static void wrong_requests_are_refused(void **state)
{
    (void)state;
    case_jets j = make_input();
    gn2_model *model = MODEL("model.name", "GN2");
    gn2_config *config = CONFIG("scores.jet_fields", "pt,colour");
    gn2_score_writer *w = NULL;
    FAILS(gn2_score_writer_create_impl(case_file("x.h5"), case_file("input.h5"), model,
                                       config, &w),
          GN2_ERR_NOT_FOUND, "'colour'");
    FAILS(
        gn2_score_writer_create_impl(case_file("x.h5"), "nowhere.h5", model, NULL, &w),
        GN2_ERR_NOT_FOUND, "nowhere.h5");
    FAILS(gn2_score_writer_create_impl("no/such/folder/x.h5", case_file("input.h5"),
                                       model, NULL, &w),
          GN2_ERR_IO, "no/such/folder/x.h5");
    MUST(gn2_score_writer_create_impl(case_file("x.h5"), case_file("input.h5"), model,
                                      NULL, &w));
    MUST(gn2_score_writer_close_impl(w));
    FAILS(add(w, 1, 0, probabilities, d_b, NULL, NULL), GN2_ERR_STATE, "close");
    FAILS(gn2_score_writer_close_impl(w), GN2_ERR_STATE, "closed");
    gn2_score_writer_free_impl(w);
    gn2_config_delete(config);
    gn2_model_unref(model);
    case_jets_free(&j);
}

/* Packed rows of the jets' valid slots: each is its own vertex. */
static int64_t pack_rows(const case_jets *j, int64_t first, int64_t count, float *rows,
                         int32_t *members)
{
    int64_t used = 0;
    for (int64_t jet = first; jet < first + count; jet++)
        for (int64_t i = 0, member = 0; i < SLOTS; i++) {
            const int64_t slot = jet * SLOTS + i;
            if (!j->valid[slot]) continue;
            memcpy(rows + used * ORIGINS, origin + slot * ORIGINS,
                   ORIGINS * sizeof *rows);
            members[used++] = (int32_t)member++;
        }
    return used;
}

static void packed_rows_go_to_their_slots(void **state)
{
    (void)state;
    static float rows[JETS * SLOTS * ORIGINS];
    static int32_t members[JETS * SLOTS];
    case_jets j = make_input();
    gn2_config *config = CONFIG("scores.write_tracks", "yes");
    gn2_model *model = MODEL("model.name", "GN2");
    gn2_score_writer *w = NULL;
    const char *path = case_file("packed.h5");
    MUST(gn2_score_writer_create_impl(path, case_file("input.h5"), model, config, &w));
    for (int64_t i = 0; i < JETS; i += 125) {
        const int64_t count = pack_rows(&j, i, 125, rows, members);
        MUST(add(w, 125, count, probabilities + 4 * i, d_b + i, rows, members));
    }
    MUST(gn2_score_writer_close_impl(w));
    gn2_score_writer_free_impl(w);
    table t = open_table(path, "tracks");
    for (int64_t i = 0; i < JETS * SLOTS; i++) {
        const int valid = j.valid[i];
        assert_true(value(&t, "VertexIndex", i) ==
                    (valid ? (double)(i % SLOTS) : (double)INT32_MIN));
        assert_true((float)value(&t, "GN2_pOtherSecondary", i) ==
                    (valid ? origin[i * ORIGINS + 7] : 0));
    }
    close_table(&t);
    gn2_config_delete(config);
    gn2_model_unref(model);
    case_jets_free(&j);
}

static void packed_rows_must_be_as_many_as_valid_slots(void **state)
{
    (void)state;
    static float rows[JETS * SLOTS * ORIGINS];
    static int32_t members[JETS * SLOTS];
    case_jets j = make_input();
    gn2_config *config = CONFIG("scores.write_tracks", "yes");
    gn2_model *model = MODEL("model.name", "GN2");
    const int64_t count = pack_rows(&j, 0, 10, rows, members);
    for (int64_t off = -1; off <= 1; off += 2) {
        gn2_score_writer *w = NULL;
        MUST(gn2_score_writer_create_impl(case_file("x.h5"), case_file("input.h5"),
                                          model, config, &w));
        FAILS(add(w, 10, count + off, probabilities, d_b, rows, members), GN2_ERR_SHAPE,
              "tracks.origin", "constituents");
        FAILS(add(w, 10, count, probabilities, d_b, rows, members), GN2_ERR_STATE,
              "after an error");
        FAILS(gn2_score_writer_close_impl(w), GN2_ERR_STATE, "missing");
        gn2_score_writer_free_impl(w);
    }
    gn2_config_delete(config);
    gn2_model_unref(model);
    case_jets_free(&j);
}

static void vertices_are_constituents_of_their_jet(void **state)
{
    (void)state;
    static float rows[JETS * SLOTS * ORIGINS];
    static int32_t members[JETS * SLOTS];
    case_jets j = make_input();
    gn2_config *config = CONFIG("scores.write_tracks", "yes");
    gn2_model *model = MODEL("model.name", "GN2");
    gn2_score_writer *w = NULL;
    const int64_t count = pack_rows(&j, 0, 10, rows, members);
    MUST(gn2_score_writer_create_impl(case_file("x.h5"), case_file("input.h5"), model,
                                      config, &w));
    members[1] = SLOTS;
    FAILS(add(w, 10, count, probabilities, d_b, rows, members), GN2_ERR_SHAPE,
          "tracks.vertex", "row 1", "no constituent 7");
    gn2_score_writer_free_impl(w);
    gn2_config_delete(config);
    gn2_model_unref(model);
    case_jets_free(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(half_precision_rounds_every_real),
        cmocka_unit_test(every_discriminant_has_a_field),
        cmocka_unit_test(old_scores_of_that_name_give_way),
        cmocka_unit_test(an_unfinished_file_leaves_nothing),
        cmocka_unit_test(wrong_requests_are_refused),
        cmocka_unit_test(packed_rows_go_to_their_slots),
        cmocka_unit_test(packed_rows_must_be_as_many_as_valid_slots),
        cmocka_unit_test(vertices_are_constituents_of_their_jet),
    };
    return cmocka_run_group_tests(tests, NULL, case_clean);
}
