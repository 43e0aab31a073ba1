/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The optimisers' flat loops and the norms they need. Memory bounds them once the
 * parameters leave the cache; root and division are exact, so a step differs from
 * the reference by contraction alone.
 */
#include "kernels/fill.h"
#include "kernels/simd_double.h"

/* Constants of an AdamW step, in lanes. */
typedef struct adam_step {
    vf clip, keep, beta1, rest1, beta2, rest2, step, inv_bias2, eps;
} adam_step;

INLINE void adam_block(float *p, float *m, float *v, const float *g, const adam_step *t,
                       int64_t left)
{
    const vf gi = v_mul(t->clip, v_load_part(g, left));
    const vf mi = v_fma(t->beta1, v_load_part(m, left), v_mul(t->rest1, gi));
    const vf vi = v_fma(t->beta2, v_load_part(v, left), v_mul(t->rest2, v_mul(gi, gi)));
    const vf under = v_fma(v_sqrt(vi), t->inv_bias2, t->eps);
    const vf pi = v_load_part(p, left), kept = v_fnma(t->keep, pi, pi);
    v_store_part(m, mi, left);
    v_store_part(v, vi, left);
    v_store_part(p, v_sub(kept, v_div(v_mul(t->step, mi), under)), left);
}

static void adamw(float *p, float *m, float *v, const float *g, float clip, float decay,
                  float beta1, float beta2, float step, float inv_bias2, float eps,
                  int64_t count)
{
    const adam_step t = {v_set1(clip),      v_set1(decay),     v_set1(beta1),
                         v_set1(1 - beta1), v_set1(beta2),     v_set1(1 - beta2),
                         v_set1(step),      v_set1(inv_bias2), v_set1(eps)};
    for (int64_t i = 0; i < count; i += VL)
        adam_block(p + i, m + i, v + i, g + i, &t, count - i);
}

static void sgd(float *p, float *m, const float *g, float clip, float lr, float decay,
                float momentum, int64_t count)
{
    const vf c = v_set1(clip), l = v_set1(lr), w = v_set1(decay), b = v_set1(momentum);
    for (int64_t i = 0; i < count; i += VL) {
        const int64_t left = count - i;
        const vf pi = v_load_part(p + i, left);
        const vf gi = v_fma(w, pi, v_mul(c, v_load_part(g + i, left)));
        const vf mi = v_fma(b, v_load_part(m + i, left), gi);
        v_store_part(m + i, mi, left);
        v_store_part(p + i, v_fnma(l, mi, pi), left);
    }
}

/* Σ x² in double: squares of floats are exact there. */
static double sum_squares(const float *x, int64_t count)
{
    vd s[4] = {vd_zero(), vd_zero(), vd_zero(), vd_zero()};
    int64_t i = 0;
    for (; i + 2 * VL <= count; i += 2 * VL) {
        const vf a = v_load(x + i), b = v_load(x + i + VL);
        s[0] = vd_square(v_low(a), s[0]);
        s[1] = vd_square(v_high(a), s[1]);
        s[2] = vd_square(v_low(b), s[2]);
        s[3] = vd_square(v_high(b), s[3]);
    }
    for (; i < count; i += VL) {
        const vf a = v_loadm(v_first(count - i), x + i);
        s[0] = vd_square(v_low(a), s[0]);
        s[1] = vd_square(v_high(a), s[1]);
    }
    return vd_sum(vd_add(vd_add(s[0], s[1]), vd_add(s[2], s[3])));
}

/* x − x is 0 for what is finite, else NaN; one block is looked at as a whole. */
#define BLOCK (16 * VL)

INLINE vf not_finite(vf sum, vf x)
{
    return v_add(sum, v_sub(x, x));
}

static int all_finite(const float *x, int64_t count)
{
    for (int64_t first = 0; first < count; first += BLOCK) {
        const int64_t end = count - first < BLOCK ? count : first + BLOCK;
        vf sum = v_zero();
        for (int64_t i = first; i < end; i += VL)
            sum = not_finite(sum, v_load_part(x + i, end - i));
        if (v_sum(sum) != 0) return 0; /* true of NaN as well */
    }
    return 1;
}

void GN2_SIMD(gn2_optim)(R(gn2_kernels) *table)
{
    table->adamw = adamw;
    table->sgd = sgd;
    table->sum_squares = sum_squares;
    table->all_finite = all_finite;
}
