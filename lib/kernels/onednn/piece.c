/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/onednn/backend.h"

#include <string.h>

/* oneDNN takes all addresses as writable; it does not write to its sources. */
static dnnl_status_t point(dnnl_memory_t memory, const void *data)
{
    union {
        const void *in;
        void *out;
    } address = {data};
    return dnnl_memory_set_data_handle(memory, address.out);
}

static dnnl_status_t run_primitive(const gn2_dnnl_piece *x)
{
    const dnnl_state *d = x->p->data;
    dnnl_lane *lane = x->lane->state;
    const lane_bucket *l = &lane->buckets[x->index];
    const dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC, l->src},
        {DNNL_ARG_WEIGHTS, x->rhs ? l->rhs : d->packed_memory},
        {DNNL_ARG_DST, l->dst},
        {DNNL_ARG_SCRATCHPAD, l->pad[x->mode]},
        {DNNL_ARG_BIAS, lane->bias}};
    if (!x->rhs && d->unpacked) return dnnl_out_of_memory;
    dnnl_status_t s = point(l->src, x->src);
    if (!s) s = point(l->dst, x->dst);
    if (!s) s = point(l->pad[x->mode], x->lane->scratch);
    if (!s && x->rhs) s = point(l->rhs, x->rhs);
    if (!s && !x->rhs) s = point(lane->bias, x->bias ? x->bias : d->no_bias);
    if (s) return s;
    return gn2_dnnl_execute(d->buckets[x->index].run[x->mode], lane->stream,
                            lane->bias ? 5 : 4, args);
}

/* ---- without oneDNN ---- */

static float factor(const gn2_product_f32 *p, const void *x, int64_t i)
{
    float value;
    if (p->arithmetic != GN2_ARITHMETIC_BF16) return ((const float *)x)[i];
    const uint32_t bits = (uint32_t)((const uint16_t *)x)[i] << 16;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* dst (m, n) = src (m, k)·B + bias, or added to what is there. */
static void plain_forward(const gn2_dnnl_piece *x, int64_t m)
{
    const gn2_product_f32 *p = x->p;
    const dnnl_state *d = p->data;
    const float *bias = x->bias ? x->bias : d->no_bias;
    for (int64_t r = 0; r < m; r++) {
        float *to = x->dst + r * p->n;
        for (int64_t j = 0; j < p->n; j++)
            to[j] = bias[j] + (x->mode == ACCUMULATE ? to[j] : 0);
        for (int64_t i = 0; i < p->k; i++) {
            const float a = factor(p, x->src, r * p->k + i);
            for (int64_t j = 0; j < p->n; j++) to[j] += a * d->tight_data[i * p->n + j];
        }
    }
}

/* dst (k, n) += srcᵀ (k, m)·rhs (m, n). */
static void plain_gradient(const gn2_dnnl_piece *x, int64_t m)
{
    const gn2_product_f32 *p = x->p;
    for (int64_t r = 0; r < m; r++)
        for (int64_t i = 0; i < p->k; i++) {
            const float a = factor(p, x->src, r * p->k + i);
            for (int64_t j = 0; j < p->n; j++)
                x->dst[i * p->n + j] += a * factor(p, x->rhs, r * p->n + j);
        }
}

void gn2_dnnl_run_piece(const gn2_dnnl_piece *x)
{
    const dnnl_state *d = x->p->data;
    if (run_primitive(x) == dnnl_success) return;
    (x->rhs ? plain_gradient : plain_forward)(x, d->buckets[x->index].rows);
}
