/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention of one jet. Bounds carry the error of a dot product (k·u·Σ|a·b|) from
 * the logits through softmax to the output, and back.
 */
#include "kcheck.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/kernels.h"

static const kc_shape shapes[] = {
    {{0, 8, 8}},   {{1, 8, 8}},  {{2, 2, 4}},   {{3, 3, 5}},   {{7, 8, 8}},
    {{8, 8, 8}},   {{9, 8, 32}}, {{10, 8, 8}},  {{10, 8, 32}}, {{15, 4, 16}},
    {{16, 2, 17}}, {{17, 8, 8}}, {{31, 2, 12}}, {{33, 1, 33}}, {{40, 8, 32}},
    {{41, 8, 8}},  {{64, 1, 8}}, {{65, 2, 8}},  {{81, 1, 70}}, {{5, 2, 129}},
    KC_END};
static const kc_shape bench[] = {
    {{1, 8, 8}},  {{5, 8, 8}},   {{10, 8, 8}},  {{16, 8, 8}},  {{41, 8, 8}},
    {{5, 8, 32}}, {{10, 8, 32}}, {{16, 8, 32}}, {{41, 8, 32}}, KC_END};

typedef struct view {
    int64_t n, heads, dim, width, ld;
    double scale;
} view;

static view view_of(const kc_case *c)
{
    const int64_t width = c->n[1] * c->n[2];
    return (view){c->n[0], c->n[1], c->n[2], width, 3 * width, c->s[0]};
}

static double absolute_dot(const double *a, const double *b, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += fabs(a[i] * b[i]);
    return sum;
}

static double dot(const double *a, const double *b, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += a[i] * b[i];
    return sum;
}

/* ---- attention_fwd: o, p, qkv ---- */

static void make_fwd(kc_case *c)
{
    const int64_t n = c->n[0], heads = c->n[1], dim = c->n[2];
    kc_add(c, "o", KC_OUT, n * heads * dim, 1);
    kc_add(c, "p", KC_OUT, heads * n * n, 1);
    /* large: logits of some hundreds, where softmax saturates */
    kc_add(c, "qkv", KC_IN, n * 3 * heads * dim, c->kind == KC_LARGE ? 5e-3 : 1);
    kc_scalar(c, 0, 1 / sqrt((double)dim));
}

/* Highest logit of a query and the largest error of its logits. */
static void logits_of(const view *t, const double *q, const double *k, double *out_max,
                      double *out_error)
{
    *out_max = -INFINITY;
    *out_error = 0;
    for (int64_t j = 0; j < t->n; j++) {
        const double *kj = k + j * t->ld;
        const double sum = t->scale * absolute_dot(q, kj, t->dim);
        *out_max = fmax(*out_max, t->scale * dot(q, kj, t->dim));
        *out_error = fmax(*out_error, ((double)t->dim + 2) * (KC_U * sum + KC_TINY));
    }
}

/* p: e^{2δ + u(max − s)}, exp 4u, sum and division (n+4)u; o: Σ δ_p|v| + (n+1)u Σ p|v|
 */
static void bound_query(kc_case *c, const view *t, int64_t h, int64_t i)
{
    kc_array *a = c->array;
    const double *q = a[2].value + i * t->ld + h * t->dim;
    const double *k = a[2].value + t->width + h * t->dim, *v = k + t->width;
    double max, error;
    logits_of(t, q, k, &max, &error);
    double *o = a[0].bound + i * t->width + h * t->dim;
    for (int64_t d = 0; d < t->dim; d++) o[d] = KC_TINY;
    for (int64_t j = 0; j < t->n; j++) {
        const int64_t at = (h * t->n + j) * t->n + i;
        const double gap = max - t->scale * dot(q, k + j * t->ld, t->dim);
        const double p = a[1].want[at];
        const double d_p =
            p * expm1(2 * error + KC_U * gap + ((double)t->n + 12) * KC_U) +
            2 * KC_TINY;
        a[1].bound[at] = d_p;
        for (int64_t d = 0; d < t->dim; d++)
            o[d] += (d_p + ((double)t->n + 1) * KC_U * p) * fabs(v[j * t->ld + d]) +
                    KC_TINY;
    }
}

