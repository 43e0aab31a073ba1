/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Self-attention over the jets of a chunk; jets never see each other.
 *   forward   P = softmax_keys(scale·q kᵀ),  o = P v           per jet and head
 *   backward  d_v = Pᵀ d_o;  d_P = d_o vᵀ;  d_S = P∘(d_P − Σ_keys P∘d_P);
 *             d_q = scale·d_S k;  d_k = scale·d_Sᵀ q
 * Cached: P. Flops: 4·n²·E a jet forward (Vaswani et al. 2017, eq. 1).
 */
#include "layers/layer.h"

void R(gn2_attention_jets_fwd)(const R(gn2_context) *ctx, const gn2_heads *h, real *o,
                               real *p, const real *qkv, const int64_t *offset,
                               int64_t jets)
{
    const int64_t width = h->heads * h->head_dim;
    for (int64_t b = 0; b < jets; b++) {
        const int64_t row = offset[b], n = offset[b + 1] - row;
        if (n == 0) continue;
        ctx->kernels->attention_fwd(o + row * width, p, qkv + row * 3 * width, n,
                                    h->heads, h->head_dim, (real)h->scale);
        p += h->heads * n * n;
    }
}

void R(gn2_attention_jets_bwd)(const R(gn2_context) *ctx, const gn2_heads *h,
                               real *d_qkv, real *scratch, const real *d_o,
                               const real *qkv, const real *p, const int64_t *offset,
                               int64_t jets)
{
    const int64_t width = h->heads * h->head_dim;
    for (int64_t b = 0; b < jets; b++) {
        const int64_t row = offset[b], n = offset[b + 1] - row;
        if (n == 0) continue;
        ctx->kernels->attention_bwd(d_qkv + row * 3 * width, scratch, d_o + row * width,
                                    qkv + row * 3 * width, p, n, h->heads, h->head_dim,
                                    (real)h->scale);
        p += h->heads * n * n;
    }
}
