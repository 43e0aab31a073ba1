/* SPDX-License-Identifier: Apache-2.0 */
/* What callers of products (product.h) and back ends (product_backend.h) share. */
#ifndef GN2_KERNELS_PRODUCT_TYPES_H
#define GN2_KERNELS_PRODUCT_TYPES_H

#include "kernels/kernels.h"

typedef struct R(gn2_product) R(gn2_product);

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

/* How own kernels multiply bf16: by fused multiply-adds of expanded factors, or by the
 * processor's dot products (AVX512_BF16), which are two of them; same bits, other
 * speed. AUTO: by the table of processors (processors.h). */
typedef enum gn2_loop {
    GN2_LOOP_AUTO = 0,
    GN2_LOOP_FMA = 1,
    GN2_LOOP_DOT = 2
} gn2_loop;

typedef struct gn2_product_options {
    gn2_isa cap;
    gn2_backend backend;
    int64_t max_rows;    /* largest m that will be run, a hint for primitives */
    gn2_storage storage; /* bf16: own kernels only, else GN2_ERR_UNSUPPORTED */
    /* bf16: needs AVX-512, else GN2_ERR_UNSUPPORTED; by oneDNN where that was asked for
     * or uses AMX, else by own kernels. Products with a side of 16 or less stay f32,
     * and those of oneDNN whose rows would not keep their bits */
    gn2_arithmetic arithmetic;
    gn2_loop loop;
} gn2_product_options;

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

#endif
