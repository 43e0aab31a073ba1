/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of leaf maths. Every slot is filled with the reference first, then
 * overwritten in rising ISA order. Slots never allocate, log or fail.
 *
 * Conventions: row-major; dimensions as in layers/layer.h; `ld` = elements from
 * row to row, given where it may differ from the number of columns; outputs first.
 * Outputs do not overlap inputs unless said. `+=` marks accumulation. The order of
 * every sum is fixed by the shape of one row or one jet alone, never by the number
 * of rows, the address or the thread.
 */
#ifndef GN2_KERNELS_KERNELS_H
#define GN2_KERNELS_KERNELS_H

#include <gn2/base.h>

#include "util/real.h"

/* Instruction sets, rising. A table may be capped for tests. */
typedef enum gn2_isa {
    GN2_ISA_REFERENCE = 0, /* the template, plain C */
    GN2_ISA_AVX2 = 1,      /* AVX2 + FMA */
    GN2_ISA_AVX512 = 2,    /* AVX-512 F, DQ, BW, VL */
    GN2_ISA_BEST = 2
} gn2_isa;

typedef struct R(gn2_kernels) {
    gn2_isa isa; /* highest set used */

    /* ---- LayerNorm over the last dimension (biased variance) ---- */

    /* y (rows, cols) = (x − mean)·rstd [·gain + bias]; mean, rstd (rows) are kept
     * for the backward pass; gain and bias (cols) are both NULL or both not.
     * y may be x. */
    void (*layernorm_fwd)(real *y, real *mean, real *rstd, const real *x,
                          const real *gain, const real *bias, int64_t rows,
                          int64_t cols, real eps);
    /* d_x (rows, cols) += …; d_gain, d_bias (cols) += … unless NULL.
     * d_x may not be d_y. */
    void (*layernorm_bwd)(real *d_x, real *d_gain, real *d_bias, const real *d_y,
                          const real *x, const real *mean, const real *rstd,
                          const real *gain, int64_t rows, int64_t cols);

    /* ---- attention of one jet: n tokens, H heads of D, E = H·D ---- */

    /* qkv (n, 3E) holds q | k | v, head h in columns h·D … of each.
     * p (H, n, n) = softmax over keys of scale·q·k, kept with the key first,
     * p[h][key][query], so that queries lie side by side; o (n, E) = Σ p·v. */
    void (*attention_fwd)(real *o, real *p, const real *qkv, int64_t n, int64_t heads,
                          int64_t head_dim, real scale);
    /* d_qkv (n, 3E) = …, from d_o (n, E), qkv and p as above.
     * scratch: gn2_attention_scratch(n, head_dim) elements. */
    void (*attention_bwd)(real *d_qkv, real *scratch, const real *d_o, const real *qkv,
                          const real *p, int64_t n, int64_t heads, int64_t head_dim,
                          real scale);

    /* ---- global attention pooling of one jet: n tokens of width cols ---- */

    /* alpha (n) = softmax of z·w + b; pooled (cols) = Σ alpha·z; n = 0 gives 0.
     * logit (n) keeps z·w + b. */
    void (*pool_fwd)(real *pooled, real *alpha, real *logit, const real *z,
                     const real *w, real b, int64_t n, int64_t cols);
    /* d_z (n, cols) += …; d_w (cols) += …; *d_b += …; scratch (n). */
    void (*pool_bwd)(real *d_z, real *d_w, real *d_b, real *scratch,
                     const real *d_pooled, const real *z, const real *w,
                     const real *alpha, int64_t n, int64_t cols);

    /* ---- first layer of the pair head, split: relu(a_i + b_j) ---- */

    /* h (n−1, cols): for j = 0 … n−1, j ≠ i: relu(a (cols) + b[j] (cols)). */
    void (*pair_fwd)(real *h, const real *a, const real *b, int64_t i, int64_t n,
                     int64_t cols);
    /* g = d_h where h > 0 else 0; d_a (cols) += Σ_j g; d_b[j] (n, cols) += g. */
    void (*pair_bwd)(real *d_a, real *d_b, const real *d_h, const real *h, int64_t i,
                     int64_t n, int64_t cols);

    /* ---- rows and vectors ---- */

    /* y (count) = max(x, 0); y may be x. */
    void (*relu_fwd)(real *y, const real *x, int64_t count);
    /* d (count) = d where y > 0, else 0. */
    void (*relu_bwd)(real *d, const real *y, int64_t count);
    /* y[r] (rows, cols; ld = cols) += v (cols); y = max(y, 0) if relu ≠ 0. */
    void (*add_row)(real *y, const real *v, int64_t rows, int64_t cols, int relu);
    /* sum (cols) += Σ_r x[r] (rows, cols), row stride ld. */
    void (*sum_rows)(real *sum, const real *x, int64_t rows, int64_t cols, int64_t ld);
    /* y (count) += x. */
    void (*add)(real *y, const real *x, int64_t count);
    /* y (count) *= s. */
    void (*scale)(real *y, real s, int64_t count);
    /* y (rows, cols; row stride ld) = (y − mean) / std in place, by division as
     * salt does: times 1/std would round differently. */
    void (*normalise)(real *y, const real *mean, const real *std, int64_t rows,
                      int64_t cols, int64_t ld);
    /* Inverted dropout: x (count) = x·scale where bits(key, i) ≥ threshold, else 0,
     * bits = the upper 32 of gn2_rng_bits(key, first + i). */
    void (*dropout)(real *x, uint64_t key, uint64_t first, uint32_t threshold,
                    real scale, int64_t count);

    /* ---- losses ---- */

    /* Softmax of each row; p may be logit. */
    void (*softmax)(real *p, const real *logit, int64_t rows, int64_t cols);
    /* Cross-entropy with class weights: for rows with label ≥ 0
     *   loss += factor·c[label]·(logsumexp(logit) − logit[label])
     *   d (rows, cols) = factor·c[label]·(softmax − onehot), else d = 0.
     * weights (cols) or NULL = 1; d may be NULL. Returns the loss, summed in
     * double in row order. */
    double (*cross_entropy)(real *d, const real *logit, const int32_t *label,
                            const real *weights, real factor, int64_t rows,
                            int64_t cols);
    /* Binary cross-entropy with logits: ℓ = max(x,0) − x·t + log1p(exp(−|x|)),
     *   loss += factor·u·ℓ, d (count) = factor·u·(sigmoid(x) − t), d may be NULL.
     * target t and weight u (count). Returns the loss, summed in double. */
    double (*binary_cross_entropy)(real *d, const real *x, const real *target,
                                   const real *weight, real factor, int64_t count);

    /* ---- optimisers: flat loops, constants prepared by the caller ---- */

    /* torch.optim.AdamW: p −= decay·p (decay = lr·λ); m = β1 m + (1−β1) g;
     * v = β2 v + (1−β2) g²; p −= step·m / (√v·inv_bias2 + eps) with
     * step = lr/(1−β1^t), inv_bias2 = 1/√(1−β2^t); g is multiplied by clip first. */
    void (*adamw)(real *p, real *m, real *v, const real *g, real clip, real decay,
                  real beta1, real beta2, real step, real inv_bias2, real eps,
                  int64_t count);
    /* torch.optim.SGD: g' = clip·g + λ·p; m = momentum·m + g'; p −= lr·m. */
    void (*sgd)(real *p, real *m, const real *g, real clip, real lr, real decay,
                real momentum, int64_t count);
    /* Σ x² in double, order fixed by count. */
    double (*sum_squares)(const real *x, int64_t count);
    /* 1 if every value is finite. */
    int (*all_finite)(const real *x, int64_t count);

    /* ---- matrix products (see product.h for the packed form) ---- */

    /* c (m, n) = a (m, k)·b (k, n), all row-major with leading dimensions; then
     * + bias (n) unless NULL, + residual (m, n; ld = ldc) unless NULL, and relu if
     * flags has GN2_MUL_RELU. residual may be c. Reference for product.h. */
    void (*mul)(real *c, int64_t ldc, const real *a, int64_t lda, const real *b,
                int64_t ldb, const real *bias, const real *residual, unsigned flags,
                int64_t m, int64_t n, int64_t k);
    /* c (k, n) += aᵀ·b with a (m, k), b (m, n): weight gradients. */
    void (*mul_tn)(real *c, int64_t ldc, const real *a, int64_t lda, const real *b,
                   int64_t ldb, int64_t m, int64_t n, int64_t k);
} R(gn2_kernels);

#define GN2_MUL_RELU 1u

/* Elements of scratch attention_bwd needs. */
static inline int64_t gn2_attention_scratch(int64_t n, int64_t head_dim)
{
    return 2 * n * n + 8 * (n + 16) * (head_dim + 16);
}

/* Highest instruction set of this processor (and operating system). */
gn2_isa gn2_isa_detect(void);

/* Arithmetic in bfloat16 that processor and operating system offer together; whether it
 * outruns float is a matter of the model (processors.h). */
typedef enum gn2_bf16 {
    GN2_BF16_NONE = 0,
    GN2_BF16_AVX512 = 1,
    GN2_BF16_AMX = 2
} gn2_bf16;
gn2_bf16 gn2_bf16_detect(void);

const char *gn2_isa_name(gn2_isa isa);

/* The table for at most `cap`; static, immutable. */
const R(gn2_kernels) *R(gn2_kernels_get)(gn2_isa cap);

#endif
