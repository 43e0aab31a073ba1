/* SPDX-License-Identifier: Apache-2.0 */
/* Files as they come: the sample, all filters, odd contents, damage. */
#include "../common/labels.h"
#include "data_case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/field.h"

#define SKIP_WITHOUT_SHARED()                               \
    do {                                                    \
        if (case_has_shared()) break;                       \
        print_message("skipped: GN2_SHARED has no data\n"); \
        skip();                                             \
    } while (0)

/* One batch of everything, in file order. */
static gn2_dataset *read_all(const char *path, gn2_config *config, gn2_jets *jets,
                             gn2_labels *labels)
{
    MUST(gn2_config_put_text(config, "data.sampling", "sequential"));
    MUST(gn2_config_put_text(config, "data.batch_size", "100000"));
    gn2_dataset *data = case_open(path, config);
    MUST(gn2_dataset_next_impl(data, jets, labels));
    gn2_config_delete(config);
    return data;
}

static const int64_t *offsets_of(const gn2_jets *jets)
{
    return jets->sequences[0].offsets;
}

static void the_sample_is_whole(void **state)
{
    (void)state;
    gn2_jets jets;
    gn2_labels labels;
    gn2_dataset_info info;
    gn2_dataset *data = read_all(case_sample("jets_test.h5"),
                                 CONFIG("data.prefetch", "0"), &jets, &labels);
    gn2_dataset_info_impl(data, &info);
    assert_int_equal(info.jet_count, 2500);
    assert_int_equal(info.max_slots, 40);
    assert_int_equal(info.has_labels, 1);
    assert_int_equal(jets.count, 2500);
    assert_int_equal(jets.sequence_count, 1);
    const int64_t tracks = offsets_of(&jets)[2500];
    assert_true(tracks > 2500 * 8 && tracks < 2500 * 9);
    int64_t flavours[4] = {0};
    for (int64_t i = 0; i < 2500; i++) {
        assert_true(jets.features[2 * i] > 20e3f &&
                    fabsf(jets.features[2 * i + 1]) < 3);
        flavours[labels_i32(&labels, LABEL_JETS)[i]]++;
    }
    for (int c = 0; c < 3; c++) assert_true(flavours[c] > 700 && flavours[c] < 900);
    for (int64_t i = 0; i < tracks; i++)
        assert_true(labels_i32(&labels, LABEL_ORIGIN)[i] >= 0 &&
                    labels_i32(&labels, LABEL_ORIGIN)[i] < 8);
    gn2_dataset_free_impl(data);
}

/* Rows of two files are equal, reals that one keeps in half precision rounded. */
static void same_rows(const char *path, int64_t first, int rounded)
{
    gn2_jets a, b;
    gn2_labels la, lb;
    gn2_dataset *data =
        read_all(case_shared(path), CONFIG("data.prefetch", "0"), &a, &lb);
    gn2_dataset *full = read_all(case_shared("data/jets_test.h5"),
                                 CONFIG("data.max_jets", "400"), &b, &la);
    assert_true(a.count >= first + 400);
    const int64_t start = offsets_of(&a)[first];
    assert_int_equal(offsets_of(&a)[first + 400] - start, offsets_of(&b)[400]);
    for (int64_t i = 0; i < 800; i++) {
        const float x = a.features[2 * first + i], y = b.features[i];
        assert_true(x == y ||
                    (rounded && x == gn2_half_to_float(gn2_float_to_half(y))));
    }
    for (int64_t i = 0; i < 400; i++)
        assert_int_equal(labels_i32(&lb, LABEL_JETS)[first + i],
                         labels_i32(&la, LABEL_JETS)[i]);
    for (int64_t i = 0; i < 19 * offsets_of(&b)[400]; i++) {
        const float x = a.sequences[0].data[19 * start + i];
        const float y = b.sequences[0].data[i];
        assert_true(x == y ||
                    (rounded && x == gn2_half_to_float(gn2_float_to_half(y))));
    }
    for (int64_t i = 0; i < offsets_of(&b)[400]; i++) {
        assert_int_equal(labels_i32(&lb, LABEL_ORIGIN)[start + i],
                         labels_i32(&la, LABEL_ORIGIN)[i]);
        assert_int_equal(labels_i32(&lb, LABEL_VERTEX)[start + i],
                         labels_i32(&la, LABEL_VERTEX)[i]);
    }
    gn2_dataset_free_impl(data);
    gn2_dataset_free_impl(full);
}

