/* SPDX-License-Identifier: Apache-2.0 */
/* The probe: its order, and its statistics against ones counted here. */
#include <math.h>

#include "probed.h"
#include "tag/tagger.h"
#include "util/alloc.h"

#define JETS 75
#define MODULES 19

static void steps(gn2_trainer *trainer, const toy *data, int count)
{
    for (int i = 0; i < count; i++)
        assert_ok(gn2_train_step(trainer, &data->jets, &data->labels, NULL));
}

static void assert_near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%.17g, not %.17g", got, want);
}

/* Statistics of `now` and of its change since `start`, one by one. */
static void assert_counted(const gn2_probe_stats *s, const float *now,
                           const float *start, int64_t count)
{
    double sum = 0, squares = 0, max = 0, change = 0, change_squares = 0;
    for (int64_t i = 0; i < count; i++) {
        const double x = (double)now[i], d = x - (double)start[i];
        sum += fabs(x);
        squares += x * x;
        max = fmax(max, fabs(x));
        change += fabs(d);
        change_squares += d * d;
    }
    assert_int_equal(s->count, count);
    assert_near(s->mean_abs, sum / (double)count, 1e-12);
    assert_near(s->rms, sqrt(squares / (double)count), 1e-12);
    assert_near(s->max_abs, max, 0);
    assert_near(s->change_mean_abs, change / (double)count, 1e-12);
    assert_near(s->change_rms, sqrt(change_squares / (double)count), 1e-12);
    assert_true(s->change_rms > 0);
}

/* ---- what is told ---- */

static int64_t logits_of(const toy *data)
{
    int64_t count = 0;
    for (int b = 0; b < JETS; b++) {
        const int64_t n = data->offsets[b + 1] - data->offsets[b] + 1;
        count += 4 * n * n;
    }
    return count;
}

static void modules_come_in_order_and_then_the_tensors(void **state)
{
    static const char *const names[MODULES] = {"init_pre",
                                               "init",
                                               "attn_logits0",
                                               "attn0",
                                               "ffn_pre0",
                                               "ffn0",
                                               "layer0",
                                               "attn_logits1",
                                               "attn1",
                                               "ffn_pre1",
                                               "ffn1",
                                               "layer1",
                                               "readout",
                                               "tokens",
                                               "gate",
                                               "pooled",
                                               "jets_classification",
                                               "track_origin",
                                               "track_vertexing"};
    toy *data = toy_create(JETS, 32);
    gn2_trainer *t = toy_trainer_of(NULL);
    probed *p = probed_of(t, data);
    (void)state;
    assert_int_equal(p->count, MODULES + t->params->count);
    for (int i = 0; i < p->count; i++) {
        const gn2_probe_stats *s = &p->row[i];
        const char *tensor = i < MODULES ? NULL : t->params->tensor[i - MODULES].name;
        assert_string_equal(p->name[i], tensor ? tensor : names[i]);
        assert_int_equal(s->kind, tensor ? GN2_PROBE_TENSOR : GN2_PROBE_MODULE);
        assert_true(s->mean_abs <= s->rms * (1 + 1e-12));
        assert_true(s->rms <= s->max_abs * (1 + 1e-12));
        if (!tensor) assert_true(s->mean_abs > 0);
        assert_int_equal(!isnan(s->dead_share), strstr(p->name[i], "_pre") != NULL);
    }
    const int64_t rows = data->offsets[JETS];
    assert_int_equal(probed_find(p, "init_pre")->count, rows * 24);
    assert_int_equal(probed_find(p, "init")->count, rows * 32);
    assert_int_equal(probed_find(p, "attn_logits1")->count, logits_of(data));
    assert_int_equal(probed_find(p, "attn0")->count, (rows + JETS) * 32);
    assert_int_equal(probed_find(p, "ffn_pre1")->count, (rows + JETS) * 64);
    assert_int_equal(probed_find(p, "gate")->count, rows + JETS);
    assert_int_equal(probed_find(p, "track_origin")->count, rows * 8);
    gn2_free(p);
    gn2_train_delete(t);
    toy_free(data);
}

/* ---- values and changes ---- */

