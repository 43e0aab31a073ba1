/* SPDX-License-Identifier: Apache-2.0 */
/* Losses, outputs and divisors of regressions and weighed rows, from the definitions.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/need.h"
#include "common/testnet.h"
#include "net/tasks.h"
#include "util/error.h"

#define JETS 6
static const int64_t tracks[JETS] = {3, 0, 5, 1, 2, 4};

/* Every target of the jets has its own scaling; those of the tracks a denominator. */
#define SMALL                                                                        \
    "model.embed_dim = 16\nmodel.num_heads = 2\nmodel.num_layers = 1\n"              \
    "model.out_dim = 8\nmodel.init_hidden = 8\ninputs.jets = a,b\n"                  \
    "inputs.tracks = c,d,e\ntask.mass.targets = m,n\ntask.mass.target_mean = 3,-2\n" \
    "task.mass.target_std = 0.5,4\ntask.mass.weight = 0.7\ntask.lxy.targets = l,k\n" \
    "task.lxy.object = tracks\ntask.lxy.target_denominators = e,c\n"                 \
    "task.jets_classification.class_weights = 1,2,3,4\n"                             \
    "model.tasks = mass,lxy,jets_classification\n"

enum { MASS, LXY, CLASS };

static const testrun_fn runs[] = {testrun_f64, testrun_f32};
/* Rounding of a float network of 16 units against its own logits: the losses are
 * computed in double from them, factors and outputs in float. */
static const double margins[] = {1e-13, 2e-6};
static const testoptions training = {.cap = GN2_ISA_BEST, .training = 1};

typedef double (*loss_fn)(double mean, double raw, double s);

static double square(double x, double raw, double s)
{
    (void)raw;
    return pow(x - s, 2);
}

static double absolute(double x, double raw, double s)
{
    (void)raw;
    return fabs(x - s);
}

static double huber(double x, double raw, double s)
{
    (void)raw;
    const double e = fabs(x - s);
    return e < 1 ? 0.5 * e * e : e - 0.5;
}

static double variance(double raw)
{
    return fmax(log(1 + exp(raw)), 1e-6);
}

static double likelihood(double x, double raw, double s)
{
    return 0.5 * log(variance(raw)) + pow(x - s, 2) / (2 * variance(raw));
}

/* Scale and shift of target t of a row. */
static void unit(const testbatch *batch, int k, int64_t row, int t, double out[2])
{
    static const double std[2] = {0.5, 4}, mean[2] = {3, -2};
    static const int denominator[2] = {2, 0};
    out[0] = k == MASS ? std[t] : batch->sequence[0].data[row * 3 + denominator[t]];
    out[1] = k == MASS ? mean[t] : 0;
}

static void assert_near(double found, double want, double margin)
{
    if (!(fabs(found - want) <= margin * fmax(1, fabs(want))))
        fail_msg("%.17g, not %.17g", found, want);
}

/* Loss of task k from its logits, and the outputs checked on the way. */
static double expected(const testbatch *batch, const testresult *t, int k, loss_fn loss,
                       double margin)
{
    const int columns = loss == likelihood ? 4 : 2;
    double sum = 0, u[2];
    int64_t count = 0;
    for (int64_t r = 0; r < t->head_rows[k]; r++)
        for (int i = 0; i < 2; i++) {
            const double target = (double)batch->more[k].target[2 * r + i];
            const double x = t->head_logits[k][r * columns + i];
            const double raw = columns == 4 ? t->head_logits[k][r * 4 + 2 + i] : 0;
            const float *weight = batch->more[k].weight;
            unit(batch, k, r, i, u);
            assert_near(t->head_values[k][0][2 * r + i], x * u[0] + u[1], margin);
            if (columns == 4)
                assert_near(t->head_values[k][1][2 * r + i],
                            sqrt(variance(raw)) * fabs(u[0]), margin);
            if (isnan(target)) continue;
            sum +=
                (weight ? (double)weight[r] : 1) * loss(x, raw, (target - u[1]) / u[0]);
            count++;
        }
    assert_true(count > 0 && count < 2 * t->head_rows[k]);
    return (k == MASS ? 0.7 : 1) * sum / (double)count;
}

static double expected_classes(const testbatch *batch, const testresult *t)
{
    double sum = 0, classes = 0;
    for (int64_t b = 0; b < JETS; b++) {
        const int32_t y = batch->flavour[b];
        const float *weight = batch->more[CLASS].weight;
        const double *x = t->head_logits[CLASS] + 4 * b;
        if (y < 0) continue;
        const double all = exp(x[0]) + exp(x[1]) + exp(x[2]) + exp(x[3]);
        sum += (weight ? (double)weight[b] : 1) * (y + 1) * (log(all) - x[y]);
        classes += y + 1;
    }
    return sum / classes;
}

