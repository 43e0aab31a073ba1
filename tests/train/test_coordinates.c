/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small coordinate check of mup, and what it is worth: with any one rule of the
 * parametrisation taken out of the model it must fail. Widths over 8 ×, zero read-out
 * and query, some steps on one batch; the slope of log₂ of mean |Δx| since the start
 * over log₂ of the width, with an offset for each random start.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "probed.h"

#define JETS 60
#define SEEDS 4
#define MODULES 20

static const int widths[] = {32, 64, 128, 256};
#define WIDTHS (int)(sizeof widths / sizeof *widths)

/* ---- rules to take out ---- */

static void change_rates(gn2_model *m, int32_t role, double factor)
{
    for (size_t i = 0; i < m->params->count; i++)
        if (m->params->tensor[i].role == role) m->params->tensor[i].lr_mult *= factor;
}

static double ratio(const gn2_model *m)
{
    return (double)m->h.embed_dim / (double)m->h.base_width;
}

static void nothing(gn2_model *m)
{
    (void)m;
}

static void hidden_rate(gn2_model *m)
{
    change_rates(m, GN2_ROLE_HIDDEN,
                 m->h.rule == GN2_UPDATE_GRADIENT ? 1 / ratio(m) : ratio(m));
}

static void input_rate(gn2_model *m)
{
    const double factor = m->h.rule == GN2_UPDATE_GRADIENT ? 1 / ratio(m) : ratio(m);
    change_rates(m, GN2_ROLE_INPUT, factor);
    change_rates(m, GN2_ROLE_BIAS, factor);
}

static void readout_scale(gn2_model *m)
{
    m->h.readout.mult = 1;
}

static void attention_scale(gn2_model *m)
{
    m->h.block.attention.scale = 1 / sqrt((double)m->h.block.attention.head_dim);
}

/* ---- sizes ---- */

typedef struct sizes {
    int count;
    char name[MODULES][128];
    double change[MODULES][WIDTHS][SEEDS]; /* log2 of mean |Δx| */
} sizes;

typedef struct check {
    const char *optimiser, *rate, *grows; /* what grows: "heads", "size" */
    int steps;
    void (*without)(gn2_model *model);
} check;

static gn2_trainer *make_trainer(const check *c, int width, int seed)
{
    char embed[48], start[48], heads[48], name[48], rate[48];
    snprintf(embed, sizeof embed, "model.embed_dim=%d", width);
    snprintf(start, sizeof start, "model.seed=%d", seed);
    snprintf(heads, sizeof heads, "model.num_heads=%d",
             c->grows[0] == 'h' ? width / 8 : 4);
    snprintf(name, sizeof name, "optim.name=%s", c->optimiser);
    snprintf(rate, sizeof rate, "schedule.max=%s", c->rate);
    gn2_config *config = toy_config(OPTIONS(
        embed, start, heads, name, rate, "model.parametrization=mup",
        "model.base_width=32", "model.base_heads=4", "model.final_norm_pos=pre",
        "model.zero_readout=yes", "model.zero_query=yes", "schedule.name=constant",
        "schedule.beta1_max=0", "optim.weight_decay=0"));
    gn2_model *model = toy_model(config);
    gn2_trainer *trainer = NULL;
    c->without(model);
    assert_ok(gn2_train_new(model, config, &trainer));
    gn2_model_unref(model);
    gn2_config_delete(config);
    return trainer;
}

static void measure(const check *c, const toy *data, int w, int seed, sizes *out)
{
    gn2_trainer *trainer = make_trainer(c, widths[w], seed + 1);
    for (int i = 0; i < c->steps; i++)
        assert_ok(gn2_train_step(trainer, &data->jets, &data->labels, NULL));
    probed *p = probed_of(trainer, data);
    out->count = 0;
    for (int i = 0; i < p->count; i++) {
        if (p->row[i].kind != GN2_PROBE_MODULE) continue;
        snprintf(out->name[out->count], sizeof out->name[0], "%s", p->name[i]);
        out->change[out->count++][w][seed] = log2(p->row[i].change_mean_abs);
    }
    free(p);
    gn2_train_delete(trainer);
}

/* Least squares with an offset for each start; error: half the 95 % interval. */
static double slope(const double (*y)[SEEDS], double *error)
{
    double sum = 0, square = 0, rest = 0;
    for (int w = 0; w < WIDTHS; w++) {
        const double x = log2(widths[w]) - 6.5; /* the mean of 5, 6, 7, 8 */
        square += x * x * SEEDS;
        for (int k = 0; k < SEEDS; k++) sum += x * y[w][k];
    }
    for (int k = 0; k < SEEDS; k++) {
        double mean = 0;
        for (int w = 0; w < WIDTHS; w++) mean += y[w][k] / WIDTHS;
        for (int w = 0; w < WIDTHS; w++)
            rest += pow(y[w][k] - mean - sum / square * (log2(widths[w]) - 6.5), 2);
    }
    /* 2.20: Student's t of 16 − 4 − 1 degrees of freedom */
    *error = 2.20 * sqrt(rest / (WIDTHS * SEEDS - SEEDS - 1) / square);
    return sum / square;
}

static void run(const check *c, sizes *out)
{
    toy *data = toy_create(JETS, 7);
    for (int w = 0; w < WIDTHS; w++)
        for (int k = 0; k < SEEDS; k++) measure(c, data, w, k, out);
    toy_free(data);
}

/* ---- checks ---- */

#define LIMIT 0.15 /* of a slope, as `gn2 study coordcheck` has it */

/* How far the module is beyond the limit, its error taken off; negative: it is not. */
static double beyond(const sizes *s, const char *name)
{
    for (int m = 0; m < s->count; m++) {
        double error;
        if (strcmp(s->name[m], name)) continue;
        const double found = slope(s->change[m], &error);
        printf("    %s %+.2f ± %.2f\n", name, found, error);
        return fabs(found) - error - LIMIT;
    }
    fail_msg("no module %s", name);
    return 0;
}

static void no_size_moves(void **state)
{
    static const check checks[] = {
        {"adamw", "2e-3", "heads", 4, nothing},
        {"sgd", "0.1", "heads", 6, nothing},
        {"adamw", "1e-2", "size", 12, nothing},
    };
    (void)state;
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        sizes s;
        printf("%s, %s grow\n", checks[i].optimiser, checks[i].grows);
        run(&checks[i], &s);
        assert_int_equal(s.count, 19);
        for (int m = 0; m < s.count; m++)
            if (beyond(&s, s.name[m]) > 0) fail_msg("%s moves", s.name[m]);
    }
}

/* The module that a rule is for. */
static void without_a_rule_sizes_move(void **state)
{
    static const struct {
        check check;
        const char *module;
    } rows[] = {
        {{"adamw", "2e-3", "heads", 4, hidden_rate}, "layer1"},
        {{"adamw", "2e-3", "heads", 4, input_rate}, "init"},
        {{"adamw", "2e-3", "heads", 4, readout_scale}, "readout"},
        {{"sgd", "0.1", "size", 6, attention_scale}, "attn_logits0"},
        {{"sgd", "0.1", "heads", 6, hidden_rate}, "attn_logits1"},
        {{"sgd", "0.1", "heads", 6, input_rate}, "init"},
        {{"sgd", "0.1", "heads", 6, readout_scale}, "readout"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        sizes s;
        printf("row %zu, %s\n", i, rows[i].check.optimiser);
        run(&rows[i].check, &s);
        if (!(beyond(&s, rows[i].module) > 0)) fail_msg("%s stays", rows[i].module);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_size_moves),
        cmocka_unit_test(without_a_rule_sizes_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
