/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layer norm and attention pooling with columns in lanes. A row's sum runs in four
 * vectors in turn, joined in a fixed order: it depends on the number of columns
 * alone.
 */
#include "kernels/fill.h"
#include "kernels/simd_math.h"

#define CHAINS 4 /* partial sums: hides the latency of an addition */

/* ---- sums of a row ---- */

INLINE vf join(const vf s[CHAINS])
{
    return v_add(v_add(s[0], s[1]), v_add(s[2], s[3]));
}

/* The lanes of these two sum up to Σ x and Σ (x − mean)². */
INLINE vf row_total(const float *x, int64_t cols)
{
    vf s[CHAINS] = {v_zero(), v_zero(), v_zero(), v_zero()};
    int64_t c = 0;
    for (; c + CHAINS * VL <= cols; c += CHAINS * VL)
        for (int i = 0; i < CHAINS; i++) s[i] = v_add(s[i], v_load(x + c + i * VL));
    for (int i = 0; i < CHAINS && c < cols; i++, c += VL)
        s[i] = v_add(s[i], v_load_part(x + c, cols - c));
    return join(s);
}

INLINE vf row_spread(const float *x, float mean, int64_t cols)
{
    vf s[CHAINS] = {v_zero(), v_zero(), v_zero(), v_zero()};
    const vf m = v_set1(mean);
    int64_t c = 0;
    for (; c + CHAINS * VL <= cols; c += CHAINS * VL)
        for (int i = 0; i < CHAINS; i++) {
            const vf d = v_sub(v_load(x + c + i * VL), m);
            s[i] = v_fma(d, d, s[i]);
        }
    for (int i = 0; i < CHAINS && c < cols; i++, c += VL) {
        const int64_t left = cols - c;
        const vf d = v_keep_part(v_sub(v_load_part(x + c, left), m), left);
        s[i] = v_fma(d, d, s[i]);
    }
    return join(s);
}

INLINE float row_dot(const float *a, const float *b, int64_t cols)
{
    vf s[CHAINS] = {v_zero(), v_zero(), v_zero(), v_zero()};
    int64_t c = 0;
    for (; c + CHAINS * VL <= cols; c += CHAINS * VL)
        for (int i = 0; i < CHAINS; i++)
            s[i] = v_fma(v_load(a + c + i * VL), v_load(b + c + i * VL), s[i]);
    for (int i = 0; i < CHAINS && c < cols; i++, c += VL) {
        const vf av = v_load_part(a + c, cols - c);
        s[i] = v_fma(av, v_load_part(b + c, cols - c), s[i]);
    }
    return v_sum(join(s));
}

/* ---- layer norm ---- */

INLINE vf normal(vf x, vf mean, vf rstd)
{
    return v_mul(v_sub(x, mean), rstd);
}

/* What the rows of a forward pass have in common; gain and bias may both be NULL. */
typedef struct norm {
    const float *gain, *bias;
    int64_t cols;
    float eps;
} norm;

INLINE void write_step(float *y, const float *x, const norm *t, vf mean, vf rstd,
                       int64_t c, int64_t left)
{
    vf z = normal(v_load_part(x + c, left), mean, rstd);
    if (t->gain)
        z = v_fma(z, v_load_part(t->gain + c, left), v_load_part(t->bias + c, left));
    v_store_part(y + c, z, left);
}

INLINE void write_row(float *y, const float *x, const norm *t, float mean, float rstd)
{
    const vf m = v_set1(mean), r = v_set1(rstd);
    int64_t c = 0;
    for (; c + VL <= t->cols; c += VL) write_step(y, x, t, m, r, c, VL);
    if (c < t->cols) write_step(y, x, t, m, r, c, t->cols - c);
}

