/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include <math.h>

const char *const output_names[OUTPUTS] = {
    "jets.probabilities", "jets.logits",      "jets.D_b",      "jets.D_c",
    "jets.D_tau",         "jets.embedding",   "tracks.origin", "tracks.origin_logits",
    "tracks.embedding",   "tracks.attention", "tracks.vertex", "pairs.logits",
};

/* splitmix64 */
uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

double draw_between(uint64_t *state, double from, double to)
{
    return from + (to - from) * ((double)(draw(state) >> 11) / 9007199254740992.0);
}

/* `size` bytes of rubbish, so that what is not written shows. */
static void *rubbish(size_t size)
{
    void *block = malloc(size ? size : 1);
    assert_non_null(block);
    memset(block, 0xa5, size);
    return block;
}

/* ---- models ---- */

gn2_config *small_config(void)
{
    static const char *const settings[][2] = {
        {"model.embed_dim", "32"},
        {"model.num_layers", "2"},
        {"model.num_heads", "4"},
        {"model.out_dim", "16"},
        {"model.init_hidden", "32"},
        {"task.jets_classification.hidden", "32,16"},
        {"task.track_origin.hidden", "32,16"},
        {"task.track_vertexing.hidden", "32,16"},
        {"norm.jets.mean", "80000,0"},
        {"norm.jets.std", "40000,1.5"},
    };
    gn2_config *config = NULL;
    must(gn2_config_create(&config));
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        must(gn2_config_set_text(config, settings[i][0], settings[i][1]));
    return config;
}

gn2_model *model_of(gn2_config *config)
{
    gn2_model *model = NULL;
    must(gn2_model_create(config, &model));
    gn2_config_free(config);
    return model;
}

gn2_model *small_model(void)
{
    return model_of(small_config());
}

gn2_model *full_model(void)
{
    gn2_config *config = NULL;
    must(gn2_config_create(&config));
    must(gn2_config_set_text(config, "norm.jets.mean", "80000,0"));
    must(gn2_config_set_text(config, "norm.jets.std", "40000,1.5"));
    return model_of(config);
}

gn2_tagger *tagger_with(gn2_model *model, int64_t threads)
{
    gn2_config *config = NULL;
    gn2_tagger *tagger = NULL;
    must(gn2_config_create(&config));
    must(gn2_config_set_i64(config, "tagger.threads", threads));
    must(gn2_tagger_create(model, config, &tagger));
    gn2_config_free(config);
    return tagger;
}

void set_vertex_bias(gn2_model *model, float bias)
{
    gn2_param_info last = {.struct_size = sizeof last};
    for (size_t i = 0; i < gn2_model_param_count(model); i++) {
        gn2_param_info info = {.struct_size = sizeof info};
        must(gn2_model_param_info(model, i, &info));
        if (strncmp(info.name, "tasks.2.", 8) == 0 && info.count == 1) last = info;
    }
    assert_non_null(last.name);
    must(gn2_model_param_set(model, last.name, &bias, 1));
}

/* ---- jets ---- */

static int64_t usual_multiplicity(uint64_t *state)
{
    const double u = draw_between(state, 0, 1);
    return (int64_t)(40 * u * u * u * draw_between(state, 0, 1) + 12 * u);
}

sample *sample_new(int64_t count, const int64_t *multiplicity, uint64_t seed)
{
    sample *s = rubbish(sizeof *s);
    s->count = count;
    s->offset = rubbish((size_t)(count + 1) * sizeof *s->offset);
    s->offset[0] = 0;
    for (int64_t b = 0; b < count; b++) {
        int64_t n = multiplicity ? multiplicity[b] : usual_multiplicity(&seed);
        if (!multiplicity && n > 40) n = 40;
        s->offset[b + 1] = s->offset[b] + n;
    }
    const int64_t values = s->offset[count] * TRACK_INPUTS;
    s->features = rubbish((size_t)(count * JET_INPUTS) * sizeof(float));
    s->tracks = rubbish((size_t)values * sizeof(float));
    for (int64_t b = 0; b < count; b++) {
        s->features[b * JET_INPUTS] = (float)draw_between(&seed, 2e4, 1.4e5);
        s->features[b * JET_INPUTS + 1] = (float)draw_between(&seed, -2.5, 2.5);
    }
    for (int64_t i = 0; i < values; i++)
        s->tracks[i] = (float)draw_between(&seed, -2, 2);
    return s;
}

