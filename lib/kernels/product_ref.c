/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference back end of product.h: plain loops, both precisions, every shape.
 * It is what the fast back ends are compared with; it is not meant to be fast.
 */
#include "kernels/product_backend.h"
#include "util/alloc.h"
#include "util/error.h"

static gn2_status reference_create(R(gn2_product) * p)
{
    if (p->is_gradient) return GN2_OK;
    p->packed = gn2_alloc((size_t)p->k * (size_t)p->n, sizeof(real));
    if (!p->packed) return gn2_fail_memory();
    p->bytes = (size_t)p->k * (size_t)p->n * sizeof(real);
    return GN2_OK;
}

static void reference_pack(R(gn2_product) * p, const real *src, int64_t ld,
                           int transposed)
{
    const int64_t step_k = transposed ? 1 : ld, step_n = transposed ? ld : 1;
    for (int64_t k = 0; k < p->k; k++)
        for (int64_t n = 0; n < p->n; n++)
            p->packed[k * p->n + n] = src[k * step_k + n * step_n];
}

static real dot(const real *a, const real *b, int64_t ldb, int64_t k)
{
    real sum = 0;
    for (int64_t i = 0; i < k; i++) sum += a[i] * b[i * ldb];
    return sum;
}

static void reference_run(const R(gn2_product) * p, R(gn2_lane_view) lane,
                          const R(gn2_mul_args) * x)
{
    (void)lane;
    for (int64_t i = 0; i < x->m; i++) {
        for (int64_t j = 0; j < p->n; j++) {
            real value = dot(x->a + i * x->lda, p->packed + j, p->n, p->k);
            if (x->bias) value += x->bias[j];
            if (x->residual) value += x->residual[i * x->ldc + j];
            if ((x->flags & GN2_MUL_RELU) && value < 0) value = 0;
            x->c[i * x->ldc + j] = value;
        }
    }
}

static void reference_run_tn(const R(gn2_product) * p, R(gn2_lane_view) lane,
                             const R(gn2_tn_args) * x)
{
    (void)lane;
    for (int64_t r = 0; r < x->m; r++)
        for (int64_t i = 0; i < p->k; i++)
            for (int64_t j = 0; j < p->n; j++)
                x->c[i * x->ldc + j] += x->a[r * x->lda + i] * x->b[r * x->ldb + j];
}

const R(gn2_product_ops) R(gn2_product_reference) = {
    .name = "reference",
    .create = reference_create,
    .pack = reference_pack,
    .run = reference_run,
    .run_tn = reference_run_tn,
};
