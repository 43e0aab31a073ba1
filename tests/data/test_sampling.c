/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order of the jets: every jet at most once an epoch, a function of seed and epoch
 * alone, the same from files and arrays, with and without a reading thread.
 */
#include "../common/labels.h"
#include "data_case.h"

#include <stdlib.h>
#include <string.h>

#include "util/alloc.h"

#define JETS 1003
#define BATCH 50

/* Jets as arrays: pt of jet j is j, with j mod 4 tracks that carry j too. */
typedef struct arrays {
    float features[JETS * 2];
    int64_t offsets[JETS + 1];
    float tracks[JETS * 3 * 2];
    int32_t flavour[JETS], origin[JETS * 3], vertex[JETS * 3];
    gn2_sequence sequence;
    gn2_jets jets;
    gn2_labels labels;
    gn2_label label[3];
} arrays;

static arrays *make_arrays(void)
{
    arrays *a = gn2_alloc(1, sizeof *a);
    for (int32_t j = 0; j < JETS; j++) {
        a->features[2 * j] = (float)j;
        a->flavour[j] = j % 4;
        a->offsets[j + 1] = a->offsets[j];
        for (int32_t t = 0; t < j % 4; t++) {
            const int64_t row = a->offsets[j + 1]++;
            a->tracks[2 * row] = (float)j;
            a->tracks[2 * row + 1] = (float)t;
            a->origin[row] = j % 8;
            a->vertex[row] = j;
        }
    }
    a->sequence = (gn2_sequence){
        .struct_size = sizeof a->sequence, .data = a->tracks, .offsets = a->offsets};
    a->jets = (gn2_jets){.struct_size = sizeof a->jets,
                         .sequence_count = 1,
                         .count = JETS,
                         .features = a->features,
                         .sequences = &a->sequence};
    const gn2_label label[] = {LABEL(LABEL_JETS, a->flavour),
                               LABEL(LABEL_ORIGIN, a->origin),
                               LABEL(LABEL_VERTEX, a->vertex)};
    memcpy(a->label, label, sizeof label);
    a->labels = (gn2_labels)LABELS(a->label);
    return a;
}

/* Everything of a jet must come with it. */
static void check_batch(const gn2_jets *jets, const gn2_labels *labels)
{
    const gn2_sequence *s = &jets->sequences[0];
    assert_int_equal(s->offsets[0], 0);
    for (int64_t i = 0; i < jets->count; i++) {
        const int32_t j = (int32_t)jets->features[i * jets->row_stride];
        assert_int_equal(labels_i32(labels, LABEL_JETS)[i], j % 4);
        assert_int_equal(s->offsets[i + 1] - s->offsets[i], j % 4);
        for (int64_t row = s->offsets[i]; row < s->offsets[i + 1]; row++) {
            assert_true(s->data[row * s->row_stride] == (float)j);
            assert_true(s->data[row * s->row_stride + 1] ==
                        (float)(row - s->offsets[i]));
            assert_int_equal(labels_i32(labels, LABEL_ORIGIN)[row], j % 8);
            assert_int_equal(labels_i32(labels, LABEL_VERTEX)[row], j);
        }
    }
}

/* Jet numbers from the present place to the end of the epoch. */
static int64_t read_order(gn2_dataset *data, int32_t *order)
{
    gn2_jets jets;
    gn2_labels labels;
    int64_t count = 0;
    for (;;) {
        MUST(gn2_dataset_next_impl(data, &jets, &labels));
        if (jets.count == 0) return count;
        check_batch(&jets, &labels);
        for (int64_t i = 0; i < jets.count; i++)
            order[count++] = (int32_t)jets.features[i * jets.row_stride];
    }
}

static gn2_config *order_config(const char *sampling, const char *prefetch)
{
    return CONFIG(SMALL_INPUTS, "data.sampling", sampling, "data.prefetch", prefetch,
                  "data.batch_size", "50", "data.block_size", "70", "data.blocks_mixed",
                  "3");
}

