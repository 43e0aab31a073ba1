/* SPDX-License-Identifier: Apache-2.0 */
/* Several threads unpack what is read: nothing of what is found depends on them. */
#include "data_case.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const threads[] = {"1", "2", "3", "8"};
#define COUNTS (sizeof threads / sizeof threads[0])
static const char *const modes[] = {"sequential", "batches", "jets"};

/* ---- what is found ---- */

typedef struct finding {
    uint64_t digest; /* of all words of all batches */
    int64_t jets;
    gn2_status status; /* that it ended with */
    char text[GN2_ERROR_SIZE];
} finding;

/* Words of 4 bytes. */
static void add(finding *f, const void *data, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        uint32_t word;
        memcpy(&word, (const char *)data + i * 4, sizeof word);
        f->digest = (f->digest ^ word) * UINT64_C(1099511628211);
    }
}

static void add_batch(finding *f, const gn2_jets *jets, const gn2_labels *labels)
{
    add(f, jets->features, jets->count * jets->row_stride);
    for (uint32_t p = 0; p < jets->sequence_count; p++) {
        const gn2_sequence *s = &jets->sequences[p];
        add(f, s->offsets, (jets->count + 1) * 2);
        add(f, s->data, s->offsets[jets->count] * s->row_stride);
    }
    for (uint32_t k = 0; k < labels->label_count; k++) {
        const gn2_label *label = &labels->labels[k];
        const int of_jets = strncmp(label->name, "jets_", 5) == 0;
        const int64_t rows =
            of_jets ? jets->count : jets->sequences[0].offsets[jets->count];
        add(f, label->data, rows * label->columns);
    }
    f->jets += jets->count;
}

/* Two epochs of files, or as much of them as there is. */
static finding read_files(const char *const *paths, size_t count, gn2_config *config)
{
    finding f = {.digest = UINT64_C(14695981039346656037)};
    gn2_dataset *data = NULL;
    gn2_jets jets;
    gn2_labels labels;
    f.status = gn2_dataset_open_impl(paths, count, config, &data);
    for (int64_t epoch = 0; epoch < 2 && f.status == GN2_OK; epoch++) {
        MUST(gn2_dataset_reset_impl(data, epoch, 0));
        do {
            f.status = gn2_dataset_next_impl(data, &jets, &labels);
            if (f.status == GN2_OK) add_batch(&f, &jets, &labels);
        } while (f.status == GN2_OK && jets.count > 0);
    }
    if (f.status != GN2_OK) snprintf(f.text, sizeof f.text, "%s", gn2_error_text());
    gn2_dataset_free_impl(data);
    return f;
}

static void same(const finding *a, const finding *b)
{
    assert_int_equal(a->status, b->status);
    assert_string_equal(a->text, b->text);
    assert_int_equal(a->jets, b->jets);
    assert_true(a->digest == b->digest);
}

/* The same for all numbers of threads; gives it. `config` is freed. */
static finding read_by_all(const char *const *paths, size_t count, gn2_config *config)
{
    finding first = {0};
    for (size_t t = 0; t < COUNTS; t++)
        for (int ahead = 0; ahead < 4; ahead += 3) {
            MUST(gn2_config_put_i64(config, "data.prefetch", ahead));
            MUST(gn2_config_put_text(config, "data.read_threads", threads[t]));
            const finding f = read_files(paths, count, config);
            if (t + (size_t)ahead == 0) first = f;
            same(&first, &f);
        }
    gn2_config_delete(config);
    return first;
}

/* Batches that end inside chunks and shares. */
static gn2_config *mixed(const char *mode)
{
    return CONFIG("data.batch_size", "130", "data.block_size", "470",
                  "data.blocks_mixed", "3", "data.sampling", mode);
}

static void the_sample_is_the_same(void **state)
{
    (void)state;
    const char *const paths[] = {case_sample("jets_val.h5"),
                                 case_sample("jets_test.h5")};
    for (size_t m = 0; m < 3; m++) {
        const finding f = read_by_all(paths, 2, mixed(modes[m]));
        assert_int_equal(f.status, GN2_OK);
        assert_true(f.jets > 2500);
    }
}

static void selected_jets_are_the_same(void **state)
{
    (void)state;
    const char *const paths[] = {case_sample("jets_val.h5"),
                                 case_sample("jets_test.h5")};
    for (size_t m = 0; m < 3; m++) {
        gn2_config *config = mixed(modes[m]);
        MUST(gn2_config_put_text(config, "data.selection",
                                 "pt_btagJes > 40000 and abs(eta_btagJes) < 1.3"));
        const finding f = read_by_all(paths, 2, config);
        assert_int_equal(f.status, GN2_OK);
        assert_true(f.jets > 500 && f.jets < 6000);
    }
}

