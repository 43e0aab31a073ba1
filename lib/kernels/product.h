/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix products prepared once and run often: the right-hand side is packed, the
 * back end (own kernel or oneDNN) chosen by shape.
 *
 * A product is shared by threads and immutable while it runs. A lane belongs to
 * one thread and holds what the back end needs there (oneDNN memory objects,
 * scratch). Creating, packing and lanes may fail; running never does.
 * Every row of a result depends on its row of `a` alone, to the bit, whatever m.
 */
#ifndef GN2_KERNELS_PRODUCT_H
#define GN2_KERNELS_PRODUCT_H

#include "kernels/kernels.h"

typedef struct R(gn2_product) R(gn2_product);
typedef struct R(gn2_lane) R(gn2_lane);

/* Back ends. AUTO: own kernels, oneDNN for arithmetic that they have not got. OWN: the
 * reference where the instruction set has no own kernels. ONEDNN: from its module,
 * else GN2_ERR_UNSUPPORTED. */
typedef enum gn2_backend {
    GN2_BACKEND_AUTO = 0,
    GN2_BACKEND_OWN = 1,
    GN2_BACKEND_ONEDNN = 2
} gn2_backend;

/* How packed B is kept. bf16: rounded to nearest even and expanded where it is used;
 * every multiplication and sum stays float, the result is that of B rounded. */
typedef enum gn2_storage { GN2_STORAGE_F32 = 0, GN2_STORAGE_BF16 = 1 } gn2_storage;

/* What is multiplied. bf16: both factors rounded to nearest even, the products exact,
 * their sums float; bias, residual and ReLU in float. */
typedef enum gn2_arithmetic {
    GN2_ARITHMETIC_F32 = 0,
    GN2_ARITHMETIC_BF16 = 1
} gn2_arithmetic;

typedef struct gn2_product_options {
    gn2_isa cap;
    gn2_backend backend;
    int64_t max_rows;    /* largest m that will be run, a hint for primitives */
    gn2_storage storage; /* bf16: own kernels only, else GN2_ERR_UNSUPPORTED */
    /* bf16: by oneDNN with AVX-512, else GN2_ERR_UNSUPPORTED; products with a side of
     * 8 or less stay f32, and those whose rows would not keep their bits */
    gn2_arithmetic arithmetic;
} gn2_product_options;

/* c (m, n) = a (m, k)·B, B (k, n) packed by R(gn2_product_pack). */
gn2_status R(gn2_product_create)(int64_t k, int64_t n,
                                 const gn2_product_options *options,
                                 R(gn2_product) **out_product);
/* c (k, n) += aᵀ (k, m)·b (m, n): weight gradient; nothing to pack. */
gn2_status R(gn2_product_create_tn)(int64_t k, int64_t n,
                                    const gn2_product_options *options,
                                    R(gn2_product) **out_product);
void R(gn2_product_free)(R(gn2_product) *product);

/* Packs B from src: B[k][n] = src[k·ld + n], or src[n·ld + k] if transposed ≠ 0
 * (a torch weight (n, k)). Not while another thread runs the product. */
void R(gn2_product_pack)(R(gn2_product) *product, const real *src, int64_t ld,
                         int transposed);

/* Bytes held by a product: packed matrix and primitives' constants. */
size_t R(gn2_product_bytes)(const R(gn2_product) *product);

/* Lane for the products of a list (those that will be run in it). The list is
 * kept by index inside the products' back end data, not by pointer. */
gn2_status R(gn2_lane_create)(R(gn2_product) *const *products, size_t count,
                              R(gn2_lane) **out_lane);
void R(gn2_lane_free)(R(gn2_lane) *lane);
size_t R(gn2_lane_bytes)(const R(gn2_lane) *lane);

/* Arguments of one packed product; see kernels.h `mul` for the epilogue. */
typedef struct R(gn2_mul_args) {
    real *c;
    int64_t ldc;
    const real *a;
    int64_t lda;
    const real *bias;     /* (n) or NULL */
    const real *residual; /* (m, n), row stride ldc, or NULL; may be c */
    unsigned flags;       /* GN2_MUL_RELU */
    int64_t m;
} R(gn2_mul_args);

void R(gn2_product_run)(const R(gn2_product) *product, R(gn2_lane) *lane,
                        const R(gn2_mul_args) *args);

/* c (k, n; ldc) += aᵀ·b over m rows. */
void R(gn2_product_run_tn)(const R(gn2_product) *product, R(gn2_lane) *lane, real *c,
                           int64_t ldc, const real *a, int64_t lda, const real *b,
                           int64_t ldb, int64_t m);

#endif
