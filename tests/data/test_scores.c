/* SPDX-License-Identifier: Apache-2.0 */
/* Score files hold what salt's hold, in its order and types, whole or not at all. */
#include "data_case.h"

#include <gn2/tagger.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/field.h"
#include "tag/discriminant.h"
#include "util/alloc.h"

#define JETS 250
#define SLOTS 7
#define ORIGINS 8

static float probabilities[JETS * 4], d_b[JETS], origin[JETS * SLOTS * ORIGINS];
static int32_t vertex[JETS * SLOTS];

static case_jets make_input(void)
{
    case_jets j = case_jets_make(JETS, SLOTS);
    for (int i = 0; i < JETS; i++) j.flavour[i] = i % 4;
    for (int i = 0; i < JETS * SLOTS; i++) j.valid[i] = (uint8_t)(i % 3 == 1);
    for (int i = 0; i < JETS * 4; i++) probabilities[i] = (float)i / (JETS * 4);
    for (int i = 0; i < JETS; i++) d_b[i] = (float)(-i);
    for (int i = 0; i < JETS * SLOTS * ORIGINS; i++) origin[i] = (float)i / 4096;
    for (int i = 0; i < JETS * SLOTS; i++) vertex[i] = i % 3 == 1 ? i % 5 : INT32_MIN;
    case_jets_write(&j, case_file("input.h5"));
    return j;
}

/* A dataset read whole: its fields by name. */
typedef struct table {
    gn2_h5_file *file;
    gn2_h5_table *table;
    const gn2_h5_info *info;
    char *records;
} table;

static table open_table(const char *path, const char *name)
{
    table t = {0};
    MUST(gn2_h5_file_open(path, &t.file));
    MUST(gn2_h5_table_open(t.file, name, &t.table));
    t.info = gn2_h5_table_info(t.table);
    uint8_t wanted[64];
    memset(wanted, 1, sizeof wanted);
    MUST(gn2_h5_table_select(t.table, wanted, -1));
    t.records =
        gn2_alloc((size_t)(t.info->rows * t.info->slots), (size_t)t.info->record);
    MUST(gn2_h5_table_read(t.table, 0, t.info->rows, t.records));
    return t;
}

static void close_table(table *t)
{
    gn2_free(t->records);
    MUST(gn2_h5_table_close(t->table));
    MUST(gn2_h5_file_close(t->file));
}

static const gn2_h5_field *field_of(const table *t, const char *name)
{
    for (size_t i = 0; i < t->info->field_count; i++)
        if (strcmp(t->info->fields[i].name, name) == 0) return &t->info->fields[i];
    print_error("no field '%s'\n", name);
    fail();
    return NULL;
}

static double value(const table *t, const char *name, int64_t slot)
{
    const gn2_h5_field *f = field_of(t, name);
    const char *at = t->records + slot * t->info->record + f->offset;
    return f->kind == GN2_H5_FLOAT
               ? (double)gn2_field_float_reader(f->kind, f->size)(at)
               : (double)gn2_field_int_reader(f->kind, f->size)(at);
}

static void check_fields(const table *t, const char *const *names, int32_t real_size)
{
    size_t i = 0;
    for (; names[i]; i++) {
        assert_true(i < t->info->field_count);
        assert_string_equal(t->info->fields[i].name, names[i]);
        if (t->info->fields[i].kind == GN2_H5_FLOAT)
            assert_int_equal(t->info->fields[i].size, real_size);
    }
    assert_int_equal(t->info->field_count, i);
}

