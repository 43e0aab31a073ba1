/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference of the matrix products: plain C, float and double. Blocked over
 * columns so that tests in double end in reasonable time; what runs in training
 * is product.h.
 */
#include "kernels/fill.h"

#include <stddef.h>

#define BLOCK 64 /* columns summed at a time */

/* sum (cols ≤ BLOCK) = Σ_k a[k]·b[k], in the order of k */
static void row_times(real *sum, const real *a, const real *b, int64_t ldb, int64_t k,
                      int64_t cols)
{
    for (int64_t c = 0; c < cols; c++) sum[c] = 0;
    for (int64_t i = 0; i < k; i++)
        for (int64_t c = 0; c < cols; c++) sum[c] += a[i] * b[i * ldb + c];
}

static real finish(real sum, const real *bias, const real *residual, unsigned flags)
{
    if (bias) sum += *bias;
    if (residual) sum += *residual;
    return (flags & GN2_MUL_RELU) && sum < 0 ? 0 : sum;
}

static void mul(real *c, int64_t ldc, const real *a, int64_t lda, const real *b,
                int64_t ldb, const real *bias, const real *residual, unsigned flags,
                int64_t m, int64_t n, int64_t k)
{
    real sum[BLOCK];
    for (int64_t r = 0; r < m; r++)
        for (int64_t first = 0; first < n; first += BLOCK) {
            const int64_t cols = n - first < BLOCK ? n - first : BLOCK;
            row_times(sum, a + r * lda, b + first, ldb, k, cols);
            for (int64_t j = 0; j < cols; j++) {
                const int64_t at = first + j;
                c[r * ldc + at] =
                    finish(sum[j], bias ? bias + at : NULL,
                           residual ? residual + r * ldc + at : NULL, flags);
            }
        }
}

static void mul_tn(real *c, int64_t ldc, const real *a, int64_t lda, const real *b,
                   int64_t ldb, int64_t m, int64_t n, int64_t k)
{
    for (int64_t r = 0; r < m; r++)
        for (int64_t i = 0; i < k; i++)
            for (int64_t j = 0; j < n; j++)
                c[i * ldc + j] += a[r * lda + i] * b[r * ldb + j];
}

void R(gn2_ref_mul)(R(gn2_kernels) *table)
{
    table->mul = mul;
    table->mul_tn = mul_tn;
}
