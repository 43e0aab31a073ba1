/* SPDX-License-Identifier: Apache-2.0 */
/* Making, running and judging one matrix product, for test_product.c. */
#ifndef GN2_TEST_PRODUCT_CASE_H
#define GN2_TEST_PRODUCT_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/product.h"
#include "kernels/product_backend.h"
#include "util/alloc.h"

typedef struct shape {
    int64_t k, n;
} shape;

/* A back end under an instruction set cap. */
typedef struct backend {
    const char *name; /* NULL ends the list */
    gn2_backend backend;
    gn2_isa cap;
    gn2_storage storage;       /* bf16: B is rounded, and judged as rounded */
    gn2_arithmetic arithmetic; /* bf16: both factors are, where the product is */
    gn2_loop loop;
} backend;

/* Those this processor and this build have. */
const backend *backends(void);

/* AVX-512 multiplies bf16 without its BF16 extension too. Users are offered it where
 * that is (net/backend.c), tests run it everywhere. */
int has_bf16(void);
/* The extension itself. */
int has_dots(void);

/* What an epilogue adds, and where the residual lies. */
enum { WITH_BIAS = 1, WITH_RELU = 2, WITH_RESIDUAL = 4, RESIDUAL_IS_C = 8 };

typedef struct problem {
    shape s;
    int64_t m, lda, ldc;
    unsigned epilogue;
} problem;

/* Run and compare with the reference in double. Matrices end at a page that must
 * not be touched; gaps between rows of c must stay as they were. */
void problem_run_forward(const backend *be, const problem *p);
void problem_run_gradient(const backend *be, const problem *p);

/* A packed product with random B and a lane for it. */
typedef struct setup {
    shape s;
    gn2_product_f32 *product;
    gn2_lane_f32 *lane;
} setup;
void setup_make(setup *u, const backend *be, shape s, int64_t max_rows);
void setup_free(setup *u);

/* Arrays for gn2_free: zeros, or numbers in (−1, 1). */
float *fresh(size_t count);
float *filled(size_t count, uint64_t key);

#endif