static void tag(gn2_model *model, const gn2_trainer *t, const toy *data, float *jets,
                float *pairs, int64_t pair_count)
{
    gn2_tagger *tagger = NULL;
    gn2_output out[] = {
        {.struct_size = sizeof *out, .data = jets, .capacity = JETS},
        {.struct_size = sizeof *out, .data = pairs, .capacity = pair_count}};
    assert_ok(gn2_tag_new(model, t->config, &tagger));
    assert_ok(gn2_tag_find_output(&tagger->outputs, "jets.logits", &out[0].id));
    assert_ok(gn2_tag_find_output(&tagger->outputs, "pairs.logits", &out[1].id));
    assert_ok(gn2_tag_run(tagger, &data->jets, out, 2));
    gn2_tag_delete(tagger);
}

static void logits_and_their_changes_are_those_of_taggers(void **state)
{
    toy *data = toy_create(JETS, 32);
    gn2_trainer *t = toy_trainer_of(NULL);
    gn2_model *now = NULL;
    (void)state;
    steps(t, data, 5);
    probed *p = probed_of(t, data);
    const int64_t pairs = probed_find(p, "track_vertexing")->count;
    float jets[2][JETS * 4], *pair[2];
    for (int i = 0; i < 2; i++) pair[i] = gn2_alloc((size_t)pairs, sizeof(float));
    assert_ok(gn2_train_snapshot(t, &now));
    tag(now, t, data, jets[0], pair[0], pairs);
    tag(t->model, t, data, jets[1], pair[1], pairs);
    assert_counted(probed_find(p, "jets_classification"), jets[0], jets[1],
                   (int64_t)JETS * 4);
    assert_counted(probed_find(p, "track_vertexing"), pair[0], pair[1], pairs);
    for (int i = 0; i < 2; i++) gn2_free(pair[i]);
    gn2_model_unref(now);
    gn2_free(p);
    gn2_train_delete(t);
    toy_free(data);
}

/* Values inside, of the whole batch. */
typedef struct insides {
    float *tokens, *attn1, *ffn_pre1;
} insides;

static void take(void *user, const gn2_pass_f32 *pass)
{
    insides *in = user;
    const int64_t rows = pass->chunk.tokens, first = pass->chunk.first_token;
    const gn2_block_space_f32 *l = &pass->space->layer[1];
    float *attn = in->attn1 + first * 32, *pre = in->ffn_pre1 + first * 64;
    memcpy(in->tokens + first * 16, pass->space->readout.z,
           (size_t)rows * 16 * sizeof(float));
    for (int64_t i = 0; i < rows * 32; i++) attn[i] = l->x_mid[i] - l->x[i];
    gn2_linear_fwd_f32(&pass->ctx, &pass->net->block[1].ffn_in, pre, l->y2, NULL, 0,
                       rows);
}

static insides look_into(gn2_trainer *t, const toy *data)
{
    const size_t rows = (size_t)(data->offsets[JETS] + JETS);
    insides in = {gn2_alloc(rows * 16, sizeof(float)),
                  gn2_alloc(rows * 32, sizeof(float)),
                  gn2_alloc(rows * 64, sizeof(float))};
    const gn2_visitor_f32 visitor = {.fn = take, .user = &in};
    gn2_batch_f32 batch;
    assert_ok(gn2_input_read(&t->input, t->model, NULL, &data->jets, &batch));
    assert_ok(gn2_engine_forward_f32(t->engine, &batch, NULL, &visitor));
    return in;
}

static void insides_free(insides *in)
{
    gn2_free(in->tokens);
    gn2_free(in->attn1);
    gn2_free(in->ffn_pre1);
}

