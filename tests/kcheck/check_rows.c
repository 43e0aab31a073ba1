/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pairs, ReLU, rows and vectors: one rounding or none, so bounds are u of the
 * result, or the bits themselves.
 */
#include "kcheck.h"

#include <math.h>

static const kc_shape vector_shapes[] = {{{0}},  {{1}},   {{7}},   {{8}},    {{9}},
                                         {{15}}, {{16}},  {{17}},  {{40}},   {{41}},
                                         {{64}}, {{129}}, {{256}}, {{1000}}, KC_END};
static const kc_shape vector_bench[] = {{{512}}, {{131072}}, KC_END};

/* u of every result of array i, and the denormal grain */
static void bound_one_rounding(kc_array *a, double roundings)
{
    for (int64_t i = 0; i < a->count; i++)
        a->bound[i] = roundings * (KC_U * fabs(a->want[i]) + KC_TINY);
}

static void bound_exact(kc_case *c)
{
    (void)c; /* bounds are 0 */
}

static void bound_first(kc_case *c)
{
    bound_one_rounding(&c->array[0], 1);
}

/* ---- pairs: n, i, cols ---- */

static const kc_shape pair_shapes[] = {
    {{1, 0, 128}},   {{2, 0, 128}}, {{2, 1, 7}},  {{5, 2, 8}},   {{7, 6, 9}},
    {{10, 3, 128}},  {{9, 0, 15}},  {{4, 1, 16}}, {{5, 4, 17}},  {{41, 40, 128}},
    {{40, 20, 129}}, {{3, 1, 40}},  {{6, 2, 64}}, {{3, 0, 256}}, KC_END};
static const kc_shape pair_bench[] = {{{10, 3, 128}}, {{41, 3, 128}}, KC_END};

/* pair_fwd: h, a, b */
static void make_pair_fwd(kc_case *c)
{
    const int64_t n = c->n[0], cols = c->n[2];
    kc_add(c, "h", KC_OUT, (n - 1) * cols, 1);
    kc_add(c, "a", KC_IN, cols, 1);
    kc_add(c, "b", KC_IN, n * cols, 1);
}

/* pair_bwd: d_a, d_b, d_h, h */
static void make_pair_bwd(kc_case *c)
{
    const int64_t n = c->n[0], cols = c->n[2];
    kc_add(c, "d_a", KC_INOUT, cols, 1);
    kc_add(c, "d_b", KC_INOUT, n * cols, 1);
    kc_add(c, "d_h", KC_IN, (n - 1) * cols, 1);
    kc_array *h = kc_add(c, "h", KC_IN, (n - 1) * cols, 1);
    for (int64_t i = 0; i < h->count; i++)
        if (h->value[i] < 0) h->value[i] = 0;
}

/* d_b: one addition; d_a: n additions */
static void bound_pair_bwd(kc_case *c)
{
    const int64_t n = c->n[0], cols = c->n[2];
    kc_array *a = c->array;
    bound_one_rounding(&a[1], 1);
    for (int64_t i = 0; i < cols; i++) {
        double sum = fabs(a[0].value[i]);
        for (int64_t r = 0; r < n - 1; r++)
            if (a[3].value[r * cols + i] > 0) sum += fabs(a[2].value[r * cols + i]);
        a[0].bound[i] = (double)n * (KC_U * sum + KC_TINY);
    }
}

/* ---- ReLU ---- */

static void make_relu_fwd(kc_case *c)
{
    kc_add(c, "y", KC_OUT, c->n[0], 1);
    kc_add(c, "x", KC_IN, c->n[0], 1);
}

static void make_relu_bwd(kc_case *c)
{
    kc_add(c, "d", KC_INOUT, c->n[0], 1);
    kc_add(c, "y", KC_IN, c->n[0], 1);
}

/* ---- rows: rows, cols, then ld or relu ---- */

static const kc_shape add_row_shapes[] = {
    {{0, 64, 1}},  {{1, 1, 0}},   {{3, 7, 1}},   {{2, 8, 0}},   {{5, 9, 1}},
    {{4, 16, 1}},  {{3, 17, 0}},  {{9, 40, 1}},  {{10, 41, 0}}, {{7, 128, 1}},
    {{7, 128, 0}}, {{5, 129, 1}}, {{3, 256, 1}}, KC_END};
static const kc_shape add_row_bench[] = {{{100, 64, 1}}, {{100, 256, 0}}, KC_END};

static void make_add_row(kc_case *c)
{
    kc_add(c, "y", KC_INOUT, c->n[0] * c->n[1], 1);
    kc_add(c, "v", KC_IN, c->n[1], 1);
}

static const kc_shape strided_shapes[] = {
    {{0, 21, 21}}, {{1, 1, 1}},     {{3, 7, 9}},     {{2, 8, 8}},     {{5, 9, 20}},
    {{4, 16, 16}}, {{3, 17, 19}},   {{10, 21, 21}},  {{41, 21, 23}},  {{7, 40, 41}},
    {{6, 64, 64}}, {{5, 128, 192}}, {{9, 129, 129}}, {{3, 256, 300}}, KC_END};