static gn2_dataset *open_arrays(const arrays *a, const char *sampling,
                                const char *prefetch)
{
    gn2_config *config = order_config(sampling, prefetch);
    gn2_dataset *data = NULL;
    MUST(gn2_dataset_arrays_impl(&a->jets, &a->labels, config, &data));
    gn2_config_delete(config);
    return data;
}

static const char *const all_modes[] = {"jets", "batches", "sequential"};

static void every_jet_comes_once(void **state)
{
    (void)state;
    arrays *a = make_arrays();
    for (size_t m = 0; m < 3; m++) {
        gn2_dataset *data = open_arrays(a, all_modes[m], "4");
        int32_t order[JETS], seen[JETS] = {0};
        for (int64_t epoch = 0; epoch < 3; epoch++) {
            MUST(gn2_dataset_reset_impl(data, epoch, 0));
            const int64_t count = read_order(data, order);
            assert_int_equal(count, m == 2 ? JETS : JETS / BATCH * BATCH);
            memset(seen, 0, sizeof seen);
            for (int64_t i = 0; i < count; i++) assert_int_equal(seen[order[i]]++, 0);
        }
        gn2_dataset_free_impl(data);
    }
    gn2_free(a);
}

static void batches_are_salts(void **state)
{
    (void)state;
    arrays *a = make_arrays();
    gn2_dataset *data = open_arrays(a, "batches", "2");
    int32_t order[JETS];
    int moved = 0;
    read_order(data, order);
    for (int64_t b = 0; b < JETS / BATCH; b++) {
        assert_int_equal(order[b * BATCH] % BATCH, 0);
        moved += order[b * BATCH] != b * BATCH;
        for (int64_t i = 0; i < BATCH; i++)
            assert_int_equal(order[b * BATCH + i], order[b * BATCH] + i);
    }
    assert_true(moved > 10);
    gn2_dataset_free_impl(data);
    gn2_free(a);
}

/* Blocks of 70, three of them mixed: each 210 jets of the order hold three blocks
 * whole, until the short last block (23 jets) has come and shifted the rest. */
static int64_t check_groups(const int32_t *order, int64_t count)
{
    int64_t groups = 0;
    for (int64_t first = 0; first + 210 <= count; first += 210, groups++) {
        int jets[JETS / 70 + 1] = {0};
        for (int64_t i = 0; i < 210; i++) jets[order[first + i] / 70]++;
        if (jets[JETS / 70] > 0) return groups;
        for (int b = 0; b < JETS / 70; b++) assert_true(jets[b] == 0 || jets[b] == 70);
    }
    return groups;
}

static void jets_are_mixed_among_blocks(void **state)
{
    (void)state;
    arrays *a = make_arrays();
    gn2_dataset *data = open_arrays(a, "jets", "0");
    int32_t order[JETS];
    int64_t groups = 0;
    for (int64_t epoch = 0; epoch < 8; epoch++) {
        MUST(gn2_dataset_reset_impl(data, epoch, 0));
        const int64_t count = read_order(data, order);
        int neighbours = 0;
        for (int64_t i = 1; i < count; i++) neighbours += order[i] == order[i - 1] + 1;
        /* about one pair in 210 by chance, so 5 of 1000 */
        assert_true(neighbours < 25);
        groups += check_groups(order, count);
    }
    assert_true(groups >= 8);
    gn2_dataset_free_impl(data);
    gn2_free(a);
}

