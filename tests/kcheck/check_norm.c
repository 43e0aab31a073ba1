/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layer norm and pooling. Bounds follow Higham, Accuracy and Stability, §3.1: a sum
 * of k terms errs by at most k·u·Σ|terms| in any order, and each further operation
 * adds u of its result.
 */
#include "kcheck.h"

#include <math.h>

static const kc_shape row_shapes[] = {
    {{0, 64}},  {{1, 1}},   {{3, 7}},   {{2, 8}},   {{5, 9}},   {{4, 15}},  {{1, 16}},
    {{3, 17}},  {{7, 31}},  {{2, 40}},  {{9, 41}},  {{16, 64}}, {{17, 65}}, {{2, 128}},
    {{3, 129}}, {{5, 192}}, {{4, 256}}, {{2, 257}}, {{3, 512}}, KC_END};
static const kc_shape row_bench[] = {{{10, 64}},   {{10, 256}},  {{100, 64}},
                                     {{100, 256}}, {{100, 512}}, KC_END};

static double absolute_sum(const double *x, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += fabs(x[i]);
    return sum;
}

/* ---- layernorm_fwd: y, mean, rstd, x, gain, bias ---- */

static void make_layernorm_fwd(kc_case *c)
{
    const int64_t rows = c->n[0], cols = c->n[1];
    kc_add(c, "y", KC_OUT, rows * cols, 1);
    kc_add(c, "mean", KC_OUT, rows, 1);
    kc_add(c, "rstd", KC_OUT, rows, 1);
    kc_array *x = kc_add(c, "x", KC_IN, rows * cols, 1);
    for (int64_t i = 0; i < x->count && c->kind == KC_NORMAL; i++)
        x->value[i] = (double)(float)(x->value[i] + 0.7);
    if (cols % 2) {
        kc_add_uniform(c, "gain", KC_IN, cols, 0.5, 1.5);
        kc_add_uniform(c, "bias", KC_IN, cols, -1, 1);
    } else {
        kc_add_null(c, "gain");
        kc_add_null(c, "bias");
    }
    kc_scalar(c, 0, 1e-5);
}

/* With A = mean |x|: δ_mean ≤ (k+1)uA. Squares: relative (k+4)u, and the shifted mean
 * adds δ_mean² to the variance. δ_y = rstd(δ_mean + u|x|) + |y|(δ_rstd/rstd + 3u). */
static void bound_layernorm_fwd(kc_case *c)
{
    const int64_t rows = c->n[0], cols = c->n[1];
    kc_array *a = c->array;
    const double k = (double)cols;
    for (int64_t r = 0; r < rows; r++) {
        const double *x = a[3].value + r * cols, mean = a[1].want[r];
        const double rstd = a[2].want[r];
        const double d_mean = (k + 1) * KC_U * absolute_sum(x, cols) / k + k * KC_TINY;
        const double relative = (k + 8) * KC_U + rstd * rstd * d_mean * d_mean;
        a[1].bound[r] = d_mean;
        a[2].bound[r] = rstd * relative;
        for (int64_t i = 0; i < cols; i++) {
            const double y = (x[i] - mean) * rstd;
            const double d = rstd * (d_mean + KC_U * fabs(x[i]) + KC_TINY) +
                             fabs(y) * (relative + 3 * KC_U);
            const int affine = !a[4].absent;
            const double g = affine ? fabs(a[4].value[i]) : 1;
            const double b = affine ? fabs(a[5].value[i]) : 0;
            a[0].bound[r * cols + i] = g * d + 2 * KC_U * (g * fabs(y) + b) + KC_TINY;
        }
    }
}

/* ---- layernorm_bwd: d_x, d_gain, d_bias, d_y, x, mean, rstd, gain ---- */

static void add_or_null(kc_case *c, const char *name, kc_role role, int64_t count,
                        int there)
{
    if (there)
        kc_add(c, name, role, count, 1);
    else
        kc_add_null(c, name);
}

static void make_layernorm_bwd(kc_case *c)
{
    const int64_t rows = c->n[0], cols = c->n[1];
    const int affine = (int)(cols % 2);
    kc_add(c, "d_x", KC_INOUT, rows * cols, 1);
    add_or_null(c, "d_gain", KC_INOUT, cols, affine);
    add_or_null(c, "d_bias", KC_INOUT, cols, affine);
    kc_add(c, "d_y", KC_IN, rows * cols, 1);
    kc_add(c, "x", KC_IN, rows * cols, 1);
    kc_add(c, "mean", KC_IN, rows, 0.2);
    kc_add_uniform(c, "rstd", KC_IN, rows, 0.3, 3);
    add_or_null(c, "gain", KC_IN, cols, affine);
}

