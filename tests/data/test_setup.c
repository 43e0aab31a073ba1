/* SPDX-License-Identifier: Apache-2.0 */
/* Normalisation and class weights: computed as UPP does, or read from salt's dicts. */
#include "data_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "util/alloc.h"

#define SKIP_WITHOUT_SHARED()                               \
    do {                                                    \
        if (case_has_shared()) break;                       \
        print_message("skipped: GN2_SHARED has no data\n"); \
        skip();                                             \
    } while (0)

static gn2_status set_up(const char *path, gn2_config *config)
{
    gn2_dataset *data = NULL;
    GN2_TRY(gn2_dataset_open_impl(&path, 1, config, &data));
    const gn2_status status = gn2_dataset_setup_impl(data, config);
    gn2_dataset_free_impl(data);
    return status;
}

/* Largest |a − b| / |b| over a list key. */
static double difference(const gn2_config *a, const gn2_config *b, const char *key)
{
    const size_t count = gn2_config_list_count(b, key);
    double most = 0;
    assert_true(count > 0);
    assert_int_equal(gn2_config_list_count(a, key), count);
    for (size_t i = 0; i < count; i++) {
        const double x = gn2_config_f64_item(a, key, i);
        const double y = gn2_config_f64_item(b, key, i);
        const double off = fabs(x - y) / fabs(y);
        if (off > most) most = off;
    }
    return most;
}

/* What is computed must be what numpy computed when the dicts were made: sums of
 * n ≤ 2e6 doubles in another order differ by at most n · 2^−53 of the sum of
 * absolute values; a mean near 0 of values of size σ is uncertain by n · 2^−53 · σ.
 * In practice far less: pairwise and blocked sums gain a factor of 1e4. */
static void compare(const char *train, const char *norm, const char *classes)
{
    gn2_config *computed = CONFIG("data.prefetch", "2");
    gn2_config *read = CONFIG("data.norm_dict", norm, "data.class_dict", classes);
    MUST(set_up(train, computed));
    MUST(set_up(train, read));
    assert_true(difference(computed, read, "norm.jets.std") < 1e-12);
    assert_true(difference(computed, read, "norm.tracks.std") < 1e-12);
    static const char *const objects[] = {"jets", "tracks"};
    for (size_t o = 0; o < 2; o++) {
        char mean[128], std[128];
        gn2_config_key_of(mean, "norm.%s.mean", objects[o]);
        gn2_config_key_of(std, "norm.%s.std", objects[o]);
        for (size_t i = 0; i < gn2_config_list_count(read, mean); i++) {
            const double off = gn2_config_f64_item(computed, mean, i) -
                               gn2_config_f64_item(read, mean, i);
            assert_true(fabs(off) <
                        1e-13 * gn2_config_f64_item(read, std, i) +
                            1e-12 * fabs(gn2_config_f64_item(read, mean, i)));
        }
    }
    /* two decimals, so equal */
    assert_true(difference(computed, read, "task.jets_classification.class_weights") ==
                0);
    assert_true(difference(computed, read, "task.track_origin.class_weights") == 0);
    assert_int_equal(gn2_config_list_count(read, "task.track_origin.class_weights"), 8);
    gn2_config_delete(computed);
    gn2_config_delete(read);
}

static void the_samples_dicts_are_reproduced(void **state)
{
    (void)state;
    compare(case_sample("jets_train.h5"), case_sample("norm_dict.yaml"),
            case_sample("class_dict.yaml"));
}

static void the_dicts_of_200000_jets_are_reproduced(void **state)
{
    (void)state;
    SKIP_WITHOUT_SHARED();
    compare(case_shared("data/jets_train.h5"), case_shared("data/norm_dict.yaml"),
            case_shared("data/class_dict.yaml"));
}

static void setup_names_where_the_data_comes_from(void **state)
{
    (void)state;
    gn2_config *config = CONFIG("data.max_jets", "1200");
    MUST(set_up(case_sample("jets_val.h5"), config));
    const char *text = gn2_config_str(config, "provenance.data");
    assert_ptr_equal(strstr(text, "jets_val.h5 (1200 jets, "), text);
    assert_string_equal(gn2_config_str(config, "provenance.jets"), "1200");
    gn2_config_delete(config);
}

