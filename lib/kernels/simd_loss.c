/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Softmax over classes and the losses. Rows are short (3 … 8 classes), so VL rows
 * go into lanes and classes run downwards: every row is one lane's chain, wherever
 * it stands. Rows wider than a tile run column by column in lanes.
 */
#include "kernels/fill.h"
#include "kernels/simd_double.h"
#include "kernels/simd_math.h"
#include "kernels/simd_tile.h"

#define CLASS_TILE 64 /* most classes turned into lanes */

/* ---- rows in lanes ---- */

/* e[c] = exp(x[c] − max), in place; returns max and Σ e */
INLINE vf exp_rows(vf *out_max, float *x, int64_t cols)
{
    vf max = v_load(x), sum = v_zero();
    for (int64_t c = 1; c < cols; c++) max = v_max(max, v_load(x + c * VL));
    for (int64_t c = 0; c < cols; c++) {
        const vf e = v_exp(v_sub(v_load(x + c * VL), max));
        sum = v_add(sum, e);
        v_store(x + c * VL, e);
    }
    *out_max = max;
    return sum;
}

INLINE void scale_rows(float *x, vf s, int64_t cols)
{
    for (int64_t c = 0; c < cols; c++)
        v_store(x + c * VL, v_mul(v_load(x + c * VL), s));
}

static void softmax_tiles(float *p, const float *logit, int64_t rows, int64_t cols)
{
    _Alignas(64) float x[CLASS_TILE * VL];
    for (int64_t first = 0; first < rows; first += VL) {
        const tile t = tile_of(first, rows, cols);
        vf max;
        tile_load(x, logit, &t, cols, v_set1(1));
        const vf sum = exp_rows(&max, x, cols);
        scale_rows(x, v_div(v_set1(1), sum), cols);
        tile_store(p, x, &t, cols);
    }
}

static void softmax(float *p, const float *logit, int64_t rows, int64_t cols)
{
    if (cols <= CLASS_TILE) {
        softmax_tiles(p, logit, rows, cols);
        return;
    }
    for (int64_t r = 0; r < rows; r++) v_softmax(p + r * cols, logit + r * cols, cols);
}

/* ---- cross-entropy ---- */

/* What VL rows need of their labels; label < 0 counts nothing. */
typedef struct targets {
    _Alignas(64) float factor[VL]; /* factor·c[label], 0 where ignored */
    _Alignas(64) float logit[VL];  /* logit[label] */
} targets;

INLINE void targets_of(targets *t, const float *logit, const int32_t *label,
                       const float *weights, float factor, int64_t rows, int64_t cols)
{
    for (int64_t r = 0; r < VL; r++) {
        const int32_t y = r < rows ? label[r] : -1;
        t->factor[r] = y < 0 ? 0 : weights ? factor * weights[y] : factor;
        t->logit[r] = y < 0 ? 0 : logit[r * cols + y];
    }
}

/* Losses of the rows of a tile in row order, in double. */
INLINE double add_losses(double loss, const float *each, const int32_t *label,
                         int64_t rows)
{
    for (int64_t r = 0; r < rows; r++)
        if (label[r] >= 0) loss += (double)each[r];
    return loss;
}

/* d = factor·(softmax − onehot), 0 where the label is ignored */
INLINE void d_tile(float *d, float *e, const tile *t, vf factor, vf sum, int64_t cols)
{
    const vf s = v_div(factor, sum);
    scale_rows(e, s, cols);
    tile_store(d, e, t, cols);
}

INLINE void d_labels(float *d, const targets *t, const int32_t *label, int64_t rows,
                     int64_t cols)
{
    for (int64_t r = 0; r < rows; r++) {
        if (label[r] >= 0)
            d[r * cols + label[r]] -= t->factor[r];
        else
            for (int64_t c = 0; c < cols; c++) d[r * cols + c] = 0;
    }
}

/* What the table held before: rows wider than a tile go there. */
static double (*wide_rows)(float *, const float *, const int32_t *, const float *,
                           float, int64_t, int64_t);

static double cross_entropy(float *d, const float *logit, const int32_t *label,
                            const float *weights, float factor, int64_t rows,
                            int64_t cols)
{
    if (cols > CLASS_TILE)
        return wide_rows(d, logit, label, weights, factor, rows, cols);
    _Alignas(64) float x[CLASS_TILE * VL], each[VL];
    double loss = 0;
    for (int64_t first = 0; first < rows; first += VL) {
        const tile t = tile_of(first, rows, cols);
        targets y;
        vf max;
        targets_of(&y, logit + first * cols, label + first, weights, factor, t.rows,
                   cols);
        tile_load(x, logit, &t, cols, v_set1(1));
        const vf f = v_load(y.factor), sum = exp_rows(&max, x, cols);
        const vf gap = v_sub(max, v_load(y.logit));
        v_store(each, v_mul(f, v_add(v_log(sum), gap)));
        loss = add_losses(loss, each, label + first, t.rows);
        if (!d) continue;
        d_tile(d, x, &t, f, sum, cols);
        d_labels(d + first * cols, &y, label + first, t.rows, cols);
    }
    return loss;
}

/* ---- binary cross-entropy ---- */

/* ℓ and dℓ/dx of VL logits, without the factor */
INLINE vf binary_loss(vf *out_d, vf x, vf target)
{
    const vf e = v_exp(v_sub(v_zero(), v_abs(x))), one = v_set1(1);
    const vf over = v_div(one, v_add(one, e));
    const vf sigmoid = v_select(v_gt(v_zero(), x), v_mul(e, over), over);
    *out_d = v_sub(sigmoid, target);
    const vf linear = v_fnma(x, target, v_positive(x));
    return v_add(linear, v_log1p(e));
}

static double binary_cross_entropy(float *d, const float *x, const float *target,
                                   const float *weight, float factor, int64_t count)
{
    const vf f = v_set1(factor);
    vd low = vd_zero(), high = vd_zero();
    for (int64_t i = 0; i < count; i += VL) {
        const int64_t left = count - i;
        const vf u = v_mul(f, v_load_part(weight + i, left));
        vf slope;
        const vf l = binary_loss(&slope, v_load_part(x + i, left),
                                 v_load_part(target + i, left));
        const vf loss = v_keep_part(v_mul(u, l), left);
        low = vd_add(low, v_low(loss));
        high = vd_add(high, v_high(loss));
        if (d) v_store_part(d + i, v_mul(u, slope), left);
    }
    return vd_sum(vd_add(low, high));
}

void GN2_SIMD(gn2_loss)(R(gn2_kernels) *table)
{
    wide_rows = table->cross_entropy;
    table->softmax = softmax;
    table->cross_entropy = cross_entropy;
    table->binary_cross_entropy = binary_cross_entropy;
}
