/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The learning rate each tensor really gets, step by step, seen from outside: weights
 * before and after gn2_trainer_step(). It must be the schedule times the tensor's
 * multiplier, under every schedule, parametrisation and optimiser; a schedule that
 * writes one rate into all groups, as salt's OneCycle does, must fail here.
 *
 * Two instruments:
 *   decay   Losses of weight 0 have gradients of exactly 0, so a step only decays:
 *           p ← p − rate·λ·p with λ = 1 and decay_scaling = none, for every element of
 *           every tensor, whatever it is connected to. SGD has one rate for gradient
 *           and decay; AdamW has its step apart, hence:
 *   sign    AdamW with β1 = β2 = 0 moves by rate·g/(|g| + ε): by the rate wherever
 *           |g| ≫ ε. The bias of the pooling gate, a shift of a softmax, has no
 *           gradient but rounding noise: it may move by less, never by more.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <gn2/gn2.h>

/* as set_network() and set_run() have them */
#define WIDTH 24.0
#define BASE 8.0
#define STEPS 8
#define MAX_RATE 1e-2
#define START_RATE 2e-3
#define END_RATE 4e-3
#define MOST_WEIGHTS 8192 /* of a tensor of this network */

/* ε of the sign instrument: 1 − 1e-6 of the rate where |g| = 1e-6; and g² is no
 * subnormal number where |g| > ε */
#define SIGN_EPS "1e-12"
#define SIGN_SHARE 1e-5

#define ULP 0x1p-23 /* of a float of order 1 */

/* ---- a batch ---- */

#define JETS 5
#define TRACKS 3
#include "few_jets.h"

static int32_t origin[JETS * TRACKS], vertex[JETS * TRACKS];
static const gn2_label label[] = {LABEL(LABEL_JETS, flavour),
                                  LABEL(LABEL_ORIGIN, origin),
                                  LABEL(LABEL_VERTEX, vertex)};
static const gn2_labels labels = LABELS(label);

static int fill_batch(void **state)
{
    (void)state;
    for (int i = 0; i < JETS * 2; i++) features[i] = sinf(1.7f * (float)i);
    for (int i = 0; i < JETS * TRACKS * 19; i++) tracks[i] = cosf(2.3f * (float)i);
    fill_jets();
    for (int i = 0; i < JETS * TRACKS; i++) origin[i] = i % 8;
    for (int i = 0; i < JETS * TRACKS; i++) vertex[i] = i % 2;
    return 0;
}

/* ---- what is expected: schedules ---- */

static double cosine(double from, double to, double p)
{
    return to + (from - to) / 2 * (1 + cos(acos(-1) * p));
}

static double line(double from, double to, double p)
{
    return from + (to - from) * p;
}

/* pct_start = 0.5 of 8 steps: up to step 3 = 0.5·8 − 1, then down to step 7;
 * wsd: decay_share = 0.25 of them, from step 5 = 7 − 0.25·8 on. */
static double scheduled(const char *name, int k)
{
    const double up = k / 3.0, down = (k - 3) / 4.0;
    if (strcmp(name, "constant") == 0) return MAX_RATE;
    if (strcmp(name, "onecycle") == 0)
        return k <= 3 ? cosine(START_RATE, MAX_RATE, up)
                      : cosine(MAX_RATE, END_RATE, down);
    if (k <= 3) return line(START_RATE, MAX_RATE, up);
    if (strcmp(name, "cosine") == 0) return cosine(MAX_RATE, END_RATE, down);
    if (strcmp(name, "linear") == 0) return line(MAX_RATE, END_RATE, down);
    if (strcmp(name, "wsd") != 0) fail_msg("schedule %s: no formula here", name);
    return k <= 5 ? MAX_RATE : line(MAX_RATE, END_RATE, (k - 5) / 2.0);
}

/* ---- what is expected: multipliers ---- */

static int begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

/* Role by name, for a norm before the read-out: table 4.5 of the specification. */
static int32_t role_of(const char *name)
{
    const int bias = strstr(name, "bias") != NULL;
    if (strcmp(name, "encoder.registers") == 0) return GN2_ROLE_INPUT;
    if (strcmp(name, "encoder.out_proj.weight") == 0) return GN2_ROLE_OUTPUT;
    if (begins(name, "encoder.layers.")) return bias ? GN2_ROLE_BIAS : GN2_ROLE_HIDDEN;
    if (begins(name, "init_nets.0.net.net.2."))
        return bias ? GN2_ROLE_BIAS : GN2_ROLE_INPUT;
    return GN2_ROLE_FINITE;
}

/* The relative form, table 8 of Tensor Programs V, by role. plain: updates are
 * proportional to the gradient. */
static double relative(const gn2_param_info *p, int plain)
{
    static const double m = WIDTH / BASE;
    const double adaptive[] = {[GN2_ROLE_FINITE] = 1,
                               [GN2_ROLE_INPUT] = 1,
                               [GN2_ROLE_HIDDEN] = 1 / m,
                               [GN2_ROLE_OUTPUT] = 1,
                               [GN2_ROLE_BIAS] = 1};
    const double gradient[] = {[GN2_ROLE_FINITE] = 1,
                               [GN2_ROLE_INPUT] = m,
                               [GN2_ROLE_HIDDEN] = 1,
                               [GN2_ROLE_OUTPUT] = m,
                               [GN2_ROLE_BIAS] = m};
    return (plain ? gradient : adaptive)[role_of(p->name)];
}

