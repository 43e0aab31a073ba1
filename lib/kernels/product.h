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

#include "kernels/product_types.h"

typedef struct R(gn2_lane) R(gn2_lane);

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

void R(gn2_product_run)(const R(gn2_product) *product, R(gn2_lane) *lane,
                        const R(gn2_mul_args) *args);

/* c (k, n; ldc) += aᵀ·b over m rows. */
void R(gn2_product_run_tn)(const R(gn2_product) *product, R(gn2_lane) *lane, real *c,
                           int64_t ldc, const real *a, int64_t lda, const real *b,
                           int64_t ldb, int64_t m);

#endif
