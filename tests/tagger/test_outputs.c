/* SPDX-License-Identifier: Apache-2.0 */
/* What the outputs are called, their shapes, and that they mean what they say. */
#include "scene.h"

#include <float.h>
#include <math.h>

/* ---- names and shapes ---- */

static void test_names_columns_and_ids(void **state)
{
    (void)state;
    static const int64_t columns[OUTPUTS] = {4, 4, 1, 1, 1, 16, 8, 8, 16, 1, 1, 1};
    gn2_model *model = small_model();
    gn2_tagger *tagger = tagger_with(model, 1);
    int32_t ids[OUTPUTS];
    for (int i = 0; i < OUTPUTS; i++) {
        must(gn2_tagger_output(tagger, output_names[i], &ids[i]));
        assert_int_equal(gn2_tagger_output_columns(tagger, ids[i]), columns[i]);
        for (int k = 0; k < i; k++) assert_int_not_equal(ids[i], ids[k]);
    }
    const int32_t unknown[] = {-1, 31, 63, 64, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        assert_int_equal(gn2_tagger_output_columns(tagger, unknown[i]), 0);
    int32_t id = 77;
    must_refuse(GN2_ERR_NOT_FOUND, "tracks.origin_logits",
                gn2_tagger_output(tagger, "jets.prob", &id));
    assert_int_equal(id, 77);
    gn2_tagger_free(tagger);
    gn2_model_free(model);
}

/* ---- outputs that describe themselves ---- */

static void check_described(gn2_tagger *tagger, size_t index, const input *in)
{
    gn2_output_info info = {.struct_size = sizeof info};
    int32_t id = -1;
    int known = 0;
    must(gn2_tagger_output_info(tagger, index, &info));
    must(gn2_tagger_output(tagger, info.name, &id));
    assert_int_equal(info.id, id);
    assert_int_equal(info.columns, gn2_tagger_output_columns(tagger, id));
    while (known < OUTPUTS && strcmp(output_names[known], info.name) != 0) known++;
    assert_true(known < OUTPUTS);
    const int64_t rows[] = {0, in->count, rows_of(in, ORIGIN), in->pair[in->count]};
    assert_int_equal(rows[info.rows], rows_of(in, known));
    assert_int_equal(info.type, known == VERTEX ? GN2_DATA_I32 : GN2_DATA_F32);
    const int jets = info.rows == GN2_ROWS_JETS;
    assert_string_equal(info.object, jets ? "jets" : "tracks");
    assert_int_equal(info.sequence, jets ? -1 : 0);
}

static void test_outputs_describe_themselves(void **state)
{
    (void)state;
    gn2_model *model = small_model();
    gn2_tagger *tagger = tagger_with(model, 1);
    sample *jets = sample_new(5, NULL, 3);
    input *in = input_new(jets, NULL, 5, (layout){.slots = 40});
    gn2_output_info info = {.struct_size = sizeof info};
    assert_int_equal(gn2_tagger_output_count(tagger), OUTPUTS + GRADIENTS);
    assert_int_equal(gn2_tagger_output_count(NULL), 0);
    for (size_t i = 0; i < OUTPUTS; i++) check_described(tagger, i, in);
    must_refuse(GN2_ERR_INVALID_ARG, "18 outputs",
                gn2_tagger_output_info(tagger, OUTPUTS + GRADIENTS, &info));
    input_free(in);
    sample_free(jets);
    gn2_tagger_free(tagger);
    gn2_model_free(model);
}

static void test_another_type_is_refused(void **state)
{
    (void)state;
    gn2_model *model = small_model();
    gn2_tagger *tagger = tagger_with(model, 1);
    sample *jets = sample_new(5, NULL, 3);
    input *in = input_new(jets, NULL, 5, (layout){0});
    int32_t vertex[5 * 40];
    gn2_output out = {.struct_size = sizeof out, .data = vertex, .capacity = 5 * 40};
    must(gn2_tagger_output(tagger, "tracks.vertex", &out.id));
    must(gn2_tagger_run(tagger, &in->jets, &out, 1));
    out.type = GN2_DATA_I32;
    must(gn2_tagger_run(tagger, &in->jets, &out, 1));
    out.type = GN2_DATA_F32;
    must_refuse(GN2_ERR_INVALID_ARG, "'tracks.vertex' is int32_t",
                gn2_tagger_run(tagger, &in->jets, &out, 1));
    out.type = 0;
    out.flags = 1;
    must_refuse(GN2_ERR_ABI, "flags", gn2_tagger_run(tagger, &in->jets, &out, 1));
    input_free(in);
    sample_free(jets);
    gn2_tagger_free(tagger);
    gn2_model_free(model);
}

static void test_absent_heads_have_no_outputs(void **state)
{
    (void)state;
    gn2_config *config = small_config();
    must(gn2_config_set_text(config, "model.tasks", "jets_classification"));
    must(gn2_config_set_text(config, "model.classes", "bjets,cjets,ujets"));
    gn2_model *model = model_of(config);
    gn2_tagger *tagger = tagger_with(model, 1);
    int32_t id = 0;
    static const char *const absent[] = {"jets.D_tau", "tracks.origin", "tracks.vertex",
                                         "tracks.origin_logits", "pairs.logits"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        must_refuse(GN2_ERR_NOT_FOUND, "jets.D_c",
                    gn2_tagger_output(tagger, absent[i], &id));
    must(gn2_tagger_output(tagger, "tracks.attention", &id));
    must(gn2_tagger_output(tagger, "jets.probabilities", &id));
    assert_int_equal(gn2_tagger_output_columns(tagger, id), 3);
    gn2_tagger_free(tagger);
    gn2_model_free(model);
}

static void test_model_names(void **state)
{
    (void)state;
    gn2_model *model = small_model();
    const char *text = NULL;
    assert_int_equal(gn2_model_class_count(model), 4);
    assert_string_equal(gn2_model_class_name(model, 0), "bjets");
    assert_string_equal(gn2_model_class_name(model, 3), "taujets");
    assert_null(gn2_model_class_name(model, 4));
    assert_int_equal(gn2_model_input_count(model, "jets"), JET_INPUTS);
    assert_int_equal(gn2_model_input_count(model, "tracks"), TRACK_INPUTS);
    assert_int_equal(gn2_model_input_count(model, "muons"), 0);
    assert_string_equal(gn2_model_input_name(model, "tracks", 0), "d0");
    assert_null(gn2_model_input_name(model, "tracks", TRACK_INPUTS));
    must(gn2_model_metadata_get(model, "model.embed_dim", &text));
    assert_string_equal(text, "32");
    must(gn2_model_metadata_get(model, "norm.jets.mean", &text));
    assert_string_equal(text, "80000,0");
    must_refuse(GN2_ERR_NOT_FOUND, "model.embed_dam",
                gn2_model_metadata_get(model, "model.embed_dam", &text));
    gn2_model_free(model);
}

/* ---- meaning ---- */

typedef struct fixture {
    gn2_model *model;
    gn2_tagger *tagger;
    sample *jets;
    input *in;
    result *scores;
} fixture;

static fixture setup(int64_t count, layout lay, float vertex_bias)
{
    fixture f = {.model = small_model(), .jets = sample_new(count, NULL, 31)};
    set_vertex_bias(f.model, vertex_bias);
    f.tagger = tagger_with(f.model, 1);
    f.in = input_new(f.jets, NULL, count, lay);
    f.scores = result_of(f.tagger, f.in);
    return f;
}

static void teardown(fixture *f)
{
    result_free(f->scores);
    input_free(f->in);
    sample_free(f->jets);
    gn2_tagger_free(f->tagger);
    gn2_model_free(f->model);
}

/* A softmax of c classes in float: each of exp, sum and quotient errs by a few units
 * in the last place, the argument x − max by one of its size. */
static void check_softmax(const float *p, const float *x, int64_t classes)
{
    double sum = 0, most = -DBL_MAX;
    for (int64_t k = 0; k < classes; k++) most = fmax(most, (double)x[k]);
    for (int64_t k = 0; k < classes; k++) sum += exp((double)x[k] - most);
    for (int64_t k = 0; k < classes; k++) {
        const double want = exp((double)x[k] - most) / sum;
        const double ulps = 8 + (double)classes + fabs((double)x[k]) + fabs(most);
        assert_true(fabs((double)p[k] - want) <= ulps * (double)FLT_EPSILON * want);
    }
}

static void test_probabilities_are_softmaxes(void **state)
{
    (void)state;
    fixture f = setup(200, (layout){0}, 0);
    const float *p = f.scores->data[P], *x = f.scores->data[LOGITS];
    for (int64_t b = 0; b < 200; b++) check_softmax(p + 4 * b, x + 4 * b, 4);
    p = f.scores->data[ORIGIN], x = f.scores->data[ORIGIN_LOGITS];
    for (int64_t r = 0; r < f.scores->rows[ORIGIN]; r++)
        check_softmax(p + 8 * r, x + 8 * r, 8);
    teardown(&f);
}

/* Σ over the tokens of a jet is 1; the register's share is what the tracks lack. */
static void test_attention_is_a_share(void **state)
{
    (void)state;
    fixture f = setup(200, (layout){0}, 0);
    const float *alpha = f.scores->data[ATTENTION];
    for (int64_t b = 0; b < 200; b++) {
        double sum = 0;
        for (int64_t r = f.in->offset[b]; r < f.in->offset[b + 1]; r++) {
            assert_true(alpha[r] > 0);
            sum += (double)alpha[r];
        }
        assert_true(sum < 1);
    }
    teardown(&f);
}

/* Computed in double, rounded to float once. */
static void assert_close(float found, double want)
{
    if (fabs((double)found - want) > (double)FLT_EPSILON * fabs(want))
        fail_msg("%.9g, not %.9g", (double)found, want);
}

static void test_discriminants_follow_their_formulas(void **state)
{
    (void)state;
    fixture f = setup(200, (layout){0}, 0);
    for (int64_t b = 0; b < 200; b++) {
        const float *p = (const float *)f.scores->data[P] + 4 * b;
        const double pb = (double)p[0], pc = (double)p[1], pu = (double)p[2],
                     pt = (double)p[3];
        const double want[3] = {log(pb / (0.2 * pc + 0.01 * pt + 0.79 * pu)),
                                log(pc / (0.3 * pb + 0.01 * pt + 0.69 * pu)),
                                log(pt / (0.1 * pb + 0.1 * pc + 0.8 * pu))};
        for (int i = 0; i < 3; i++) {
            assert_close(((const float *)f.scores->data[D_B + i])[b], want[i]);
        }
    }
    teardown(&f);
}

static void test_flavour_is_the_same_as_run(void **state)
{
    (void)state;
    fixture f = setup(100, (layout){0}, 0);
    float p[400], d_b[100];
    must(gn2_tagger_flavour(f.tagger, &f.in->jets, p, d_b));
    assert_memory_equal(p, f.scores->data[P], sizeof p);
    assert_memory_equal(d_b, f.scores->data[D_B], sizeof d_b);
    memset(p, 0, sizeof p);
    must(gn2_tagger_flavour(f.tagger, &f.in->jets, p, NULL));
    assert_memory_equal(p, f.scores->data[P], sizeof p);
    teardown(&f);
}

/* The caller's own fractions, from the probabilities. */
static void test_discriminant_function(void **state)
{
    (void)state;
    const double f[3] = {NAN, 0.25, 0.75}; /* the signal's is ignored */
    const float p[12] = {0.5f, 0.3f, 0.2f, 0, 0.5f, 0.5f, 1, 0, 0, 0, 0, 0};
    float log_d[4], ratio[4];
    must(gn2_discriminant(p, 4, 3, 0, f, GN2_FORM_LOG, log_d));
    must(gn2_discriminant(p, 4, 3, 0, f, GN2_FORM_RATIO, ratio));
    const double others = 0.25 * (double)p[1] + 0.75 * (double)p[2];
    assert_close(ratio[0], 0.5 / others);
    assert_close(log_d[0], log(0.5 / others));
    const double least = (double)FLT_MIN;
    assert_close(log_d[1], log(least / 0.5));
    assert_close(log_d[2], log(1 / least));
    assert_true(log_d[3] == 0);
    for (int i = 0; i < 4; i++) assert_true(isfinite(ratio[i]) && isfinite(log_d[i]));
    const float bad[3] = {0.5f, NAN, 0.5f};
    must_refuse(GN2_ERR_NUMERIC, "class 1",
                gn2_discriminant(bad, 1, 3, 0, f, GN2_FORM_LOG, log_d));
    must_refuse(GN2_ERR_INVALID_ARG, "signal",
                gn2_discriminant(p, 4, 3, 3, f, GN2_FORM_LOG, log_d));
    must_refuse(GN2_ERR_INVALID_ARG, "form", gn2_discriminant(p, 4, 3, 0, f, 2, log_d));
    must_refuse(GN2_ERR_INVALID_ARG, "fractions[0]",
                gn2_discriminant(p, 4, 3, 1, f, GN2_FORM_LOG, log_d));
    must(gn2_discriminant(NULL, 0, 3, 0, f, GN2_FORM_LOG, NULL));
}

/* Class scores driven to the ends of float. */
static void test_saturated_jets_stay_finite(void **state)
{
    (void)state;
    gn2_model *model = small_model();
    float bias[4] = {300, -300, -300, -300};
    gn2_param_info last = {.struct_size = sizeof last};
    for (size_t i = 0; i < gn2_model_param_count(model); i++) {
        gn2_param_info info = {.struct_size = sizeof info};
        must(gn2_model_param_info(model, i, &info));
        if (strncmp(info.name, "tasks.0.", 8) == 0 && info.count == 4) last = info;
    }
    must(gn2_model_param_set(model, last.name, bias, 4));
    sample *jets = sample_new(3, NULL, 5);
    input *in = input_new(jets, NULL, 3, (layout){0});
    gn2_tagger *tagger = tagger_with(model, 1);
    result *scores = result_of(tagger, in);
    for (int64_t b = 0; b < 3; b++) {
        assert_true(((float *)scores->data[P])[4 * b] == 1);
        assert_true(((float *)scores->data[P])[4 * b + 1] == 0);
        assert_close(((float *)scores->data[D_B])[b], log(1 / (double)FLT_MIN));
        assert_true(isfinite(((float *)scores->data[D_C])[b]));
        assert_true(isfinite(((float *)scores->data[D_TAU])[b]));
    }
    result_free(scores);
    gn2_tagger_free(tagger);
    input_free(in);
    sample_free(jets);
    gn2_model_free(model);
}

/* ---- vertices ---- */

static int matched(const float *x, int64_t i, int64_t j, int64_t n)
{
    const int64_t ij = i * (n - 1) + (j < i ? j : j - 1);
    const int64_t ji = j * (n - 1) + (i < j ? i : i - 1);
    return (x[ij] + x[ji]) / 2 >= 0;
}

/* Labels spread over matching pairs until nothing changes. */
static void spread_labels(int64_t *label, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) label[i] = i;
    for (int changed = 1; changed;) {
        changed = 0;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) {
                if (i == j || !matched(x, i, j, n) || label[j] >= label[i]) continue;
                label[i] = label[j];
                changed = 1;
            }
    }
}

