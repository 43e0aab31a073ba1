/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference of the attention of one jet, softmax and pooling: plain C, float and
 * double. No masks: a jet's tokens are packed, so every key counts. Not meant to be
 * fast.
 */
#include "kernels/fill.h"

#include <math.h>

/* One head seen inside rows of all heads. */
typedef struct head {
    const real *q, *k, *v; /* (n, D), row stride 3E */
    int64_t n, dim, ld;    /* ld = 3E */
} head;

static head head_of(const real *qkv, int64_t h, int64_t n, int64_t heads, int64_t dim)
{
    const int64_t width = heads * dim;
    const real *q = qkv + h * dim;
    return (head){q, q + width, q + 2 * width, n, dim, 3 * width};
}

static real dot(const real *a, const real *b, int64_t count)
{
    real sum = 0;
    for (int64_t c = 0; c < count; c++) sum += a[c] * b[c];
    return sum;
}

/* p = exp(x − max x)/Σ, elements `step` apart; the maximum keeps exp finite. A NaN
 * anywhere in x reaches the sum, and with it every p. p may be x. */
static void softmax_of(real *p, const real *x, int64_t count, int64_t step)
{
    real max = -(real)INFINITY, sum = 0;
    for (int64_t c = 0; c < count; c++) max = x[c * step] > max ? x[c * step] : max;
    for (int64_t c = 0; c < count; c++) {
        p[c * step] = REAL_EXP(x[c * step] - max);
        sum += p[c * step];
    }
    for (int64_t c = 0; c < count; c++) p[c * step] /= sum;
}

/* p[j][i] = softmax over j of scale·q_i·k_j */
static void probabilities(real *p, const head *t, int64_t i, real scale)
{
    const int64_t n = t->n;
    for (int64_t j = 0; j < n; j++)
        p[j * n + i] = scale * dot(t->q + i * t->ld, t->k + j * t->ld, t->dim);
    softmax_of(p + i, p + i, n, n);
}

static void attention_fwd(real *o, real *p, const real *qkv, int64_t n, int64_t heads,
                          int64_t head_dim, real scale)
{
    const int64_t width = heads * head_dim;
    for (int64_t h = 0; h < heads; h++) {
        const head t = head_of(qkv, h, n, heads, head_dim);
        real *ph = p + h * n * n;
        for (int64_t i = 0; i < n; i++) {
            real *row = o + i * width + h * head_dim;
            probabilities(ph, &t, i, scale);
            for (int64_t d = 0; d < head_dim; d++) row[d] = 0;
            for (int64_t j = 0; j < n; j++)
                for (int64_t d = 0; d < head_dim; d++)
                    row[d] += ph[j * n + i] * t.v[j * t.ld + d];
        }
    }
}

/* d_s[j][i] = scale·p[j][i]·(d_o_i·v_j − Σ_j' p[j'][i] d_o_i·v_j') */
static void d_logits(real *d_s, const real *d_o, int64_t ldo, const real *p,
                     const head *t, real scale)
{
    const int64_t n = t->n;
    for (int64_t i = 0; i < n; i++) {
        real mean = 0;
        for (int64_t j = 0; j < n; j++) {
            d_s[j * n + i] = dot(d_o + i * ldo, t->v + j * t->ld, t->dim);
            mean += p[j * n + i] * d_s[j * n + i];
        }
        for (int64_t j = 0; j < n; j++)
            d_s[j * n + i] = scale * (p[j * n + i] * (d_s[j * n + i] - mean));
    }
}

/* y[r] (n, dim) = Σ_c w[r·rs + c·cs]·x[c] */
static void weighted_sum(real *y, const real *w, int64_t rs, int64_t cs, const real *x,
                         int64_t ldx, const head *t)
{
    for (int64_t r = 0; r < t->n; r++) {
        real *row = y + r * t->ld;
        for (int64_t d = 0; d < t->dim; d++) row[d] = 0;
        for (int64_t c = 0; c < t->n; c++)
            for (int64_t d = 0; d < t->dim; d++)
                row[d] += w[r * rs + c * cs] * x[c * ldx + d];
    }
}

/* d_q_i = Σ_j d_s k_j; d_k_j = Σ_i d_s q_i; d_v_j = Σ_i p d_o_i */
static void attention_bwd(real *d_qkv, real *scratch, const real *d_o, const real *qkv,
                          const real *p, int64_t n, int64_t heads, int64_t head_dim,
                          real scale)
{
    const int64_t width = heads * head_dim;
    for (int64_t h = 0; h < heads; h++) {
        const head t = head_of(qkv, h, n, heads, head_dim);
        const real *ph = p + h * n * n, *go = d_o + h * head_dim;
        real *d_q = d_qkv + h * head_dim;
        d_logits(scratch, go, width, ph, &t, scale);
        weighted_sum(d_q, scratch, 1, n, t.k, t.ld, &t);
        weighted_sum(d_q + width, scratch, n, 1, t.q, t.ld, &t);
        weighted_sum(d_q + 2 * width, ph, n, 1, go, width, &t);
    }
}

/* ---- softmax of rows, pooling ---- */

static void softmax(real *p, const real *logit, int64_t rows, int64_t cols)
{
    for (int64_t r = 0; r < rows; r++)
        softmax_of(p + r * cols, logit + r * cols, cols, 1);
}

static void pool_fwd(real *pooled, real *alpha, real *logit, const real *z,
                     const real *w, real b, int64_t n, int64_t cols)
{
    for (int64_t t = 0; t < n; t++) logit[t] = dot(z + t * cols, w, cols) + b;
    softmax_of(alpha, logit, n, 1);
    for (int64_t c = 0; c < cols; c++) pooled[c] = 0;
    for (int64_t t = 0; t < n; t++)
        for (int64_t c = 0; c < cols; c++) pooled[c] += alpha[t] * z[t * cols + c];
}

/* d_logit_t = alpha_t·(d_pooled·z_t − Σ_s alpha_s d_pooled·z_s);
 * d_z_t += alpha_t·d_pooled + d_logit_t·w; d_w += Σ d_logit_t·z_t */
static void pool_bwd(real *d_z, real *d_w, real *d_b, real *scratch,
                     const real *d_pooled, const real *z, const real *w,
                     const real *alpha, int64_t n, int64_t cols)
{
    real mean = 0, total = 0;
    for (int64_t t = 0; t < n; t++) {
        scratch[t] = dot(d_pooled, z + t * cols, cols);
        mean += alpha[t] * scratch[t];
    }
    for (int64_t t = 0; t < n; t++) {
        const real d_logit = alpha[t] * (scratch[t] - mean);
        total += d_logit;
        for (int64_t c = 0; c < cols; c++) {
            d_z[t * cols + c] += alpha[t] * d_pooled[c] + d_logit * w[c];
            d_w[c] += d_logit * z[t * cols + c];
        }
    }
    *d_b += total;
}

void R(gn2_ref_attention)(R(gn2_kernels) *table)
{
    table->attention_fwd = attention_fwd;
    table->attention_bwd = attention_bwd;
    table->softmax = softmax;
    table->pool_fwd = pool_fwd;
    table->pool_bwd = pool_bwd;
}
