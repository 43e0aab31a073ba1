/* SPDX-License-Identifier: Apache-2.0 */
#include "layers/layer.h"

real *R(gn2_carve)(gn2_carver *c, int64_t rows, int64_t cols)
{
    size_t count;
    if (!gn2_mul_size((size_t)rows, (size_t)cols, &count)) count = SIZE_MAX;
    return gn2_arena_take(&c->arena, count, sizeof(real));
}

void R(gn2_show_add)(R(gn2_show) *show, R(gn2_shown) part)
{
    part.unit = -1;
    if (show->count < show->capacity) show->part[show->count] = part;
    show->count++;
}

void R(gn2_show_relu)(R(gn2_show) *show, R(gn2_shown) part)
{
    R(gn2_show_add)(show, part);
    if (show->count <= show->capacity) show->part[show->count - 1].unit = show->units;
    show->units += part.cols;
}

void R(gn2_dropout_rows)(const R(gn2_context) *ctx, const gn2_dropout *drop, real *x,
                         int64_t first, int64_t rows, int64_t cols)
{
    if (!drop->threshold) return;
    ctx->kernels->dropout(x, drop->key, (uint64_t)(first * cols), drop->threshold,
                          (real)drop->scale, rows * cols);
}