static void all_filters_give_the_same_jets(void **state)
{
    (void)state;
    SKIP_WITHOUT_SHARED();
    same_rows("data/filters/jets_none.h5", 0, 0);
    same_rows("data/filters/jets_lzf.h5", 0, 1);
    same_rows("data/filters/jets_lzf_shuffle.h5", 0, 0);
    same_rows("data/filters/jets_lz4.h5", 0, 1);
    same_rows("data/filters/jets_vds.h5", 0, 0);
    same_rows("data/filters/jets_vds.h5", 400, 0);
}

static void an_unknown_filter_is_named(void **state)
{
    (void)state;
    SKIP_WITHOUT_SHARED();
    const char *path = case_shared("data/filters/jets_zstd.h5");
    gn2_dataset *data = NULL;
    FAILS(gn2_dataset_open_impl(&path, 1, NULL, &data), GN2_ERR_FORMAT, "jets_zstd.h5",
          "'jets'", "32015", "h5repack -f GZIP=4");
    assert_null(data);
}

static void copy_file(const char *from, const char *to, long most)
{
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_non_null(in);
    assert_non_null(out);
    for (long i = 0; i < most; i++) {
        const int c = getc(in);
        if (c == EOF) break;
        putc(c, out);
    }
    fclose(in);
    fclose(out);
}

static void a_virtual_file_without_its_sources_is_refused(void **state)
{
    (void)state;
    SKIP_WITHOUT_SHARED();
    const char *path = case_file("vds.h5");
    gn2_dataset *data = NULL;
    copy_file(case_shared("data/filters/jets_vds.h5"), path, 1L << 30);
    FAILS(gn2_dataset_open_impl(&path, 1, NULL, &data), GN2_ERR_NOT_FOUND, "vds.h5",
          "jets_none.h5");
}

static void damaged_files_are_refused(void **state)
{
    (void)state;
    gn2_dataset *data = NULL;
    const char *path = case_file("cut.h5");
    copy_file(case_sample("jets_val.h5"), path, 100000);
    FAILS(gn2_dataset_open_impl(&path, 1, NULL, &data), GN2_ERR_FORMAT, "cut.h5",
          "truncated");
    path = case_file("text.h5");
    case_write_text(path, "jets\n");
    FAILS(gn2_dataset_open_impl(&path, 1, NULL, &data), GN2_ERR_FORMAT, "text.h5");
}

/* Bytes in the middle of the packed chunks are overwritten: inflate must notice,
 * and next() say which rows. */
static void a_damaged_chunk_is_refused(void **state)
{
    (void)state;
    gn2_jets jets;
    gn2_labels labels;
    const char *path = case_file("bad.h5");
    copy_file(case_sample("jets_val.h5"), path, 1L << 30);
    FILE *file = fopen(path, "r+b");
    fseek(file, 300000, SEEK_SET);
    for (int i = 0; i < 64; i++) putc(0xFF, file);
    fclose(file);
    gn2_config *config = CONFIG("data.sampling", "sequential");
    gn2_dataset *data = case_open(path, config);
    gn2_status status = GN2_OK;
    while (status == GN2_OK) {
        status = gn2_dataset_next_impl(data, &jets, &labels);
        assert_true(status != GN2_OK || jets.count > 0);
    }
    FAILS(status, GN2_ERR_FORMAT, "bad.h5", "'tracks'", "rows");
    FAILS(gn2_dataset_next_impl(data, &jets, &labels), GN2_ERR_FORMAT, "bad.h5");
    gn2_dataset_free_impl(data);
    gn2_config_delete(config);
}

static void what_is_missing_is_named(void **state)
{
    (void)state;
    gn2_dataset *data = NULL;
    const char *path = "no/such/file.h5";
    FAILS(gn2_dataset_open_impl(&path, 1, NULL, &data), GN2_ERR_NOT_FOUND,
          "no/such/file.h5");
    path = case_sample("jets_val.h5");
    gn2_config *config = CONFIG("data.dataset.tracks", "hits");
    FAILS(gn2_dataset_open_impl(&path, 1, config, &data), GN2_ERR_NOT_FOUND,
          "jets_val.h5", "hits");
    gn2_config_delete(config);
    config = CONFIG("inputs.tracks", "d0,qOverPe");
    FAILS(gn2_dataset_open_impl(&path, 1, config, &data), GN2_ERR_NOT_FOUND,
          "jets_val.h5", "'tracks'", "'qOverPe'", "did you mean 'qOverP'");
    gn2_config_delete(config);
    config = CONFIG("data.max_jets", "1501");
    FAILS(gn2_dataset_open_impl(&path, 1, config, &data), GN2_ERR_INVALID_ARG, "1501",
          "1500");
    gn2_config_delete(config);
}

