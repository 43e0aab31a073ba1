/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products: k·u·Σ|a·b|, the textbook bound. Rows are padded (kcheck_calls.c). */
#include "kcheck.h"

#include <math.h>

#include "kernels/kernels.h"

static const kc_shape shapes[] = {
    {{0, 8, 8, 0}},    {{1, 1, 1, 1}},   {{2, 7, 9, 0}},    {{5, 8, 16, 1}},
    {{7, 17, 21, 0}},  {{8, 64, 40, 1}}, {{13, 65, 64, 0}}, {{3, 129, 41, 1}},
    {{9, 16, 128, 0}}, {{4, 4, 1, 1}},   {{6, 31, 0, 0}},   KC_END};
static const kc_shape bench[] = {{{64, 64, 64, 1}}, KC_END};

static int64_t padded(int64_t rows, int64_t cols, int64_t ld)
{
    return rows && cols ? (rows - 1) * ld + cols : 0;
}

/* c, a, b, bias, residual: m, n, k, flags */
static void make_mul(kc_case *c)
{
    const int64_t m = c->n[0], n = c->n[1], k = c->n[2];
    kc_add(c, "c", KC_INOUT, padded(m, n, n + 3), 1);
    kc_add(c, "a", KC_IN, padded(m, k, k + 1), 1);
    kc_add(c, "b", KC_IN, padded(k, n, n + 2), 1);
    if (c->n[3] & GN2_MUL_RELU)
        kc_add(c, "bias", KC_IN, n, 1);
    else
        kc_add_null(c, "bias");
    if (m % 2)
        kc_add(c, "residual", KC_IN, padded(m, n, n + 3), 1);
    else
        kc_add_null(c, "residual");
}

static void bound_mul(kc_case *c)
{
    const int64_t m = c->n[0], n = c->n[1], k = c->n[2];
    kc_array *a = c->array;
    for (int64_t r = 0; r < m; r++)
        for (int64_t j = 0; j < n; j++) {
            const int64_t at = r * (n + 3) + j;
            double sum = a[3].absent ? 0 : fabs(a[3].value[j]);
            if (!a[4].absent) sum += fabs(a[4].value[at]);
            for (int64_t i = 0; i < k; i++)
                sum += fabs(a[1].value[r * (k + 1) + i] * a[2].value[i * (n + 2) + j]);
            a[0].bound[at] = ((double)k + 3) * (KC_U * sum + KC_TINY);
        }
}

/* c, a, b: m, n, k */
static void make_mul_tn(kc_case *c)
{
    const int64_t m = c->n[0], n = c->n[1], k = c->n[2];
    kc_add(c, "c", KC_INOUT, padded(k, n, n + 3), 1);
    kc_add(c, "a", KC_IN, padded(m, k, k + 1), 1);
    kc_add(c, "b", KC_IN, padded(m, n, n + 2), 1);
}

static void bound_mul_tn(kc_case *c)
{
    const int64_t m = c->n[0], n = c->n[1], k = c->n[2];
    kc_array *a = c->array;
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = fabs(a[0].value[i * (n + 3) + j]);
            for (int64_t r = 0; r < m; r++)
                sum += fabs(a[1].value[r * (k + 1) + i] * a[2].value[r * (n + 2) + j]);
            a[0].bound[i * (n + 3) + j] = ((double)m + 2) * (KC_U * sum + KC_TINY);
        }
}

const kc_kernel kc_mul[] = {{.name = "mul",
                             .make = make_mul,
                             .bound = bound_mul,
                             .shapes = shapes,
                             .bench = bench,
                             .kinds = KC_ALL_KINDS},
                            {.name = "mul_tn",
                             .make = make_mul_tn,
                             .bound = bound_mul_tn,
                             .shapes = shapes,
                             .bench = bench,
                             .kinds = KC_ALL_KINDS},
                            {.name = NULL}};
