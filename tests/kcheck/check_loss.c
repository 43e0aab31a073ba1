/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Softmax and losses. exp errs by 4u of its value (2 ulp) and by u·|argument| from
 * rounding the argument; sums and divisions add u each.
 */
#include "kcheck.h"

#include <math.h>

static const kc_shape shapes[] = {
    {{0, 8}},  {{1, 1}},  {{1, 8}},   {{2, 3}},   {{7, 4}},  {{8, 8}},  {{9, 8}},
    {{15, 3}}, {{16, 4}}, {{17, 8}},  {{33, 5}},  {{41, 7}}, {{5, 16}}, {{6, 17}},
    {{3, 64}}, {{3, 65}}, {{2, 129}}, {{100, 8}}, KC_END};
static const kc_shape bench[] = {{{1000, 4}}, {{4000, 8}}, KC_END};

static double highest(const double *x, int64_t count)
{
    double max = -INFINITY;
    for (int64_t i = 0; i < count; i++) max = fmax(max, x[i]);
    return max;
}

/* Relative error of a softmax probability whose logit lies `gap` below the top. */
static double softmax_error(double gap, int64_t cols)
{
    return KC_U * (gap + (double)cols + 12);
}

/* large: logits up to some thousands */
static double logit_scale(const kc_case *c)
{
    return c->kind == KC_LARGE ? 0.3 : 2;
}

/* ---- softmax: p, logit ---- */

static void make_softmax(kc_case *c)
{
    kc_add(c, "p", KC_OUT, c->n[0] * c->n[1], 1);
    kc_add(c, "logit", KC_IN, c->n[0] * c->n[1], logit_scale(c));
}

static void bound_softmax(kc_case *c)
{
    kc_array *a = c->array;
    for (int64_t r = 0; r < c->n[0]; r++) {
        const double *x = a[1].value + r * c->n[1], max = highest(x, c->n[1]);
        for (int64_t i = 0; i < c->n[1]; i++) {
            const int64_t at = r * c->n[1] + i;
            const double e = softmax_error(max - x[i], c->n[1]);
            a[0].bound[at] = a[0].want[at] * e + 2 * KC_TINY;
        }
    }
}

/* ---- cross_entropy: d, logit, label, weights ---- */

static void make_cross_entropy(kc_case *c)
{
    const int64_t rows = c->n[0], cols = c->n[1];
    if (rows == 7)
        kc_add_null(c, "d");
    else
        kc_add(c, "d", KC_OUT, rows * cols, 1);
    kc_add(c, "logit", KC_IN, rows * cols, logit_scale(c));
    kc_add_labels(c, "label", rows, cols);
    if (rows % 2)
        kc_add_uniform(c, "weights", KC_IN, cols, 0.2, 2);
    else
        kc_add_null(c, "weights");
    kc_scalar(c, 0, 0.125);
}

/* ℓ = log Σ + (max − x_label): u of either part, the sum's relative error, log 4u;
 * d = f(p − 1): f·δp + 2u·f */
static double bound_row(kc_case *c, int64_t r)
{
    kc_array *a = c->array;
    const int64_t cols = c->n[1], label = (int64_t)a[2].value[r];
    if (label < 0) return 0;
    const double *x = a[1].value + r * cols, max = highest(x, cols);
    const double f = c->s[0] * (a[3].absent ? 1 : a[3].value[label]);
    double sum = 0;
    for (int64_t i = 0; i < cols; i++) sum += exp(x[i] - max);
    for (int64_t i = 0; i < cols && !a[0].absent; i++) {
        const double p = exp(x[i] - max) / sum;
        const double e = p * (softmax_error(max - x[i], cols) + 2 * KC_U);
        a[0].bound[r * cols + i] = f * (e + (i == label ? 2 * KC_U : 0)) + 2 * KC_TINY;
    }
    const double gap = max - x[label];
    return f * KC_U * ((double)cols + 12 + 6 * log(sum) + 4 * gap);
}

static void bound_cross_entropy(kc_case *c)
{
    c->bound_result = KC_TINY;
    for (int64_t r = 0; r < c->n[0]; r++) c->bound_result += bound_row(c, r);
}

/* ---- binary_cross_entropy: d, x, target, weight ---- */

static const kc_shape binary_shapes[] = {{{0}},  {{1}},    {{7}},  {{8}},
                                         {{9}},  {{15}},   {{16}}, {{17}},
                                         {{41}}, {{1640}}, KC_END};
static const kc_shape binary_bench[] = {{{90}}, {{4096}}, KC_END};

static void make_binary(kc_case *c)
{
    const int64_t count = c->n[0];
    if (count == 9)
        kc_add_null(c, "d");
    else
        kc_add(c, "d", KC_OUT, count, 1);
    kc_add(c, "x", KC_IN, count, logit_scale(c));
    kc_array *target = kc_add_uniform(c, "target", KC_IN, count, 0, 1);
    for (int64_t i = 0; i < count; i++) target->value[i] = target->value[i] > 0.7;
    kc_add_uniform(c, "weight", KC_IN, count, 0, 2);
    kc_scalar(c, 0, 0.25);
}

/* e = exp(−|x|) within 4u; ℓ: u(2|x| + 12 log1p(e)); sigmoid 8u, minus target u */
static void bound_binary(kc_case *c)
{
    kc_array *a = c->array;
    c->bound_result = KC_TINY;
    for (int64_t i = 0; i < c->n[0]; i++) {
        const double x = a[1].value[i], e = exp(-fabs(x));
        const double f = c->s[0] * a[3].value[i];
        const double s = (x >= 0 ? 1 : e) / (1 + e), t = a[2].value[i];
        const double size = 4 * fabs(x) * (1 + t) + 12 * log1p(e);
        if (f > 0) c->bound_result += f * (KC_U * size + KC_TINY);
        if (!a[0].absent)
            a[0].bound[i] = f * KC_U * (10 * s + 3 * fabs(s - t)) + 2 * KC_TINY;
    }
}

const kc_kernel kc_loss[] = {{.name = "softmax",
                              .make = make_softmax,
                              .bound = bound_softmax,
                              .shapes = shapes,
                              .bench = bench,
                              .kinds = KC_ALL_KINDS,
                              .per_row = 0x3},
                             {.name = "cross_entropy",
                              .make = make_cross_entropy,
                              .bound = bound_cross_entropy,
                              .shapes = shapes,
                              .bench = bench,
                              .kinds = KC_ALL_KINDS,
                              .per_row = 0x7},
                             {.name = "binary_cross_entropy",
                              .make = make_binary,
                              .bound = bound_binary,
                              .shapes = binary_shapes,
                              .bench = binary_bench,
                              .kinds = KC_ALL_KINDS,
                              .per_row = 0xF},
                             {.name = NULL}};
