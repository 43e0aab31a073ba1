/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference of the optimisers' flat loops and of the norms they need: plain C,
 * float and double. Schedules and bias corrections are the caller's.
 */
#include "kernels/fill.h"

#include <math.h>

static void adamw(real *p, real *m, real *v, const real *g, real clip, real decay,
                  real beta1, real beta2, real step, real inv_bias2, real eps,
                  int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        const real gi = clip * g[i];
        m[i] = beta1 * m[i] + (1 - beta1) * gi;
        v[i] = beta2 * v[i] + (1 - beta2) * (gi * gi);
        p[i] -= decay * p[i];
        p[i] -= step * m[i] / (REAL_SQRT(v[i]) * inv_bias2 + eps);
    }
}

static void sgd(real *p, real *m, const real *g, real clip, real lr, real decay,
                real momentum, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        m[i] = momentum * m[i] + (clip * g[i] + decay * p[i]);
        p[i] -= lr * m[i];
    }
}

static double sum_squares(const real *x, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (double)x[i] * (double)x[i];
    return sum;
}

static int all_finite(const real *x, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(x[i])) return 0;
    return 1;
}

void R(gn2_ref_optim)(R(gn2_kernels) *table)
{
    table->adamw = adamw;
    table->sgd = sgd;
    table->sum_squares = sum_squares;
    table->all_finite = all_finite;
}
