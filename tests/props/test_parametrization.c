/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of parameters under every parametrisation: which sizes may grow, where
 * two forms are one, what decay and zero starts do. What training makes of the table
 * is shown by tests/train.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/need.h"
#include "common/testnet.h"
#include "config/table.h"
#include "net/parametrization.h"
#include "net/tasks.h"
#include "util/alloc.h"
#include "util/error.h"

/* a handful of roundings of doubles of order 1 */
#define ROUNDINGS (8 * 0x1p-53)

static const char *const forms[] = {"sp", "mup", "mup_absolute"};
static const char *const optimisers[] = {"adamw", "sgd"};
static const char *const norms[] = {"pre", "post", "none"};

#define COUNT(table) (int)(sizeof(table) / sizeof *(table))

#define PRE "model.final_norm_pos = pre\n"
#define ONE_LAYER "model.num_layers = 1\n"
#define FORM "model.parametrization = %s\n"
#define SIZES "model.embed_dim = %d\nmodel.num_heads = %d\n"
#define BASE "model.base_width = %d\nmodel.base_heads = %d\n"

static testmodel *create(const char *format, ...) __attribute__((format(printf, 1, 2)));

static testmodel *create(const char *format, ...)
{
    char lines[512];
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(lines, sizeof lines, format, args);
    va_end(args);
    need_true(length > 0 && (size_t)length < sizeof lines, "room for the lines");
    return testmodel_create(lines);
}

static gn2_status read_lines(const char *lines, gn2_hparams *out)
{
    gn2_config *config = NULL;
    need_ok(gn2_config_new(&config), "config");
    need_ok(gn2_config_from_text(config, "test", lines, strlen(lines)), "lines");
    const gn2_status status = gn2_hparams_read(config, out);
    gn2_config_delete(config);
    return status;
}

static double scale_of(const char *form, int width, int heads, int base_width,
                       int base_heads)
{
    char lines[256];
    gn2_hparams h;
    snprintf(lines, sizeof lines, FORM SIZES BASE, form, width, heads, base_width,
             base_heads);
    need_ok(read_lines(lines, &h), lines);
    return h.block.attention.scale;
}

/* ---- the attention ---- */

static void heads_of_one_size_keep_their_scale(void **state)
{
    (void)state;
    for (int k = 1; k <= 16; k *= 2)
        assert_true(scale_of("mup", 64 * k, 8 * k, 64, 8) == 1 / sqrt(8));
    assert_true(scale_of("mup", 96, 4, 72, 3) == 1 / sqrt(24));
}

/* √d_h0/d_h, spec of the parametrisations. */
static void heads_that_grow_scale_by_their_size(void **state)
{
    static const int rows[][4] = {/* w, H, w0, H0 */
                                  {256, 8, 64, 8},  {256, 8, 64, 0}, {1000, 8, 200, 0},
                                  {256, 16, 64, 8}, {96, 3, 24, 1},  {32, 8, 256, 8},
                                  {24, 4, 6, 0} /* d_h0 = 1.5 */};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const int *r = rows[i];
        const double base = (double)r[2] / (r[3] ? r[3] : r[1]);
        const double wanted = sqrt(base) / ((double)r[0] / r[1]);
        const double scale = scale_of("mup", r[0], r[1], r[2], r[3]);
        assert_true(fabs(scale / wanted - 1) < ROUNDINGS);
    }
}

static void the_base_has_the_standard_scale_to_the_bit(void **state)
{
    (void)state;
    for (int heads = 1; heads <= 64; heads++)
        for (int size = 1; size <= 16; size++) {
            const int w = heads * size;
            const double sp = scale_of("sp", w, heads, w, 0);
            assert_true(scale_of("mup", w, heads, w, 0) == sp);
            assert_true(scale_of("mup", w, heads, w, heads) == sp);
        }
}