/* A trainer that never stepped holds the start. */
static void changes_are_those_between_two_trainers(void **state)
{
    toy *data = toy_create(JETS, 33);
    gn2_trainer *t = toy_trainer_of(NULL), *fresh = toy_trainer_of(NULL);
    const int64_t rows = data->offsets[JETS] + JETS;
    (void)state;
    steps(t, data, 4);
    probed *p = probed_of(t, data);
    insides now = look_into(t, data), start = look_into(fresh, data);
    assert_counted(probed_find(p, "tokens"), now.tokens, start.tokens, rows * 16);
    assert_counted(probed_find(p, "ffn_pre1"), now.ffn_pre1, start.ffn_pre1, rows * 64);
    /* the difference x_mid − x is rounded here, in the probe it is exact */
    double mean = 0;
    for (int64_t i = 0; i < rows * 32; i++)
        mean += fabs((double)now.attn1[i] - (double)start.attn1[i]);
    assert_near(probed_find(p, "attn1")->change_mean_abs, mean / (double)(rows * 32),
                1e-6);
    for (size_t i = 0; i < t->params->count; i++) {
        const gn2_tensor *tensor = &t->params->tensor[i];
        assert_counted(&p->row[MODULES + (int)i], t->engine->weights + tensor->offset,
                       fresh->engine->weights + tensor->offset, tensor->count);
    }
    insides_free(&now);
    insides_free(&start);
    gn2_free(p);
    gn2_train_delete(t);
    gn2_train_delete(fresh);
    toy_free(data);
}

static void nothing_has_changed_at_the_start(void **state)
{
    toy *data = toy_create(JETS, 34);
    gn2_trainer *t = toy_trainer_of(OPTIONS(
        "model.dropout_init=0.2", "model.dropout_ffn=0.2", "model.dropout_heads=0.2",
        "model.final_norm_pos=pre", "model.parametrization=mup", "train.threads=2"));
    probed *p = probed_of(t, data);
    (void)state;
    for (int i = 0; i < p->count; i++) {
        assert_true(p->row[i].change_mean_abs == 0);
        assert_true(p->row[i].change_rms == 0);
    }
    gn2_free(p);
    gn2_train_delete(t);
    toy_free(data);
}

/* ---- attention logits ---- */

/* Row of q (0) or k (1) of a token in double, from the layer's normed input. */
static void project(const gn2_trainer *t, const float *y, int which, double out[32])
{
    const gn2_linear_f32 *qkv = &t->engine->net->block[1].qkv;
    const float *w = t->engine->weights + qkv->weight + which * 32 * 32;
    const float *b = t->engine->weights + qkv->bias + which * 32;
    for (int i = 0; i < 32; i++) {
        out[i] = (double)b[i];
        for (int c = 0; c < 32; c++) out[i] += (double)w[i * 32 + c] * (double)y[c];
    }
}

typedef struct attention {
    const gn2_trainer *t;
    double sum, squares, max, worst; /* worst: |softmax − the kernel's| */
    int64_t count;
} attention;

static void one_head(attention *a, const gn2_pass_f32 *pass, int64_t n, int head)
{
    const gn2_block_space_f32 *l = &pass->space->layer[1];
    const double scale = 1 / sqrt(8.0); /* 1/√D, standard parametrisation */
    for (int64_t i = 0; i < n; i++) {
        double s[64], total = 0, q[32], k[32];
        project(a->t, l->y1 + i * 32, 0, q);
        for (int64_t j = 0; j < n; j++) {
            project(a->t, l->y1 + j * 32, 1, k);
            s[j] = 0;
            for (int c = 8 * head; c < 8 * head + 8; c++) s[j] += scale * q[c] * k[c];
            a->sum += fabs(s[j]);
            a->squares += s[j] * s[j];
            a->max = fmax(a->max, fabs(s[j]));
            a->count++;
            total += exp(s[j]);
        }
        for (int64_t j = 0; j < n; j++) /* p[j][i], keys first */
            a->worst = fmax(a->worst, fabs(exp(s[j]) / total -
                                           (double)l->p[(head * n + j) * n + i]));
    }
}

static void all_heads(void *user, const gn2_pass_f32 *pass)
{
    for (int head = 0; head < 4; head++) one_head(user, pass, pass->chunk.tokens, head);
}

