/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every element of every gradient against differences of the loss, in double.
 *
 * Derivative: (8 (L(+h) − L(−h)) − (L(+2h) − L(−2h))) / 12 h, truncation h⁴ L⁽⁵⁾/30,
 * rounding about 1e-16 L/h. At a kink of a ReLU no step is right that reaches over
 * it, so smaller steps are tried until one agrees; a wrong gradient agrees with
 * none. Deviations are relative to the tensor's largest gradient, or, where a
 * tensor has none (it shifts a softmax), to the network's largest.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/need.h"
#include "common/testnet.h"
#include "util/alloc.h"

#define LIMIT 1e-7
/* below this share of the network's largest gradient a tensor has none */
#define NO_GRADIENT 1e-10

#define JETS 5

/* How a network is run: with dropout, a weight of its own for every row. */
enum { PLAIN, DROPPING, WEIGHED };

typedef struct network {
    const char *name;
    const char *lines;
    unsigned how;
    int64_t tracks[2 * JETS]; /* constituents of each jet, type by type */
} network;

#define SMALL                                                                    \
    "inputs.jets = a,b\ninputs.tracks = c,d,e\nmodel.init_hidden = 7\n"          \
    "model.embed_dim = 8\nmodel.num_heads = 2\nmodel.num_layers = 2\n"           \
    "model.out_dim = 6\nmodel.ffn_hidden = 10\ntask.track_origin.hidden = 6,5\n" \
    "task.jets_classification.hidden = 7,5\ntask.track_vertexing.hidden = 6,5\n" \
    "norm.jets.mean = 0.1,-0.2\nnorm.jets.std = 1.5,0.8\n"                       \
    "norm.tracks.mean = 0.2,0,-0.1\nnorm.tracks.std = 1.25,1,0.75\n"             \
    "task.track_origin.class_weights = 4.2,7,1,1.5,2.3,2.5,4.7,2.3\n"
#define FOUR "task.jets_classification.class_weights = 1,2,2,6.8\n"
#define DROPOUT                                           \
    "model.dropout_init = 0.2\nmodel.dropout_ffn = 0.3\n" \
    "model.dropout_heads = 0.25\n"
#define LEGACY \
    "model.encoder = legacy\nmodel.final_norm_pos = pre\nmodel.num_registers = 0\n"

#define JET_TARGETS(loss)                                                       \
    "task.mass.kind = regression\ntask.mass.targets = m,pt\n"                   \
    "task.mass.hidden = 5\ntask.mass.weight = 0.7\ntask.mass.loss = " loss "\n" \
    "task.mass.target_mean = 0.3,-0.2\ntask.mass.target_std = 0.2,2\n"
#define TRACK_TARGETS(loss)                              \
    "task.lxy.kind = regression\ntask.lxy.targets = l\n" \
    "task.lxy.object = tracks\ntask.lxy.hidden = 6,5\n"  \
    "task.lxy.target_denominators = d\ntask.lxy.loss = " loss "\n"

#define GAUSSIAN                                                       \
    "model.tasks = mass,lxy\ntask.mass.kind = gaussian_regression\n"   \
    "task.mass.hidden = 5\ntask.mass.targets = m,pt\n"                 \
    "task.mass.target_mean = 0.3,-0.2\ntask.mass.target_std = 0.7,2\n" \
    "task.lxy.kind = gaussian_regression\ntask.lxy.hidden = 6,5\n"     \
    "task.lxy.targets = l,m\ntask.lxy.object = tracks\n"               \
    "task.lxy.target_denominators = d,c\n"

static const network networks[] = {
    {"current", SMALL FOUR, PLAIN, {3, 0, 1, 4, 2}},
    {"current with dropout", SMALL FOUR DROPOUT, DROPPING, {3, 0, 1, 4, 2}},
    {"norm before the read-out, two registers, two types, three classes",
     SMALL "model.final_norm_pos = pre\nmodel.num_registers = 2\n"
           "model.constituents = flows,tracks\ninputs.flows = f,g\n"
           "model.classes = bjets,cjets,ujets\n"
           "task.jets_classification.class_weights = 1,2,2\n",
     PLAIN,
     {1, 0, 2, 0, 3, 3, 0, 1, 2, 2}},
    {"two types with dropout",
     SMALL DROPOUT "model.constituents = tracks,flows\ninputs.flows = f,g\n",
     DROPPING,
     {3, 0, 1, 2, 2, 1, 1, 0, 0, 3}},
    {"no final norm, no register",
     SMALL FOUR "model.final_norm_pos = none\nmodel.num_registers = 0\n",
     PLAIN,
     {3, 0, 1, 4, 2}},
    {"legacy", SMALL FOUR LEGACY, PLAIN, {3, 0, 1, 4, 2}},
    {"legacy with dropout", SMALL FOUR LEGACY DROPOUT, DROPPING, {3, 0, 1, 4, 2}},
    {"read-out multiplier and attention scale of mup",
     SMALL FOUR "model.parametrization = mup\nmodel.base_width = 4\n"
                "model.final_norm_pos = pre\n",
     PLAIN,
     {3, 0, 1, 4, 2}},
    {"read-out multiplier without a norm",
     SMALL FOUR "model.parametrization = mup\nmodel.base_width = 16\n"
                "model.final_norm_pos = none\n",
     PLAIN,
     {3, 0, 1, 4, 2}},
    {"shallow and deep perceptrons, symmetric pair weights",
     SMALL FOUR "model.init_hidden =\ntask.track_origin.hidden =\n"
                "task.track_vertexing.hidden = 6\n"
                "task.jets_classification.hidden = 7,6,5\n"
                "task.track_vertexing.pair_weights = symmetric\n",
     PLAIN,
     {3, 0, 1, 4, 2}},
    {"shallow perceptrons with dropout",
     SMALL DROPOUT "model.init_hidden = 5,6\ntask.track_origin.hidden =\n"
                   "task.track_vertexing.hidden = 6\n"
                   "task.jets_classification.hidden =\n",
     DROPPING,
     {3, 0, 1, 4, 2}},
    {"no layers", SMALL "model.num_layers = 0\n", PLAIN, {3, 0, 1, 4, 2}},
    {"jets and vertices alone, one head",
     SMALL "model.tasks = track_vertexing,jets_classification\n"
           "model.num_heads = 1\n",
     PLAIN,
     {3, 0, 1, 4, 2}},
    {"regression of jets and tracks, mse and l1",
     SMALL JET_TARGETS("mse") TRACK_TARGETS("l1") "model.tasks = mass,lxy\n",
     PLAIN,
     {3, 0, 1, 4, 2}},
    {"regression beside the other tasks, weighed, with dropout",
     SMALL FOUR DROPOUT JET_TARGETS("huber") TRACK_TARGETS(
         "huber") "model.tasks = "
                  "jets_classification,lxy,track_origin,track_vertexing,mass\n",
     DROPPING | WEIGHED,
     {3, 0, 1, 4, 2}},
    {"regression in one linear map, two types, weighed",
     SMALL JET_TARGETS("l1") TRACK_TARGETS(
         "mse") "model.tasks = lxy,mass\ntask.mass.hidden =\ntask.lxy.hidden =\n"
                "model.constituents = flows,tracks\ninputs.flows = f,g\n",
     WEIGHED,
     {1, 0, 2, 0, 3, 3, 0, 1, 2, 2}},
    {"gaussian regression", SMALL GAUSSIAN, PLAIN, {3, 0, 1, 4, 2}},
    {"gaussian regression, weighed, with dropout",
     SMALL DROPOUT GAUSSIAN,
     DROPPING | WEIGHED,
     {3, 0, 1, 4, 2}},
};

