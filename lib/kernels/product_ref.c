/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference back end of product.h: the reference kernels, both precisions.
 * It is what the fast back ends are compared with; it is not meant to be fast.
 */
#include "kernels/product_backend.h"
#include "util/alloc.h"
#include "util/error.h"

static gn2_status reference_create(R(gn2_product) *p)
{
    if (p->is_gradient) return GN2_OK;
    p->packed = gn2_alloc((size_t)p->k * (size_t)p->n, sizeof(real));
    if (!p->packed) return gn2_fail_memory();
    p->bytes = (size_t)p->k * (size_t)p->n * sizeof(real);
    return GN2_OK;
}

static void reference_pack(R(gn2_product) *p, const real *src, int64_t ld,
                           int transposed)
{
    const int64_t step_k = transposed ? 1 : ld, step_n = transposed ? ld : 1;
    for (int64_t k = 0; k < p->k; k++)
        for (int64_t n = 0; n < p->n; n++)
            p->packed[k * p->n + n] = src[k * step_k + n * step_n];
}

static const R(gn2_kernels) *table(void)
{
    return R(gn2_kernels_get)(GN2_ISA_REFERENCE);
}

static void reference_run(const R(gn2_product) *p, R(gn2_lane_view) lane,
                          const R(gn2_mul_args) *x)
{
    (void)lane;
    table()->mul(x->c, x->ldc, x->a, x->lda, p->packed, p->n, x->bias, x->residual,
                 x->flags, x->m, p->n, p->k);
}

static void reference_run_tn(const R(gn2_product) *p, R(gn2_lane_view) lane,
                             const R(gn2_tn_args) *x)
{
    (void)lane;
    table()->mul_tn(x->c, x->ldc, x->a, x->lda, x->b, x->ldb, x->m, p->n, p->k);
}

const R(gn2_product_ops) R(gn2_product_reference) = {
    .name = "reference",
    .create = reference_create,
    .pack = reference_pack,
    .run = reference_run,
    .run_tn = reference_run_tn,
};
