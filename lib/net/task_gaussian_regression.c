/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regression of a mean and a variance (salt's GaussianRegressionTask).
 *   logits of a row: the means m, then raw variances;  v = max(softplus(raw), 1e-6)
 *   L = λ Σ_r w_r Σ_t ½ (log v + (m − s)²/v) / n   over the n targets that are there
 *   d m = (m − s)/v,  d raw = ½ (1/v − (m − s)²/v²) sigmoid(raw)
 * The bound of v is no bound of its gradient, as in torch's GaussianNLLLoss: else a
 * variance below it would stay there.
 * outputs: m and √v in the target's own units
 */
#include <math.h>

#include "net/head.h"
#include "net/targets.h"

#define LEAST_VARIANCE 1e-6 /* eps of torch.nn.GaussianNLLLoss */

static gn2_status read(const gn2_task_reader *r, gn2_task *task, int64_t *out_columns)
{
    GN2_TRY(gn2_targets_read(r, task));
    *out_columns = 2 * task->targets;
    return GN2_OK;
}

static double variance(double raw)
{
    const double v = (raw > 0 ? raw : 0) + log1p(exp(-fabs(raw)));
    return v > LEAST_VARIANCE ? v : LEAST_VARIANCE;
}

static double sigmoid(double raw)
{
    const double e = exp(-fabs(raw)); /* never overflows */
    return (raw >= 0 ? 1 : e) / (1 + e);
}

/* ---- loss ---- */

/* x, d: mean and raw variance of a target lie `targets` apart; d NULL: no gradient. */
static double target_loss(const real *x, real *d, int64_t targets, double s,
                          double factor)
{
    const double raw = (double)x[targets], v = variance(raw), e = (double)x[0] - s;
    if (d) {
        d[0] = (real)(factor * e / v);
        d[targets] = (real)(factor * 0.5 * (1 - e * e / v) / v * sigmoid(raw));
    }
    return factor * 0.5 * (log(v) + e * e / v);
}

static double row_loss(R(gn2_pass) *pass, int k, int64_t r, real *d)
{
    const R(gn2_target_row) row = R(gn2_target_row_of)(pass, k, r);
    const int64_t targets = row.task->targets;
    const real *x = pass->space->head[k].logits + r * 2 * targets;
    const double factor = R(gn2_target_factor)(pass, k, &row);
    double sum = 0, s;
    for (int64_t t = 0; t < targets; t++) {
        real *own = d ? d + r * 2 * targets + t : NULL;
        if (R(gn2_target_scaled)(&row, t, &s))
            sum += target_loss(x + t, own, targets, s, factor);
        else if (own)
            own[0] = own[targets] = 0;
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

enum { MEAN, STDDEV };

/* Mean or spread of target t in its own units; x: the row's logits. */
static double value_of(const R(gn2_target_row) *row, const real *x, int64_t t, int item)
{
    const gn2_target_unit u = R(gn2_target_unit_of)(row, t);
    const double raw = (double)x[row->task->targets + t];
    return (double)(item == MEAN ? (real)((double)x[t] * u.size + u.shift)
                                 : (real)(sqrt(variance(raw)) * fabs(u.size)));
}

static void values(const R(gn2_pass) *pass, int k, int64_t r, int item, real *out)
{
    const R(gn2_target_row) row = R(gn2_target_row_of)(pass, k, r);
    const int64_t targets = row.task->targets;
    const real *x = pass->space->head[k].logits + r * 2 * targets;
    for (int64_t t = 0; t < targets; t++) out[t] = (real)value_of(&row, x, t, item);
}

static void stddev_field(const gn2_task_column *c, gn2_text *out_name)
{
    gn2_task_target_field(c, out_name);
    gn2_text_add(out_name, "_stddev");
}

static const gn2_task_output outputs[] = {
    {"", GN2_OUT_VALUES, MEAN, 0, gn2_task_target_field},
    {"_stddev", GN2_OUT_VALUES, STDDEV, 0, stddev_field},
    {0},
};

/* ---- metrics, in the targets' units ---- */

enum { COUNT, ABSOLUTE, SQUARE, SIGNED, PULL, SUM_COUNT };

static void observe_row(const R(gn2_pass) *pass, int k, int64_t r, double *sums)
{
    const R(gn2_target_row) row = R(gn2_target_row_of)(pass, k, r);
    const real *x = pass->space->head[k].logits + r * 2 * row.task->targets;
    double s;
    for (int64_t t = 0; t < row.task->targets; t++) {
        if (!R(gn2_target_scaled)(&row, t, &s)) continue;
        const double e = value_of(&row, x, t, MEAN) - R(gn2_target_value)(&row, t);
        const double pull = e / value_of(&row, x, t, STDDEV);
        sums[COUNT]++;
        sums[ABSOLUTE] += fabs(e);
        sums[SQUARE] += e * e;
        sums[SIGNED] += e;
        sums[PULL] += pull * pull;
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
    out_values[3] = sqrt(sums[PULL] / sums[COUNT]);
}

static const char *const metrics[] = {"mae", "rmse", "bias", "pull_rms", NULL};

static const char *const options[] = {GN2_TARGET_OPTIONS, NULL};

const R(gn2_task_kind) R(gn2_kind_gaussian_regression) = {
    .name = "gaussian_regression",
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
