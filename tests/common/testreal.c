/* SPDX-License-Identifier: Apache-2.0 */
#include "common/testreal.h"

#include "common/need.h"
#include "util/alloc.h"

real *R(testreal)(const double *x, int64_t count)
{
    real *y = need_memory((size_t)count, sizeof *y);
    for (int64_t i = 0; i < count; i++) y[i] = (real)x[i];
    return y;
}

void R(testreal_back)(double *y, const real *x, int64_t count)
{
    for (int64_t i = 0; i < count; i++) y[i] = (double)x[i];
}

void R(testreal_batch)(R(gn2_batch) *batch, const testbatch *source)
{
    *batch = (R(gn2_batch)){.jets = source->jets};
    batch->jet.data = R(testreal)(source->jet, source->jets * source->jet_inputs);
    batch->jet.ld = source->jet_inputs;
    for (int s = 0; s < source->count; s++) {
        const testrows *rows = &source->sequence[s];
        batch->sequence[s] = (R(gn2_rows)){
            .data = R(testreal)(rows->data, rows->slots * rows->inputs),
            .ld = rows->inputs,
            .offset = rows->offset,
            .row = rows->row,
        };
    }
}

/* The batch only reads its data; here they are ours. */
static void free_data(const real *data)
{
    union {
        const real *in;
        void *out;
    } block = {.in = data};
    gn2_free(block.out);
}

void R(testreal_batch_free)(R(gn2_batch) *batch)
{
    free_data(batch->jet.data);
    for (int s = 0; s < GN2_MAX_SEQUENCES; s++) free_data(batch->sequence[s].data);
}
