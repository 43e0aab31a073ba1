/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The read-out in two forms, in double: as the library stores it (table 8 of Tensor
 * Programs V: weight W, input × 1/m) and without the multiplier (table 3: weight
 * W/m). Both are one model and must train alike. With f = 1/m the gradient of W/m is
 * m times that of W, so
 *   SGD    the rate of W/m is that of W × 1/m², its decay (a part of the gradient)
 *          × m², so that rate times decay stays
 *   AdamW  a step is rate·g/(|g| + ε) whatever the size of g: the rate × 1/m, but ε,
 *          which is compared with g, × m; the decay is decoupled, rate·λ·W/m, so
 *          λ × m, or the smaller rate would decay less
 * Scale by a power of two and not a bit may differ.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/need.h"
#include "common/testreal.h"
#include "train/engine.h"
#include "util/alloc.h"

#define STEPS 20
#define DECAY 0.1
/* large enough beside the gradients that its scale shows */
#define EPS 1e-4
/* of the losses of a run in double, tests/golden/README: 20 updates of rounded sums */
#define ROUNDING 1e-10
#define READOUT "encoder.out_proj.weight"

/* What the rates, decays and ε of W/m are multiplied with. */
typedef struct scaling {
    double rate, decay, eps;
} scaling;

/* A model in training. The read-out has an optimiser of its own: ε is not the
 * tensor's but the optimiser's, and two of them need two. */
typedef struct training {
    testmodel *model;
    gn2_params rest, readout; /* the table, without and with the read-out alone */
    R(gn2_engine) *engine;
    gn2_pieces pieces;
    R(gn2_optimizer) optimizer; /* of the read-out, as the pieces */
} training;

static gn2_tensor *copy_table(const gn2_params *from, gn2_params *to, int keep_readout)
{
    *to = *from;
    to->tensor = need_memory(from->count, sizeof *to->tensor);
    memcpy(to->tensor, from->tensor, from->count * sizeof *to->tensor);
    gn2_tensor *readout = NULL;
    for (size_t i = 0; i < to->count; i++) {
        gn2_tensor *t = &to->tensor[i];
        const int is_readout = strcmp(t->name, READOUT) == 0;
        if (is_readout) readout = t;
        if (is_readout != keep_readout) t->lr_mult = 0; /* never moves */
    }
    need_true(readout != NULL, READOUT);
    return readout;
}

static void create_core(training *t, const gn2_optim_options *optim)
{
    const gn2_engine_options options = {.shards = 2,
                                        .chunk_tokens = 64,
                                        .product = {.cap = GN2_ISA_BEST},
                                        .optim = *optim};
    need_ok(R(gn2_engine_create)(&t->model->h, &t->rest, &options, &t->engine), "core");
    R(gn2_net_configure)(t->engine->net, t->model->config);
    R(gn2_engine_set_weights)(t->engine, t->model->weights);
}

/* by: NULL for the form with the multiplier. */
static training *begin(const char *lines, const gn2_optim_options *optim,
                       const scaling *by)
{
    training *t = need_memory(1, sizeof *t);
    t->model = testmodel_create(lines);
    copy_table(t->model->params, &t->rest, 0);
    gn2_tensor *readout = copy_table(t->model->params, &t->readout, 1);
    const double m = 1 / t->model->h.readout.mult;
    gn2_optim_options own = *optim;
    need_true(m != 1 && readout->forward_mult == 1 / m, "a multiplier");
    if (by) {
        t->model->h.readout.mult = 1;
        for (int64_t i = 0; i < readout->count; i++)
            t->model->weights[readout->offset + i] /= m;
        readout->lr_mult *= by->rate;
        readout->wd_mult *= by->decay;
        own.eps *= by->eps;
    }
    create_core(t, optim);
    need_ok(R(gn2_pieces_create)(&t->readout, &t->pieces), "pieces");
    t->optimizer = (R(gn2_optimizer)){.options = own,
                                      .total = t->readout.total,
                                      .pieces = &t->pieces,
                                      .kernels = t->engine->net->kernels};
    need_ok(R(gn2_optimizer_create)(&t->optimizer), "optimiser");
    return t;
}

static void end(training *t)
{
    R(gn2_optimizer_destroy)(&t->optimizer);
    gn2_free(t->pieces.piece);
    R(gn2_engine_free)(t->engine);
    gn2_free(t->rest.tensor);
    gn2_free(t->readout.tensor);
    testmodel_free(t->model);
    gn2_free(t);
}

