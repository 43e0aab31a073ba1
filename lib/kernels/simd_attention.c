/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention of one jet, per head. Logits and softmax run with queries in lanes:
 * maximum and sum over keys are then plain vertical operations. Sums of rows (o,
 * d_q, d_k, d_v) run with the head's columns in lanes. A query's result is one
 * chain over keys and over columns, in rising order, whatever the tile.
 */
#include "kernels/fill.h"
#include "kernels/simd_math.h"
#include "kernels/simd_tile.h"

#define DIM_TILE 64 /* columns of a head turned at a time */
#define KEY_TILE 64 /* keys whose logits stay on the stack */

/* s[j][lane] (j < keys) = [s +] Σ_d columns[d]·k[j][d] */
INLINE void logits_of(float *s, int64_t lds, vm lanes, const float *columns,
                      const float *k, int64_t ld, int64_t dim, int keys, int more)
{
    vf sum[8];
    for (int j = 0; j < keys; j++)
        sum[j] = more ? v_loadm(lanes, s + j * lds) : v_zero();
    for (int64_t d = 0; d < dim; d++) {
        const vf q = v_load(columns + d * VL);
        for (int j = 0; j < keys; j++) sum[j] = v_fma(q, v_set1(k[j * ld + d]), sum[j]);
    }
    for (int j = 0; j < keys; j++) v_storem(lanes, s + j * lds, sum[j]);
}

INLINE void logits_part(float *s, int64_t lds, vm lanes, const float *columns,
                        const float *k, int64_t ld, int64_t n, int64_t dim, int more)
{
    int64_t j = 0;
    for (; j + 8 <= n; j += 8)
        logits_of(s + j * lds, lds, lanes, columns, k + j * ld, ld, dim, 8, more);
    for (; j + 4 <= n; j += 4)
        logits_of(s + j * lds, lds, lanes, columns, k + j * ld, ld, dim, 4, more);
    for (; j + 2 <= n; j += 2)
        logits_of(s + j * lds, lds, lanes, columns, k + j * ld, ld, dim, 2, more);
    for (; j < n; j++)
        logits_of(s + j * lds, lds, lanes, columns, k + j * ld, ld, dim, 1, more);
}

/* s[j][lane] = scale·Σ_d q[query of lane][d]·k[j][d] */
INLINE void logits(float *s, int64_t lds, vm lanes, const float *q, const tile *t,
                   const float *k, int64_t ld, int64_t n, int64_t dim, float scale)
{
    _Alignas(64) float columns[DIM_TILE * VL];
    for (int64_t d = 0; d < dim; d += DIM_TILE) {
        const int64_t part = dim - d < DIM_TILE ? dim - d : DIM_TILE;
        tile_load(columns, q + d, t, part, v_set1(scale));
        if (d == 0)
            logits_part(s, lds, lanes, columns, k, ld, n, part, 0);
        else
            logits_part(s, lds, lanes, columns, k + d, ld, n, part, 1);
    }
}

/* Softmax over j of s[j][lane], in place, and into p[j] (row stride n). */
INLINE void softmax_keys(float *s, int64_t lds, vm lanes, float *p, vm live, int64_t n)
{
    vf max = v_loadm(lanes, s), sum = v_zero();
    for (int64_t j = 1; j < n; j++) max = v_max(max, v_loadm(lanes, s + j * lds));
    for (int64_t j = 0; j < n; j++) {
        const vf e = v_exp(v_sub(v_loadm(lanes, s + j * lds), max));
        sum = v_add(sum, e);
        v_storem(lanes, s + j * lds, e);
    }
    const vf one_over = v_div(v_set1(1), sum);
    for (int64_t j = 0; j < n; j++) {
        const vf a = v_mul(v_loadm(lanes, s + j * lds), one_over);
        v_storem(lanes, s + j * lds, a);
        v_storem(live, p + j * n, a);
    }
}

/* Sum of rows: y[r] = Σ_c w[r·rs + c·cs]·x[c]. */
typedef struct row_sum {
    float *y;
    const float *w, *x;
    int64_t ldy, rs, cs, ldx, terms;
} row_sum;

/* rows × wide vectors of y, kept in registers; the last one under a mask */
INLINE void row_sum_block(const row_sum *t, int64_t r, int64_t d, int rows, int wide,
                          vm last)
{
    vf sum[8][2];
    const float *w = t->w + r * t->rs, *x = t->x + d;
    for (int i = 0; i < rows; i++) sum[i][0] = sum[i][1] = v_zero();
    for (int64_t c = 0; c < t->terms; c++, w += t->cs, x += t->ldx) {
        const vf a = wide == 2 ? v_load(x) : v_loadm(last, x);
        const vf b = wide == 2 ? v_loadm(last, x + VL) : a;
        for (int i = 0; i < rows; i++) {
            const vf f = v_set1(w[i * t->rs]);
            sum[i][0] = v_fma(f, a, sum[i][0]);
            if (wide == 2) sum[i][1] = v_fma(f, b, sum[i][1]);
        }
    }
    for (int i = 0; i < rows; i++) {
        float *y = t->y + (r + i) * t->ldy + d;
        if (wide == 2) v_store(y, sum[i][0]);
        v_storem(last, wide == 2 ? y + VL : y, sum[i][wide - 1]);
    }
}

INLINE void row_sum_narrow(const row_sum *t, int64_t rows, int64_t d, vm last)
{
    int64_t r = 0;
    for (; r + 8 <= rows; r += 8) row_sum_block(t, r, d, 8, 1, last);
    for (; r + 4 <= rows; r += 4) row_sum_block(t, r, d, 4, 1, last);
    for (; r + 2 <= rows; r += 2) row_sum_block(t, r, d, 2, 1, last);
    for (; r < rows; r++) row_sum_block(t, r, d, 1, 1, last);
}

