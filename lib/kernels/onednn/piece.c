/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/onednn/piece.h"

#include <math.h>
#include <string.h>

void gn2_dnnl_spoil(float *c, int64_t count)
{
    for (int64_t i = 0; i < count; i++) c[i] = NAN;
}

/* oneDNN takes all addresses as writable; it does not write to its sources. */
static dnnl_status_t point(dnnl_memory_t memory, const void *data)
{
    union {
        const void *in;
        void *out;
    } address = {data};
    return dnnl_memory_set_data_handle(memory, address.out);
}

dnnl_status_t gn2_dnnl_run_piece(const gn2_dnnl_piece *x)
{
    dnnl_lane *lane = x->lane->state;
    const lane_bucket *l = &lane->buckets[x->index];
    const dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC, l->src},
        {DNNL_ARG_WEIGHTS, x->rhs ? l->rhs : x->d->packed_memory},
        {DNNL_ARG_DST, l->dst},
        {DNNL_ARG_SCRATCHPAD, l->pad[x->mode]},
        {DNNL_ARG_BIAS, lane->bias}};
    dnnl_status_t s = point(l->src, x->src);
    if (!s) s = point(l->dst, x->dst);
    if (!s) s = point(l->pad[x->mode], x->lane->scratch);
    if (!s && x->rhs) s = point(l->rhs, x->rhs);
    if (!s && !x->rhs) s = point(lane->bias, x->bias ? x->bias : x->d->no_bias);
    if (!s)
        s = dnnl_primitive_execute(x->d->buckets[x->index].run[x->mode], lane->stream,
                                   lane->bias ? 5 : 4, args);
    return s ? s : dnnl_stream_wait(lane->stream);
}

void gn2_dnnl_copy_rows(float *to, int64_t ld_to, const float *from, int64_t ld_from,
                        int64_t rows, int64_t cols)
{
    for (int64_t r = 0; r < rows; r++)
        memcpy(to + r * ld_to, from + r * ld_from, (size_t)cols * sizeof(float));
}

void gn2_dnnl_relu(float *c, int64_t count)
{
    for (int64_t i = 0; i < count; i++) c[i] = c[i] < 0 ? 0 : c[i];
}