/* ---- files made here ---- */

static void holes_are_closed(void **state)
{
    (void)state;
    gn2_jets jets;
    gn2_labels labels;
    case_jets j = case_jets_make(30, 5);
    memset(j.valid, 0, 150);
    const int64_t valid[] = {2, 3 * 5 + 0, 3 * 5 + 4, 29 * 5 + 1, 29 * 5 + 3};
    for (int i = 0; i < 150; i++) j.d0[i] = NAN; /* padding is never looked at */
    for (int64_t i = 0; i < 5; i++) {
        j.valid[valid[i]] = 1;
        j.d0[valid[i]] = (double)valid[i];
        j.vertex[valid[i]] = valid[i];
        j.origin[valid[i]] = i - 2;
    }
    case_jets_write(&j, case_file("holes.h5"));
    gn2_dataset *data =
        read_all(case_file("holes.h5"), CONFIG(SMALL_INPUTS), &jets, &labels);
    assert_int_equal(jets.count, 30);
    for (int64_t jet = 0; jet <= 30; jet++)
        assert_int_equal(offsets_of(&jets)[jet],
                         (jet > 0) + 2 * (jet > 3) + 2 * (jet > 29));
    for (int64_t i = 0; i < 5; i++) {
        assert_true(jets.sequences[0].data[2 * i] == (float)valid[i]);
        assert_int_equal(labels_i32(&labels, LABEL_VERTEX)[i], valid[i]);
        assert_int_equal(labels_i32(&labels, LABEL_ORIGIN)[i], i - 2);
    }
    gn2_dataset_free_impl(data);
    case_jets_free(&j);
}

/* Reals of 2, 4 and 8 bytes, integers of 1 to 8, many foreign fields (so that
 * records are not read whole), 60 slots. */
static void sizes_of_fields_do_not_matter(void **state)
{
    (void)state;
    const int32_t sizes[][3] = {{2, 1, 0}, {4, 2, 7}, {8, 8, 7}, {2, 4, 7}};
    for (size_t k = 0; k < 4; k++) {
        gn2_jets jets;
        gn2_labels labels;
        case_jets j = case_jets_make(61, 60);
        j.real_size = sizes[k][0];
        j.label_size = sizes[k][1];
        j.padding_columns = sizes[k][2];
        for (int64_t i = 0; i < 61 * 60; i++) j.origin[i] = i % 10 - 2;
        case_jets_write(&j, case_file("sizes.h5"));
        gn2_dataset *data =
            read_all(case_file("sizes.h5"), CONFIG(SMALL_INPUTS), &jets, &labels);
        assert_int_equal(jets.count, 61);
        for (int64_t jet = 0; jet < 61; jet++) {
            assert_int_equal(offsets_of(&jets)[jet + 1] - offsets_of(&jets)[jet], jet);
            for (int64_t s = 0; s < jet; s++) {
                const int64_t at = offsets_of(&jets)[jet] + s;
                float want = (float)j.d0[jet * 60 + s];
                if (sizes[k][0] == 2) want = gn2_half_to_float(gn2_float_to_half(want));
                assert_true(jets.sequences[0].data[2 * at] == want);
                assert_int_equal(labels_i32(&labels, LABEL_ORIGIN)[at],
                                 (jet * 60 + s) % 10 - 2);
            }
        }
        gn2_dataset_free_impl(data);
        case_jets_free(&j);
    }
}

static void classes_are_matched_by_name(void **state)
{
    (void)state;
    static const char *const names[] = {"taujets", "ujets", "bjets", "cjets"};
    static const int32_t want[] = {3, 2, 0, 1};
    gn2_jets jets;
    gn2_labels labels;
    case_jets j = case_jets_make(8, 2);
    for (int64_t i = 0; i < 8; i++) j.flavour[i] = i % 5 - (i % 5 == 4 ? 5 : 0);
    j.flavours = names;
    j.flavour_count = 4;
    case_jets_write(&j, case_file("order.h5"));
    gn2_dataset *data =
        read_all(case_file("order.h5"), CONFIG(SMALL_INPUTS), &jets, &labels);
    for (int64_t i = 0; i < 8; i++)
        assert_int_equal(labels_i32(&labels, LABEL_JETS)[i],
                         i % 5 == 4 ? -1 : want[i % 5]);
    gn2_dataset_free_impl(data);
    j.flavours = NULL; /* without names values index the classes */
    case_jets_write(&j, case_file("plain.h5"));
    data = read_all(case_file("plain.h5"), CONFIG(SMALL_INPUTS), &jets, &labels);
    for (int64_t i = 0; i < 4; i++)
        assert_int_equal(labels_i32(&labels, LABEL_JETS)[i], i);
    gn2_dataset_free_impl(data);
    case_jets_free(&j);
}

