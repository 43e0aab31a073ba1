/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference of the losses with their derivatives: plain C, float and double.
 * Labels below zero are ignored; a target below zero is the caller's matter
 * (weight 0).
 */
#include "kernels/fill.h"

#include <math.h>
#include <stddef.h>

/* log Σ exp(x − max) and max, so that logsumexp = both together. */
static real log_sum(real *out_max, const real *x, int64_t count)
{
    real max = -(real)INFINITY, sum = 0;
    for (int64_t c = 0; c < count; c++) max = x[c] > max ? x[c] : max;
    for (int64_t c = 0; c < count; c++) sum += REAL_EXP(x[c] - max);
    *out_max = max;
    return REAL_LOG(sum);
}

static void d_row(real *d, const real *x, real log_total, real max, real factor,
                  int64_t cols)
{
    for (int64_t c = 0; c < cols; c++)
        d[c] = factor * REAL_EXP((x[c] - max) - log_total);
}

static void zero_row(real *d, int64_t cols)
{
    for (int64_t c = 0; c < cols; c++) d[c] = 0;
}

static double cross_entropy(real *d, const real *logit, const int32_t *label,
                            const real *weights, real factor, int64_t rows,
                            int64_t cols)
{
    double loss = 0;
    for (int64_t r = 0; r < rows; r++) {
        const real *x = logit + r * cols;
        const int32_t y = label[r];
        if (y < 0) {
            if (d) zero_row(d + r * cols, cols);
            continue;
        }
        real max;
        const real total = log_sum(&max, x, cols);
        const real f = weights ? factor * weights[y] : factor;
        loss += (double)(f * (total + (max - x[y])));
        if (!d) continue;
        d_row(d + r * cols, x, total, max, f, cols);
        d[r * cols + y] -= f;
    }
    return loss;
}

/* sigmoid(x) from e = exp(−|x|), which never overflows */
static real sigmoid(real x, real e)
{
    return (x >= 0 ? 1 : e) / (1 + e);
}

static double binary_cross_entropy(real *d, const real *x, const real *target,
                                   const real *weight, real factor, int64_t count)
{
    double loss = 0;
    for (int64_t i = 0; i < count; i++) {
        const real e = REAL_EXP(-REAL_FABS(x[i])), f = factor * weight[i];
        const real above = x[i] > 0 ? x[i] : 0;
        loss += (double)(f * (above - x[i] * target[i] + REAL_LOG1P(e)));
        if (d) d[i] = f * (sigmoid(x[i], e) - target[i]);
    }
    return loss;
}

void R(gn2_ref_loss)(R(gn2_kernels) *table)
{
    table->cross_entropy = cross_entropy;
    table->binary_cross_entropy = binary_cross_entropy;
}