static void check_refused(const char *lines, const char *const *words)
{
    gn2_hparams h;
    assert_int_equal(read_lines(lines, &h), GN2_ERR_INVALID_ARG);
    for (int i = 0; words[i]; i++)
        if (!strstr(gn2_error_text(), words[i]))
            fail_msg("'%s' is not in '%s'", words[i], gn2_error_text());
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void heads_that_do_not_divide_the_base_are_refused(void **state)
{
    gn2_hparams h;
    (void)state;
    check_refused("model.parametrization = mup\nmodel.base_heads = 7\n",
                  WORDS("model.base_heads = 7", "model.base_width = 64"));
    check_refused(
        "model.parametrization = mup\nmodel.base_width = 4\nmodel.base_heads = 8\n",
        WORDS("model.base_heads = 8", "model.base_width = 4"));
    /* the others have no base */
    assert_int_equal(read_lines("model.base_heads = 7\n", &h), GN2_OK);
    assert_int_equal(
        read_lines("model.parametrization = mup_absolute\nmodel.base_heads = 7\n", &h),
        GN2_OK);
}

/* ---- absolute and relative ---- */

static void assert_near(const gn2_tensor *t, double a, double b)
{
    if (!(fabs(a / b - 1) < ROUNDINGS)) fail_msg("%s: %.17g and %.17g", t->name, a, b);
}

/*
 * What the absolute form has over the relative one of base width 1: nothing, but
 * constants of the tensor's shape, the same at every width. A fan of 2w (feed-forward)
 * or 3w (q, k, v) is 2 or 3 at the relative form's base width.
 */
static double shape_constant(const gn2_hparams *h, const gn2_tensor *t)
{
    const double w = (double)h->embed_dim;
    if (h->rule == GN2_UPDATE_GRADIENT &&
        (t->role == GN2_ROLE_INPUT || t->role == GN2_ROLE_BIAS))
        return (double)t->fan_out / w;
    if (h->rule == GN2_UPDATE_ADAPTIVE && t->role == GN2_ROLE_HIDDEN)
        return w / (double)t->fan_in;
    return 1;
}

/* The read-out is a weight times a multiplier f in one form, a weight alone in the
 * other: start ×f; a step of AdamW ×f; the gradient too is ×f, so of SGD ×f². */
static void check_tensor(const gn2_hparams *h, const gn2_tensor *rel,
                         const gn2_tensor *abs)
{
    const double f = rel->forward_mult,
                 rate = rel->lr_mult * (h->rule == GN2_UPDATE_GRADIENT ? f * f : f);
    assert_string_equal(rel->name, abs->name);
    assert_int_equal(rel->role, abs->role);
    assert_true(abs->forward_mult == 1);
    assert_true((f == 1) == (rel->role != GN2_ROLE_OUTPUT));
    assert_near(abs, rate * shape_constant(h, rel), abs->lr_mult);
    assert_near(abs, abs->wd_mult * abs->lr_mult, rel->wd_mult * rel->lr_mult);
    if (abs->init_std != 0 || rel->init_std != 0)
        assert_near(abs, rel->init_std * f, abs->init_std);
}

static void absolute_is_relative_to_width_one(void **state)
{
    static const int widths[] = {8, 24, 64, 200, 256};
    (void)state;
    for (int i = 0; i < 10; i++) {
        const char *optimiser = optimisers[i % 2];
        const int w = widths[i / 2];
        testmodel *rel = create(ONE_LAYER PRE "optim.name = %s\n" FORM SIZES BASE,
                                optimiser, "mup", w, 8, 1, 1);
        testmodel *abs = create(ONE_LAYER PRE "optim.name = %s\n" FORM SIZES, optimiser,
                                "mup_absolute", w, 8);
        assert_true(rel->h.block.attention.scale == abs->h.block.attention.scale);
        assert_int_equal(rel->params->count, abs->params->count);
        for (size_t k = 0; k < rel->params->count; k++)
            check_tensor(&rel->h, &rel->params->tensor[k], &abs->params->tensor[k]);
        testmodel_free(rel);
        testmodel_free(abs);
    }
}

/* ---- decay ---- */

static void check_decay(const char *lines, int inverse)
{
    testmodel *m = testmodel_create(lines);
    for (size_t k = 0; k < m->params->count; k++) {
        const gn2_tensor *t = &m->params->tensor[k];
        if (inverse)
            assert_near(t, t->lr_mult * t->wd_mult, 1);
        else
            assert_true(t->wd_mult == 1);
    }
    testmodel_free(m);
}

static void decay_is_the_same_for_all_tensors_or_as_it_is(void **state)
{
    static const char *const scalings[] = {"none", "inverse"};
    const int all = COUNT(forms) * COUNT(optimisers) * COUNT(norms);
    (void)state;
    for (int i = 0; i < 2 * all; i++) {
        const int norm = i / (COUNT(forms) * COUNT(optimisers)) % COUNT(norms);
        char lines[512];
        snprintf(
            lines, sizeof lines,
            ONE_LAYER FORM "optim.name = %s\nmodel.final_norm_pos = %s\n"
                           "optim.decay_scaling = %s\n" SIZES "model.base_width = 24\n"
                           "model.encoder = %s\nmodel.num_registers = 1\n",
            forms[i % COUNT(forms)], optimisers[i / COUNT(forms) % COUNT(optimisers)],
            norms[norm], scalings[i / all], 40, 5, i % 5 ? "current" : "legacy");
        check_decay(lines, i / all);
    }
}

/* ---- zero starts ---- */

#define ZEROS "model.zero_readout = yes\nmodel.zero_query = yes\n"

static int64_t zeros_of(const testmodel *m, const char *name, int64_t first,
                        int64_t count)
{
    const gn2_tensor *t = gn2_params_find(m->params, name);
    int64_t zeros = 0;
    need_true(t != NULL && first + count <= t->count, name);
    for (int64_t i = first; i < first + count; i++)
        zeros += m->weights[t->offset + i] == 0;
    return zeros;
}

static void zero_starts_are_exactly_zero(void **state)
{
    (void)state;
    for (int i = 1; i < COUNT(forms); i++) {
        testmodel *m = create(PRE ZEROS FORM SIZES, forms[i], 32, 4);
        const char *qkv = "encoder.layers.3.attn.fn.in_proj_weight";
        const int64_t w = 32, out = m->h.out_dim;
        const gn2_tensor *readout =
            gn2_params_find(m->params, "encoder.out_proj.weight");
        assert_int_equal(zeros_of(m, readout->name, 0, out * w), out * w);
        assert_true(readout->init_std == 0);
        assert_int_equal(zeros_of(m, qkv, 0, w * w), w * w);
        assert_int_equal(zeros_of(m, qkv, w * w, 2 * w * w), 0);
        testmodel_free(m);
    }
}

/* With zero biases behind it every ReLU of the heads would stand at its kink. */
static void a_zero_read_out_gets_a_gradient(void **state)
{
    const int64_t tracks[] = {3, 0, 20};
    const testoptions options = {.cap = GN2_ISA_BEST, .training = 1};
    (void)state;
    testmodel *m = create(PRE ZEROS FORM SIZES, forms[1], 32, 4);
    testbatch *batch = testbatch_random(&m->h, tracks, 3, 6);
    testresult *result = testrun_f64(m, batch, &options);
    const gn2_tensor *t = gn2_params_find(m->params, "encoder.out_proj.weight");
    int64_t moved = 0;
    for (int64_t i = 0; i < t->count; i++) moved += result->grads[t->offset + i] != 0;
    assert_int_equal(moved, t->count);
    testresult_free(result);
    testbatch_free(batch);
    testmodel_free(m);
}

/* torch's biases fall like 1/√fan_in; mup keeps them at their size of the base. */
static void random_biases_keep_their_size(void **state)
{
    static const char *const names[] = {
        "init_nets.0.net.net.2.bias", "encoder.layers.0.attn.fn.out_proj.bias",
        "encoder.layers.0.dense.fn.out_proj.bias", "encoder.out_proj.bias",
        "tasks.0.net.net.0.bias"};
    const double expected[] = {256, 64, 128, 64, 128}; /* fan-in at the base */
    (void)state;
    testmodel *m = create(PRE "model.init = torch\n" FORM SIZES, forms[1], 128, 4);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const gn2_tensor *t = gn2_params_find(m->params, names[i]);
        need_true(t != NULL, names[i]);
        assert_true(fabs(t->init_std * sqrt(3 * expected[i]) - 1) < 1e-12);
    }
    testmodel_free(m);
}