static const kc_shape sum_bench[] = {{{512, 64, 64}}, {{512, 256, 256}}, KC_END};
static const kc_shape normalise_bench[] = {{{100, 21, 21}}, {{100, 19, 21}}, KC_END};

/* The last row ends with its last column: nothing behind it may be read. */
static int64_t strided_count(const kc_case *c)
{
    return c->n[0] ? (c->n[0] - 1) * c->n[2] + c->n[1] : 0;
}

static void make_sum_rows(kc_case *c)
{
    kc_add(c, "sum", KC_INOUT, c->n[1], 1);
    kc_add(c, "x", KC_IN, strided_count(c), 1);
}

static void bound_sum_rows(kc_case *c)
{
    kc_array *a = c->array;
    for (int64_t i = 0; i < c->n[1]; i++) {
        double sum = fabs(a[0].value[i]);
        for (int64_t r = 0; r < c->n[0]; r++) sum += fabs(a[1].value[r * c->n[2] + i]);
        a[0].bound[i] = ((double)c->n[0] + 1) * (KC_U * sum + KC_TINY);
    }
}

static void make_normalise(kc_case *c)
{
    kc_add(c, "y", KC_INOUT, strided_count(c), 1);
    kc_add(c, "mean", KC_IN, c->n[1], 0.5);
    kc_add_uniform(c, "std", KC_IN, c->n[1], 0.9, 1.1);
}

/* subtraction and division: two roundings of the result */
static void bound_normalise(kc_case *c)
{
    bound_one_rounding(&c->array[0], 2.1);
}

/* ---- vectors ---- */

static void make_add(kc_case *c)
{
    kc_add(c, "y", KC_INOUT, c->n[0], 1);
    kc_add(c, "x", KC_IN, c->n[0], 1);
}

static void make_scale(kc_case *c)
{
    kc_add(c, "y", KC_INOUT, c->n[0], 1);
    kc_scalar(c, 0, -0.9999);
}

/* ---- dropout: count, threshold ---- */

static const kc_shape dropout_shapes[] = {{{0, 0}},
                                          {{1, 0x40000000}},
                                          {{7, 0x80000000}},
                                          {{8, 0x1999999A}},
                                          {{9, 0xFFFFFFFF}},
                                          {{16, 0x40000000}},
                                          {{17, 0x80000000}},
                                          {{41, 0}},
                                          {{129, 0x19999999}},
                                          {{1000, 0x80000000}},
                                          KC_END};
static const kc_shape dropout_bench[] = {{{4096, 0x19999999}}, KC_END};

static void make_dropout(kc_case *c)
{
    kc_add(c, "x", KC_INOUT, c->n[0], 1);
    kc_scalar(c, 0, 10.0 / 9.0);
}

const kc_kernel kc_rows[] = {{.name = "pair_fwd",
                              .make = make_pair_fwd,
                              .bound = bound_first,
                              .shapes = pair_shapes,
                              .bench = pair_bench,
                              .kinds = KC_ALL_KINDS,
                              .same_bits = 1},
                             {.name = "pair_bwd",
                              .make = make_pair_bwd,
                              .bound = bound_pair_bwd,
                              .shapes = pair_shapes,
                              .bench = pair_bench,
                              .kinds = KC_ALL_KINDS},
                             {.name = "relu_fwd",
                              .make = make_relu_fwd,
                              .bound = bound_exact,
                              .shapes = vector_shapes,
                              .bench = vector_bench,
                              .kinds = KC_ALL_KINDS,
                              .same_bits = 1},
                             {.name = "relu_bwd",
                              .make = make_relu_bwd,
                              .bound = bound_exact,
                              .shapes = vector_shapes,
                              .bench = vector_bench,
                              .kinds = KC_ALL_KINDS,
                              .same_bits = 1},
                             {.name = "add_row",
                              .make = make_add_row,
                              .bound = bound_first,
                              .shapes = add_row_shapes,
                              .bench = add_row_bench,
                              .kinds = KC_ALL_KINDS,
                              .per_row = 0x1,
                              .same_bits = 1},
                             {.name = "sum_rows",
                              .make = make_sum_rows,
                              .bound = bound_sum_rows,
                              .shapes = strided_shapes,
                              .bench = sum_bench,
                              .kinds = KC_ALL_KINDS},
                             {.name = "normalise",
                              .make = make_normalise,
                              .bound = bound_normalise,
                              .shapes = strided_shapes,
                              .bench = normalise_bench,
                              .kinds = KC_ALL_KINDS,
                              .same_bits = 1},
                             {.name = "add",
                              .make = make_add,
                              .bound = bound_first,
                              .shapes = vector_shapes,
                              .bench = vector_bench,
                              .kinds = KC_ALL_KINDS,
                              .same_bits = 1},
                             {.name = "scale",
                              .make = make_scale,
                              .bound = bound_first,
                              .shapes = vector_shapes,
                              .bench = vector_bench,
                              .kinds = KC_ALL_KINDS,
                              .same_bits = 1},
                             {.name = "dropout",
                              .make = make_dropout,
                              .bound = bound_first,
                              .shapes = dropout_shapes,
                              .bench = dropout_bench,
                              .kinds = KC_ALL_KINDS,
                              .same_bits = 1},
                             {.name = NULL}};
