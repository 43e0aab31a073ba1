/* SPDX-License-Identifier: Apache-2.0 */
/* AdamW with a cycled β1 and SGD against textbook loops written out here in
 * double; multipliers; clipping; any number of threads. Compiled in double, and in
 * float for what ships. */
#include <float.h>
#include <math.h>

#include "unit.h"

#include "config/table.h"
#include "optim/optimizer.h"
#include "train/engine.h"
#include "util/alloc.h"
#include "util/rng.h"
#include "util/str.h"

#ifdef GN2_REAL_DOUBLE
#define EPSILON DBL_EPSILON
#else
#define EPSILON ((double)FLT_EPSILON)
#endif

#define SIZE0 20001 /* three pieces */
#define SIZE1 5
#define OFFSET1 20016
#define TOTAL (OFFSET1 + SIZE1)
#define STEPS 3

static const double rates[STEPS] = {1e-3, 5e-3, 2e-3};
static const double betas[STEPS] = {0.95, 0.85, 0.9};

typedef struct fixture {
    gn2_tensor tensor[2];
    gn2_params params;
    gn2_pieces pieces;
    R(gn2_optimizer) o;
    real weights[TOTAL], grads[STEPS][TOTAL];
} fixture;

static fixture *setup(const char *name)
{
    fixture *f = gn2_alloc(1, sizeof *f);
    assert_non_null(f);
    f->tensor[0] = (gn2_tensor){.count = SIZE0, .lr_mult = 0.25, .wd_mult = 4};
    f->tensor[1] =
        (gn2_tensor){.count = SIZE1, .offset = OFFSET1, .lr_mult = 1, .wd_mult = 0};
    f->params = (gn2_params){.tensor = f->tensor, .count = 2, .total = TOTAL};
    assert_ok(R(gn2_pieces_create)(&f->params, &f->pieces));
    f->o = (R(gn2_optimizer)){
        .options = {.name = name, .weight_decay = 0.125, .beta2 = 0.999, .eps = 1e-8},
        .total = TOTAL,
        .pieces = &f->pieces,
        .kernels = R(gn2_kernels_get)(GN2_ISA_BEST)};
    assert_ok(R(gn2_optimizer_create)(&f->o));
    for (int64_t i = 0; i < TOTAL; i++) {
        f->weights[i] = (real)gn2_rng_normal(1, (uint64_t)i);
        for (int k = 0; k < STEPS; k++)
            f->grads[k][i] = (real)gn2_rng_normal(2 + (uint64_t)k, (uint64_t)i);
    }
    return f;
}

static void teardown(fixture *f)
{
    R(gn2_optimizer_destroy)(&f->o);
    gn2_free(f->pieces.piece);
    gn2_free(f);
}

static void run(fixture *f, double clip, gn2_pool *pool)
{
    for (int k = 0; k < STEPS; k++) {
        R(gn2_update) update = {.weights = f->weights,
                                .grads = f->grads[k],
                                .lr = rates[k],
                                .beta1 = (real)betas[k],
                                .clip = clip};
        R(gn2_optimizer_step)(&f->o, &update, pool);
    }
}

/* One element through torch.optim.AdamW's formulas. */
static double adamw_trace(const fixture *f, int64_t i, double clip)
{
    const gn2_tensor *t = &f->tensor[i >= OFFSET1];
    double p = (double)f->weights[i], m = 0, v = 0;
    for (int k = 0; k < STEPS; k++) {
        const double g = clip * (double)f->grads[k][i], lr = rates[k] * t->lr_mult;
        p *= 1 - lr * 0.125 * t->wd_mult;
        m = betas[k] * m + (1 - betas[k]) * g;
        v = 0.999 * v + (1 - 0.999) * g * g;
        const double m_hat = m / (1 - pow(betas[k], k + 1));
        const double v_hat = v / (1 - pow(0.999, k + 1));
        p -= lr * m_hat / (sqrt(v_hat) + 1e-8);
    }
    return p;
}

static double sgd_trace(const fixture *f, int64_t i, double clip)
{
    const gn2_tensor *t = &f->tensor[i >= OFFSET1];
    double p = (double)f->weights[i], m = 0;
    for (int k = 0; k < STEPS; k++) {
        m = betas[k] * m + clip * (double)f->grads[k][i] + 0.125 * t->wd_mult * p;
        p -= rates[k] * t->lr_mult * m;
    }
    return p;
}

/* An update is some ten roundings of p and of the step, |step| ≤ lr·12 here: |g| < 5
 * of three draws gives m̂/√v̂ < 2 and SGD's momentum < 12. */
static double bound(double p)
{
    return EPSILON * (16 * fabs(p) + 16 * STEPS * 5e-3 * 12);
}

