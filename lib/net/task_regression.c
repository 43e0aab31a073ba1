/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regression of values of jets or of constituents (salt's RegressionTask).
 *   L = λ Σ_r w_r Σ_t ℓ(x_rt − s_rt) / n   over the n targets that are there
 *   s: targets as scaled by net/targets.h;  w: weight of the row, 1 without
 *   ℓ(e) = e² (mse), |e| (l1), e²/2 up to |e| = 1 and |e| − 1/2 beyond (huber)
 * outputs: x in the target's own units
 */
#include <math.h>
#include <string.h>

#include "net/targets.h"

/* ---- losses: torch's MSELoss, L1Loss, HuberLoss with δ = 1 ---- */

typedef struct error_rule {
    const char *name;
    double (*loss)(double e);
    double (*slope)(double e);
} error_rule;

static double mse(double e)
{
    return e * e;
}

static double mse_slope(double e)
{
    return 2 * e;
}

static double l1_slope(double e)
{
    return (e > 0) - (e < 0);
}

static double huber(double e)
{
    return fabs(e) <= 1 ? e * e / 2 : fabs(e) - 0.5;
}

static double huber_slope(double e)
{
    return fabs(e) <= 1 ? e : l1_slope(e);
}

/* gn2_task.option: row of it */
static const error_rule rules[] = {
    {"mse", mse, mse_slope},
    {"l1", fabs, l1_slope},
    {"huber", huber, huber_slope},
};

/* ---- options ---- */

static gn2_status read(const gn2_task_reader *r, gn2_task *task, int64_t *out_columns)
{
    char key[128];
    const char *loss = gn2_config_str(r->config, gn2_task_key(r, "loss", key));
    for (int i = 0; i < (int)(sizeof rules / sizeof *rules); i++)
        if (strcmp(rules[i].name, loss) == 0) task->option = i;
    GN2_TRY(gn2_targets_read(r, task));
    *out_columns = task->targets;
    return GN2_OK;
}

/* ---- loss ---- */

static double row_loss(const R(gn2_target_row) *row, double factor, real *d)
{
    const error_rule *rule = &rules[row->task->option];
    double sum = 0, s;
    for (int64_t t = 0; t < row->task->targets; t++) {
        const int there = R(gn2_target_scaled)(row, t, &s);
        const double e = there ? (double)row->x[t] - s : 0;
        sum += factor * rule->loss(e);
        if (d) d[t] = (real)(factor * rule->slope(e));
    }
    return sum;
}

static const R(gn2_task_output) outputs[] = {
    {"", GN2_OUT_VALUES, gn2_task_target_field, R(gn2_target_prediction)},
    {0},
};

const R(gn2_task_kind) R(gn2_kind_regression) = {
    GN2_TARGET_KIND,
    .name = "regression",
    .options = (const char *const[]){GN2_TARGET_OPTIONS, "loss", NULL},
    .read = read,
    .row_loss = row_loss,
    .check = R(gn2_targets_check),
    .outputs = outputs,
    .metrics = (const char *const[]){GN2_TARGET_METRICS, NULL},
};