static void setup_leaves_the_place_in_the_epoch(void **state)
{
    (void)state;
    gn2_config *config = CONFIG("data.batch_size", "100");
    gn2_dataset *one = case_open(case_sample("jets_val.h5"), config);
    gn2_dataset *two = case_open(case_sample("jets_val.h5"), config);
    gn2_jets a, b;
    for (int i = 0; i < 4; i++) {
        MUST(gn2_dataset_next_impl(one, &a, NULL));
        MUST(gn2_dataset_next_impl(two, &b, NULL));
        assert_memory_equal(a.features, b.features, 200 * sizeof(float));
        if (i == 1) MUST(gn2_dataset_setup_impl(two, config));
    }
    gn2_dataset_free_impl(one);
    gn2_dataset_free_impl(two);
    gn2_config_delete(config);
}

/* Four jets a class, tracks of all origins but where a test takes some away. */
static case_jets small_jets(void)
{
    case_jets j = case_jets_make(64, 8);
    for (int64_t i = 0; i < 64; i++) j.flavour[i] = i % 4;
    for (int64_t i = 0; i < 64 * 8; i++) j.origin[i] = i % 8;
    for (int64_t i = 0; i < 64 * 8; i++) j.valid[i] = 1;
    return j;
}

static gn2_status set_up_small(const case_jets *j, gn2_config *config)
{
    case_jets_write(j, case_file("small.h5"));
    return set_up(case_file("small.h5"), config);
}

static void nan_does_not_count(void **state)
{
    (void)state;
    case_jets j = small_jets();
    gn2_config *config = CONFIG(SMALL_INPUTS);
    double sum = 0, squares = 0, n = 0;
    for (int64_t i = 0; i < 64 * 8; i++) {
        if (i % 5 == 0) j.d0[i] = NAN;
        if (i % 7 == 0) j.valid[i] = 0;
        if (i % 5 == 0 || i % 7 == 0) continue;
        n++;
        sum += (double)(float)j.d0[i];
        squares += (double)(float)j.d0[i] * (double)(float)j.d0[i];
    }
    MUST(set_up_small(&j, config));
    const double mean = sum / n, std = sqrt(squares / n - mean * mean);
    assert_true(fabs(gn2_config_f64_item(config, "norm.tracks.mean", 0) - mean) <
                1e-11);
    assert_true(fabs(gn2_config_f64_item(config, "norm.tracks.std", 0) - std) < 1e-11);
    gn2_config_delete(config);
    case_jets_free(&j);
}

static void what_has_no_weight_is_named(void **state)
{
    (void)state;
    case_jets j = small_jets();
    gn2_config *config = CONFIG(SMALL_INPUTS);
    for (int64_t i = 0; i < 64; i++) j.flavour[i] = i % 3;
    FAILS(set_up_small(&j, config), GN2_ERR_NOT_FOUND, "'taujets'", "model.classes");
    assert_int_equal(gn2_config_list_count(config, "norm.jets.mean"),
                     0); /* unchanged */
    for (int64_t i = 0; i < 64; i++) j.flavour[i] = i % 4;
    for (int64_t i = 0; i < 64 * 8; i++) j.origin[i] = i % 6;
    FAILS(set_up_small(&j, config), GN2_ERR_NOT_FOUND, "'FromTau'");
    MUST(gn2_config_put_text(config, "data.class_weights", "no"));
    MUST(set_up_small(&j, config));
    assert_int_equal(gn2_config_list_count(config, "task.track_origin.class_weights"),
                     0);
    MUST(gn2_config_put_text(config, "data.class_weights", "yes"));
    j.without = "ftagTruthOriginLabel";
    FAILS(set_up_small(&j, config), GN2_ERR_NOT_FOUND, "'ftagTruthOriginLabel'",
          "data.class_weights");
    gn2_config_delete(config);
    case_jets_free(&j);
}