static void all_filters_are_the_same(void **state)
{
    (void)state;
    static const char *const names[] = {"none", "lzf", "lzf_shuffle", "lz4", "vds"};
    if (!case_has_shared()) {
        print_message("skipped: GN2_SHARED has no data\n");
        skip();
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "data/filters/jets_%s.h5", names[i]);
        const char *path = case_shared(name);
        const finding f = read_by_all(&path, 1, mixed("jets"));
        assert_int_equal(f.status, GN2_OK);
        assert_true(f.jets > 0);
    }
}

/* Narrow and wide records, whole and with most of their fields left out, numbers that
 * HDF5 converts. */
static void all_records_are_the_same(void **state)
{
    (void)state;
    for (int wide = 0; wide < 2; wide++)
        for (int32_t size = 2; size <= 8; size *= 2) {
            const char *path = case_file("records.h5");
            case_jets j = case_jets_make(700, 9);
            j.padding_columns = wide ? 7 : 0;
            j.real_size = size;
            case_jets_write(&j, path);
            gn2_config *config = CONFIG(SMALL_INPUTS, "data.batch_size", "150",
                                        "data.block_size", "200");
            const finding f = read_by_all(&path, 1, config);
            assert_int_equal(f.status, GN2_OK);
            assert_int_equal(f.jets, 2 * 600);
            case_jets_free(&j);
        }
}

/* ---- what is wrong ---- */

static void copy_damaged(const char *to, const long *places, size_t count)
{
    FILE *in = fopen(case_sample("jets_train.h5"), "rb"), *out = fopen(to, "wb");
    assert_non_null(in);
    assert_non_null(out);
    for (int c = getc(in); c != EOF; c = getc(in)) putc(c, out);
    fclose(in);
    for (size_t i = 0; i < count; i++) {
        fseek(out, places[i], SEEK_SET);
        for (int k = 0; k < 64; k++) putc(0xFF, out);
    }
    fclose(out);
}

/* Of several damaged chunks the first is named. */
static void the_first_damaged_chunk_is_named(void **state)
{
    (void)state;
    static const long places[] = {700000, 1100000, 1500000, 1900000, 2300000};
    const char *path = case_file("bad.h5");
    for (size_t m = 0; m < 3; m++)
        for (size_t count = 1; count <= 5; count += 4) {
            copy_damaged(path, places, count);
            gn2_config *config =
                CONFIG("data.batch_size", "1000", "data.sampling", modes[m]);
            const finding f = read_by_all(&path, 1, config);
            assert_int_equal(f.status, GN2_ERR_FORMAT);
            assert_non_null(strstr(f.text, "bad.h5"));
            assert_non_null(strstr(f.text, "'tracks'"));
            assert_non_null(strstr(f.text, "it does not unpack to its size"));
        }
}

/* Rows of different shares, the later ones found wrong sooner. */
static void the_first_wrong_value_is_named(void **state)
{
    (void)state;
    const char *path = case_file("values.h5");
    for (int what = 0; what < 3; what++) {
        case_jets j = case_jets_make(2000, 4);
        for (int64_t row = 1303; row < 2000; row += 5) {
            const int64_t slot = row * 4 + (row % 5 ? row % 5 - 1 : 0);
            if (what == 0) j.pt[row] = (double)NAN;
            if (what == 1) j.flavour[row] = 9;
            if (what == 2 && j.valid[slot]) j.origin[slot] = 77;
        }
        case_jets_write(&j, path);
        gn2_config *config = CONFIG(SMALL_INPUTS, "data.batch_size", "2000",
                                    "data.sampling", "sequential");
        const finding f = read_by_all(&path, 1, config);
        assert_int_equal(f.status, what == 0 ? GN2_ERR_NUMERIC : GN2_ERR_FORMAT);
        assert_non_null(strstr(f.text, "row 1303"));
        case_jets_free(&j);
    }
}

static gn2_config *in_one_batch(void)
{
    return CONFIG(SMALL_INPUTS, "data.batch_size", "12000", "data.sampling",
                  "sequential", "data.prefetch", "0");
}

/* Writes jets and damages them in one of many places; gives the row that is told. */
static long long write_damaged(const case_jets *j, const char *path, long place)
{
    long long row = -1;
    case_jets_write(j, path);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    fseek(file, ftell(file) / 40 * place, SEEK_SET);
    for (int k = 0; k < 64; k++) putc(0xFF, file);
    fclose(file);
    gn2_config *config = in_one_batch();
    const finding f = read_files(&path, 1, config);
    const char *told = strstr(f.text, "the chunk of row ");
    if (told && strstr(f.text, "'tracks'")) sscanf(told, "the chunk of row %lld", &row);
    gn2_config_delete(config);
    return row;
}

/* Also where one thread would have read less at once, and not come to the damage. */
static void a_wrong_value_before_damage_is_named(void **state)
{
    (void)state;
    const char *path = case_file("both.h5");
    case_jets j = case_jets_make(12000, 9);
    long place = 39;
    j.padding_columns = 6; /* as many as are read whole: 7,168 rows at once */
    memset(j.valid, 1, 12000 * 9);
    while (place > 0 && write_damaged(&j, path, place) < 7200) place--;
    assert_true(place > 0);
    j.d0[4000 * 9 + 3] = (double)NAN;
    assert_int_equal(write_damaged(&j, path, place), -1);
    const finding f = read_by_all(&path, 1, in_one_batch());
    assert_int_equal(f.status, GN2_ERR_NUMERIC);
    assert_non_null(strstr(f.text, "row 4000, slot 3"));
    case_jets_free(&j);
}