INLINE void row_sum_wide(const row_sum *t, int64_t rows, int64_t d, vm last)
{
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) row_sum_block(t, r, d, 4, 2, last);
    for (; r + 2 <= rows; r += 2) row_sum_block(t, r, d, 2, 2, last);
    for (; r < rows; r++) row_sum_block(t, r, d, 1, 2, last);
}

static void row_sums(const row_sum *t, int64_t rows, int64_t dim)
{
    int64_t d = 0;
    for (; dim - d > VL; d += 2 * VL) row_sum_wide(t, rows, d, v_first(dim - d - VL));
    if (d < dim) row_sum_narrow(t, rows, d, v_first(dim - d));
}

/* Shapes of a call, and the head it is at. */
typedef struct head {
    int64_t n, dim, width, ld; /* width = E, ld = 3E */
    float scale;
} head;

/* One head, the queries of one tile, logits on the stack. */
INLINE void head_fwd(float *o, float *p, const float *q, const head *t,
                     const tile *rows, int64_t first)
{
    _Alignas(64) float s[KEY_TILE * VL];
    const float *k = q + t->width, *v = k + t->width;
    const vm all = v_first(VL);
    logits(s, VL, all, q, rows, k, t->ld, t->n, t->dim, t->scale);
    softmax_keys(s, VL, all, p + first, v_first(rows->rows), t->n);
    const row_sum sum = {o + first * t->width, s, v, t->width, 1, VL, t->ld, t->n};
    row_sums(&sum, rows->rows, t->dim);
}

/* The same for any number of keys: p itself holds the logits. */
static void head_fwd_long(float *o, float *p, const float *q, const head *t,
                          const tile *rows, int64_t first)
{
    const float *k = q + t->width, *v = k + t->width;
    const vm live = v_first(rows->rows);
    logits(p + first, t->n, live, q, rows, k, t->ld, t->n, t->dim, t->scale);
    softmax_keys(p + first, t->n, live, p + first, live, t->n);
    const row_sum sum = {
        o + first * t->width, p + first, v, t->width, 1, t->n, t->ld, t->n};
    row_sums(&sum, rows->rows, t->dim);
}

static void attention_fwd(float *o, float *p, const float *qkv, int64_t n,
                          int64_t heads, int64_t head_dim, float scale)
{
    const int64_t width = heads * head_dim;
    const head t = {n, head_dim, width, 3 * width, scale};
    for (int64_t first = 0; first < n; first += VL) {
        const tile rows = tile_of(first, n, t.ld);
        for (int64_t h = 0; h < heads; h++) {
            float *oh = o + h * head_dim, *ph = p + h * n * n;
            const float *qh = qkv + h * head_dim;
            if (n <= KEY_TILE)
                head_fwd(oh, ph, qh, &t, &rows, first);
            else
                head_fwd_long(oh, ph, qh, &t, &rows, first);
        }
    }
}

/* s[j][lane] = scale·p[j]·(s[j] − Σ_j p[j]·s[j]) */
INLINE void softmax_bwd(float *s, int64_t lds, const float *p, vm live, int64_t n,
                        float scale)
{
    vf mean = v_zero();
    for (int64_t j = 0; j < n; j++)
        mean = v_fma(v_loadm(live, p + j * n), v_load(s + j * lds), mean);
    for (int64_t j = 0; j < n; j++) {
        const vf centred = v_sub(v_load(s + j * lds), mean);
        const vf weight = v_mul(v_set1(scale), v_loadm(live, p + j * n));
        v_store(s + j * lds, v_mul(weight, centred));
    }
}

/* d_s (n, lds) of one head, key first, lanes past n unused */
INLINE void d_logits(float *d_s, int64_t lds, const float *d_o, const float *v,
                     const float *p, const head *t)
{
    for (int64_t first = 0; first < t->n; first += VL) {
        const tile rows = tile_of(first, t->n, t->width);
        logits(d_s + first, lds, v_first(VL), d_o, &rows, v, t->ld, t->n, t->dim, 1);
        softmax_bwd(d_s + first, lds, p + first, v_first(rows.rows), t->n, t->scale);
    }
}

/* d_q_i = Σ_j d_s k_j; d_k_j = Σ_i d_s q_i; d_v_j = Σ_i p d_o_i */
static void attention_bwd(float *d_qkv, float *scratch, const float *d_o,
                          const float *qkv, const float *p, int64_t n, int64_t heads,
                          int64_t head_dim, float scale)
{
    const int64_t width = heads * head_dim, lds = (n + VL - 1) / VL * VL;
    const head t = {n, head_dim, width, 3 * width, scale};
    for (int64_t h = 0; h < heads; h++) {
        const float *q = qkv + h * head_dim, *go = d_o + h * head_dim;
        const float *k = q + width, *ph = p + h * n * n;
        float *d_q = d_qkv + h * head_dim;
        d_logits(scratch, lds, go, k + width, ph, &t);
        const row_sum sq = {d_q, scratch, k, t.ld, 1, lds, t.ld, n};
        const row_sum sk = {d_q + width, scratch, q, t.ld, lds, 1, t.ld, n};
        const row_sum sv = {d_q + 2 * width, ph, go, t.ld, n, 1, width, n};
        row_sums(&sq, n, head_dim);
        row_sums(&sk, n, head_dim);
        row_sums(&sv, n, head_dim);
    }
}

void GN2_SIMD(gn2_attention)(R(gn2_kernels) * table)
{
    table->attention_fwd = attention_fwd;
    table->attention_bwd = attention_bwd;
}
