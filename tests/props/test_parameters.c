/* SPDX-License-Identifier: Apache-2.0 */
/* Number of parameters, their random start, and where muP is the standard form. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/need.h"
#include "common/testnet.h"
#include "util/alloc.h"

static testmodel *create(const char *lines, const char *more)
{
    gn2_text text = {0};
    gn2_text_add(&text, lines);
    gn2_text_add(&text, more);
    need_true(!text.failed, "memory");
    testmodel *model = testmodel_create(text.data);
    gn2_free(text.data);
    return model;
}

static testmodel *create_wide(int64_t width, const char *more)
{
    char line[64];
    snprintf(line, sizeof line, "model.embed_dim = %d\n", (int)width);
    return create(line, more);
}

/* ---- number ---- */

#define MUP "model.classes = bjets,cjets,ujets\nmodel.dropout_heads = 0.1\n"
#define LEGACY                                                    \
    "model.classes = bjets,cjets,ujets\nmodel.encoder = legacy\n" \
    "model.final_norm_pos = pre\nmodel.num_registers = 0\n"

/* Instantiated salt models: GN2_muP.yaml, GN2.yaml, the encoder of GN2v01. */
static void counts_are_those_of_salt(void **state)
{
    static const struct {
        int64_t width, mup, gn2, legacy;
    } rows[] = {
        {64, 293549, 293582, 294637},
        {128, 713261, 713294, 715437},
        {256, 2339117, 2339150, 2343469},
        {512, 8736557, 8736590, 8745261},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct {
            const char *more;
            int64_t count;
        } kinds[] = {{MUP, rows[i].mup}, {"", rows[i].gn2}, {LEGACY, rows[i].legacy}};
        for (int k = 0; k < 3; k++) {
            testmodel *m = create_wide(rows[i].width, kinds[k].more);
            int64_t count = 0;
            for (size_t t = 0; t < m->params->count; t++)
                count += m->params->tensor[t].count;
            assert_int_equal(count, kinds[k].count);
            testmodel_free(m);
        }
    }
}

static void tensors_do_not_overlap(void **state)
{
    (void)state;
    testmodel *m = create("model.constituents = tracks,flows\ninputs.flows = a\n", "");
    char *used = need_memory((size_t)m->params->total, 1);
    for (size_t t = 0; t < m->params->count; t++) {
        const gn2_tensor *tensor = &m->params->tensor[t];
        assert_ptr_equal(gn2_params_find(m->params, tensor->name), tensor);
        for (int64_t i = 0; i < tensor->count; i++) {
            assert_in_range(tensor->offset + i, 0, m->params->total - 1);
            assert_int_equal(used[tensor->offset + i]++, 0);
        }
    }
    gn2_free(used);
    testmodel_free(m);
}

/* ---- random start ---- */

static int ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static int is_bias(const gn2_tensor *t)
{
    return ends_with(t->name, "bias");
}

static double std_of(const testmodel *m, const gn2_tensor *t)
{
    double squares = 0;
    for (int64_t i = 0; i < t->count; i++)
        squares += m->weights[t->offset + i] * m->weights[t->offset + i];
    return sqrt(squares / (double)t->count);
}

static double largest_of(const testmodel *m, const gn2_tensor *t)
{
    double most = 0;
    for (int64_t i = 0; i < t->count; i++)
        most = fmax(most, fabs(m->weights[t->offset + i]));
    return most;
}

/* Five standard errors of a standard deviation estimated from n normal values. */
static double std_margin(const gn2_tensor *t)
{
    return 5 / sqrt(2 * (double)t->count);
}

static void fan_in_start_is_normal_with_zero_biases(void **state)
{
    (void)state;
    testmodel *m = create_wide(128, "");
    for (size_t k = 0; k < m->params->count; k++) {
        const gn2_tensor *t = &m->params->tensor[k];
        if (is_bias(t)) {
            assert_true(largest_of(m, t) == 0);
            continue;
        }
        const double expected =
            ends_with(t->name, "registers") ? 1e-4 : 1 / sqrt((double)t->shape[1]);
        assert_true(fabs(std_of(m, t) / expected - 1) < std_margin(t));
        /* more than a uniform one of that deviation could reach */
        if (t->count > 1000) assert_true(largest_of(m, t) > 2.5 * expected);
    }
    testmodel_free(m);
}