static double g_of(const kc_case *c, int64_t r, int64_t i)
{
    const kc_array *a = c->array;
    const double d = a[3].value[r * c->n[1] + i];
    return a[7].absent ? d : d * a[7].value[i];
}

static double normal_of(const kc_case *c, int64_t r, int64_t i)
{
    const kc_array *a = c->array;
    return (a[4].value[r * c->n[1] + i] - a[5].value[r]) * a[6].value[r];
}

/* δ = rstd·(3u|g| + (k+3)u mean|g| + |x̂|(k+9)u mean|g·x̂|) + 2u(|before| + |d_x|) */
static void bound_d_x(kc_case *c, int64_t r)
{
    kc_array *a = c->array;
    const int64_t cols = c->n[1];
    const double k = (double)cols, rstd = a[6].value[r];
    double sum = 0, dot = 0;
    for (int64_t i = 0; i < cols; i++) {
        sum += fabs(g_of(c, r, i)) / k;
        dot += fabs(g_of(c, r, i) * normal_of(c, r, i)) / k;
    }
    for (int64_t i = 0; i < cols; i++) {
        const int64_t at = r * cols + i;
        const double inner = 3 * fabs(g_of(c, r, i)) + (k + 3) * sum +
                             fabs(normal_of(c, r, i)) * (k + 9) * dot;
        const double ends = fabs(a[0].value[at]) + fabs(a[0].want[at]);
        a[0].bound[at] = KC_U * (rstd * inner + 2 * ends) + 4 * (k + 4) * KC_TINY;
    }
}

/* d_gain, d_bias: sums over rows, (rows+4)u(|before| + Σ|terms|) */
static void bound_layernorm_bwd(kc_case *c)
{
    kc_array *a = c->array;
    const int64_t rows = c->n[0], cols = c->n[1];
    for (int64_t r = 0; r < rows; r++) bound_d_x(c, r);
    if (a[1].absent) return;
    for (int64_t i = 0; i < cols; i++) {
        double gain = fabs(a[1].value[i]), bias = fabs(a[2].value[i]);
        for (int64_t r = 0; r < rows; r++) {
            const double d = fabs(a[3].value[r * cols + i]);
            gain += d * fabs(normal_of(c, r, i));
            bias += d;
        }
        a[1].bound[i] = ((double)rows + 4) * (KC_U * gain + KC_TINY);
        a[2].bound[i] = ((double)rows + 4) * (KC_U * bias + KC_TINY);
    }
}

/* ---- pool_fwd: pooled, alpha, logit, z, w ---- */

static const kc_shape pool_shapes[] = {
    {{0, 128}}, {{1, 128}}, {{2, 7}},    {{7, 16}},   {{8, 17}},  {{9, 128}}, {{15, 8}},
    {{16, 40}}, {{17, 64}}, {{40, 128}}, {{41, 129}}, {{70, 33}}, KC_END};
static const kc_shape pool_bench[] = {{{10, 128}}, {{41, 128}}, KC_END};

static void make_pool_fwd(kc_case *c)
{
    const int64_t n = c->n[0], cols = c->n[1];
    kc_add(c, "pooled", KC_OUT, cols, 1);
    kc_add(c, "alpha", KC_OUT, n, 1);
    kc_add(c, "logit", KC_OUT, n, 1);
    kc_add(c, "z", KC_IN, n * cols, 1);
    kc_add_uniform(c, "w", KC_IN, cols, -0.1, 0.1);
    kc_scalar(c, 0, 0.25);
}

/* δ_logit ≤ (k+1)u(Σ|z·w| + |b|); α: factor e^{δ} of both logits, exp within 4u,
 * u of the difference to the maximum, sum (n+2)u */
static void bound_pool_fwd(kc_case *c)
{
    kc_array *a = c->array;
    const int64_t n = c->n[0], cols = c->n[1];
    double max = -INFINITY, d_max = 0;
    for (int64_t t = 0; t < n; t++) {
        double sum = fabs(c->s[0]);
        for (int64_t i = 0; i < cols; i++)
            sum += fabs(a[3].value[t * cols + i] * a[4].value[i]);
        a[2].bound[t] = ((double)cols + 1) * (KC_U * sum + KC_TINY);
        max = fmax(max, a[2].want[t]);
        d_max = fmax(d_max, a[2].bound[t]);
    }
    for (int64_t t = 0; t < n; t++) {
        const double d = 2 * d_max + KC_U * (max - a[2].want[t]);
        a[1].bound[t] = a[1].want[t] * expm1(d + ((double)n + 12) * KC_U) + 2 * KC_TINY;
    }
    for (int64_t i = 0; i < cols; i++) {
        double d = KC_TINY;
        for (int64_t t = 0; t < n; t++) {
            const double z = fabs(a[3].value[t * cols + i]);
            d +=
                a[1].bound[t] * z + ((double)n + 1) * KC_U * a[1].want[t] * z + KC_TINY;
        }
        a[0].bound[i] = d;
    }
}