typedef struct problem {
    testmodel *model;
    testbatch *batch;
    testoptions options;
} problem;

static double loss_at(const problem *p, double *weight, double value)
{
    const double kept = *weight;
    *weight = value;
    testresult *t = testrun_f64(p->model, p->batch, &p->options);
    const double loss = t->total;
    testresult_free(t);
    *weight = kept;
    return loss;
}

static double difference(const problem *p, double *weight, double h)
{
    const double w = *weight;
    const double near = loss_at(p, weight, w + h) - loss_at(p, weight, w - h);
    const double far = loss_at(p, weight, w + 2 * h) - loss_at(p, weight, w - 2 * h);
    return (8 * near - far) / (12 * h);
}

/* Deviation of one element, with the best step. */
static double deviation(const problem *p, double *weight, double grad, double scale)
{
    static const double steps[] = {1e-3, 2e-4, 3e-5, 5e-6};
    double least = HUGE_VAL;
    for (size_t i = 0; i < sizeof steps / sizeof *steps && !(least <= LIMIT); i++)
        least = fmin(least, fabs(difference(p, weight, steps[i]) - grad) / scale);
    return least;
}

static double largest(const double *x, int64_t count)
{
    double most = 0;
    for (int64_t i = 0; i < count; i++) most = fmax(most, fabs(x[i]));
    return most;
}

static double check_tensor(const problem *p, const gn2_tensor *t, const double *grads,
                           double overall)
{
    const double *g = grads + t->offset;
    const double own = largest(g, t->count);
    const double scale = own > NO_GRADIENT * overall ? own : overall;
    double worst = 0;
    for (int64_t i = 0; i < t->count; i++) {
        const double d = deviation(p, p->model->weights + t->offset + i, g[i], scale);
        if (!(d <= worst)) worst = d;
    }
    printf("  %-44s largest %8.1e, worst deviation %7.1e\n", t->name, own, worst);
    return worst;
}

static void check_network(void **state)
{
    const network *n = *state;
    problem p = {
        .model = testmodel_create(n->lines),
        .options = {.training = 1, .dropping = n->how & DROPPING, .step_key = 77}};
    testmodel_scatter(p.model, 5, 1);
    p.batch = testbatch_random(&p.model->h, n->tracks, JETS, 9);
    if (n->how & WEIGHED) testbatch_weigh(&p.model->h, p.batch, 11);
    testoptions pieces = p.options; /* the gradient over several chunks */
    pieces.chunk_tokens = 5;
    testresult *t = testrun_f64(p.model, p.batch, &pieces);
    const double overall = largest(t->grads, p.model->params->total);
    double worst = 0;
    printf("%s: %lld parameters, loss %.6f\n", n->name,
           (long long)p.model->params->total, t->total);
    assert_true(overall > 1e-3);
    /* a likelihood may be negative */
    for (int k = 0; k < p.model->h.task_count; k++) assert_true(t->head_loss[k] != 0);
    for (size_t k = 0; k < p.model->params->count; k++) {
        const double d =
            check_tensor(&p, &p.model->params->tensor[k], t->grads, overall);
        if (!(d <= worst)) worst = d;
    }
    printf("%s: worst %.1e of %.0e\n", n->name, worst, LIMIT);
    assert_true(worst <= LIMIT);
    testresult_free(t);
    testbatch_free(p.batch);
    testmodel_free(p.model);
}

#define NETWORKS (sizeof networks / sizeof *networks)

int main(void)
{
    struct CMUnitTest tests[NETWORKS];
    static network copies[NETWORKS]; /* cmocka's state is not const */
    memcpy(copies, networks, sizeof networks);
    for (size_t i = 0; i < NETWORKS; i++)
        tests[i] =
            (struct CMUnitTest){copies[i].name, check_network, NULL, NULL, &copies[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