/* Returns the number of vertices of a jet with two tracks or more. */
static int64_t check_vertices(const fixture *f, int64_t b)
{
    int64_t label[40], vertices = 0;
    const int64_t n = f->in->offset[b + 1] - f->in->offset[b];
    const int64_t *row = f->in->row + f->in->offset[b];
    const int32_t *found = f->scores->data[VERTEX];
    spread_labels(label, (const float *)f->scores->data[PAIRS] + f->in->pair[b], n);
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(found[row[i]], row[label[i]] - b * f->in->slots);
        vertices += label[i] == i;
    }
    return vertices;
}

static void test_vertices_are_connected_components(void **state)
{
    (void)state;
    fixture probe = setup(300, (layout){0}, 0);
    double sum = 0;
    for (int64_t i = 0; i < probe.scores->rows[PAIRS]; i++)
        sum += (double)((float *)probe.scores->data[PAIRS])[i];
    const float bias = (float)(-sum / (double)probe.scores->rows[PAIRS]);
    teardown(&probe);
    fixture f = setup(300, (layout){.slots = 40, .holes = 1}, bias);
    int64_t vertices = 0, several = 0;
    for (int64_t b = 0; b < 300; b++) {
        const int64_t found = check_vertices(&f, b);
        vertices += found;
        several += found > 1;
    }
    assert_true(several > 10);                       /* jets of several vertices, */
    assert_true(vertices < f.in->offset[300] - 100); /* vertices of several tracks */
    teardown(&f);
}