static void a_variable_that_does_not_vary_is_named(void **state)
{
    (void)state;
    case_jets j = small_jets();
    gn2_config *config = CONFIG(SMALL_INPUTS);
    for (int64_t i = 0; i < 64 * 8; i++) j.d0[i] = 3;
    FAILS(set_up_small(&j, config), GN2_ERR_NUMERIC, "'d0'", "tracks");
    gn2_config_delete(config);
    case_jets_free(&j);
}

static void weights_follow_the_files_order(void **state)
{
    (void)state;
    static const char *const names[] = {"taujets", "ujets", "bjets", "cjets"};
    static const double want[] = {3, 4, 2, 1}; /* b, c, u, tau of 1, 2, 3, 4 */
    case_jets j = small_jets();
    j.flavours = names;
    j.flavour_count = 4;
    const char *dict = case_file("class_dict.yaml");
    case_write_text(dict, "jets: {flavour_label: [1, 2, 3, 4]}\n"
                          "tracks: {ftagTruthOriginLabel: [1, 2, 3, 4, 5, 6, 7, 8]}\n");
    gn2_config *config = CONFIG(SMALL_INPUTS, "data.class_dict", dict);
    MUST(set_up_small(&j, config));
    for (size_t i = 0; i < 4; i++)
        assert_true(gn2_config_f64_item(config,
                                        "task.jets_classification.class_weights",
                                        i) == want[i]);
    MUST(gn2_config_put_text(config, "task.jets_classification.class_weights", ""));
    case_write_text(dict, "jets: {flavour_label: [1, 2, 3]}\n");
    FAILS(set_up_small(&j, config), GN2_ERR_FORMAT, "class_dict.yaml", "line 1", "3",
          "4 classes");
    case_write_text(dict, "jets:\n  other: [1, 2, 3]\n");
    FAILS(set_up_small(&j, config), GN2_ERR_NOT_FOUND, "class_dict.yaml",
          "flavour_label");
    gn2_config_delete(config);
    case_jets_free(&j);
}

static double weight_of(const gn2_config *config, size_t i)
{
    return gn2_config_f64_item(config, "task.jets_classification.class_weights", i);
}

/* With the data, and with dicts: what was set is kept and named, the rest is found. */
static void what_is_given_is_kept(void **state)
{
    (void)state;
    case_jets j = small_jets();
    const char *norm = case_file("given.yaml");
    case_write_text(norm, "jets:\n  pt_btagJes: {mean: 1, std: 2}\n"
                          "  eta_btagJes: {mean: 3, std: 4}\n"
                          "tracks:\n  d0: {mean: 5, std: 6}\n"
                          "  z0SinTheta: {mean: 7, std: 8}\n");
    gn2_config *plain = CONFIG(SMALL_INPUTS);
    MUST(set_up_small(&j, plain));
    assert_string_equal(gn2_config_str(plain, "provenance.given"), "");
    for (int dicts = 0; dicts < 2; dicts++) {
        gn2_config *config = CONFIG(SMALL_INPUTS, "norm.jets.mean", "7,8",
                                    "task.jets_classification.class_weights", "1,5,1,1",
                                    "data.norm_dict", dicts ? norm : "");
        MUST(set_up_small(&j, config));
        assert_true(gn2_config_f64_item(config, "norm.jets.mean", 1) == 8);
        assert_true(weight_of(config, 1) == 5);
        assert_string_equal(gn2_config_str(config, "provenance.given"),
                            "norm.jets.mean,task.jets_classification.class_weights");
        const double std = gn2_config_f64_item(config, "norm.jets.std", 0);
        assert_true(std ==
                    (dicts ? 2 : gn2_config_f64_item(plain, "norm.jets.std", 0)));
        assert_int_equal(
            gn2_config_list_count(config, "task.track_origin.class_weights"), 8);
        gn2_config_delete(config);
    }
    gn2_config_delete(plain);
    case_jets_free(&j);
}

static void what_is_given_must_fit(void **state)
{
    (void)state;
    case_jets j = small_jets();
    gn2_config *config = CONFIG(SMALL_INPUTS, "norm.jets.mean", "7");
    FAILS(set_up_small(&j, config), GN2_ERR_INVALID_ARG, "norm.jets.mean", "1 values");
    gn2_config_delete(config);
    config = CONFIG(SMALL_INPUTS);
    case_jets_write(&j, case_file("small.h5"));
    gn2_dataset *data = case_open(case_file("small.h5"), config);
    MUST(gn2_config_put_text(config, "model.classes", "taujets,ujets,cjets,bjets"));
    FAILS(gn2_dataset_setup_impl(data, config), GN2_ERR_INVALID_ARG, "model.classes");
    gn2_dataset_free_impl(data);
    gn2_config_delete(config);
    case_jets_free(&j);
}