void sample_free(sample *jets)
{
    free(jets->offset);
    free(jets->features);
    free(jets->tracks);
    free(jets);
}

/* Which slots of a jet its n constituents take, rising. */
static void choose_slots(int64_t *slot, int64_t n, const layout *lay, uint64_t *state)
{
    int64_t free_slots = lay->slots, left = n;
    for (int64_t k = 0, at = 0; k < n; at++) {
        const int take = !lay->holes ||
                         draw_between(state, 0, 1) < (double)left / (double)free_slots;
        free_slots--;
        if (!take) continue;
        slot[k++] = at;
        left--;
    }
}

static void place_jet(input *in, const sample *from, int64_t b, int64_t jet,
                      const layout *lay)
{
    const int64_t n = from->offset[jet + 1] - from->offset[jet];
    const int64_t wide = TRACK_INPUTS + lay->extra;
    uint64_t seed = (uint64_t)(1000 * jet + 7);
    assert_true(!lay->slots || n <= lay->slots);
    memcpy(in->features + b * (JET_INPUTS + lay->extra),
           from->features + jet * JET_INPUTS, JET_INPUTS * sizeof(float));
    int64_t *row = in->row + in->offset[b];
    for (int64_t k = 0; k < n; k++) row[k] = k;
    if (lay->slots) choose_slots(row, n, lay, &seed);
    for (int64_t k = 0; k < n; k++) {
        row[k] += lay->slots ? b * lay->slots : in->offset[b];
        memcpy(in->tracks + row[k] * wide,
               from->tracks + (from->offset[jet] + k) * TRACK_INPUTS,
               TRACK_INPUTS * sizeof(float));
        if (lay->slots) in->valid[row[k]] = 1;
    }
}

static void fill_nan(float *data, int64_t count)
{
    for (int64_t i = 0; i < count; i++) data[i] = NAN;
}

static void point_jets(input *in, const layout *lay)
{
    in->sequence = (gn2_sequence){
        .struct_size = sizeof in->sequence,
        .data = in->tracks,
        .row_stride = lay->extra ? TRACK_INPUTS + lay->extra : 0,
        .offsets = lay->slots ? NULL : in->offset,
        .valid = lay->slots ? in->valid : NULL,
        .slots = lay->slots,
    };
    in->jets = (gn2_jets){
        .struct_size = sizeof in->jets,
        .sequence_count = 1,
        .count = in->count,
        .features = in->features,
        .row_stride = lay->extra ? JET_INPUTS + lay->extra : 0,
        .sequences = &in->sequence,
    };
}

input *input_new(const sample *jets, const int64_t *which, int64_t count, layout lay)
{
    input *in = rubbish(sizeof *in);
    in->count = count;
    in->slots = lay.slots;
    in->offset = rubbish((size_t)(count + 1) * sizeof(int64_t));
    in->pair = rubbish((size_t)(count + 1) * sizeof(int64_t));
    in->offset[0] = in->pair[0] = 0;
    for (int64_t b = 0; b < count; b++) {
        const int64_t jet = which ? which[b] : b;
        const int64_t n = jets->offset[jet + 1] - jets->offset[jet];
        in->offset[b + 1] = in->offset[b] + n;
        in->pair[b + 1] = in->pair[b] + n * (n - 1);
    }
    const int64_t rows = lay.slots ? count * lay.slots : in->offset[count];
    const int64_t values = rows * (TRACK_INPUTS + lay.extra);
    const int64_t jet_values = count * (JET_INPUTS + lay.extra);
    in->row = rubbish((size_t)in->offset[count] * sizeof(int64_t));
    in->features = rubbish((size_t)jet_values * sizeof(float));
    in->tracks = rubbish((size_t)values * sizeof(float));
    in->valid = rubbish((size_t)rows);
    fill_nan(in->features, jet_values);
    fill_nan(in->tracks, values);
    memset(in->valid, 0, (size_t)rows);
    for (int64_t b = 0; b < count; b++)
        place_jet(in, jets, b, which ? which[b] : b, &lay);
    point_jets(in, &lay);
    return in;
}