/* ---- pool_bwd: d_z, d_w, d_b, scratch, d_pooled, z, w, alpha ---- */

static void make_pool_bwd(kc_case *c)
{
    const int64_t n = c->n[0], cols = c->n[1];
    kc_add(c, "d_z", KC_INOUT, n * cols, 1);
    kc_add(c, "d_w", KC_INOUT, cols, 1);
    kc_add(c, "d_b", KC_INOUT, 1, 1);
    kc_add(c, "scratch", KC_SCRATCH, n, 0);
    kc_add(c, "d_pooled", KC_IN, cols, 1);
    kc_add(c, "z", KC_IN, n * cols, 1);
    kc_add_uniform(c, "w", KC_IN, cols, -0.1, 0.1);
    kc_add_uniform(c, "alpha", KC_IN, n, 0, 0.3);
}

/* δ(d_alpha) ≤ k·u·Σ|d_pooled·z| = D_t; δ(d_logit) ≤ α(D_t + Σα D + (n+4)u(|d_alpha|
 * + Σα|d_alpha|)); from there sums as usual */
static void bound_pool_bwd(kc_case *c)
{
    kc_array *a = c->array;
    const int64_t n = c->n[0], cols = c->n[1];
    const double more = (double)n + 4;
    double *size = a[3].want, *error = a[3].bound; /* scratch: |d_alpha|, its error */
    double mean_size = 0, mean_error = 0;
    for (int64_t t = 0; t < n; t++) {
        size[t] = 0;
        for (int64_t i = 0; i < cols; i++)
            size[t] += fabs(a[4].value[i] * a[5].value[t * cols + i]);
        error[t] = ((double)cols + 1) * (KC_U * size[t] + KC_TINY);
        mean_size += a[7].value[t] * size[t];
        mean_error += a[7].value[t] * error[t];
    }
    for (int64_t t = 0; t < n; t++) {
        const double alpha = a[7].value[t];
        error[t] =
            alpha * (error[t] + mean_error + more * KC_U * (size[t] + mean_size)) +
            more * KC_TINY;
        size[t] = alpha * (size[t] + mean_size);
    }
    a[2].bound[0] = more * KC_U * fabs(a[2].value[0]);
    for (int64_t t = 0; t < n; t++) a[2].bound[0] += error[t] + more * KC_U * size[t];
    for (int64_t i = 0; i < cols; i++) {
        double d_w = more * KC_U * fabs(a[1].value[i]) + KC_TINY;
        for (int64_t t = 0; t < n; t++) {
            const int64_t at = t * cols + i;
            const double w = fabs(a[6].value[i]), z = fabs(a[5].value[at]);
            d_w += (error[t] + more * KC_U * size[t]) * z + KC_TINY;
            a[0].bound[at] = 4 * KC_U *
                                 (fabs(a[0].value[at]) + size[t] * w +
                                  a[7].value[t] * fabs(a[4].value[i])) +
                             error[t] * w + 4 * KC_TINY;
        }
        a[1].bound[i] = d_w;
    }
}

const kc_kernel kc_norm[] = {{.name = "layernorm_fwd",
                              .make = make_layernorm_fwd,
                              .bound = bound_layernorm_fwd,
                              .shapes = row_shapes,
                              .bench = row_bench,
                              .kinds = KC_ALL_KINDS,
                              .per_row = 0xF},
                             {.name = "layernorm_bwd",
                              .make = make_layernorm_bwd,
                              .bound = bound_layernorm_bwd,
                              .shapes = row_shapes,
                              .bench = row_bench,
                              .kinds = KC_ALL_KINDS,
                              .per_row = 0x79},
                             {.name = "pool_fwd",
                              .make = make_pool_fwd,
                              .bound = bound_pool_fwd,
                              .shapes = pool_shapes,
                              .bench = pool_bench,
                              .kinds = KC_ALL_KINDS},
                             {.name = "pool_bwd",
                              .make = make_pool_bwd,
                              .bound = bound_pool_bwd,
                              .shapes = pool_shapes,
                              .bench = pool_bench,
                              .kinds = KC_ALL_KINDS},
                             {.name = NULL}};
