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

INLINE float join(const vf s[CHAINS])
{
    return v_sum(v_add(v_add(s[0], s[1]), v_add(s[2], s[3])));
}

INLINE float row_total(const float *x, int64_t cols)
{
    vf s[CHAINS] = {v_zero(), v_zero(), v_zero(), v_zero()};
    int64_t c = 0;
    for (; c + CHAINS * VL <= cols; c += CHAINS * VL)
        for (int i = 0; i < CHAINS; i++) s[i] = v_add(s[i], v_load(x + c + i * VL));
    for (int i = 0; i < CHAINS && c < cols; i++, c += VL)
        s[i] = v_add(s[i], v_loadm(v_first(cols - c), x + c));
    return join(s);
}

/* Σ (x − mean)² */
INLINE float row_spread(const float *x, float mean, int64_t cols)
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
        const vm in = v_first(cols - c);
        const vf d = v_keep(in, v_sub(v_loadm(in, x + c), m));
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
        const vm in = v_first(cols - c);
        s[i] = v_fma(v_loadm(in, a + c), v_loadm(in, b + c), s[i]);
    }
    return join(s);
}

/* ---- layer norm ---- */

INLINE vf normal(vf x, vf mean, vf rstd)
{
    return v_mul(v_sub(x, mean), rstd);
}

INLINE void write_normal(float *y, const float *x, float mean, float rstd, int64_t cols)
{
    const vf m = v_set1(mean), r = v_set1(rstd);
    int64_t c = 0;
    for (; c + VL <= cols; c += VL) v_store(y + c, normal(v_load(x + c), m, r));
    if (c == cols) return;
    const vm in = v_first(cols - c);
    v_storem(in, y + c, normal(v_loadm(in, x + c), m, r));
}

/* y = y·gain + bias */
INLINE void write_affine(float *y, const float *gain, const float *bias, int64_t cols)
{
    for (int64_t c = 0; c < cols; c += VL) {
        const vm in = v_first(cols - c);
        const vf g = v_loadm(in, gain + c), b = v_loadm(in, bias + c);
        v_storem(in, y + c, v_fma(v_loadm(in, y + c), g, b));
    }
}

static void layernorm_fwd(float *y, float *mean, float *rstd, const float *x,
                          const float *gain, const float *bias, int64_t rows,
                          int64_t cols, float eps)
{
    for (int64_t r = 0; r < rows; r++, x += cols, y += cols) {
        const float m = row_total(x, cols) / (float)cols;
        const float s = 1 / sqrtf(row_spread(x, m, cols) / (float)cols + eps);
        write_normal(y, x, m, s, cols);
        if (gain) write_affine(y, gain, bias, cols);
        mean[r] = m;
        rstd[r] = s;
    }
}

/* What a row of the backward pass works on; gain may be NULL. */
typedef struct norm_row {
    const float *d_y, *x, *gain;
    vf mean, rstd;
} norm_row;

INLINE vf row_g(const norm_row *t, int64_t c, vm in)
{
    const vf d = v_loadm(in, t->d_y + c);
    return t->gain ? v_mul(d, v_loadm(in, t->gain + c)) : d;
}

INLINE vf row_normal(const norm_row *t, int64_t c, vm in)
{
    return normal(v_loadm(in, t->x + c), t->mean, t->rstd);
}

/* sum = Σ g, dot = Σ g·x̂ */
INLINE void norm_sums(float *sum, float *dot, const norm_row *t, int64_t cols)
{
    vf s[CHAINS] = {v_zero(), v_zero(), v_zero(), v_zero()};
    vf d[CHAINS] = {v_zero(), v_zero(), v_zero(), v_zero()};
    for (int64_t c = 0; c < cols; c += CHAINS * VL)
        for (int i = 0; i < CHAINS && c + i * VL < cols; i++) {
            const vm in = v_first(cols - c - i * VL);
            const vf g = row_g(t, c + i * VL, in);
            s[i] = v_add(s[i], g);
            d[i] = v_fma(g, v_keep(in, row_normal(t, c + i * VL, in)), d[i]);
        }
    *sum = join(s);
    *dot = join(d);
}

INLINE void norm_row_bwd(float *d_x, const norm_row *t, int64_t cols)
{
    float sum, dot;
    norm_sums(&sum, &dot, t, cols);
    const vf s = v_set1(sum / (float)cols), d = v_set1(dot / (float)cols);
    for (int64_t c = 0; c < cols; c += VL) {
        const vm in = v_first(cols - c);
        const vf centred = v_sub(row_g(t, c, in), s);
        const vf g = v_fnma(row_normal(t, c, in), d, centred);
        v_storem(in, d_x + c, v_fma(t->rstd, g, v_loadm(in, d_x + c)));
    }
}

