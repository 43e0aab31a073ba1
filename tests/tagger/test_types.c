/* SPDX-License-Identifier: Apache-2.0 */
/* Several constituent types, tracks and flows, each in a layout of its own; and tasks
 * that are called as GN2's own but are of another kind. */
#include "scene.h"

#define JETS 30
#define FLOWS 4 /* slots a jet */
#define FLOW_INPUTS 2

typedef struct event {
    sample *tracks;
    float flows[JETS][FLOWS][FLOW_INPUTS];
    uint8_t valid[JETS][FLOWS];
} event;

static gn2_model *two_types(void)
{
    gn2_config *config = small_config();
    must(gn2_config_set_text(config, "model.constituents", "tracks,flows"));
    must(gn2_config_set_text(config, "inputs.flows", "flow_pt,flow_energy"));
    return model_of(config);
}

static void fill(event *e)
{
    uint64_t seed = 91;
    e->tracks = sample_new(JETS, NULL, 92);
    for (int b = 0; b < JETS; b++)
        for (int i = 0; i < FLOWS; i++) {
            e->valid[b][i] = draw(&seed) % 3 != 0;
            for (int k = 0; k < FLOW_INPUTS; k++)
                e->flows[b][i][k] = (float)draw_between(&seed, -2, 2);
        }
}

/* What a call gives, jet by jet. */
typedef struct scores {
    float p[JETS][4], embedding[JETS][FLOWS][16], attention[JETS][FLOWS];
} scores;

/* Jets first … first + count − 1; elements of the sequences lie `gap` bytes apart
 * from each other. */
static void tag(gn2_tagger *tagger, const event *e, int64_t first, int64_t count,
                size_t gap, scores *out)
{
    int64_t offsets[JETS + 1];
    for (int64_t b = 0; b <= count; b++)
        offsets[b] = e->tracks->offset[first + b] - e->tracks->offset[first];
    const gn2_sequence both[2] = {
        {.struct_size = sizeof *both,
         .data = e->tracks->tracks + e->tracks->offset[first] * TRACK_INPUTS,
         .offsets = offsets},
        {.struct_size = sizeof *both,
         .data = e->flows[first][0],
         .valid = e->valid[first],
         .slots = FLOWS},
    };
    char *apart = calloc(2, sizeof *both + gap);
    memcpy(apart, &both[0], sizeof *both);
    memcpy(apart + sizeof *both + gap, &both[1], sizeof *both);
    const gn2_jets jets = {
        .struct_size = sizeof jets,
        .sequence_count = 2,
        .count = count,
        .features = e->tracks->features + first * JET_INPUTS,
        .sequences = (const gn2_sequence *)(const void *)apart,
        .sequence_stride = gap ? (int64_t)(sizeof *both + gap) : 0,
    };
    const gn2_output outputs[3] = {
        output_named(tagger, "jets.probabilities", out->p[first], count),
        output_named(tagger, "flows.embedding", out->embedding[first], count * FLOWS),
        output_named(tagger, "flows.attention", out->attention[first], count * FLOWS),
    };
    must(gn2_tagger_run(tagger, &jets, outputs, 3));
    free(apart);
}

static void test_types_have_their_own_names(void **state)
{
    (void)state;
    gn2_model *model = two_types();
    gn2_tagger *tagger = tagger_with(model, 1);
    int32_t id = 0;
    assert_int_equal(gn2_model_input_count(model, "flows"), FLOW_INPUTS);
    must(gn2_tagger_output(tagger, "tracks.embedding", &id));
    must(gn2_tagger_output(tagger, "tracks.origin", &id));
    must_refuse(GN2_ERR_NOT_FOUND, "flows.attention",
                gn2_tagger_output(tagger, "flows.origin", &id));
    static const char *const names[] = {"flow_energy", "rubbish"};
    must_refuse(GN2_ERR_NOT_FOUND, "flow_pt",
                gn2_tagger_bind(tagger, "flows", names, 2));
    gn2_tagger_free(tagger);
    gn2_model_free(model);
}

static void test_a_jet_of_two_types_alone_and_in_company(void **state)
{
    (void)state;
    static event e;
    static scores together, alone;
    gn2_model *model = two_types();
    gn2_tagger *one = tagger_with(model, 1), *three = tagger_with(model, 3);
    fill(&e);
    tag(one, &e, 0, JETS, 0, &together);
    for (int64_t b = 0; b < JETS; b++) tag(three, &e, b, 1, 0, &alone);
    assert_memory_equal(&together, &alone, sizeof together);
    memset(&alone, 0x5a, sizeof alone);
    tag(three, &e, 0, JETS, 32, &alone);
    assert_memory_equal(&together, &alone, sizeof together);
    /* flows count: without those of jet 7 its score is another, and only its */
    memset(e.valid[7], 0, FLOWS);
    tag(one, &e, 0, JETS, 0, &alone);
    for (int b = 0; b < JETS; b++)
        assert_int_equal(memcmp(together.p[b], alone.p[b], sizeof alone.p[b]) != 0,
                         b == 7);
    sample_free(e.tracks);
    gn2_tagger_free(one);
    gn2_tagger_free(three);
    gn2_model_free(model);
}

/* Short names are GN2's own: another kind of task is called by its name. */
static void test_short_names_go_with_the_kind(void **state)
{
    (void)state;
    static const char *const set[][2] = {
        {"model.tasks", "jets_classification,track_vertexing"},
        {"task.track_vertexing.kind", "classification"},
        {"task.track_vertexing.label", "ftagTruthOriginLabel"},
        {"task.track_vertexing.classes", "pileup,fake,primary"}};
    gn2_config *config = small_config();
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        must(gn2_config_set_text(config, set[i][0], set[i][1]));
    gn2_model *model = model_of(config);
    gn2_tagger *tagger = tagger_with(model, 1);
    int32_t id = 0;
    must(gn2_tagger_output(tagger, "tracks.track_vertexing", &id));
    must(gn2_tagger_output(tagger, "tracks.track_vertexing_logits", &id));
    assert_int_equal(gn2_tagger_output_columns(tagger, id), 3);
    must_refuse(GN2_ERR_NOT_FOUND, "tracks.track_vertexing",
                gn2_tagger_output(tagger, "pairs.logits", &id));
    must_refuse(GN2_ERR_NOT_FOUND, "tracks.track_vertexing",
                gn2_tagger_output(tagger, "tracks.vertex", &id));
    gn2_tagger_free(tagger);
    gn2_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_names_go_with_the_kind),
        cmocka_unit_test(test_types_have_their_own_names),
        cmocka_unit_test(test_a_jet_of_two_types_alone_and_in_company),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
