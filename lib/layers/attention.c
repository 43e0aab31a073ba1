/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Self-attention over the jets of a chunk; jets never see each other.
 *   forward   P = softmax_keys(scale·q kᵀ),  o = P v           per jet and head
 *   backward  d_v = Pᵀ d_o;  d_P = d_o vᵀ;  d_S = P∘(d_P − Σ_keys P∘d_P);
 *             d_q = scale·d_S k;  d_k = scale·d_Sᵀ q
 * Cached: P. Flops: 4·n²·E a jet forward (Vaswani et al. 2017, eq. 1).
 */
#include "layers/attention.h"

void R(gn2_attention_fwd)(const R(gn2_context) *ctx, const gn2_attention *a, real *o,
                          real *p, const real *qkv, const gn2_tokens *t)
{
    const int64_t width = a->heads * a->head_dim;
    for (int64_t b = 0; b < t->jets; b++) {
        const int64_t row = t->offset[b], n = t->offset[b + 1] - row;
        if (n == 0) continue;
        ctx->kernels->attention_fwd(o + row * width, p, qkv + row * 3 * width, n,
                                    a->heads, a->head_dim, (real)a->scale);
        p += a->heads * n * n;
    }
}

void R(gn2_attention_bwd)(const R(gn2_context) *ctx, const gn2_attention *a,
                          real *d_qkv, real *scratch, const real *d_o, const real *qkv,
                          const real *p, const gn2_tokens *t)
{
    const int64_t width = a->heads * a->head_dim;
    for (int64_t b = 0; b < t->jets; b++) {
        const int64_t row = t->offset[b], n = t->offset[b + 1] - row;
        if (n == 0) continue;
        ctx->kernels->attention_bwd(d_qkv + row * 3 * width, scratch, d_o + row * width,
                                    qkv + row * 3 * width, p, n, a->heads, a->head_dim,
                                    (real)a->scale);
        p += a->heads * n * n;
    }
}

/* Σ a·b in double: what a logit is must not depend on the order of a kernel. */
static double dot(const real *a, const real *b, int64_t count)
{
    double sum = 0;
    for (int64_t c = 0; c < count; c++) sum += (double)a[c] * (double)b[c];
    return sum;
}

/* s (n, n) of one head; q (n, D) with rows of 3E, k behind it. */
static void head_logits(const gn2_attention *a, real *s, const real *q, int64_t n)
{
    const int64_t width = a->heads * a->head_dim, ld = 3 * width;
    const real *k = q + width;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            s[i * n + j] = (real)(a->scale * dot(q + i * ld, k + j * ld, a->head_dim));
}

int64_t R(gn2_attention_logits)(const gn2_attention *a, real *s, const real *qkv,
                                const gn2_tokens *t)
{
    const int64_t ld = 3 * a->heads * a->head_dim;
    const real *first = s;
    for (int64_t b = 0; b < t->jets; b++) {
        const int64_t row = t->offset[b], n = t->offset[b + 1] - row;
        for (int64_t head = 0; head < a->heads; head++, s += n * n)
            head_logits(a, s, qkv + row * ld + head * a->head_dim, n);
    }
    return s - first;
}