static void particle_codes_are_translated(void **state)
{
    (void)state;
    static const int64_t codes[] = {5, 4, 0, 15};
    gn2_jets jets;
    gn2_labels labels;
    case_jets j = case_jets_make(4, 2);
    for (int64_t i = 0; i < 4; i++) j.flavour[i] = codes[i];
    j.label = "HadronConeExclTruthLabelID";
    case_jets_write(&j, case_file("codes.h5"));
    gn2_dataset *data =
        read_all(case_file("codes.h5"),
                 CONFIG(SMALL_INPUTS, "task.jets_classification.label", j.label), &jets,
                 &labels);
    for (int64_t i = 0; i < 4; i++)
        assert_int_equal(labels_i32(&labels, LABEL_JETS)[i], i);
    gn2_dataset_free_impl(data);
    case_jets_free(&j);
}

/* Opens, reads everything and returns the first failure. */
static gn2_status read_through(const case_jets *j, gn2_config *config)
{
    gn2_jets jets;
    gn2_labels labels;
    gn2_dataset *data = NULL;
    const char *path = case_file("odd.h5");
    case_jets_write(j, path);
    MUST(gn2_config_put_text(config, "data.sampling", "sequential"));
    MUST(gn2_config_put_text(config, "data.batch_size", "4"));
    gn2_status status = gn2_dataset_open_impl(&path, 1, config, &data);
    gn2_config_delete(config);
    if (status != GN2_OK) return status;
    do status = gn2_dataset_next_impl(data, &jets, &labels);
    while (status == GN2_OK && jets.count > 0);
    gn2_dataset_free_impl(data);
    return status;
}

static void labels_out_of_range_are_located(void **state)
{
    (void)state;
    case_jets j = case_jets_make(40, 3);
    MUST(read_through(&j, CONFIG(SMALL_INPUTS)));
    j.flavour[17] = 4;
    FAILS(read_through(&j, CONFIG(SMALL_INPUTS)), GN2_ERR_FORMAT, "odd.h5", "'jets'",
          "'flavour_label'", "row 17", "4");
    j.flavour[17] = 0;
    j.origin[23 * 3 + 1] = 8; /* 23 mod 4 = 3 slots are valid */
    FAILS(read_through(&j, CONFIG(SMALL_INPUTS)), GN2_ERR_FORMAT, "odd.h5", "'tracks'",
          "'ftagTruthOriginLabel'", "row 23", "slot 1");
    j.origin[23 * 3 + 1] = -3;
    FAILS(read_through(&j, CONFIG(SMALL_INPUTS)), GN2_ERR_FORMAT, "row 23", "-3");
    j.origin[23 * 3 + 1] = 0;
    static const char *const names[] = {"ujets", "cjets", "bjets", "sjets"};
    j.flavours = names;
    j.flavour_count = 4;
    j.flavour[31] = 3;
    FAILS(read_through(&j, CONFIG(SMALL_INPUTS)), GN2_ERR_FORMAT, "row 31", "'sjets'",
          "model.classes");
    case_jets_free(&j);
}

static void numbers_that_are_not_finite_are_located(void **state)
{
    (void)state;
    case_jets j = case_jets_make(40, 3);
    j.d0[23 * 3 + 2] = NAN;
    FAILS(read_through(&j, CONFIG(SMALL_INPUTS)), GN2_ERR_NUMERIC, "odd.h5", "'tracks'",
          "'d0'", "row 23", "slot 2");
    FAILS(read_through(&j, CONFIG(SMALL_INPUTS, "data.prefetch", "0")), GN2_ERR_NUMERIC,
          "'d0'", "row 23");
    j.d0[23 * 3 + 2] = 0;
    j.pt[11] = INFINITY;
    FAILS(read_through(&j, CONFIG(SMALL_INPUTS)), GN2_ERR_NUMERIC, "'jets'",
          "'pt_btagJes'", "row 11");
    MUST(read_through(&j, CONFIG(SMALL_INPUTS, "input.non_finite", "default")));
    case_jets_free(&j);
}