static void order_depends_on_seed_and_epoch_alone(void **state)
{
    (void)state;
    arrays *a = make_arrays();
    static const char *const seeds[] = {"1", "1", "2"};
    int32_t order[3][2][JETS];
    memset(order, 0, sizeof order);
    for (size_t s = 0; s < 3; s++) {
        gn2_config *config = order_config("jets", s == 1 ? "0" : "3");
        gn2_dataset *data = NULL;
        MUST(gn2_config_put_text(config, "data.seed", seeds[s]));
        MUST(gn2_dataset_arrays_impl(&a->jets, &a->labels, config, &data));
        for (int64_t e = 0; e < 2; e++) {
            MUST(gn2_dataset_reset_impl(data, s == 1 ? 1 - e : e, 0));
            read_order(data, order[s][s == 1 ? 1 - e : e]);
        }
        gn2_dataset_free_impl(data);
        gn2_config_delete(config);
    }
    assert_memory_equal(order[0], order[1], sizeof order[0]);
    assert_memory_not_equal(order[0][0], order[0][1], sizeof order[0][0]);
    assert_memory_not_equal(order[0][0], order[2][0], sizeof order[0][0]);
    gn2_free(a);
}

static void any_place_can_be_gone_to(void **state)
{
    (void)state;
    arrays *a = make_arrays();
    for (size_t m = 0; m < 3; m++)
        for (int thread = 0; thread < 2; thread++) {
            gn2_dataset *data = open_arrays(a, all_modes[m], thread ? "4" : "0");
            int32_t whole[JETS], rest[JETS];
            MUST(gn2_dataset_reset_impl(data, 5, 0));
            const int64_t count = read_order(data, whole);
            for (int64_t batch = 20; batch >= 0; batch -= 4) {
                MUST(gn2_dataset_reset_impl(data, 2, 3)); /* elsewhere first */
                read_order(data, rest);
                MUST(gn2_dataset_reset_impl(data, 5, batch));
                const int64_t left = read_order(data, rest);
                assert_int_equal(left, count - batch * BATCH);
                assert_memory_equal(rest, whole + batch * BATCH,
                                    (size_t)left * sizeof *rest);
            }
            FAILS(gn2_dataset_reset_impl(data, 5, 22), GN2_ERR_INVALID_ARG, "22");
            gn2_dataset_free_impl(data);
        }
    gn2_free(a);
}

static void padded_arrays_give_the_same(void **state)
{
    (void)state;
    arrays *a = make_arrays();
    enum { SLOTS = 6 };
    const size_t total = (size_t)JETS * SLOTS;
    float *data = gn2_alloc(total * 3, sizeof *data);
    uint8_t *valid = gn2_alloc(total, 1);
    int32_t *origin = gn2_alloc(total, 4), *vertex = gn2_alloc(total, 4);
    for (int64_t j = 0; j < JETS; j++)
        for (int64_t t = 0; t < j % 4; t++) {
            const int64_t row = j * SLOTS + 2 * t; /* holes between */
            data[3 * row] = (float)j;
            data[3 * row + 1] = (float)t;
            valid[row] = 1;
            origin[row] = (int32_t)(j % 8);
            vertex[row] = (int32_t)j;
        }
    gn2_sequence s = {.struct_size = sizeof s,
                      .data = data,
                      .row_stride = 3,
                      .valid = valid,
                      .slots = SLOTS};
    gn2_jets jets = a->jets;
    const gn2_label label[] = {LABEL(LABEL_JETS, a->flavour),
                               LABEL(LABEL_ORIGIN, origin),
                               LABEL(LABEL_VERTEX, vertex)};
    const gn2_labels labels = LABELS(label);
    jets.sequences = &s;
    gn2_config *config = order_config("jets", "4");
    gn2_dataset *padded = NULL, *ragged = open_arrays(a, "jets", "4");
    MUST(gn2_dataset_arrays_impl(&jets, &labels, config, &padded));
    int32_t one[JETS] = {0}, two[JETS] = {0};
    assert_int_equal(read_order(ragged, one), read_order(padded, two));
    assert_memory_equal(one, two, sizeof one);
    gn2_dataset_free_impl(padded);
    gn2_dataset_free_impl(ragged);
    gn2_config_delete(config);
    gn2_free(data);
    gn2_free(valid);
    gn2_free(origin);
    gn2_free(vertex);
    gn2_free(a);
}

