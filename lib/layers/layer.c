/* SPDX-License-Identifier: Apache-2.0 */
#include "layers/layer.h"

#include <math.h>

#include "util/rng.h"

real *R(gn2_carve)(gn2_carver *c, int64_t rows, int64_t cols)
{
    size_t count;
    if (!gn2_mul_size((size_t)rows, (size_t)cols, &count)) count = SIZE_MAX;
    return gn2_arena_take(&c->arena, count, sizeof(real));
}

void R(gn2_show_add)(R(gn2_show) *show, R(gn2_shown) part)
{
    if (part.unit == 0) {
        part.unit = show->units;
        show->units += part.cols;
    }
    if (show->count < show->capacity) show->part[show->count] = part;
    show->count++;
}

void R(gn2_dropout_rows)(const R(gn2_context) *ctx, const gn2_dropout *drop, int step,
                         real *x, int64_t rows, int64_t cols)
{
    const uint32_t threshold = (uint32_t)fmin(drop->p * 0x1p32, 0x1p32 - 1);
    if (!threshold) return;
    ctx->kernels->dropout(x, gn2_rng_key(drop->step_key, drop->place + (uint64_t)step),
                          (uint64_t)(drop->first * cols), threshold,
                          (real)(1 / (1 - drop->p)), rows * cols);
}

void R(gn2_dropout_relu_bwd)(const R(gn2_context) *ctx, const gn2_dropout *drop,
                             real *d_x, const real *kept, int64_t count)
{
    ctx->kernels->relu_bwd(d_x, kept, count);
    if (drop->p > 0) ctx->kernels->scale(d_x, (real)(1 / (1 - drop->p)), count);
}