static void check(const char *name, double clip,
                  double (*trace)(const fixture *, int64_t, double))
{
    fixture *f = setup(name);
    double *want = gn2_alloc(TOTAL, sizeof *want);
    for (int64_t i = 0; i < TOTAL; i++) want[i] = trace(f, i, clip);
    run(f, clip, NULL);
    for (int64_t i = 0; i < TOTAL; i++) {
        if (i >= SIZE0 && i < OFFSET1) continue; /* between the tensors */
        if (fabs((double)f->weights[i] - want[i]) > bound(want[i]))
            fail_msg("element %lld: %.17g, not %.17g", (long long)i,
                     (double)f->weights[i], want[i]);
    }
    gn2_free(want);
    teardown(f);
}

static void adamw_follows_torch_with_a_cycled_beta1(void **state)
{
    (void)state;
    check("adamw", 1, adamw_trace);
    check("adamw", 0.25, adamw_trace);
}

static void sgd_follows_torch_with_a_cycled_momentum(void **state)
{
    (void)state;
    check("sgd", 1, sgd_trace);
    check("sgd", 0.25, sgd_trace);
}

static void gaps_between_tensors_are_left_alone(void **state)
{
    fixture *f = setup(NULL);
    const real before = f->weights[SIZE0 + 3];
    (void)state;
    run(f, 1, NULL);
    assert_memory_equal(&f->weights[SIZE0 + 3], &before, sizeof before);
    assert_true(f->o.moment[0][SIZE0 + 3] == 0);
    teardown(f);
}

static void threads_do_not_change_a_bit(void **state)
{
    fixture *one = setup(NULL), *four = setup(NULL);
    gn2_pool *pool = NULL;
    (void)state;
    assert_ok(gn2_pool_create(4, &pool));
    run(one, 1, NULL);
    run(four, 1, pool);
    assert_memory_equal(one->weights, four->weights, sizeof one->weights);
    gn2_pool_free(pool);
    teardown(one);
    teardown(four);
}

static void clipping_keeps_the_norm(void **state)
{
    const gn2_optim_options off = {.clip_norm = 0}, on = {.clip_norm = 2};
    (void)state;
    assert_true(gn2_optim_clip(&off, 1e9) == 1);
    assert_true(gn2_optim_clip(&on, 2) == 1);
    assert_true(gn2_optim_clip(&on, 8) == 0.25);
    assert_true(gn2_optim_clip(&on, 0) == 1);
}

static void the_words_of_the_key_are_the_table(void **state)
{
    const R(gn2_optimizer_kind) *kind;
    gn2_text words = {0};
    (void)state;
    for (size_t i = 0; (kind = R(gn2_optimizer_kinds)[i]); i++) {
        gn2_text_format(&words, "%s%s", i ? "|" : "", kind->name);
        assert_ptr_equal(R(gn2_optimizer_find)(kind->name), kind);
        assert_non_null(kind->moment[0]);
    }
    assert_string_equal(words.data, gn2_config_find_row("optim.name")->choices);
    assert_string_equal(R(gn2_optimizer_find)(NULL)->name,
                        gn2_config_find_row("optim.name")->default_text);
    assert_null(R(gn2_optimizer_find)("no such"));
    gn2_free(words.data);
}

static void an_unknown_optimiser_is_refused(void **state)
{
    R(gn2_optimizer) o = {.options = {.name = "no such"}};
    (void)state;
    assert_status(GN2_ERR_INVALID_ARG, R(gn2_optimizer_create)(&o));
    assert_message("'no such'");
    assert_null(o.moment[0]);
}

static void keys_are_read(void **state)
{
    gn2_config *config = NULL;
    gn2_optim_options o;
    (void)state;
    assert_ok(gn2_config_new(&config));
    assert_ok(gn2_config_put_f64(config, "optim.weight_decay", 0.25));
    assert_ok(gn2_config_put_f64(config, "optim.beta2", 0.5));
    assert_ok(gn2_config_put_f64(config, "optim.eps", 0.125));
    assert_ok(gn2_config_put_f64(config, "optim.clip_norm", 3));
    R(gn2_optim_options_read)(config, &o);
    assert_string_equal(o.name, "adamw");
    assert_true(o.weight_decay == 0.25 && o.beta2 == 0.5 && o.eps == 0.125);
    assert_true(o.clip_norm == 3);
    assert_ok(gn2_config_put_str(config, "optim.name", "sgd"));
    R(gn2_optim_options_read)(config, &o);
    assert_string_equal(o.name, "sgd");
    assert_true(o.weight_decay == 0.25 && o.clip_norm == 3);
    gn2_config_delete(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw_follows_torch_with_a_cycled_beta1),
        cmocka_unit_test(sgd_follows_torch_with_a_cycled_momentum),
        cmocka_unit_test(gaps_between_tensors_are_left_alone),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(clipping_keeps_the_norm),
        cmocka_unit_test(the_words_of_the_key_are_the_table),
        cmocka_unit_test(an_unknown_optimiser_is_refused),
        cmocka_unit_test(keys_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
