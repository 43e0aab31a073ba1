/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference of layer norm: plain C, float and double. What the fast kernels are proved
 * against; not meant to be fast.
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

void R(gn2_ref_norm)(R(gn2_kernels) *table)
{
    table->layernorm_fwd = layernorm_fwd;
    table->layernorm_bwd = layernorm_bwd;
}