static void wrong_arrays_are_refused(void **state)
{
    (void)state;
    arrays *a = make_arrays();
    gn2_dataset *data = NULL;
    gn2_config *config = order_config("sequential", "0");
    gn2_jets jets;
    gn2_labels labels;
    a->offsets[7] = a->offsets[8] + 1;
    FAILS(gn2_dataset_arrays_impl(&a->jets, &a->labels, config, &data),
          GN2_ERR_INVALID_ARG, "offsets[8]", "12 after 13");
    a->offsets[7] = a->offsets[6] + 2;
    a->jets.sequence_count = 2;
    FAILS(gn2_dataset_arrays_impl(&a->jets, &a->labels, config, &data),
          GN2_ERR_INVALID_ARG, "2", "model.constituents");
    a->jets.sequence_count = 1;
    a->flavour[60] = 4;
    MUST(gn2_dataset_arrays_impl(&a->jets, &a->labels, config, &data));
    MUST(gn2_dataset_next_impl(data, &jets, &labels));
    FAILS(gn2_dataset_next_impl(data, &jets, &labels), GN2_ERR_FORMAT,
          "jets_classification", "row 60");
    gn2_dataset_free_impl(data);
    MUST(gn2_config_put_text(config, "data.sampling", "jets"));
    MUST(gn2_config_put_text(config, "data.batch_size", "1004"));
    FAILS(gn2_dataset_arrays_impl(&a->jets, &a->labels, config, &data),
          GN2_ERR_INVALID_ARG, "data.batch_size", "1003");
    gn2_config_delete(config);
    gn2_free(a);
}

static void memory_stays_bounded(void **state)
{
    (void)state;
    arrays *a = make_arrays();
    gn2_dataset *data = open_arrays(a, "jets", "4");
    int32_t order[JETS];
    gn2_dataset_info before, after;
    for (int64_t e = 0; e < 3; e++) {
        MUST(gn2_dataset_reset_impl(data, e, 0));
        read_order(data, order);
    }
    gn2_dataset_info_impl(data, &before);
    for (int64_t e = 0; e < 3; e++) {
        MUST(gn2_dataset_reset_impl(data, e, 0));
        read_order(data, order);
    }
    gn2_dataset_info_impl(data, &after);
    assert_int_equal(before.memory, after.memory);
    /* a pool of 210 and 5 + 1 batches of 50, grown by up to half more */
    const int64_t jet = 8 + 4 + 8 + 3 * (8 + 8);
    assert_true(after.memory > 0 && after.memory < (210 + 6 * 50) * jet * 2 + 4096);
    gn2_dataset_free_impl(data);
    gn2_free(a);
}

/* ---- the same from a file ---- */

static uint64_t mix(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) hash = (hash ^ bytes[i]) * 0x100000001B3u;
    return hash;
}

/* Every bit of an epoch of a dataset. */
static uint64_t epoch_hash(gn2_dataset *data, int64_t epoch)
{
    gn2_jets jets;
    gn2_labels labels;
    uint64_t hash = 0xCBF29CE484222325u;
    MUST(gn2_dataset_reset_impl(data, epoch, 0));
    for (;;) {
        MUST(gn2_dataset_next_impl(data, &jets, &labels));
        if (jets.count == 0) return hash;
        const gn2_sequence *s = &jets.sequences[0];
        const size_t rows = (size_t)s->offsets[jets.count];
        const size_t count = (size_t)jets.count;
        hash = mix(hash, jets.features, count * 2 * sizeof(float));
        hash = mix(hash, labels_i32(&labels, LABEL_JETS), count * sizeof(int32_t));
        hash = mix(hash, s->offsets, (count + 1) * sizeof(int64_t));
        hash = mix(hash, s->data, rows * 19 * sizeof(float));
        hash = mix(hash, labels_i32(&labels, LABEL_ORIGIN), rows * sizeof(int32_t));
        hash = mix(hash, labels_i32(&labels, LABEL_VERTEX), rows * sizeof(int32_t));
    }
}

