/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference of layer norm, pooling and softmax: plain C, float and double. What
 * the fast kernels are proved against; not meant to be fast.
 */
#include "kernels/fill.h"

#include <math.h>
#include <stddef.h>

/* mean = Σ x/n; var = Σ (x − mean)²/n (biased); y = (x − mean)/√(var + eps) */
static void norm_row(real *y, real *mean, real *rstd, const real *x, int64_t cols,
                     real eps)
{
    real sum = 0, squares = 0;
    for (int64_t c = 0; c < cols; c++) sum += x[c];
    const real m = sum / (real)cols;
    for (int64_t c = 0; c < cols; c++) squares += (x[c] - m) * (x[c] - m);
    const real r = 1 / REAL_SQRT(squares / (real)cols + eps);
    for (int64_t c = 0; c < cols; c++) y[c] = (x[c] - m) * r;
    *mean = m;
    *rstd = r;
}

static void layernorm_fwd(real *y, real *mean, real *rstd, const real *x,
                          const real *gain, const real *bias, int64_t rows,
                          int64_t cols, real eps)
{
    for (int64_t r = 0; r < rows; r++) {
        real *row = y + r * cols;
        norm_row(row, mean + r, rstd + r, x + r * cols, cols, eps);
        for (int64_t c = 0; gain && c < cols; c++) row[c] = row[c] * gain[c] + bias[c];
    }
}

/* With x̂ = (x − mean)·rstd and g = d_y·gain:
 * d_x += rstd·(g − Σ g/n − x̂·Σ g·x̂/n) */
static void norm_row_bwd(real *d_x, const real *d_y, const real *x, real mean,
                         real rstd, const real *gain, int64_t cols)
{
    real sum = 0, dot = 0;
    for (int64_t c = 0; c < cols; c++) {
        const real g = gain ? d_y[c] * gain[c] : d_y[c];
        sum += g;
        dot += g * ((x[c] - mean) * rstd);
    }
    sum /= (real)cols;
    dot /= (real)cols;
    for (int64_t c = 0; c < cols; c++) {
        const real g = gain ? d_y[c] * gain[c] : d_y[c];
        d_x[c] += rstd * (g - sum - (x[c] - mean) * rstd * dot);
    }
}

static void layernorm_bwd(real *d_x, real *d_gain, real *d_bias, const real *d_y,
                          const real *x, const real *mean, const real *rstd,
                          const real *gain, int64_t rows, int64_t cols)
{
    for (int64_t r = 0; r < rows; r++) {
        const real *dy = d_y + r * cols, *xr = x + r * cols;
        norm_row_bwd(d_x + r * cols, dy, xr, mean[r], rstd[r], gain, cols);
        for (int64_t c = 0; d_gain && c < cols; c++)
            d_gain[c] += dy[c] * ((xr[c] - mean[r]) * rstd[r]);
        for (int64_t c = 0; d_bias && c < cols; c++) d_bias[c] += dy[c];
    }
}

/* p = exp(x − max x)/Σ; the maximum keeps exp finite. A NaN anywhere in the row
 * reaches the sum, and with it every p. */
static void softmax_row(real *p, const real *x, int64_t count)
{
    real max = -(real)INFINITY, sum = 0;
    for (int64_t c = 0; c < count; c++) max = x[c] > max ? x[c] : max;
    for (int64_t c = 0; c < count; c++) {
        p[c] = REAL_EXP(x[c] - max);
        sum += p[c];
    }
    for (int64_t c = 0; c < count; c++) p[c] /= sum;
}

static void softmax(real *p, const real *logit, int64_t rows, int64_t cols)
{
    for (int64_t r = 0; r < rows; r++)
        softmax_row(p + r * cols, logit + r * cols, cols);
}

static real dot(const real *a, const real *b, int64_t count)
{
    real sum = 0;
    for (int64_t c = 0; c < count; c++) sum += a[c] * b[c];
    return sum;
}

static void pool_fwd(real *pooled, real *alpha, real *logit, const real *z,
                     const real *w, real b, int64_t n, int64_t cols)
{
    for (int64_t t = 0; t < n; t++) logit[t] = dot(z + t * cols, w, cols) + b;
    softmax_row(alpha, logit, n);
    for (int64_t c = 0; c < cols; c++) pooled[c] = 0;
    for (int64_t t = 0; t < n; t++)
        for (int64_t c = 0; c < cols; c++) pooled[c] += alpha[t] * z[t * cols + c];
}

/* d_logit_t = alpha_t·(d_pooled·z_t − Σ_s alpha_s d_pooled·z_s);
 * d_z_t += alpha_t·d_pooled + d_logit_t·w; d_w += Σ d_logit_t·z_t */
static void pool_bwd(real *d_z, real *d_w, real *d_b, real *scratch,
                     const real *d_pooled, const real *z, const real *w,
                     const real *alpha, int64_t n, int64_t cols)
{
    real mean = 0, total = 0;
    for (int64_t t = 0; t < n; t++) {
        scratch[t] = dot(d_pooled, z + t * cols, cols);
        mean += alpha[t] * scratch[t];
    }
    for (int64_t t = 0; t < n; t++) {
        const real d_logit = alpha[t] * (scratch[t] - mean);
        total += d_logit;
        for (int64_t c = 0; c < cols; c++) {
            d_z[t * cols + c] += alpha[t] * d_pooled[c] + d_logit * w[c];
            d_w[c] += d_logit * z[t * cols + c];
        }
    }
    *d_b += total;
}

void R(gn2_ref_norm)(R(gn2_kernels) *table)
{
    table->layernorm_fwd = layernorm_fwd;
    table->layernorm_bwd = layernorm_bwd;
    table->softmax = softmax;
    table->pool_fwd = pool_fwd;
    table->pool_bwd = pool_bwd;
}