void input_free(input *in)
{
    free(in->offset);
    free(in->row);
    free(in->pair);
    free(in->features);
    free(in->tracks);
    free(in->valid);
    free(in);
}

/* ---- results ---- */

gn2_output output_named(gn2_tagger *tagger, const char *name, void *data, int64_t rows)
{
    gn2_output out = {.struct_size = sizeof out, .data = data, .capacity = rows};
    must(gn2_tagger_output(tagger, name, &out.id));
    return out;
}

int64_t rows_of(const input *in, int i)
{
    if (i < ORIGIN) return in->count;
    if (i == PAIRS) return in->pair[in->count];
    return in->slots ? in->count * in->slots : in->offset[in->count];
}

result *result_of(gn2_tagger *tagger, const input *in)
{
    result *r = rubbish(sizeof *r);
    gn2_output out[OUTPUTS];
    memset(out, 0, sizeof out);
    for (int i = 0; i < OUTPUTS; i++) {
        out[i].struct_size = sizeof out[i];
        must(gn2_tagger_output(tagger, output_names[i], &out[i].id));
        r->rows[i] = out[i].capacity = rows_of(in, i);
        r->columns[i] = gn2_tagger_output_columns(tagger, out[i].id);
        r->data[i] = rubbish((size_t)(r->rows[i] * r->columns[i]) * 4);
        out[i].data = r->data[i];
    }
    must(gn2_tagger_run(tagger, &in->jets, out, OUTPUTS));
    return r;
}

void result_free(result *r)
{
    for (int i = 0; i < OUTPUTS; i++) free(r->data[i]);
    free(r);
}

/* ---- comparing ---- */

static const char *row_at(const result *r, int output, int64_t row)
{
    return (const char *)r->data[output] + row * r->columns[output] * 4;
}

static void same_rows(place a, place b, int output, const int64_t row[2], int64_t rows)
{
    const size_t bytes = (size_t)(rows * a.result->columns[output]) * 4;
    if (memcmp(row_at(a.result, output, row[0]), row_at(b.result, output, row[1]),
               bytes))
        fail_msg("%s: jet %lld of %lld differs from jet %lld of %lld",
                 output_names[output], (long long)a.jet, (long long)a.in->count,
                 (long long)b.jet, (long long)b.in->count);
}

/* Which valid constituent of its jet a vertex index names. */
static int64_t member(place p, int64_t k)
{
    const int64_t *row = p.in->row + p.in->offset[p.jet];
    const int64_t n = p.in->offset[p.jet + 1] - p.in->offset[p.jet];
    const int64_t first = p.in->slots ? p.jet * p.in->slots : p.in->offset[p.jet];
    const int32_t label = ((const int32_t *)p.result->data[VERTEX])[row[k]];
    for (int64_t i = 0; i < n; i++)
        if (row[i] - first == label) return i;
    fail_msg("vertex %d is no valid constituent", label);
    return -1;
}

static void same_constituents(place a, place b)
{
    const int64_t n = a.in->offset[a.jet + 1] - a.in->offset[a.jet];
    assert_int_equal(n, b.in->offset[b.jet + 1] - b.in->offset[b.jet]);
    for (int64_t k = 0; k < n; k++) {
        const int64_t row[2] = {a.in->row[a.in->offset[a.jet] + k],
                                b.in->row[b.in->offset[b.jet] + k]};
        for (int i = ORIGIN; i < VERTEX; i++) same_rows(a, b, i, row, 1);
        assert_int_equal(member(a, k), member(b, k));
    }
}

void assert_same_jet(place a, place b)
{
    const int64_t row[2] = {a.jet, b.jet};
    const int64_t pair[2] = {a.in->pair[a.jet], b.in->pair[b.jet]};
    for (int i = 0; i < ORIGIN; i++) same_rows(a, b, i, row, 1);
    same_constituents(a, b);
    same_rows(a, b, PAIRS, pair, a.in->pair[a.jet + 1] - pair[0]);
}

void assert_same_jets(const input *in_a, const result *a, const input *in_b,
                      const result *b)
{
    assert_int_equal(in_a->count, in_b->count);
    for (int64_t i = 0; i < in_a->count; i++)
        assert_same_jet((place){in_a, a, i}, (place){in_b, b, i});
}