/* The total loss before the update. */
static double step(training *t, const testbatch *source, double lr)
{
    R(gn2_batch) batch;
    const gn2_batch_labels labels = testbatch_labels(&t->model->h, source);
    R(testreal_batch)(&batch, source);
    need_ok(R(gn2_engine_gradient)(t->engine, &batch, &labels), "gradient");
    R(gn2_update) update = {.weights = t->engine->weights,
                            .grads = t->engine->share.grads,
                            .lr = lr,
                            .beta1 = (real)0.9,
                            .clip = 1};
    R(gn2_optimizer_step)(&t->optimizer, &update, NULL);
    R(gn2_engine_update)(t->engine, lr, 0.9); /* the rest, and packs all */
    R(testreal_batch_free)(&batch);
    double total = 0;
    for (int k = 0; k < GN2_MAX_TASKS; k++) total += t->engine->losses.value[k];
    return total;
}

/* Largest difference of the losses of 20 steps; the loss must move by much more. */
static double deviation(int width, int sgd, const scaling *by)
{
    static const int64_t tracks[] = {3, 0, 5, 8, 1, 4};
    char lines[512];
    snprintf(lines, sizeof lines,
             "model.embed_dim = %d\nmodel.base_width = 8\nmodel.num_heads = 4\n"
             "model.num_layers = 2\nmodel.out_dim = 12\nmodel.init_hidden = 16\n"
             "model.parametrization = mup\nmodel.final_norm_pos = pre\noptim.name = "
             "%s\ntask.jets_classification.hidden = 8\ntask.track_origin.hidden = 8\n"
             "task.track_vertexing.hidden = 8\n",
             width, sgd ? "sgd" : "adamw");
    const gn2_optim_options optim = {.name = sgd ? "sgd" : "adamw",
                                     .weight_decay = DECAY,
                                     .beta2 = 0.99,
                                     .eps = EPS};
    training *a = begin(lines, &optim, NULL), *b = begin(lines, &optim, by);
    testbatch *batch = testbatch_random(&a->model->h, tracks, 6, 11);
    double most = 0, first = 0, last = 0;
    for (int k = 0; k < STEPS; k++) {
        const double lr = (sgd ? 0.02 : 0.005) * (1 + k % 3);
        const double x = step(a, batch, lr), y = step(b, batch, lr);
        if (k == 0) first = x;
        last = x;
        if (!(fabs(x - y) <= most)) most = fabs(x - y);
    }
    assert_true(last < 0.9 * first);
    testbatch_free(batch);
    end(a);
    end(b);
    return most;
}

static void sgd_trains_both_forms_alike(void **state)
{
    (void)state;
    const scaling three = {1.0 / 9, 9, 1}, four = {1.0 / 16, 16, 1};
    const double bits = deviation(32, 1, &four), rounding = deviation(24, 1, &three);
    print_message("largest difference: m = 4: %g, m = 3: %g\n", bits, rounding);
    assert_true(bits == 0);
    assert_true(rounding < ROUNDING);
}

static void adamw_trains_both_forms_alike(void **state)
{
    (void)state;
    const scaling three = {1.0 / 3, 3, 3}, four = {0.25, 4, 4};
    const double bits = deviation(32, 0, &four), rounding = deviation(24, 0, &three);
    print_message("largest difference: m = 4: %g, m = 3: %g\n", bits, rounding);
    assert_true(bits == 0);
    assert_true(rounding < ROUNDING);
}

/* Each of them is needed: without it the losses part by far more than rounding. */
static void nothing_may_be_left_unscaled(void **state)
{
    static const scaling sgd[] = {{1, 16, 1}, {0.25, 16, 1}, {1.0 / 16, 1, 1}};
    static const scaling adamw[] = {{1, 4, 4}, {0.25, 1, 4}, {0.25, 4, 1}};
    (void)state;
    for (int i = 0; i < 3; i++) {
        const double a = deviation(32, 1, &sgd[i]), b = deviation(32, 0, &adamw[i]);
        print_message("left out %d: sgd %g, adamw %g\n", i, a, b);
        assert_true(a > 1e5 * ROUNDING && b > 1e5 * ROUNDING);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sgd_trains_both_forms_alike),
        cmocka_unit_test(adamw_trains_both_forms_alike),
        cmocka_unit_test(nothing_may_be_left_unscaled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