/* Writes all scores in calls of `step` jets. */
static void write_scores(const char *path, const gn2_config *config, int64_t step)
{
    gn2_score_writer *w = NULL;
    gn2_config *model = CONFIG("model.name", "GN2");
    MUST(gn2_score_writer_create_impl(path, case_file("input.h5"), model, config, &w));
    for (int64_t i = 0; i < JETS; i += step)
        MUST(gn2_score_writer_add_impl(
            w, step < JETS - i ? step : JETS - i, probabilities + 4 * i, d_b + i,
            origin + i * SLOTS * ORIGINS, vertex + i * SLOTS));
    assert_int_not_equal(access(path, F_OK), 0); /* not before it is whole */
    MUST(gn2_score_writer_close_impl(w));
    gn2_score_writer_free_impl(w);
    gn2_config_delete(model);
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

/* D_b is the caller's; the others come from the probabilities. */
static void every_discriminant_has_a_field(void **state)
{
    (void)state;
    case_jets j = make_input();
    const char *path = case_file("discriminants.h5");
    gn2_config *model = CONFIG("model.name", "GN2", "discriminant.D_b.fractions",
                               "cjets:1", "discriminant.D_c.fractions", "ujets:0.5");
    gn2_config *own = CONFIG("discriminant.D_light.signal", "ujets",
                             "discriminant.D_light.fractions", "bjets:rest,cjets:0.25");
    gn2_score_writer *w = NULL;
    MUST(gn2_score_writer_create_impl(path, case_file("input.h5"), model, own, &w));
    for (int64_t i = 0; i < JETS; i += 125)
        MUST(
            gn2_score_writer_add_impl(w, 125, probabilities + 4 * i, NULL, NULL, NULL));
    MUST(gn2_score_writer_close_impl(w));
    gn2_score_writer_free_impl(w);
    table t = open_table(path, "jets");
    check_fields(&t,
                 (const char *const[]){"pt_btagJes", "eta_btagJes", "flavour_label",
                                       "eventNumber", "GN2_pb", "GN2_pc", "GN2_pu",
                                       "GN2_ptau", "GN2_Dc", "GN2_Dtau", "GN2_Dlight",
                                       NULL},
                 4);
    for (int64_t i = 0; i < JETS; i++) {
        assert_true(value(&t, "GN2_Dc", i) == d_of(i, 1, (double[]){0, 0, 0.5, 0}));
        assert_true(value(&t, "GN2_Dtau", i) ==
                    d_of(i, 3, (double[]){0.1, 0.1, 1 - 0.1 - 0.1, 0}));
        assert_true(value(&t, "GN2_Dlight", i) ==
                    d_of(i, 2, (double[]){0.75, 0.25, 0, 0}));
    }
    close_table(&t);
    MUST(gn2_config_put_text(own, "discriminant.D_light.fractions",
                             "bjets:0.75,cjets:0.5"));
    FAILS(gn2_score_writer_create_impl(path, case_file("input.h5"), model, own, &w),
          GN2_ERR_INVALID_ARG, "D_light: fractions sum to 1.25, more than 1");
    gn2_config_delete(model);
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
    gn2_config *model = CONFIG("model.name", "GN2");
    gn2_score_writer *w = NULL;
    case_write_text(path, "old");
    MUST(gn2_score_writer_create_impl(path, case_file("input.h5"), model, NULL, &w));
    MUST(gn2_score_writer_add_impl(w, 10, probabilities, NULL, NULL, NULL));
    assert_int_equal(temporary_files(), 1);
    FAILS(gn2_score_writer_add_impl(w, 10, probabilities, d_b, NULL, NULL),
          GN2_ERR_STATE, "kept.h5");
    FAILS(gn2_score_writer_add_impl(w, JETS, probabilities, NULL, NULL, NULL),
          GN2_ERR_SHAPE, "260", "250");
    gn2_score_writer_free_impl(w);
    assert_int_equal(temporary_files(), 0);
    char text[8] = "";
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fread(text, 1, 7, file), 3);
    fclose(file);
    assert_string_equal(text, "old");
    gn2_config_delete(model);
    case_jets_free(&j);
}

static void wrong_requests_are_refused(void **state)
{
    (void)state;
    case_jets j = make_input();
    gn2_config *model = CONFIG("model.name", "GN2");
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
    FAILS(gn2_score_writer_add_impl(w, 1, probabilities, d_b, NULL, NULL),
          GN2_ERR_STATE, "close");
    FAILS(gn2_score_writer_close_impl(w), GN2_ERR_STATE, "closed");
    gn2_score_writer_free_impl(w);
    gn2_config_delete(config);
    gn2_config_delete(model);
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
    gn2_config *model = CONFIG("model.name", "GN2");
    gn2_score_writer *w = NULL;
    const char *path = case_file("packed.h5");
    MUST(gn2_score_writer_create_impl(path, case_file("input.h5"), model, config, &w));
    for (int64_t i = 0; i < JETS; i += 125) {
        const int64_t count = pack_rows(&j, i, 125, rows, members);
        MUST(gn2_score_writer_add_packed_impl(w, 125, count, probabilities + 4 * i,
                                              d_b + i, rows, members));
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
    gn2_config_delete(model);
    case_jets_free(&j);
}

static void packed_rows_must_be_as_many_as_valid_slots(void **state)
{
    (void)state;
    static float rows[JETS * SLOTS * ORIGINS];
    static int32_t members[JETS * SLOTS];
    case_jets j = make_input();
    gn2_config *config = CONFIG("scores.write_tracks", "yes");
    gn2_config *model = CONFIG("model.name", "GN2");
    const int64_t count = pack_rows(&j, 0, 10, rows, members);
    for (int64_t off = -1; off <= 1; off += 2) {
        gn2_score_writer *w = NULL;
        MUST(gn2_score_writer_create_impl(case_file("x.h5"), case_file("input.h5"),
                                          model, config, &w));
        FAILS(gn2_score_writer_add_packed_impl(w, 10, count + off, probabilities, d_b,
                                               rows, members),
              GN2_ERR_SHAPE, "constituents");
        gn2_score_writer_free_impl(w);
    }
    gn2_config_delete(config);
    gn2_config_delete(model);
    case_jets_free(&j);
}

static int clean(void **state)
{
    (void)state;
    case_clean();
    return 0;
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
    };
    return cmocka_run_group_tests(tests, NULL, clean);
}