static void arrays_have_none(void **state)
{
    (void)state;
    const float features[2] = {1, 2};
    const int64_t offsets[2] = {0, 0};
    gn2_sequence none = {.struct_size = sizeof none, .offsets = offsets};
    const gn2_jets jets = {.struct_size = sizeof jets,
                           .count = 1,
                           .features = features,
                           .sequence_count = 1,
                           .sequences = &none};
    gn2_config *config = CONFIG("data.batch_size", "1", "data.read_threads", "2");
    gn2_dataset *data = NULL;
    FAILS(gn2_dataset_arrays_impl(&jets, NULL, config, &data), GN2_ERR_INVALID_ARG,
          "data.read_threads = 2 has no effect");
    MUST(gn2_config_put_text(config, "data.read_threads", "1"));
    MUST(gn2_dataset_arrays_impl(&jets, NULL, config, &data));
    MUST(gn2_dataset_serve_impl(data, 64)); /* goes by */
    gn2_dataset_free_impl(data);
    gn2_config_delete(config);
}

/* ---- the threads ---- */

/* Of this process; 0 where that is not told. */
static int count_threads(void)
{
    DIR *folder = opendir("/proc/self/task");
    int count = 0;
    if (!folder) return 0;
    for (struct dirent *e = readdir(folder); e; e = readdir(folder))
        count += e->d_name[0] != '.';
    closedir(folder);
    return count;
}

/* A thread that was joined may be listed a moment longer. */
static void expect_threads(int wanted)
{
    for (int i = 0; i < 1000 && count_threads() != wanted; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_int_equal(count_threads(), wanted);
}

static void there_are_as_many_as_asked_for_and_none_is_left(void **state)
{
    (void)state;
    const int before = count_threads();
    if (before == 0) {
        print_message("skipped: no /proc\n");
        skip();
    }
    for (int count = 1; count <= 4; count += 3)
        for (int ahead = 0; ahead < 2; ahead++) {
            gn2_jets jets;
            gn2_config *config = mixed("jets");
            MUST(gn2_config_put_i64(config, "data.read_threads", count));
            MUST(gn2_config_put_i64(config, "data.prefetch", ahead));
            gn2_dataset *data = case_open(case_sample("jets_val.h5"), config);
            MUST(gn2_dataset_next_impl(data, &jets, NULL));
            expect_threads(before + count - 1 + ahead);
            gn2_dataset_free_impl(data);
            expect_threads(before);
            gn2_config_delete(config);
        }
}

/* One for every 8 of who takes the batches, in the middle of an epoch too. */
static void a_trainer_says_how_many_it_has(void **state)
{
    (void)state;
    static const int32_t takers[] = {1, 17, 15, 64, 8};
    const int before = count_threads();
    finding plain = {0}, served = {0};
    for (int serve = 0; serve < 2; serve++) {
        finding *f = serve ? &served : &plain;
        gn2_config *config = mixed("jets");
        gn2_jets jets;
        gn2_labels labels;
        gn2_dataset *data = case_open(case_sample("jets_val.h5"), config);
        for (size_t i = 0; i < 5; i++) {
            MUST(gn2_dataset_next_impl(data, &jets, &labels));
            add_batch(f, &jets, &labels);
            if (!serve) continue;
            MUST(gn2_dataset_serve_impl(data, takers[i]));
            MUST(gn2_dataset_next_impl(data, &jets, &labels));
            MUST(gn2_dataset_reset_impl(data, 0, (int64_t)i + 1));
            MUST(gn2_dataset_next_impl(data, &jets, &labels));
            MUST(gn2_dataset_reset_impl(data, 0, (int64_t)i + 1));
            if (before)
                expect_threads(before + (takers[i] < 16 ? 1 : takers[i] / 8) - 1);
        }
        gn2_dataset_free_impl(data);
        gn2_config_delete(config);
    }
    same(&plain, &served);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sample_is_the_same),
        cmocka_unit_test(selected_jets_are_the_same),
        cmocka_unit_test(all_filters_are_the_same),
        cmocka_unit_test(all_records_are_the_same),
        cmocka_unit_test(the_first_damaged_chunk_is_named),
        cmocka_unit_test(the_first_wrong_value_is_named),
        cmocka_unit_test(a_wrong_value_before_damage_is_named),
        cmocka_unit_test(arrays_have_none),
        cmocka_unit_test(there_are_as_many_as_asked_for_and_none_is_left),
        cmocka_unit_test(a_trainer_says_how_many_it_has),
    };
    return cmocka_run_group_tests(tests, NULL, case_clean);
}