static void attention_logits_are_counted_in_double(void **state)
{
    toy *data = toy_create(JETS, 35), one;
    gn2_trainer *t = toy_trainer_of(OPTIONS("compute.isa=reference"));
    attention a = {.t = t};
    const gn2_visitor_f32 visitor = {.fn = all_heads, .user = &a};
    gn2_batch_f32 batch;
    (void)state;
    steps(t, data, 3);
    int64_t jet = 0;
    while (data->offsets[jet + 1] - data->offsets[jet] < 9) jet++;
    toy_batch(data, jet, 1, &one);
    assert_ok(gn2_input_read(&t->input, t->model, NULL, &one.jets, &batch));
    assert_ok(gn2_engine_forward_f32(t->engine, &batch, NULL, &visitor));
    assert_true(a.worst < 1e-5); /* what is counted here is what the softmax got */
    probed *p = probed_of(t, &one);
    const gn2_probe_stats *s = probed_find(p, "attn_logits1");
    /* q, k in float: 32 products of values below 8, then 8 of their products */
    const double tolerance = 1e-5 * a.max;
    assert_int_equal(s->count, a.count);
    assert_near(s->mean_abs, a.sum / (double)a.count, tolerance);
    assert_near(s->rms, sqrt(a.squares / (double)a.count), tolerance);
    assert_near(s->max_abs, a.max, tolerance);
    gn2_free(p);
    gn2_free(one.offsets);
    gn2_train_delete(t);
    toy_free(data);
}

/* ---- units before a ReLU ---- */

/* Where a tensor of the model lies, and its first axis. */
static float *tensor_of(gn2_model *model, const char *name, int64_t *out_rows)
{
    const gn2_tensor *t = gn2_params_find(model->params, name);
    assert_non_null(t);
    if (out_rows) *out_rows = t->shape[0];
    return model->weights + t->offset;
}

/* A bias: −1e3 for the first `dead` units, 1e3 for others. */
static void set_bias(gn2_model *model, const char *name, int64_t dead)
{
    int64_t rows;
    float *bias = tensor_of(model, name, &rows);
    for (int64_t i = 0; i < rows; i++) bias[i] = i < dead ? -1e3f : 1e3f;
}

/* Unit `unit` of the init net sees the jet's first input alone, above `threshold`. */
static void set_threshold(gn2_model *model, int64_t unit, float threshold)
{
    const int64_t in = model->h.init[0].size[0];
    float *row = tensor_of(model, "init_nets.0.net.net.0.weight", NULL) + unit * in;
    memset(row, 0, (size_t)in * sizeof *row);
    row[0] = 1;
    tensor_of(model, "init_nets.0.net.net.0.bias", NULL)[unit] = -threshold;
}

/* Largest first input of a jet with tracks, but jet `without`; *out_jet is its jet. */
static float largest(const toy *data, int64_t without, int64_t *out_jet)
{
    float max = -INFINITY;
    for (int64_t b = 0; b < JETS; b++) {
        if (b == without || data->offsets[b] == data->offsets[b + 1]) continue;
        if (data->features[b * TOY_JET_INPUTS] <= max) continue;
        max = data->features[b * TOY_JET_INPUTS];
        *out_jet = b;
    }
    return max;
}

static void dead_units_are_those_below_zero_in_every_row(void **state)
{
    toy *data = toy_create(JETS, 36);
    gn2_config *config = toy_config(OPTIONS("model.init=torch")); /* has biases */
    gn2_model *model = toy_model(config);
    gn2_trainer *t = NULL;
    int64_t jet = -1, second = -1;
    (void)state;
    const float first = largest(data, -1, &jet), next = largest(data, jet, &second);
    set_bias(model, "init_nets.0.net.net.0.bias", 5);
    set_threshold(model, 0, (first + next) / 2); /* alive in the rows of one jet */
    set_threshold(model, 1, first + 0.5f);       /* dead */
    set_bias(model, "encoder.layers.0.dense.fn.in_proj.bias", 0);
    set_bias(model, "encoder.layers.1.dense.fn.in_proj.bias", 16);
    assert_ok(gn2_train_new(model, config, &t));
    probed *p = probed_of(t, data);
    assert_true(probed_find(p, "init_pre")->dead_share == 4.0 / 24);
    assert_true(probed_find(p, "ffn_pre0")->dead_share == 0);
    assert_true(probed_find(p, "ffn_pre1")->dead_share == 16.0 / 64);
    gn2_free(p);
    gn2_train_delete(t);
    gn2_model_unref(model);
    gn2_config_delete(config);
    toy_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modules_come_in_order_and_then_the_tensors),
        cmocka_unit_test(logits_and_their_changes_are_those_of_taggers),
        cmocka_unit_test(changes_are_those_between_two_trainers),
        cmocka_unit_test(nothing_has_changed_at_the_start),
        cmocka_unit_test(attention_logits_are_counted_in_double),
        cmocka_unit_test(dead_units_are_those_below_zero_in_every_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