/* A few rows at once: their sums do not wait for each other. */
INLINE void norm_rows(float *y, float *mean, float *rstd, const float *x, const norm *t,
                      int rows)
{
    const float each = 1 / (float)t->cols;
    float sum[QUAD];
    vf lanes[QUAD] = {v_zero(), v_zero(), v_zero(), v_zero()};
    for (int r = 0; r < rows; r++) lanes[r] = row_total(x + r * t->cols, t->cols);
    v_sums(sum, lanes);
    for (int r = 0; r < rows; r++) mean[r] = sum[r] * each;
    for (int r = 0; r < rows; r++)
        lanes[r] = row_spread(x + r * t->cols, mean[r], t->cols);
    v_sums(sum, lanes);
    for (int r = 0; r < rows; r++) rstd[r] = 1 / sqrtf(sum[r] * each + t->eps);
    for (int r = 0; r < rows; r++)
        write_row(y + r * t->cols, x + r * t->cols, t, mean[r], rstd[r]);
}

static void layernorm_fwd(float *y, float *mean, float *rstd, const float *x,
                          const float *gain, const float *bias, int64_t rows,
                          int64_t cols, float eps)
{
    const norm t = {gain, bias, cols, eps};
    int64_t r = 0;
    for (; r + QUAD <= rows; r += QUAD)
        norm_rows(y + r * cols, mean + r, rstd + r, x + r * cols, &t, QUAD);
    for (; r < rows; r++)
        norm_rows(y + r * cols, mean + r, rstd + r, x + r * cols, &t, 1);
}

/* What a row of the backward pass works on; gain may be NULL. */
typedef struct norm_row {
    const float *d_y, *x, *gain;
    vf mean, rstd;
} norm_row;

INLINE vf row_g(const norm_row *t, int64_t c, int64_t left)
{
    const vf d = v_load_part(t->d_y + c, left);
    return t->gain ? v_mul(d, v_load_part(t->gain + c, left)) : d;
}

INLINE vf row_normal(const norm_row *t, int64_t c, int64_t left)
{
    return normal(v_load_part(t->x + c, left), t->mean, t->rstd);
}

/* sum += g, dot += g·x̂ */
INLINE void norm_sums_step(vf *sum, vf *dot, const norm_row *t, int64_t c, int64_t left)
{
    const vf g = row_g(t, c, left);
    *sum = v_add(*sum, g);
    *dot = v_fma(g, v_keep_part(row_normal(t, c, left), left), *dot);
}

/* sum = Σ g, dot = Σ g·x̂ */
INLINE void norm_sums(float *sum, float *dot, const norm_row *t, int64_t cols)
{
    vf s[CHAINS] = {v_zero(), v_zero(), v_zero(), v_zero()};
    vf d[CHAINS] = {v_zero(), v_zero(), v_zero(), v_zero()};
    int64_t c = 0;
    for (; c + CHAINS * VL <= cols; c += CHAINS * VL)
        for (int i = 0; i < CHAINS; i++)
            norm_sums_step(&s[i], &d[i], t, c + i * VL, VL);
    for (int i = 0; i < CHAINS && c < cols; i++, c += VL)
        norm_sums_step(&s[i], &d[i], t, c, cols - c);
    *sum = v_sum(join(s));
    *dot = v_sum(join(d));
}

/* d_x += rstd·(g − s − x̂·d) */
INLINE void norm_row_step(float *d_x, const norm_row *t, vf s, vf d, int64_t c,
                          int64_t left)
{
    const vf centred = v_sub(row_g(t, c, left), s);
    const vf g = v_fnma(row_normal(t, c, left), d, centred);
    v_store_part(d_x + c, v_fma(t->rstd, g, v_load_part(d_x + c, left)), left);
}

INLINE void norm_row_bwd(float *d_x, const norm_row *t, float each, int64_t cols)
{
    float sum, dot;
    norm_sums(&sum, &dot, t, cols);
    const vf s = v_set1(sum * each), d = v_set1(dot * each);
    int64_t c = 0;
    for (; c + VL <= cols; c += VL) norm_row_step(d_x, t, s, d, c, VL);
    if (c < cols) norm_row_step(d_x, t, s, d, c, cols - c);
}