/* The absolute form, table 3, from the shape: (outputs, inputs), or (outputs). */
static double absolute(const gn2_param_info *p, int plain)
{
    const double in = (double)p->shape[1];
    const int registers = strcmp(p->name, "encoder.registers") == 0;
    const double out = (double)(registers ? p->shape[1] : p->shape[0]);
    switch (role_of(p->name)) {
    case GN2_ROLE_OUTPUT:
        return 1 / in;
    case GN2_ROLE_HIDDEN:
        return plain ? 1 : 1 / in;
    case GN2_ROLE_INPUT:
    case GN2_ROLE_BIAS:
        return plain ? out : 1;
    default:
        return 1;
    }
}

static double standard(const gn2_param_info *p, int plain)
{
    (void)p;
    (void)plain;
    return 1;
}

static const struct form {
    const char *name;
    double (*multiplier)(const gn2_param_info *p, int plain);
} forms[] = {{"sp", standard}, {"mup", relative}, {"mup_absolute", absolute}};

static const struct optimiser {
    const char *name;
    int plain; /* GN2_UPDATE_GRADIENT */
} optimisers[] = {{"adamw", 0}, {"sgd", 1}};

/* ---- a run ---- */

typedef struct run {
    const char *schedule;
    const struct form *form;
    const struct optimiser *optimiser;
    int sign; /* the instrument */
    gn2_config *config;
    gn2_model *model; /* before the step */
    gn2_trainer *trainer;
} run;

typedef struct option {
    const char *key, *text;
} option;

static void set_options(gn2_config *c, const option *options, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(0, gn2_config_set_text(c, options[i].key, options[i].text));
}

#define SET(c, ...)                               \
    set_options(c, (const option[]){__VA_ARGS__}, \
                sizeof((const option[]){__VA_ARGS__}) / sizeof(option))

static void set_network(gn2_config *c, const char *loss_weight)
{
    SET(c, {"model.embed_dim", "24"}, {"model.base_width", "8"},
        {"model.num_layers", "1"}, {"model.num_heads", "3"}, {"model.out_dim", "10"},
        {"model.init_hidden", "12"}, {"model.final_norm_pos", "pre"},
        {"task.jets_classification.hidden", "12"}, {"task.track_origin.hidden", "12"},
        {"task.track_vertexing.hidden", "12"},
        {"task.jets_classification.weight", loss_weight},
        {"task.track_origin.weight", loss_weight},
        {"task.track_vertexing.weight", loss_weight});
}

static void set_run(const run *r)
{
    gn2_config *c = r->config;
    set_network(c, r->sign ? "1" : "0");
    SET(c, {"model.parametrization", r->form->name}, {"optim.name", r->optimiser->name},
        {"optim.decay_scaling", "none"}, {"optim.weight_decay", r->sign ? "0" : "1"},
        {"optim.beta2", "0"}, {"optim.eps", SIGN_EPS}, {"schedule.name", r->schedule},
        {"schedule.steps", "8"}, {"schedule.initial", "2e-3"}, {"schedule.max", "1e-2"},
        {"schedule.end", "4e-3"}, {"schedule.pct_start", "0.5"},
        {"schedule.decay_share", "0.25"}, {"schedule.beta1_max", "0"},
        {"schedule.beta1_min", "0"}, {"train.threads", "1"}, {"train.shards", "2"});
}

static gn2_param_info info_of(const gn2_model *model, size_t index)
{
    gn2_param_info info = {.struct_size = sizeof info};
    assert_int_equal(0, gn2_model_param_info(model, index, &info));
    assert_true(info.count <= MOST_WEIGHTS);
    return info;
}

/* Every element ±1, so that there is something to decay, in biases too. */
static void set_ones(gn2_model *model)
{
    static float ones[MOST_WEIGHTS];
    for (int i = 0; i < MOST_WEIGHTS; i++) ones[i] = i % 3 ? 1.0f : -1.0f;
    for (size_t k = 0; k < gn2_model_param_count(model); k++) {
        const gn2_param_info p = info_of(model, k);
        assert_int_equal(0, gn2_model_param_set(model, p.name, ones, (size_t)p.count));
    }
}

static void begin(run *r)
{
    assert_int_equal(0, gn2_config_create(&r->config));
    set_run(r);
    assert_int_equal(0, gn2_model_create(r->config, &r->model));
    if (!r->sign) set_ones(r->model);
    assert_int_equal(0, gn2_trainer_create(r->model, r->config, &r->trainer));
}

static void end(run *r)
{
    gn2_trainer_free(r->trainer);
    gn2_model_free(r->model);
    gn2_config_free(r->config);
}

/* ---- what is seen ---- */