static void norm_dicts_with_gaps_are_refused(void **state)
{
    (void)state;
    case_jets j = small_jets();
    const char *dict = case_file("norm_dict.yaml");
    gn2_config *config =
        CONFIG(SMALL_INPUTS, "data.norm_dict", dict, "data.class_weights", "no");
    FAILS(set_up_small(&j, config), GN2_ERR_NOT_FOUND, "norm_dict.yaml");
    case_write_text(dict, "jets:\n  pt: {mean: 1, std: 2}\n"
                          "  eta_btagJes: {mean: 0, std: 1}\n");
    FAILS(set_up_small(&j, config), GN2_ERR_NOT_FOUND, "norm_dict.yaml", "'tracks'");
    case_write_text(dict, "jets:\n  pt: {mean: 1, std: 2}\n");
    FAILS(set_up_small(&j, config), GN2_ERR_NOT_FOUND, "'eta_btagJes'");
    case_write_text(dict, "jets:\n  pt: {mean: 1, std: 2}\n"
                          "  eta_btagJes:\n    mean: 0\n    std: 0\n");
    FAILS(set_up_small(&j, config), GN2_ERR_FORMAT, "line 3", "'eta_btagJes'");
    case_write_text(dict, "jets:\n  pt: {mean: 1}\n");
    FAILS(set_up_small(&j, config), GN2_ERR_FORMAT, "line 2", "'std'");
    case_write_text(dict, "jets:\n  pt: {mean: x, std: 1}\n");
    FAILS(set_up_small(&j, config), GN2_ERR_FORMAT, "line 2", "'x'");
    gn2_config_delete(config);
    case_jets_free(&j);
}

static void other_inputs_than_opened_are_refused(void **state)
{
    (void)state;
    gn2_config *config = CONFIG("data.prefetch", "0");
    gn2_dataset *data = case_open(case_sample("jets_val.h5"), config);
    MUST(gn2_config_put_text(config, "inputs.tracks", "d0"));
    FAILS(gn2_dataset_setup_impl(data, config), GN2_ERR_INVALID_ARG, "inputs.tracks");
    gn2_dataset_free_impl(data);
    gn2_config_delete(config);
}

/* Once: the next one reads again. */
static void a_setup_stops_when_asked(void **state)
{
    (void)state;
    gn2_config *config = CONFIG("data.prefetch", "0");
    gn2_dataset *data = case_open(case_sample("jets_val.h5"), config);
    gn2_dataset_request_stop_impl(data);
    FAILS(gn2_dataset_setup_impl(data, config), GN2_ERR_CANCELLED, "after 0 of");
    assert_int_equal(0, gn2_config_list_count(config, "norm.jets.mean"));
    MUST(gn2_dataset_setup_impl(data, config));
    gn2_dataset_free_impl(data);
    gn2_config_delete(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_samples_dicts_are_reproduced),
        cmocka_unit_test(the_dicts_of_200000_jets_are_reproduced),
        cmocka_unit_test(setup_names_where_the_data_comes_from),
        cmocka_unit_test(setup_leaves_the_place_in_the_epoch),
        cmocka_unit_test(nan_does_not_count),
        cmocka_unit_test(what_has_no_weight_is_named),
        cmocka_unit_test(a_variable_that_does_not_vary_is_named),
        cmocka_unit_test(weights_follow_the_files_order),
        cmocka_unit_test(what_is_given_is_kept),
        cmocka_unit_test(what_is_given_must_fit),
        cmocka_unit_test(norm_dicts_with_gaps_are_refused),
        cmocka_unit_test(other_inputs_than_opened_are_refused),
        cmocka_unit_test(a_setup_stops_when_asked),
    };
    return cmocka_run_group_tests(tests, NULL, case_clean);
}