static void test_slots_not_valid_are_blank(void **state)
{
    (void)state;
    fixture f = setup(100, (layout){.slots = 40, .holes = 1}, 0);
    int64_t blanks = 0;
    for (int64_t r = 0; r < 100 * 40; r++) {
        if (f.in->valid[r]) continue;
        blanks++;
        assert_int_equal(((int32_t *)f.scores->data[VERTEX])[r], INT32_MIN);
        for (int i = ORIGIN; i < VERTEX; i++)
            for (int64_t k = 0; k < f.scores->columns[i]; k++)
                assert_true(
                    ((float *)f.scores->data[i])[r * f.scores->columns[i] + k] == 0);
    }
    assert_int_equal(blanks, 100 * 40 - f.in->offset[100]);
    teardown(&f);
}

/* ---- strides and room ---- */

static gn2_output output_of(const fixture *f, int i, void *data)
{
    gn2_output out = {.struct_size = sizeof out, .data = data};
    must(gn2_tagger_output(f->tagger, output_names[i], &out.id));
    out.capacity = f->scores->rows[i];
    return out;
}

static void test_rows_with_gaps(void **state)
{
    (void)state;
    fixture f = setup(60, (layout){.slots = 40}, 0);
    for (int i = 0; i < OUTPUTS; i++) {
        const int64_t columns = f.scores->columns[i], stride = columns + 3;
        uint32_t *data = calloc((size_t)(f.scores->rows[i] * stride), sizeof *data);
        gn2_output out = output_of(&f, i, data);
        out.row_stride = stride;
        must(gn2_tagger_run(f.tagger, &f.in->jets, &out, 1));
        for (int64_t r = 0; r < f.scores->rows[i]; r++) {
            assert_memory_equal(data + r * stride,
                                (uint32_t *)f.scores->data[i] + r * columns,
                                (size_t)columns * 4);
            for (int k = 0; k < 3; k++)
                assert_int_equal(data[r * stride + columns + k], 0);
        }
        free(data);
    }
    teardown(&f);
}

