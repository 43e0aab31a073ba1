/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gn2_jets that is wrong gets one status and one message, whoever is given it: a
 * tagger, a trainer, or a dataset over arrays, and that at once.
 */
#include "../common/labels.h"
#include "scene.h"

enum { COUNT = 10, SLOTS = 8 };

typedef struct fixture {
    gn2_config *config;
    gn2_model *model;
    gn2_tagger *tagger;
    gn2_trainer *trainer;
    sample *jets;
    int32_t flavour[COUNT];
    /* what a case may change */
    input *in;
    gn2_sequence sequence[2];
    gn2_jets call;
} fixture;

static void prepare(fixture *f)
{
    f->in = input_new(f->jets, NULL, COUNT, (layout){0});
    f->sequence[0] = f->sequence[1] = f->in->sequence;
    f->call = f->in->jets;
    f->call.sequences = f->sequence;
}

static void set_up(fixture *f)
{
    static const int64_t tracks[COUNT] = {3, 1, 0, 7, 2, 5, 4, 4, 0, 6};
    f->config = small_config();
    must(gn2_config_set_text(f->config, "model.tasks", "jets_classification"));
    must(gn2_config_set_text(f->config, "schedule.steps", "1000"));
    must(gn2_config_set_text(f->config, "data.batch_size", "5"));
    must(gn2_model_create(f->config, &f->model));
    must(gn2_tagger_create(f->model, f->config, &f->tagger));
    must(gn2_trainer_create(f->model, f->config, &f->trainer));
    f->jets = sample_new(COUNT, tracks, 5);
    for (int i = 0; i < COUNT; i++) f->flavour[i] = i % 4;
}

static void tear_down(fixture *f)
{
    sample_free(f->jets);
    gn2_trainer_free(f->trainer);
    gn2_tagger_free(f->tagger);
    gn2_model_free(f->model);
    gn2_config_free(f->config);
}

/* ---- what is done to right jets ---- */

typedef struct wrong {
    const char *name;
    void (*change)(fixture *f);
    gn2_status status;
    const char *word; /* of the message */
} wrong;

static void nothing(fixture *f)
{
    (void)f;
}

static void padded(fixture *f, int64_t slots)
{
    f->sequence[0].offsets = NULL;
    f->sequence[0].slots = slots;
}

#define CHANGE(name, what)       \
    static void name(fixture *f) \
    {                            \
        what;                    \
    }
CHANGE(narrow_jets, f->call.row_stride = 1)
CHANGE(backward_jets, f->call.row_stride = -2)
CHANGE(far_jets, f->call.row_stride = INT64_MAX / 4)
CHANGE(narrow_tracks, f->sequence[0].row_stride = 3)
CHANGE(backward_tracks, f->sequence[0].row_stride = -TRACK_INPUTS)
CHANGE(far_tracks, f->sequence[0].row_stride = INT64_MAX / 8)
CHANGE(negative_count, f->call.count = -1)
CHANGE(endless_count, f->call.count = INT64_C(1) << 50)
CHANGE(no_features, f->call.features = NULL)
CHANGE(two_types, f->call.sequence_count = 2)
CHANGE(no_type, f->call.sequence_count = 0)
CHANGE(no_sequences, f->call.sequences = NULL)
CHANGE(no_data, f->sequence[0].data = NULL)
CHANGE(late_start, f->in->offset[0] = 1)
CHANGE(falling, f->in->offset[4] = 0)
CHANGE(endless_offset, f->in->offset[COUNT] = INT64_C(1) << 45)
CHANGE(both_valid, f->sequence[0].valid = (const uint8_t *)"")
CHANGE(both_slots, f->sequence[0].slots = SLOTS)
CHANGE(negative_slots, padded(f, -4))
CHANGE(endless_slots, padded(f, INT64_C(1) << 60))
CHANGE(long_jet, padded(f, INT64_C(1) << 33))
CHANGE(short_stride, f->call.sequence_stride = 8)
CHANGE(backward_stride, f->call.sequence_stride = -96)
CHANGE(no_size, f->sequence[0].struct_size = 0)
CHANGE(flags, f->sequence[0].flags = 1)
CHANGE(small_size, f->call.struct_size = 8)
CHANGE(reserved, f->call.reserved[1] = 1)