/* Bound of torch's uniform start as salt leaves it, 0: another start. */
static double torch_bound(const gn2_tensor *t, int64_t fan_in)
{
    if (ends_with(t->name, "registers") || ends_with(t->name, "in_proj_bias")) return 0;
    if (ends_with(t->name, "in_proj_weight"))
        return sqrt(6 / (4 * (double)fan_in)); /* Xavier of (3w, w) */
    return 1 / sqrt((double)fan_in);
}

/* Inputs of the linear map a tensor belongs to: its weight stands before it. */
static int64_t inputs_of(const testmodel *m, size_t k)
{
    const gn2_tensor *t = &m->params->tensor[k];
    return t->shape[1] ? t->shape[1] : m->params->tensor[k - 1].shape[1];
}

static void torch_start_fills_the_ranges_of_torch(void **state)
{
    (void)state;
    testmodel *m = create_wide(128, "model.init = torch\n");
    for (size_t k = 0; k < m->params->count; k++) {
        const gn2_tensor *t = &m->params->tensor[k];
        const double bound = torch_bound(t, inputs_of(m, k)), most = largest_of(m, t);
        if (bound == 0) {
            const double std = ends_with(t->name, "registers") ? 1e-4 : 0;
            assert_true(fabs(std_of(m, t) - std) <= std * std_margin(t));
            continue;
        }
        assert_true(most <= bound * (1 + 1e-7)); /* rounded to float */
        /* n uniform values all below x·bound: probability xⁿ = 1e-6 */
        assert_true(most >= bound * pow(1e-6, 1 / (double)t->count));
    }
    testmodel_free(m);
}

static void the_seed_decides_the_start(void **state)
{
    (void)state;
    testmodel *a = create_wide(64, "model.seed = 1\n");
    testmodel *b = create_wide(64, "model.seed = 1\n");
    testmodel *c = create_wide(64, "model.seed = 2\n");
    const size_t bytes = (size_t)a->params->total * sizeof *a->weights;
    assert_memory_equal(a->weights, b->weights, bytes);
    for (size_t k = 0; k < a->params->count; k++) {
        const gn2_tensor *t = &a->params->tensor[k];
        if (is_bias(t)) continue;
        assert_memory_not_equal(a->weights + t->offset, c->weights + t->offset,
                                (size_t)t->count * sizeof *a->weights);
    }
    testmodel_free(a);
    testmodel_free(b);
    testmodel_free(c);
}

/* ---- muP at its base width ---- */

#define AT_BASE "model.parametrization = mup\nmodel.base_width = 64\n"

static void check_base_width(const char *norm, const char *init)
{
    char sp_lines[160], mup_lines[256];
    snprintf(sp_lines, sizeof sp_lines, "model.final_norm_pos = %s\nmodel.init = %s\n",
             norm, init);
    snprintf(mup_lines, sizeof mup_lines, "%s%s", sp_lines, AT_BASE);
    testmodel *sp = create_wide(64, sp_lines), *mup = create_wide(64, mup_lines);
    const int64_t tracks[] = {3, 0, 20};
    const testoptions options = {.cap = GN2_ISA_BEST, .training = 1};
    testbatch *batch = testbatch_random(&sp->h, tracks, 3, 6);
    testresult *a = testrun_f32(sp, batch, &options);
    testresult *b = testrun_f32(mup, batch, &options);
    assert_memory_equal(sp->weights, mup->weights,
                        (size_t)sp->params->total * sizeof *sp->weights);
    assert_memory_equal(a->logits[0], b->logits[0],
                        (size_t)(3 * sp->h.classes) * sizeof *a->logits[0]);
    assert_memory_equal(a->grads, b->grads,
                        (size_t)sp->params->total * sizeof *a->grads);
    for (size_t k = 0; k < mup->params->count; k++) {
        const gn2_tensor *t = &mup->params->tensor[k];
        assert_true(t->lr_mult == 1 && t->wd_mult == 1 && t->forward_mult == 1);
    }
    testresult_free(a);
    testresult_free(b);
    testbatch_free(batch);
    testmodel_free(sp);
    testmodel_free(mup);
}

static void mup_at_its_base_width_is_the_standard_form(void **state)
{
    (void)state;
    check_base_width("pre", "fan_in");
    check_base_width("pre", "torch");
    check_base_width("post", "fan_in");
    check_base_width("none", "fan_in");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_those_of_salt),
        cmocka_unit_test(tensors_do_not_overlap),
        cmocka_unit_test(fan_in_start_is_normal_with_zero_biases),
        cmocka_unit_test(torch_start_fills_the_ranges_of_torch),
        cmocka_unit_test(the_seed_decides_the_start),
        cmocka_unit_test(mup_at_its_base_width_is_the_standard_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