static void check(const char *kind, const char *loss, loss_fn fn)
{
    char lines[1500];
    snprintf(lines, sizeof lines, "%stask.mass.kind = %s\ntask.lxy.kind = %s\n%s%s%s",
             SMALL, kind, kind, loss ? "task.mass.loss = " : "", loss ? loss : "",
             "\n");
    if (loss) strcat(strcat(lines, "task.lxy.loss = "), loss);
    testmodel *m = testmodel_create(lines);
    testmodel_scatter(m, 2, 2);
    testbatch *batch = testbatch_random(&m->h, tracks, JETS, 3);
    for (int weighed = 0; weighed < 2; weighed++) {
        for (int p = 0; p < 2; p++) {
            testresult *t = runs[p](m, batch, &training);
            for (int k = MASS; k <= LXY; k++)
                assert_near(t->head_loss[k], expected(batch, t, k, fn, margins[p]),
                            margins[p]);
            assert_near(t->head_loss[CLASS], expected_classes(batch, t), margins[p]);
            testresult_free(t);
        }
        if (!weighed) testbatch_weigh(&m->h, batch, 5);
    }
    testbatch_free(batch);
    testmodel_free(m);
}

static void regressions_follow_their_formulas(void **state)
{
    (void)state;
    check("regression", "mse", square);
    check("regression", "l1", absolute);
    check("regression", "huber", huber);
}

static void gaussian_regressions_follow_theirs(void **state)
{
    (void)state;
    check("gaussian_regression", NULL, likelihood);
}

static void batches_without_targets_are_silent(void **state)
{
    static const char *const kinds[] = {"regression", "gaussian_regression"};
    (void)state;
    for (int i = 0; i < 4; i++) {
        char lines[1500];
        snprintf(lines, sizeof lines,
                 "%stask.mass.kind = %s\ntask.lxy.kind = %s\nmodel.tasks = mass,lxy\n",
                 SMALL, kinds[i / 2], kinds[i / 2]);
        testmodel *m = testmodel_create(lines);
        testbatch *batch = testbatch_random(&m->h, tracks, JETS, 3);
        for (int k = MASS; k <= LXY; k++)
            for (int64_t r = 0; r < 2 * batch->more[k].rows; r++)
                batch->more[k].target[r] = NAN;
        testresult *t = runs[i % 2](m, batch, &training);
        assert_true(t->total == 0);
        for (int64_t e = 0; e < m->params->total; e++) assert_true(t->grads[e] == 0);
        testresult_free(t);
        testbatch_free(batch);
        testmodel_free(m);
    }
}

/* ---- refusals ---- */

static void refuse(const char *lines, const char *word)
{
    gn2_config *config;
    gn2_hparams h;
    need_ok(gn2_config_new(&config), "config");
    need_ok(gn2_config_from_text(config, "test", lines, strlen(lines)), lines);
    assert_true(gn2_hparams_read(config, &h) == GN2_ERR_INVALID_ARG);
    if (!strstr(gn2_error_text(), word))
        fail_msg("'%s' is not in '%s'", word, gn2_error_text());
    gn2_config_delete(config);
}

#define BOTH SMALL "task.mass.kind = regression\ntask.lxy.kind = gaussian_regression\n"

static void bad_options_are_refused(void **state)
{
    (void)state;
    refuse(BOTH "task.lxy.loss = l1\n",
           "task.lxy.loss: a gaussian_regression has no such option");
    refuse(BOTH "task.jets_classification.targets = m\n",
           "task.jets_classification.targets: a classification has no such option");
    refuse(BOTH "task.mas.weight = 1\n", "task.mas.weight: model.tasks has no 'mas'");
    refuse("model.tasks = jets_classification,D_x\ntask.D_x.kind = classification\n"
           "task.D_x.classes = a,b\n",
           "'D_x' is the name of an output");
    refuse(BOTH "task.mass.targets =\n", "task.mass.targets: 0");
    refuse(BOTH "task.mass.targets = m,m\n", "task.mass.targets: 'm' occurs twice");
    refuse(BOTH "model.tasks = track_origin\ntask.track_origin.classes = a,b,a\n",
           "task.track_origin.classes: 'a' occurs twice");
    refuse(BOTH "model.tasks = track_origin\ntask.track_origin.classes = b,bjets\n",
           "task.track_origin.classes: the scores of 'b' and 'bjets' would both be pb");
    refuse(BOTH "model.classes = bjets,cjets,b\n",
           "model.classes: the scores of 'bjets' and 'b' would both be pb");
    refuse(BOTH "task.mass.target_std = 1\n", "task.mass.target_std: 1 for 2 targets");
    refuse(BOTH "task.lxy.target_mean = 1,2\n",
           "task.lxy.target_denominators: task.lxy.target_mean is set too");
    refuse(BOTH "task.lxy.target_denominators = a,c\n",
           "'a' is none of inputs.tracks: c d e");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regressions_follow_their_formulas),
        cmocka_unit_test(gaussian_regressions_follow_theirs),
        cmocka_unit_test(batches_without_targets_are_silent),
        cmocka_unit_test(bad_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