/* d_gain += d_y·x̂, d_bias += d_y; either may be NULL */
INLINE void norm_params_bwd(float *d_gain, float *d_bias, const norm_row *t,
                            int64_t cols)
{
    for (int64_t c = 0; c < cols; c += VL) {
        const vm in = v_first(cols - c);
        const vf d = v_loadm(in, t->d_y + c);
        if (d_gain) {
            const vf sum = v_loadm(in, d_gain + c);
            v_storem(in, d_gain + c, v_fma(d, row_normal(t, c, in), sum));
        }
        if (d_bias) v_storem(in, d_bias + c, v_add(v_loadm(in, d_bias + c), d));
    }
}

static void layernorm_bwd(float *d_x, float *d_gain, float *d_bias, const float *d_y,
                          const float *x, const float *mean, const float *rstd,
                          const float *gain, int64_t rows, int64_t cols)
{
    for (int64_t r = 0; r < rows; r++) {
        const norm_row t = {d_y + r * cols, x + r * cols, gain, v_set1(mean[r]),
                            v_set1(rstd[r])};
        norm_row_bwd(d_x + r * cols, &t, cols);
        if (d_gain || d_bias) norm_params_bwd(d_gain, d_bias, &t, cols);
    }
}

/* ---- attention pooling: n is small, cols is not ---- */

/* alpha (n) = softmax of logit (n); tokens in lanes */
INLINE void softmax_tokens(float *alpha, const float *logit, int64_t n)
{
    vf max = v_set1(-INFINITY), sum = v_zero();
    for (int64_t t = 0; t < n; t += VL) {
        const vm in = v_first(n - t);
        max = v_max(max, v_select(in, v_loadm(in, logit + t), max));
    }
    const vf top = v_set1(v_highest(max));
    for (int64_t t = 0; t < n; t += VL) {
        const vm in = v_first(n - t);
        const vf e = v_keep(in, v_exp(v_sub(v_loadm(in, logit + t), top)));
        sum = v_add(sum, e);
        v_storem(in, alpha + t, e);
    }
    const vf total = v_set1(v_sum(sum));
    for (int64_t t = 0; t < n; t += VL) {
        const vm in = v_first(n - t);
        v_storem(in, alpha + t, v_div(v_loadm(in, alpha + t), total));
    }
}

static void pool_fwd(float *pooled, float *alpha, float *logit, const float *z,
                     const float *w, float b, int64_t n, int64_t cols)
{
    for (int64_t t = 0; t < n; t++) logit[t] = row_dot(z + t * cols, w, cols) + b;
    softmax_tokens(alpha, logit, n);
    for (int64_t c = 0; c < cols; c += VL) {
        const vm in = v_first(cols - c);
        vf sum = v_zero();
        for (int64_t t = 0; t < n; t++)
            sum = v_fma(v_set1(alpha[t]), v_loadm(in, z + t * cols + c), sum);
        v_storem(in, pooled + c, sum);
    }
}

/* d_logit (n) in place of d_pooled·z_t; returns their sum */
INLINE float pool_d_logits(float *d, const float *alpha, int64_t n)
{
    const float mean = row_dot(alpha, d, n);
    for (int64_t t = 0; t < n; t += VL) {
        const vm in = v_first(n - t);
        const vf centred = v_sub(v_loadm(in, d + t), v_set1(mean));
        v_storem(in, d + t, v_mul(v_loadm(in, alpha + t), centred));
    }
    return row_total(d, n);
}

static void pool_bwd(float *d_z, float *d_w, float *d_b, float *scratch,
                     const float *d_pooled, const float *z, const float *w,
                     const float *alpha, int64_t n, int64_t cols)
{
    for (int64_t t = 0; t < n; t++) scratch[t] = row_dot(d_pooled, z + t * cols, cols);
    *d_b += pool_d_logits(scratch, alpha, n);
    for (int64_t c = 0; c < cols; c += VL) {
        const vm in = v_first(cols - c);
        const vf g = v_loadm(in, d_pooled + c), wc = v_loadm(in, w + c);
        vf sum = v_loadm(in, d_w + c);
        for (int64_t t = 0; t < n; t++) {
            const int64_t at = t * cols + c;
            const vf d = v_set1(scratch[t]);
            const vf dz = v_fma(v_set1(alpha[t]), g, v_loadm(in, d_z + at));
            v_storem(in, d_z + at, v_fma(d, wc, dz));
            sum = v_fma(d, v_loadm(in, z + at), sum);
        }
        v_storem(in, d_w + c, sum);
    }
}

void GN2_SIMD(gn2_norm)(R(gn2_kernels) * table)
{
    table->layernorm_fwd = layernorm_fwd;
    table->layernorm_bwd = layernorm_bwd;
    table->pool_fwd = pool_fwd;
    table->pool_bwd = pool_bwd;
}
