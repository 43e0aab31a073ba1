/* SPDX-License-Identifier: Apache-2.0 */
/* The weights of pairs, what is ignored, and batches that hold nothing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/need.h"
#include "common/testnet.h"

#define SMALL                                                           \
    "model.embed_dim = 16\nmodel.num_heads = 2\nmodel.num_layers = 1\n" \
    "model.out_dim = 8\nmodel.init_hidden = 8\ntask.track_vertexing.hidden = 8\n"

static const testoptions training = {.cap = GN2_ISA_BEST, .training = 1};

static const testrun_fn runs[] = {testrun_f64, testrun_f32};
/* Rounding of a sum of a dozen terms. */
static const double margins[] = {1e-14, 1e-6};

/* ---- pair weights ---- */

typedef enum family { OTHER, HEAVY, FAKE } family;

static family family_of(int32_t origin)
{
    if (origin == 1) return FAKE;
    return origin == 3 || origin == 4 || origin == 5 ? HEAVY : OTHER;
}

/* salt's 1 + (a & b) with a = 1, −1, 0 for heavy flavour, fake and other. */
static const double salt_weight[3][3] = {{1, 1, 1}, {1, 2, 2}, {1, 2, 0}};
static const double symmetric_weight[3][3] = {{1, 1, 0}, {1, 2, 0}, {0, 0, 0}};
static const double no_weight[3][3] = {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}};

/* −log of the probability the logit gives to the target */
static double binary_loss(double x, int target)
{
    return log1p(exp(target ? -x : x));
}

/* Loss of a batch with labels from its own pair logits. */
static double expected_loss(const testbatch *batch, const double *logits,
                            const double weight[3][3])
{
    const int64_t *offset = batch->sequence[0].offset;
    double sum = 0, positive = 0;
    int64_t pair = 0;
    for (int64_t b = 0; b < batch->jets; b++)
        for (int64_t i = offset[b]; i < offset[b + 1]; i++)
            for (int64_t j = offset[b]; j < offset[b + 1]; j++) {
                if (i == j) continue;
                const int match =
                    batch->vertex[i] >= 0 && batch->vertex[i] == batch->vertex[j];
                sum +=
                    weight[family_of(batch->origin[i])][family_of(batch->origin[j])] *
                    binary_loss(logits[pair++], match);
                positive += match;
            }
    return 1.5 * sum / positive; /* the vertex task's weight by default */
}

static void check_weights(const char *rule, const double weight[3][3])
{
    char lines[512];
    snprintf(lines, sizeof lines, "%stask.track_vertexing.pair_weights = %s\n", SMALL,
             rule);
    testmodel *m = testmodel_create(lines);
    testmodel_scatter(m, 2, 1);
    const int64_t tracks[] = {3};
    testbatch *batch = testbatch_random(&m->h, tracks, 1, 3);
    const int32_t vertex[] = {1, 1, -1};
    memcpy(batch->vertex, vertex, sizeof vertex);
    for (int32_t a = -2; a < 8; a++)
        for (int32_t b = -2; b < 8; b++)
            for (int k = 0; k < 2; k++) {
                batch->origin[0] = a;
                batch->origin[1] = b;
                batch->origin[2] = 2;
                testresult *t = runs[k](m, batch, &training);
                const double want =
                    expected_loss(batch, t->logits[TASK_VERTEX], weight);
                assert_true(fabs(t->losses[TASK_VERTEX] - want) <= margins[k] * want);
                testresult_free(t);
            }
    testbatch_free(batch);
    testmodel_free(m);
}

static void pairs_weigh_as_in_salt(void **state)
{
    (void)state;
    check_weights("salt", salt_weight);
}

static void symmetric_pairs_drop_every_fake(void **state)
{
    (void)state;
    check_weights("symmetric", symmetric_weight);
}

static void pairs_weigh_the_same_without_weights(void **state)
{
    (void)state;
    check_weights("none", no_weight);
}

/* ---- nothing to learn from ---- */

static void assert_finite(const double *x, int64_t count)
{
    for (int64_t i = 0; i < count; i++) assert_true(isfinite(x[i]));
}

static void check_silent(testmodel *m, const testbatch *batch)
{
    for (int k = 0; k < 2; k++) {
        testresult *t = runs[k](m, batch, &training);
        for (int id = 0; id < TASK_COUNT; id++) assert_true(t->losses[id] == 0);
        for (int64_t i = 0; i < m->params->total; i++) assert_true(t->grads[i] == 0);
        assert_finite(t->logits[TASK_JETS], batch->jets * m->h.classes);
        testresult_free(t);
    }
}

static void ignored_labels_give_no_loss_and_no_gradient(void **state)
{
    (void)state;
    testmodel *m = testmodel_create(SMALL);
    const int64_t tracks[] = {3, 0, 2};
    testmodel_scatter(m, 2, 1);
    testbatch *batch = testbatch_random(&m->h, tracks, 3, 3);
    for (int b = 0; b < 3; b++) batch->flavour[b] = -1;
    for (int i = 0; i < 5; i++) {
        batch->origin[i] = i % 2 ? -1 : -2;
        batch->vertex[i] = -1;
    }
    check_silent(m, batch);
    testbatch_free(batch);
    testmodel_free(m);
}

static void a_batch_without_jets_is_silent(void **state)
{
    (void)state;
    testmodel *m = testmodel_create(SMALL);
    testbatch *batch = testbatch_random(&m->h, NULL, 0, 3);
    check_silent(m, batch);
    testbatch_free(batch);
    testmodel_free(m);
}

/* Jets without tracks: the embedding of the register, or zero without one. */
static void jets_without_tracks_score_by_register_alone(void **state)
{
    static const char *const lines[] = {SMALL, SMALL "model.num_registers = 0\n"};
    (void)state;
    for (int n = 0; n < 2; n++)
        for (int k = 0; k < 2; k++) {
            testmodel *m = testmodel_create(lines[n]);
            const int64_t tracks[] = {0, 0};
            testmodel_scatter(m, 2, 1);
            testbatch *batch = testbatch_random(&m->h, tracks, 2, 3);
            testresult *t = runs[k](m, batch, &training);
            const double *g = t->pooled, *other = t->pooled + m->h.out_dim;
            for (int64_t c = 0; c < m->h.out_dim; c++) {
                assert_true(g[c] == other[c]);
                assert_true((g[c] == 0) == (n == 1));
            }
            assert_true(t->losses[TASK_JETS] > 0);
            assert_true(t->losses[TASK_ORIGIN] == 0);
            assert_true(t->losses[TASK_VERTEX] == 0);
            assert_finite(t->grads, m->params->total);
            testresult_free(t);
            testbatch_free(batch);
            testmodel_free(m);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_weigh_as_in_salt),
        cmocka_unit_test(symmetric_pairs_drop_every_fake),
        cmocka_unit_test(pairs_weigh_the_same_without_weights),
        cmocka_unit_test(ignored_labels_give_no_loss_and_no_gradient),
        cmocka_unit_test(a_batch_without_jets_is_silent),
        cmocka_unit_test(jets_without_tracks_score_by_register_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