static void the_standard_form_ignores_them(void **state)
{
    (void)state;
    testmodel *with = create(ZEROS), *without = create("model.zero_query = no\n");
    assert_memory_equal(with->weights, without->weights,
                        (size_t)with->params->total * sizeof *with->weights);
    testmodel_free(with);
    testmodel_free(without);
}

static void a_zero_read_out_needs_no_norm_behind_it(void **state)
{
    gn2_hparams h;
    (void)state;
    for (int i = 1; i < COUNT(forms); i++) {
        char lines[256];
        snprintf(lines, sizeof lines, FORM "model.zero_readout = yes\n", forms[i]);
        check_refused(lines,
                      WORDS("model.zero_readout", "model.final_norm_pos = post"));
    }
    assert_int_equal(read_lines("model.parametrization = mup\nmodel.zero_readout = "
                                "yes\nmodel.final_norm_pos = none\n",
                                &h),
                     GN2_OK);
}

static void the_words_of_the_keys_are_the_tables(void **state)
{
    const char *kinds = gn2_config_find_row("task.any.kind")->doc;
    char words[128] = "";
    (void)state;
    for (const gn2_parametrization *p = gn2_parametrizations; p->name; p++) {
        if (*words) strcat(words, "|");
        strcat(words, p->name);
    }
    assert_string_equal(words, gn2_config_find_row("model.parametrization")->choices);
    for (int i = 0; i < COUNT(forms); i++) /* and of the table of this file */
        assert_string_equal(gn2_parametrizations[i].name, forms[i]);
    assert_null(gn2_parametrizations[COUNT(forms)].name);
    for (int i = 0; gn2_task_kinds_f32[i]; i++)
        assert_non_null(strstr(kinds, gn2_task_kinds_f32[i]->name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_words_of_the_keys_are_the_tables),
        cmocka_unit_test(heads_of_one_size_keep_their_scale),
        cmocka_unit_test(heads_that_grow_scale_by_their_size),
        cmocka_unit_test(the_base_has_the_standard_scale_to_the_bit),
        cmocka_unit_test(heads_that_do_not_divide_the_base_are_refused),
        cmocka_unit_test(absolute_is_relative_to_width_one),
        cmocka_unit_test(decay_is_the_same_for_all_tensors_or_as_it_is),
        cmocka_unit_test(zero_starts_are_exactly_zero),
        cmocka_unit_test(a_zero_read_out_gets_a_gradient),
        cmocka_unit_test(random_biases_keep_their_size),
        cmocka_unit_test(the_standard_form_ignores_them),
        cmocka_unit_test(a_zero_read_out_needs_no_norm_behind_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