static void bound_fwd(kc_case *c)
{
    const view t = view_of(c);
    for (int64_t h = 0; h < t.heads; h++)
        for (int64_t i = 0; i < t.n; i++) bound_query(c, &t, h, i);
}

/* ---- attention_bwd: d_qkv, scratch, d_o, qkv, p ---- */

static void make_bwd(kc_case *c)
{
    const int64_t n = c->n[0], heads = c->n[1], dim = c->n[2];
    kc_add(c, "d_qkv", KC_OUT, n * 3 * heads * dim, 1);
    kc_add(c, "scratch", KC_SCRATCH, gn2_attention_scratch(n, dim), 0);
    kc_add(c, "d_o", KC_IN, n * heads * dim, 1);
    kc_add(c, "qkv", KC_IN, n * 3 * heads * dim, 1);
    kc_add_uniform(c, "p", KC_IN, heads * n * n, 0, n ? 2.0 / (double)n : 1);
    kc_scalar(c, 0, 1 / sqrt((double)dim));
}

/* size and error of d_s[j] of query i: with P = d_o·v, δP = (D+1)u Σ|d_o·v|,
 * δ_s = |scale|·p·(δP + Σ p δP + (n+5)u(|P| + Σ p|P|)) */
static void bound_d_logits(const kc_case *c, const view *t, int64_t h, int64_t i,
                           double *size, double *error)
{
    const kc_array *a = c->array;
    const double *d_o = a[2].value + i * t->width + h * t->dim;
    const double *v = a[3].value + 2 * t->width + h * t->dim;
    const double *p = a[4].value + h * t->n * t->n + i;
    double mean_size = 0, mean_error = 0;
    for (int64_t j = 0; j < t->n; j++) {
        size[j] = absolute_dot(d_o, v + j * t->ld, t->dim);
        error[j] = ((double)t->dim + 1) * (KC_U * size[j] + KC_TINY);
        mean_size += p[j * t->n] * size[j];
        mean_error += p[j * t->n] * error[j];
    }
    for (int64_t j = 0; j < t->n; j++) {
        const double f = t->scale * p[j * t->n], n = (double)t->n;
        error[j] =
            f * (error[j] + mean_error + (n + 5) * KC_U * (size[j] + mean_size)) +
            (n + 5) * KC_TINY;
        size[j] = f * (size[j] + mean_size);
    }
}

/* bound[d] += (error + (n+1)u·size)·|x[d]| */
static void add_term(double *bound, double size, double error, const double *x,
                     const view *t)
{
    const double f = error + ((double)t->n + 1) * KC_U * size;
    for (int64_t d = 0; d < t->dim; d++) bound[d] += f * fabs(x[d]) + KC_TINY;
}

static void bound_bwd(kc_case *c)
{
    const view t = view_of(c);
    kc_array *a = c->array;
    double *size = malloc(2 * ((size_t)t.n + 1) * sizeof(double));
    double *error = size + t.n + 1;
    for (int64_t i = 0; i < a[0].count; i++) a[0].bound[i] = KC_TINY;
    for (int64_t h = 0; h < t.heads; h++)
        for (int64_t i = 0; i < t.n; i++) {
            bound_d_logits(c, &t, h, i, size, error);
            const double *q = a[3].value + h * t.dim, *k = q + t.width;
            const double *d_o = a[2].value + i * t.width + h * t.dim;
            double *d_q = a[0].bound + h * t.dim, *d_k = d_q + t.width;
            for (int64_t j = 0; j < t.n; j++) {
                const double p = a[4].value[(h * t.n + j) * t.n + i];
                add_term(d_q + i * t.ld, size[j], error[j], k + j * t.ld, &t);
                add_term(d_k + j * t.ld, size[j], error[j], q + i * t.ld, &t);
                add_term(d_k + t.width + j * t.ld, p, 0, d_o, &t);
            }
        }
    free(size);
}

const kc_kernel kc_attention[] = {{.name = "attention_fwd",
                                   .make = make_fwd,
                                   .bound = bound_fwd,
                                   .shapes = shapes,
                                   .bench = bench,
                                   .kinds = KC_ALL_KINDS},
                                  {.name = "attention_bwd",
                                   .make = make_bwd,
                                   .bound = bound_bwd,
                                   .shapes = shapes,
                                   .bench = bench,
                                   .kinds = KC_ALL_KINDS},
                                  {.name = NULL}};
