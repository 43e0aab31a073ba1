/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference of the pair head's split first layer, and of ReLU: plain C, float and
 * double.
 */
#include "kernels/fill.h"

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

void R(gn2_ref_pair)(R(gn2_kernels) *table)
{
    table->pair_fwd = pair_fwd;
    table->pair_bwd = pair_bwd;
    table->relu_fwd = relu_fwd;
    table->relu_bwd = relu_bwd;
}