static const wrong cases[] = {
    {"right", nothing, GN2_OK, ""},
    {"row_stride 1", narrow_jets, GN2_ERR_INVALID_ARG, "jets: row_stride 1 "},
    {"row_stride -2", backward_jets, GN2_ERR_INVALID_ARG, "jets: row_stride -2 "},
    {"row_stride 2^61", far_jets, GN2_ERR_INVALID_ARG, "any memory"},
    {"tracks 3 apart", narrow_tracks, GN2_ERR_INVALID_ARG, "tracks: row_stride 3 "},
    {"tracks backward", backward_tracks, GN2_ERR_INVALID_ARG, "row_stride -19 "},
    {"tracks 2^60 apart", far_tracks, GN2_ERR_INVALID_ARG, "any memory"},
    {"count -1", negative_count, GN2_ERR_INVALID_ARG, "count = -1"},
    {"count 2^50", endless_count, GN2_ERR_INVALID_ARG, "count = 1125899906842624"},
    {"no features", no_features, GN2_ERR_INVALID_ARG, "features is NULL"},
    {"two types", two_types, GN2_ERR_INVALID_ARG, "2 constituent types"},
    {"no type", no_type, GN2_ERR_INVALID_ARG, "0 constituent types"},
    {"no sequences", no_sequences, GN2_ERR_INVALID_ARG, "sequences is NULL"},
    {"no data", no_data, GN2_ERR_INVALID_ARG, "tracks: data is NULL"},
    {"offsets from 1", late_start, GN2_ERR_INVALID_ARG, "offsets[0] = 1"},
    {"offsets fall", falling, GN2_ERR_INVALID_ARG, "offsets[4] = 0 after 4"},
    {"offset 2^45", endless_offset, GN2_ERR_INVALID_ARG,
     "offsets[10] = 35184372088832"},
    {"offsets and valid", both_valid, GN2_ERR_INVALID_ARG, "exclude"},
    {"offsets and slots", both_slots, GN2_ERR_INVALID_ARG, "exclude"},
    {"slots -4", negative_slots, GN2_ERR_INVALID_ARG, "slots = -4"},
    {"2^60 slots", endless_slots, GN2_ERR_INVALID_ARG, "slots = 1152921504606846976"},
    {"2^33 slots", long_jet, GN2_ERR_INVALID_ARG, "slots = 8589934592"},
    {"sequence_stride 8", short_stride, GN2_ERR_INVALID_ARG, "stride = 8"},
    {"sequence_stride -96", backward_stride, GN2_ERR_INVALID_ARG, "stride = -96"},
    {"sequence of no size", no_size, GN2_ERR_ABI, "gn2_sequence.struct_size = 0"},
    {"a flag", flags, GN2_ERR_ABI, "gn2_sequence.flags = 0x1"},
    {"jets of 8 bytes", small_size, GN2_ERR_ABI, "gn2_jets.struct_size = 8"},
    {"a reserved word", reserved, GN2_ERR_ABI, "gn2_jets: byte"},
};

/* ---- who is given them ---- */

static gn2_status tag(fixture *f)
{
    float p[COUNT * 4];
    return gn2_tagger_flavour(f->tagger, &f->call, p, NULL);
}

static gn2_status step(fixture *f)
{
    const gn2_label label[] = {LABEL(LABEL_JETS, f->flavour)};
    const gn2_labels labels = LABELS(label);
    return gn2_trainer_step(f->trainer, &f->call, &labels, NULL);
}

static gn2_status open_dataset(fixture *f)
{
    const gn2_label label[] = {LABEL(LABEL_JETS, f->flavour)};
    const gn2_labels labels = LABELS(label);
    gn2_dataset *dataset;
    const gn2_status status =
        gn2_dataset_from_arrays(&f->call, &labels, f->config, &dataset);
    assert_int_equal(status == GN2_OK, dataset != NULL);
    gn2_dataset_free(dataset);
    return status;
}

static void try_case(fixture *f, const wrong *c)
{
    gn2_status (*const givers[])(fixture *) = {tag, step, open_dataset};
    char first[300] = "";
    for (size_t i = 0; i < 3; i++) {
        prepare(f);
        c->change(f);
        const gn2_status status = givers[i](f);
        input_free(f->in);
        if (status != c->status)
            fail_msg("%s, taker %zu: %s %s", c->name, i, gn2_status_name(status),
                     status ? gn2_last_error() : "");
        if (status == GN2_OK) continue;
        if (!strstr(gn2_last_error(), c->word))
            fail_msg("%s, taker %zu: %s", c->name, i, gn2_last_error());
        if (i == 0) snprintf(first, sizeof first, "%s", gn2_last_error());
        assert_string_equal(first, gn2_last_error());
    }
}

static void test_every_taker_answers_alike(void **state)
{
    (void)state;
    fixture f;
    set_up(&f);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) try_case(&f, &cases[i]);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_taker_answers_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
