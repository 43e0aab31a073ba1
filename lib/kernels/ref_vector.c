/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference of what is done to rows and vectors element by element: plain C, float
 * and double.
 */
#include "kernels/fill.h"
#include "util/rng.h"

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

void R(gn2_ref_vector)(R(gn2_kernels) *table)
{
    table->add_row = add_row;
    table->sum_rows = sum_rows;
    table->add = add;
    table->scale = scale;
    table->normalise = normalise;
    table->dropout = dropout;
}
