/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a back end of product.h provides. Private to the files product*.c and to the
 * oneDNN module, whose version changes with anything here (onednn/module.h).
 * Adding a back end = one table of functions and one line where product.c chooses.
 */
#ifndef GN2_KERNELS_PRODUCT_BACKEND_H
#define GN2_KERNELS_PRODUCT_BACKEND_H

#include "kernels/product_types.h"

/* Arguments of one weight gradient: c (k, n) += aᵀ (k, m)·b (m, n). */
typedef struct R(gn2_tn_args) {
    real *c;
    int64_t ldc;
    const real *a;
    int64_t lda;
    const real *b;
    int64_t ldb;
    int64_t m;
} R(gn2_tn_args);

/* What a lane holds of one product: state made by lane_open, and the scratch
 * that all products of the lane share (at least scratch() bytes, 64-aligned). */
typedef struct R(gn2_lane_view) {
    void *state;
    void *scratch;
} R(gn2_lane_view);

/* Functions that have nothing to do may be NULL, except create and one run. */
typedef struct R(gn2_product_ops) {
    const char *name;
    /* Fills product->data and product->bytes. */
    gn2_status (*create)(R(gn2_product) *product);
    void (*destroy)(R(gn2_product) *product);
    void (*pack)(R(gn2_product) *product, const real *src, int64_t ld, int transposed);
    size_t (*scratch)(const R(gn2_product) *product);
    gn2_status (*lane_open)(const R(gn2_product) *product, void **out_state,
                            size_t *out_bytes);
    void (*lane_close)(void *state);
    void (*run)(const R(gn2_product) *product, R(gn2_lane_view) lane,
                const R(gn2_mul_args) *args);
    void (*run_tn)(const R(gn2_product) *product, R(gn2_lane_view) lane,
                   const R(gn2_tn_args) *args);
} R(gn2_product_ops);

struct R(gn2_product) {
    const R(gn2_product_ops) *ops;
    uint64_t id; /* never used twice in a process: lanes find their state by it */
    int64_t k, n, max_rows;
    gn2_isa isa; /* instruction set to use, already capped */
    gn2_storage storage;
    gn2_arithmetic arithmetic; /* what is done, not what was asked for */
    gn2_loop loop;             /* of own products in bf16; settled, never AUTO */
    int is_gradient;           /* made by create_tn */
    real *packed;
    size_t bytes;
    void *data;
};

/* Plain C, both precisions. */
extern const R(gn2_product_ops) R(gn2_product_reference);

#ifndef GN2_REAL_DOUBLE
/* Own kernels, AVX2 and AVX-512; for arithmetic in bf16, AVX-512. */
extern const gn2_product_ops_f32 gn2_product_own;
extern const gn2_product_ops_f32 gn2_product_own_bf16;
#endif

#endif