static void defaults_take_the_place_of_nan(void **state)
{
    (void)state;
    gn2_jets jets;
    gn2_labels labels;
    case_jets j = case_jets_make(4, 3);
    j.d0[3 * 3 + 2] = NAN;
    j.pt[1] = NAN;
    case_jets_write(&j, case_file("nan.h5"));
    gn2_dataset *data = read_all(case_file("nan.h5"),
                                 CONFIG(SMALL_INPUTS, "input.non_finite", "default",
                                        "input.defaults.tracks", "-7,-8"),
                                 &jets, &labels);
    const int64_t at = offsets_of(&jets)[4] - 1;
    assert_true(jets.sequences[0].data[2 * at] == -7.0f);
    assert_true(jets.sequences[0].data[2 * at + 1] == -8.0f);
    assert_true(jets.features[2] == 0.0f);
    gn2_dataset_free_impl(data);
    case_jets_free(&j);
}

static void labels_may_be_missing(void **state)
{
    (void)state;
    gn2_jets jets;
    gn2_labels labels;
    gn2_dataset_info info;
    case_jets j = case_jets_make(9, 3);
    j.without = "ftagTruthOriginLabel";
    j.label = "something_else";
    case_jets_write(&j, case_file("bare.h5"));
    gn2_dataset *data =
        read_all(case_file("bare.h5"), CONFIG(SMALL_INPUTS), &jets, &labels);
    gn2_dataset_info_impl(data, &info);
    assert_int_equal(info.has_labels, 0);
    assert_null(labels_i32(&labels, LABEL_JETS));
    assert_null(labels_i32(&labels, LABEL_ORIGIN));
    assert_non_null(labels_i32(&labels, LABEL_VERTEX));
    gn2_dataset_free_impl(data);
    j.without = "valid";
    FAILS(read_through(&j, CONFIG(SMALL_INPUTS)), GN2_ERR_NOT_FOUND, "'tracks'",
          "'valid'");
    j.without = "d0";
    FAILS(read_through(&j, CONFIG(SMALL_INPUTS)), GN2_ERR_NOT_FOUND, "'tracks'",
          "'d0'");
    case_jets_free(&j);
}

static void files_are_read_one_after_another(void **state)
{
    (void)state;
    gn2_jets jets;
    gn2_labels labels;
    gn2_dataset *data = NULL;
    const char *paths[2];
    for (int i = 0; i < 2; i++) {
        case_jets j = case_jets_make(10 + i, 3 + i);
        for (int64_t k = 0; k < j.rows; k++) j.pt[k] += 100 * i;
        paths[i] = case_file(i ? "two.h5" : "one.h5");
        case_jets_write(&j, paths[i]);
        case_jets_free(&j);
    }
    gn2_config *config =
        CONFIG(SMALL_INPUTS, "data.sampling", "sequential", "data.batch_size", "8");
    MUST(gn2_dataset_open_impl(paths, 2, config, &data));
    int64_t row = 0;
    for (;;) {
        MUST(gn2_dataset_next_impl(data, &jets, &labels));
        if (jets.count == 0) break;
        assert_int_equal(jets.count, row < 16 ? 8 : 5);
        for (int64_t i = 0; i < jets.count; i++, row++)
            assert_true(jets.features[2 * i] ==
                        (float)(row < 10 ? 1000 + row : 1100 + row - 10));
    }
    assert_int_equal(row, 21);
    gn2_dataset_free_impl(data);
    gn2_config_delete(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sample_is_whole),
        cmocka_unit_test(all_filters_give_the_same_jets),
        cmocka_unit_test(an_unknown_filter_is_named),
        cmocka_unit_test(a_virtual_file_without_its_sources_is_refused),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(a_damaged_chunk_is_refused),
        cmocka_unit_test(what_is_missing_is_named),
        cmocka_unit_test(holes_are_closed),
        cmocka_unit_test(sizes_of_fields_do_not_matter),
        cmocka_unit_test(classes_are_matched_by_name),
        cmocka_unit_test(particle_codes_are_translated),
        cmocka_unit_test(labels_out_of_range_are_located),
        cmocka_unit_test(numbers_that_are_not_finite_are_located),
        cmocka_unit_test(defaults_take_the_place_of_nan),
        cmocka_unit_test(labels_may_be_missing),
        cmocka_unit_test(files_are_read_one_after_another),
    };
    return cmocka_run_group_tests(tests, NULL, case_clean);
}