static void files_give_the_same_bits_with_a_thread(void **state)
{
    (void)state;
    for (size_t m = 0; m < 3; m++) {
        uint64_t hash[2][2];
        for (int thread = 0; thread < 2; thread++) {
            gn2_config *config =
                CONFIG("data.sampling", all_modes[m], "data.batch_size", "70",
                       "data.block_size", "130", "data.prefetch", thread ? "4" : "0");
            gn2_dataset *data = case_open(case_sample("jets_val.h5"), config);
            for (int64_t e = 0; e < 2; e++) hash[thread][e] = epoch_hash(data, e);
            gn2_dataset_free_impl(data);
            gn2_config_delete(config);
        }
        assert_memory_equal(hash[0], hash[1], sizeof hash[0]);
        assert_int_equal(hash[0][0] == hash[0][1], m == 2);
    }
}

/* Freed and reset while the thread is at work, at every moment. */
static void a_working_thread_can_be_stopped(void **state)
{
    (void)state;
    arrays *a = make_arrays();
    gn2_jets jets;
    for (int i = 0; i < 200; i++) {
        gn2_dataset *data = open_arrays(a, "jets", i % 2 ? "1" : "7");
        for (int k = 0; k < i % 5; k++) MUST(gn2_dataset_next_impl(data, &jets, NULL));
        if (i % 3 == 0) MUST(gn2_dataset_reset_impl(data, i, i % 20));
        if (i % 7 == 0) MUST(gn2_dataset_next_impl(data, &jets, NULL));
        gn2_dataset_free_impl(data);
    }
    gn2_free(a);
}

/* Who asks for no labels gets all jets; who asks again gets the failure again. */
static void labels_are_looked_at_when_asked_for(void **state)
{
    (void)state;
    static const char *const ahead[] = {"0", "2"};
    gn2_jets jets;
    gn2_labels labels;
    case_jets j = case_jets_make(20, 3);
    j.flavour[9] = 7;
    j.origin[15 * 3 + 2] = 99;
    case_jets_write(&j, case_file("strange.h5"));
    for (int i = 0; i < 2; i++) {
        gn2_config *config = CONFIG(SMALL_INPUTS, "data.sampling", "sequential",
                                    "data.prefetch", ahead[i]);
        gn2_dataset *data = case_open(case_file("strange.h5"), config);
        for (int64_t row = 0; row < 8; row += jets.count)
            MUST(gn2_dataset_next_impl(data, &jets, &labels));
        for (int k = 0; k < 3; k++)
            FAILS(gn2_dataset_next_impl(data, &jets, &labels), GN2_ERR_FORMAT,
                  "strange.h5", "row 9", "label 7", "3=taujets");
        MUST(gn2_dataset_next_impl(data, &jets, NULL));
        assert_true(jets.features[0] == 1008.0f);
        FAILS(gn2_dataset_next_impl(data, &jets, &labels), GN2_ERR_FORMAT, "row 15",
              "slot 2", "label 99", "-2 to 7");
        for (int64_t row = 12; row < 20; row += jets.count)
            MUST(gn2_dataset_next_impl(data, &jets, NULL));
        FAILS(gn2_dataset_setup_impl(data, config), GN2_ERR_FORMAT, "row 9");
        gn2_dataset_free_impl(data);
        gn2_config_delete(config);
    }
    case_jets_free(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_jet_comes_once),
        cmocka_unit_test(batches_are_salts),
        cmocka_unit_test(jets_are_mixed_among_blocks),
        cmocka_unit_test(order_depends_on_seed_and_epoch_alone),
        cmocka_unit_test(any_place_can_be_gone_to),
        cmocka_unit_test(padded_arrays_give_the_same),
        cmocka_unit_test(wrong_arrays_are_refused),
        cmocka_unit_test(memory_stays_bounded),
        cmocka_unit_test(files_give_the_same_bits_with_a_thread),
        cmocka_unit_test(a_working_thread_can_be_stopped),
        cmocka_unit_test(labels_are_looked_at_when_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