static void test_rows_beyond_any_memory_are_refused(void **state)
{
    (void)state;
    static const int64_t strides[] = {INT64_MAX, INT64_C(1) << 62, INT64_C(1) << 60};
    fixture f = setup(60, (layout){0}, 0);
    float data = 7;
    for (int i = 0; i < OUTPUTS; i++)
        for (size_t k = 0; k < sizeof strides / sizeof *strides; k++) {
            gn2_output out = output_of(&f, i, &data);
            out.row_stride = strides[k];
            must_refuse(GN2_ERR_INVALID_ARG, "exceed any memory",
                        gn2_tagger_run(f.tagger, &f.in->jets, &out, 1));
        }
    assert_true(data == 7);
    teardown(&f);
}

static void test_too_little_room_is_refused(void **state)
{
    (void)state;
    fixture f = setup(60, (layout){0}, 0);
    for (int i = 0; i < OUTPUTS; i++) {
        gn2_output out = output_of(&f, i, f.scores->data[i]);
        out.capacity--;
        must_refuse(GN2_ERR_SHAPE, output_names[i],
                    gn2_tagger_run(f.tagger, &f.in->jets, &out, 1));
        out.capacity++;
        out.row_stride = -1;
        must_refuse(GN2_ERR_SHAPE, "row_stride",
                    gn2_tagger_run(f.tagger, &f.in->jets, &out, 1));
        out.row_stride = 0;
        out.data = NULL;
        must_refuse(GN2_ERR_INVALID_ARG, output_names[i],
                    gn2_tagger_run(f.tagger, &f.in->jets, &out, 1));
    }
    gn2_output out = output_of(&f, P, f.scores->data[P]);
    out.row_stride = 3;
    must_refuse(GN2_ERR_SHAPE, "row_stride 3",
                gn2_tagger_run(f.tagger, &f.in->jets, &out, 1));
    out.id = 31;
    must_refuse(GN2_ERR_INVALID_ARG, "31",
                gn2_tagger_run(f.tagger, &f.in->jets, &out, 1));
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_columns_and_ids),
        cmocka_unit_test(test_outputs_describe_themselves),
        cmocka_unit_test(test_another_type_is_refused),
        cmocka_unit_test(test_absent_heads_have_no_outputs),
        cmocka_unit_test(test_model_names),
        cmocka_unit_test(test_probabilities_are_softmaxes),
        cmocka_unit_test(test_attention_is_a_share),
        cmocka_unit_test(test_discriminants_follow_their_formulas),
        cmocka_unit_test(test_flavour_is_the_same_as_run),
        cmocka_unit_test(test_discriminant_function),
        cmocka_unit_test(test_saturated_jets_stay_finite),
        cmocka_unit_test(test_vertices_are_connected_components),
        cmocka_unit_test(test_slots_not_valid_are_blank),
        cmocka_unit_test(test_rows_with_gaps),
        cmocka_unit_test(test_rows_beyond_any_memory_are_refused),
        cmocka_unit_test(test_too_little_room_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
