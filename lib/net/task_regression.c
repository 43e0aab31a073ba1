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

#include "net/head.h"
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

static double row_loss(R(gn2_pass) *pass, int k, int64_t r, real *d)
{
    const R(gn2_target_row) row = R(gn2_target_row_of)(pass, k, r);
    const int64_t targets = row.task->targets;
    const error_rule *rule = &rules[row.task->option];
    const real *x = pass->space->head[k].logits + r * targets;
    const double factor = R(gn2_target_factor)(pass, k, &row);
    double sum = 0, s;
    for (int64_t t = 0; t < targets; t++) {
        const int there = R(gn2_target_scaled)(&row, t, &s);
        const double e = there ? (double)x[t] - s : 0;
        sum += factor * rule->loss(e);
        if (d) d[r * targets + t] = (real)(factor * rule->slope(e));
    }
    return sum;
}

static void run(R(gn2_pass) *pass, int k)
{
    const int64_t rows = R(gn2_head_rows)(pass, k);
    R(gn2_head_fwd)(pass, k);
    if (!pass->labels || !pass->labels->task[k].target) return;
    real *d = R(gn2_head_d_logits)(pass, k);
    for (int64_t r = 0; r < rows; r++) pass->losses.value[k] += row_loss(pass, k, r, d);
    if (pass->ctx.grads) R(gn2_head_bwd)(pass, k);
}

/* ---- outputs ---- */

/* Prediction of target t in its own units; x: the row's logits. */
static double value_of(const R(gn2_target_row) *row, const real *x, int64_t t)
{
    const gn2_target_unit u = R(gn2_target_unit_of)(row, t);
    return (double)(real)((double)x[t] * u.size + u.shift);
}

static void values(const R(gn2_pass) *pass, int k, int64_t r, int item, real *out)
{
    const R(gn2_target_row) row = R(gn2_target_row_of)(pass, k, r);
    const real *x = pass->space->head[k].logits + r * row.task->targets;
    (void)item;
    for (int64_t t = 0; t < row.task->targets; t++) out[t] = (real)value_of(&row, x, t);
}

static const gn2_task_output outputs[] = {
    {"", GN2_OUT_VALUES, 0, 0, gn2_task_target_field},
    {0},
};

/* ---- metrics, in the targets' units ---- */

enum { COUNT, ABSOLUTE, SQUARE, SIGNED, SUM_COUNT };

static void observe_row(const R(gn2_pass) *pass, int k, int64_t r, double *sums)
{
    const R(gn2_target_row) row = R(gn2_target_row_of)(pass, k, r);
    const real *x = pass->space->head[k].logits + r * row.task->targets;
    double s;
    for (int64_t t = 0; t < row.task->targets; t++) {
        if (!R(gn2_target_scaled)(&row, t, &s)) continue;
        const double e = value_of(&row, x, t) - R(gn2_target_value)(&row, t);
        sums[COUNT]++;
        sums[ABSOLUTE] += fabs(e);
        sums[SQUARE] += e * e;
        sums[SIGNED] += e;
    }
}

static void observe(const R(gn2_pass) *pass, int k, int64_t b, double *sums)
{
    const int64_t end = R(gn2_head_rows_before)(pass, k, b + 1);
    for (int64_t r = R(gn2_head_rows_before)(pass, k, b); r < end; r++)
        observe_row(pass, k, r, sums);
}

static void conclude(const double *sums, double *out_values)
{
    out_values[0] = sums[ABSOLUTE] / sums[COUNT]; /* NaN: there was no target */
    out_values[1] = sqrt(sums[SQUARE] / sums[COUNT]);
    out_values[2] = sums[SIGNED] / sums[COUNT];
}

static const char *const metrics[] = {"mae", "rmse", "bias", NULL};

static const char *const options[] = {GN2_TARGET_OPTIONS, "loss", NULL};

const R(gn2_task_kind) R(gn2_kind_regression) = {
    .name = "regression",
    .label = GN2_LABEL_TARGETS,
    .options = options,
    .read = read,
    .run = run,
    .check = R(gn2_targets_check),
    .total = R(gn2_targets_total),
    .outputs = outputs,
    .values = values,
    .sum_count = SUM_COUNT,
    .metrics = metrics,
    .observe = observe,
    .conclude = conclude,
};
