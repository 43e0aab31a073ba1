/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regression of a mean and a variance (salt's GaussianRegressionTask).
 *   logits of a row: the means m, then raw variances;  v = max(softplus(raw), 1e-6)
 *   L = λ Σ_r w_r Σ_t ½ (log v + (m − s)²/v) / n   over the n targets that are there
 *   d m = (m − s)/v,  d raw = ½ (1/v − (m − s)²/v²) sigmoid(raw)
 * The bound of v is no bound of its gradient, as in torch's GaussianNLLLoss: else a
 * variance below it would stay there.
 * outputs: m and √v in the target's own units; salt's √softplus has no bound
 */
#include <math.h>

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

static double row_loss(const R(gn2_target_row) *row, double factor, real *d)
{
    const int64_t targets = row->task->targets;
    double sum = 0, s;
    for (int64_t t = 0; t < targets; t++) {
        real *own = d ? d + t : NULL;
        if (R(gn2_target_scaled)(row, t, &s))
            sum += target_loss(row->x + t, own, targets, s, factor);
        else if (own)
            own[0] = own[targets] = 0;
    }
    return sum;
}

/* ---- outputs ---- */

static real stddev(const R(gn2_target_row) *row, int64_t t)
{
    const gn2_target_unit u = R(gn2_target_unit_of)(row, t);
    const double raw = (double)row->x[row->task->targets + t];
    return (real)(sqrt(variance(raw)) * fabs(u.size));
}

static void stddev_field(const gn2_task_column *c, gn2_text *out_name)
{
    gn2_task_target_field(c, out_name);
    gn2_text_add(out_name, "_stddev");
}

static const R(gn2_task_output) outputs[] = {
    {"", GN2_OUT_VALUES, gn2_task_target_field, R(gn2_target_prediction)},
    {"_stddev", GN2_OUT_VALUES, stddev_field, stddev},
    {0},
};

const R(gn2_task_kind) R(gn2_kind_gaussian_regression) = {
    GN2_TARGET_KIND,
    .name = "gaussian_regression",
    .options = (const char *const[]){GN2_TARGET_OPTIONS, NULL},
    .read = read,
    .row_loss = row_loss,
    .check = R(gn2_targets_check),
    .outputs = outputs,
    .metrics = (const char *const[]){GN2_TARGET_METRICS, "pull_rms", NULL},
};
