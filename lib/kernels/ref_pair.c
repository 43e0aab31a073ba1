/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference of the pair head's split first layer, of ReLU, and of what is done to rows
 * and vectors element by element: plain C, float and double.
 */
#include "kernels/fill.h"
#include "util/rng.h"

/* max(x, 0) that lets NaN through. */
static real positive(real x)
{
    return x < 0 ? 0 : x;
}

static void pair_fwd(real *h, const real *a, const real *b, int64_t i, int64_t n,
                     int64_t cols)
{
    for (int64_t j = 0; j < n; j++) {
        if (j == i) continue;
        for (int64_t c = 0; c < cols; c++) h[c] = positive(a[c] + b[j * cols + c]);
        h += cols;
    }
}

static void pair_bwd(real *d_a, real *d_b, const real *d_h, const real *h, int64_t i,
                     int64_t n, int64_t cols)
{
    for (int64_t j = 0; j < n; j++) {
        if (j == i) continue;
        for (int64_t c = 0; c < cols; c++) {
            const real g = h[c] > 0 ? d_h[c] : 0;
            d_a[c] += g;
            d_b[j * cols + c] += g;
        }
        h += cols;
        d_h += cols;
    }
}

static void relu_fwd(real *y, const real *x, int64_t count)
{
    for (int64_t i = 0; i < count; i++) y[i] = positive(x[i]);
}

static void relu_bwd(real *d, const real *y, int64_t count)
{
    for (int64_t i = 0; i < count; i++) d[i] = y[i] > 0 ? d[i] : 0;
}

/* ---- rows and vectors ---- */

static void add_row(real *y, const real *v, int64_t rows, int64_t cols, int relu)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) {
            const real sum = y[r * cols + c] + v[c];
            y[r * cols + c] = relu && sum < 0 ? 0 : sum;
        }
}

static void sum_rows(real *sum, const real *x, int64_t rows, int64_t cols, int64_t ld)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) sum[c] += x[r * ld + c];
}

static void add(real *y, const real *x, int64_t count)
{
    for (int64_t i = 0; i < count; i++) y[i] += x[i];
}

static void scale(real *y, real s, int64_t count)
{
    for (int64_t i = 0; i < count; i++) y[i] *= s;
}

static void normalise(real *y, const real *mean, const real *std, int64_t rows,
                      int64_t cols, int64_t ld)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            y[r * ld + c] = (y[r * ld + c] - mean[c]) / std[c];
}

static void dropout(real *x, uint64_t key, uint64_t first, uint32_t threshold,
                    real factor, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        const uint64_t bits = gn2_rng_bits(key, first + (uint64_t)i);
        x[i] = (uint32_t)(bits >> 32) >= threshold ? x[i] * factor : 0;
    }
}

void R(gn2_ref_pair)(R(gn2_kernels) *table)
{
    table->pair_fwd = pair_fwd;
    table->pair_bwd = pair_bwd;
    table->relu_fwd = relu_fwd;
    table->relu_bwd = relu_bwd;
    table->add_row = add_row;
    table->sum_rows = sum_rows;
    table->add = add;
    table->scale = scale;
    table->normalise = normalise;
    table->dropout = dropout;
}
