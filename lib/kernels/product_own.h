/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the object files made from product_own_tmpl.c (one an instruction set)
 * offer to product_own.c. Private to these files; float only.
 *
 * Packed B (k, n): panels of `columns` columns one after the other, in each the k
 * rows one after the other. The last panel is as wide as the columns left, rounded
 * up to a vector, and padded with zeros. In bf16 a row of two vectors lies as words of
 * 4 bytes, the element of the first vector in the lower half and that of the second in
 * the upper; a row of one vector lies as it is.
 */
#ifndef GN2_KERNELS_PRODUCT_OWN_H
#define GN2_KERNELS_PRODUCT_OWN_H

#include "kernels/product_backend.h"

/* c (m, n) = a·B: what one call works on. scratch: see scratch_mul. */
typedef struct gn2_own_problem {
    int64_t k, n;
    int half; /* 1: packed holds bf16 */
    const float *packed;
    float *scratch;
} gn2_own_problem;

typedef struct gn2_own_kernels {
    int64_t columns; /* of a full panel: two vectors */
    int64_t vector;  /* floats */
    void (*mul)(const gn2_own_problem *problem, const gn2_mul_args_f32 *args);
    /* c (k, n) += aᵀ·b; problem->packed is not used. */
    void (*mul_tn)(const gn2_own_problem *problem, const gn2_tn_args_f32 *args);
    size_t (*scratch_mul)(int64_t k); /* floats mul needs */
    size_t scratch_tn;                /* floats mul_tn needs */
} gn2_own_kernels;

extern const gn2_own_kernels gn2_own_avx2;
extern const gn2_own_kernels gn2_own_avx512;
/* The same with words of two bf16 in place of floats in a, b and B; k counts words.
 * Needs AVX512_BF16. */
extern const gn2_own_kernels gn2_own_avx512_dot;

static inline int64_t gn2_own_round_up(int64_t value, int64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* Room for packed B: rows of p->n columns in whole vectors, `element` bytes each. */
gn2_status gn2_own_make_room(gn2_product_f32 *p, int64_t rows, int64_t vector,
                             size_t element);

#endif
