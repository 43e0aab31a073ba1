/* SPDX-License-Identifier: Apache-2.0 */
/* Optimisers' loops and norms: a handful of roundings an element. */
#include "kcheck.h"

#include <math.h>

static const kc_shape shapes[] = {{{0}},   {{1}},   {{7}},    {{8}},  {{9}},  {{15}},
                                  {{16}},  {{17}},  {{31}},   {{33}}, {{40}}, {{129}},
                                  {{255}}, {{256}}, {{1001}}, KC_END};
static const kc_shape bench[] = {{{4096}}, {{3000000}}, KC_END};

/* ---- adamw: p, m, v, g ---- */

static void make_adamw(kc_case *c)
{
    static const double constant[7] = {0.7, 1e-5, 0.9, 0.999, 2e-3, 1.7, 1e-8};
    const int64_t count = c->n[0];
    kc_add(c, "p", KC_INOUT, count, 1);
    kc_add(c, "m", KC_INOUT, count, 0.1);
    kc_array *v = kc_add(c, "v", KC_INOUT, count, 0.1);
    for (int64_t i = 0; i < count; i++) v->value[i] = fabs(v->value[i]);
    kc_add(c, "g", KC_IN, count, 1);
    for (int i = 0; i < 7; i++) kc_scalar(c, i, constant[i]);
}

/* m: 4u of its parts; v: 5u of its own; p: the step's own 8u, what m and v bring, and
 * 3u of p */
static void bound_adamw(kc_case *c)
{
    kc_array *a = c->array;
    const double *s = c->s;
    for (int64_t i = 0; i < c->n[0]; i++) {
        const double g = s[0] * a[3].value[i], root = sqrt(a[2].want[i]);
        const double under = root * s[5] + s[6];
        const double parts = s[2] * fabs(a[1].value[i]) + (1 - s[2]) * fabs(g);
        const double d_m = 4 * KC_U * parts + 2 * KC_TINY;
        const double d_v = 5 * KC_U * a[2].want[i] + 4 * KC_TINY;
        const double d_root = root > 0 ? fmin(d_v / root, sqrt(d_v)) : sqrt(d_v);
        const double move = s[4] * fabs(a[1].want[i]) / under;
        a[1].bound[i] = d_m;
        a[2].bound[i] = d_v;
        a[0].bound[i] = 3 * KC_U * fabs(a[0].value[i]) +
                        (s[4] * d_m + KC_TINY) / under +
                        move * (8 * KC_U + s[5] * d_root / under) + 4 * KC_TINY;
    }
}

/* ---- sgd: p, m, g ---- */

static void make_sgd(kc_case *c)
{
    static const double constant[4] = {0.7, 1e-2, 1e-5, 0.9};
    kc_add(c, "p", KC_INOUT, c->n[0], 1);
    kc_add(c, "m", KC_INOUT, c->n[0], 1);
    kc_add(c, "g", KC_IN, c->n[0], 1);
    for (int i = 0; i < 4; i++) kc_scalar(c, i, constant[i]);
}

static void bound_sgd(kc_case *c)
{
    kc_array *a = c->array;
    const double *s = c->s;
    for (int64_t i = 0; i < c->n[0]; i++) {
        const double p = fabs(a[0].value[i]);
        const double parts =
            s[3] * fabs(a[1].value[i]) + fabs(s[0] * a[2].value[i]) + s[2] * p;
        a[1].bound[i] = 4 * (KC_U * parts + KC_TINY);
        a[0].bound[i] = 2 * KC_U * (p + s[1] * parts) + s[1] * a[1].bound[i] + KC_TINY;
    }
}

/* ---- norms: x ---- */

static void make_vector(kc_case *c)
{
    kc_add(c, "x", KC_IN, c->n[0], 1);
}

/* squares of floats are exact in double; the sum errs by count·2⁻⁵³ of itself */
static void bound_sum_squares(kc_case *c)
{
    c->bound_result = 2 * (double)c->n[0] * 0x1p-53 * c->want_result;
}

static void bound_exact(kc_case *c)
{
    (void)c;
}

const kc_kernel kc_optim[] = {{.name = "adamw",
                               .make = make_adamw,
                               .bound = bound_adamw,
                               .shapes = shapes,
                               .bench = bench,
                               .kinds = KC_ALL_KINDS},
                              {.name = "sgd",
                               .make = make_sgd,
                               .bound = bound_sgd,
                               .shapes = shapes,
                               .bench = bench,
                               .kinds = KC_ALL_KINDS},
                              {.name = "sum_squares",
                               .make = make_vector,
                               .bound = bound_sum_squares,
                               .shapes = shapes,
                               .bench = bench,
                               .kinds = KC_ALL_KINDS},
                              {.name = "all_finite",
                               .make = make_vector,
                               .bound = bound_exact,
                               .shapes = shapes,
                               .bench = bench,
                               .kinds = KC_ALL_KINDS},
                              {.name = NULL}};