/* d_gain += d_y·x̂, d_bias += d_y; either may be NULL */
INLINE void norm_params_bwd(float *d_gain, float *d_bias, const norm_row *t,
                            int64_t cols)
{
    for (int64_t c = 0; c < cols; c += VL) {
        const int64_t left = cols - c;
        const vf d = v_load_part(t->d_y + c, left);
        if (d_gain) {
            const vf sum = v_load_part(d_gain + c, left);
            v_store_part(d_gain + c, v_fma(d, row_normal(t, c, left), sum), left);
        }
        if (d_bias)
            v_store_part(d_bias + c, v_add(v_load_part(d_bias + c, left), d), left);
    }
}

static void layernorm_bwd(float *d_x, float *d_gain, float *d_bias, const float *d_y,
                          const float *x, const float *mean, const float *rstd,
                          const float *gain, int64_t rows, int64_t cols)
{
    for (int64_t r = 0; r < rows; r++) {
        const norm_row t = {d_y + r * cols, x + r * cols, gain, v_set1(mean[r]),
                            v_set1(rstd[r])};
        norm_row_bwd(d_x + r * cols, &t, 1 / (float)cols, cols);
        if (d_gain || d_bias) norm_params_bwd(d_gain, d_bias, &t, cols);
    }
}

/* ---- attention pooling: n is small, cols is not ---- */

static void pool_fwd(float *pooled, float *alpha, float *logit, const float *z,
                     const float *w, float b, int64_t n, int64_t cols)
{
    for (int64_t t = 0; t < n; t++) logit[t] = row_dot(z + t * cols, w, cols) + b;
    v_softmax(alpha, logit, n);
    for (int64_t c = 0; c < cols; c += VL) {
        const int64_t left = cols - c;
        vf sum = v_zero();
        for (int64_t t = 0; t < n; t++)
            sum = v_fma(v_set1(alpha[t]), v_load_part(z + t * cols + c, left), sum);
        v_store_part(pooled + c, sum, left);
    }
}

/* d_logit (n) in place of d_pooled·z_t; returns their sum */
INLINE float pool_d_logits(float *d, const float *alpha, int64_t n)
{
    const float mean = row_dot(alpha, d, n);
    for (int64_t t = 0; t < n; t += VL) {
        const int64_t left = n - t;
        const vf centred = v_sub(v_load_part(d + t, left), v_set1(mean));
        v_store_part(d + t, v_mul(v_load_part(alpha + t, left), centred), left);
    }
    return v_sum(row_total(d, n));
}

static void pool_bwd(float *d_z, float *d_w, float *d_b, float *scratch,
                     const float *d_pooled, const float *z, const float *w,
                     const float *alpha, int64_t n, int64_t cols)
{
    for (int64_t t = 0; t < n; t++) scratch[t] = row_dot(d_pooled, z + t * cols, cols);
    *d_b += pool_d_logits(scratch, alpha, n);
    for (int64_t c = 0; c < cols; c += VL) {
        const int64_t left = cols - c;
        const vf g = v_load_part(d_pooled + c, left), wc = v_load_part(w + c, left);
        vf sum = v_load_part(d_w + c, left);
        for (int64_t t = 0; t < n; t++) {
            const int64_t at = t * cols + c;
            const vf d = v_set1(scratch[t]);
            const vf dz = v_fma(v_set1(alpha[t]), g, v_load_part(d_z + at, left));
            v_store_part(d_z + at, v_fma(d, wc, dz), left);
            sum = v_fma(d, v_load_part(z + at, left), sum);
        }
        v_store_part(d_w + c, sum, left);
    }
}

void GN2_SIMD(gn2_norm)(R(gn2_kernels) *table)
{
    table->layernorm_fwd = layernorm_fwd;
    table->layernorm_bwd = layernorm_bwd;
    table->pool_fwd = pool_fwd;
    table->pool_bwd = pool_bwd;
}