/* Element i of a tensor moved by d; it should by `wanted`. Rounded are the new weight
 * (half an ulp of it) and, in float, the rate and its product. */
static int moved_right(double p, double q, double wanted)
{
    const double rounding = ULP * fmax(fabs(p), fabs(q)) + 4 * ULP * fabs(wanted);
    return fabs(q - p - wanted) <= rounding;
}

static void check_decay(const run *r, const gn2_param_info *info, double rate,
                        const float *before, const float *after)
{
    for (int64_t i = 0; i < info->count; i++)
        if (!moved_right(before[i], after[i], -rate * (double)before[i]))
            fail_msg("%s %s %s: %s moved from %.9g to %.9g at rate %g", r->form->name,
                     r->optimiser->name, r->schedule, info->name, (double)before[i],
                     (double)after[i], rate);
}

static void check_sign(const run *r, const gn2_param_info *info, double rate,
                       const float *before, const float *after)
{
    int64_t full = 0;
    for (int64_t i = 0; i < info->count; i++) {
        const double step = fabs((double)after[i] - (double)before[i]);
        const double rounding = ULP * fabs((double)before[i]) + SIGN_SHARE * rate;
        if (step > rate + rounding)
            fail_msg("%s %s: %s moved by %g at rate %g", r->form->name, r->schedule,
                     info->name, step, rate);
        full += step >= rate - rounding;
    }
    const int flat = strcmp(info->name, "pool_net.gate_nn.bias") == 0;
    if (!flat && full == 0)
        fail_msg("%s %s: nothing of %s moved at rate %g", r->form->name, r->schedule,
                 info->name, rate);
}

static void check_tensor(const run *r, const gn2_model *after, size_t index, double lr)
{
    static float x[MOST_WEIGHTS], y[MOST_WEIGHTS];
    const gn2_param_info info = info_of(r->model, index);
    const size_t count = (size_t)info.count;
    const double wanted = r->form->multiplier(&info, r->optimiser->plain);
    if (fabs(info.lr_mult / wanted - 1) > 1e-15 || info.wd_mult != 1)
        fail_msg("%s: multiplier %.17g, not %.17g", info.name, info.lr_mult, wanted);
    assert_int_equal(0, gn2_model_param_get(r->model, info.name, x, count));
    assert_int_equal(0, gn2_model_param_get(after, info.name, y, count));
    (r->sign ? check_sign : check_decay)(r, &info, lr * wanted, x, y);
}

static void check_step(run *r, int k)
{
    gn2_step_stats stats = {.struct_size = sizeof stats};
    gn2_model *after = NULL;
    const double lr = scheduled(r->schedule, k);
    if (gn2_trainer_step(r->trainer, &jets, &labels, &stats))
        fail_msg("step %d: %s", k, gn2_last_error());
    assert_true(fabs(stats.learning_rate / lr - 1) < 1e-14);
    assert_true((stats.gradient_norm == 0) == !r->sign);
    assert_int_equal(0, gn2_trainer_snapshot(r->trainer, &after));
    for (size_t i = 0; i < gn2_model_param_count(after); i++)
        check_tensor(r, after, i, lr);
    gn2_model_free(r->model);
    r->model = after;
}

static void check_run(run r)
{
    begin(&r);
    for (int k = 0; k < STEPS; k++) check_step(&r, k);
    end(&r);
}

static const char *const schedules[] = {"onecycle", "cosine", "constant", "linear",
                                        "wsd"};

#define COUNT(table) (sizeof(table) / sizeof *(table))

static void tensors_decay_at_their_rates(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT(schedules); s++)
        for (size_t f = 0; f < COUNT(forms); f++)
            for (size_t o = 0; o < COUNT(optimisers); o++)
                check_run((run){schedules[s], &forms[f], &optimisers[o], .sign = 0});
}

static void steps_of_adamw_are_of_their_rates(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT(schedules); s++)
        for (size_t f = 0; f < COUNT(forms); f++)
            check_run((run){schedules[s], &forms[f], &optimisers[0], .sign = 1});
}

/* A row that is missing here would be a row that nothing checks. */
static void every_word_of_the_keys_is_checked(void **state)
{
    static const char *const keys[] = {"model.parametrization", "optim.name",
                                       "schedule.name"};
    const size_t counts[] = {COUNT(forms), COUNT(optimisers), COUNT(schedules)};
    (void)state;
    for (size_t i = 0; i < COUNT(keys); i++) {
        gn2_config_info info = {.struct_size = sizeof info};
        size_t row = 0, words = 1;
        do assert_int_equal(0, gn2_config_describe(row++, &info));
        while (strcmp(info.key, keys[i]) != 0);
        for (const char *c = info.choices; *c; c++) words += *c == '|';
        if (words != counts[i])
            fail_msg("%s: %s are %zu, checked are %zu", keys[i], info.choices, words,
                     counts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_decay_at_their_rates),
        cmocka_unit_test(steps_of_adamw_are_of_their_rates),
        cmocka_unit_test(every_word_of_the_keys_is_checked),
    };
    return cmocka_run_group_tests(tests, fill_batch, NULL);
}
