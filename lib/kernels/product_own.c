/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Own back end of product.h: packing and the choice of the instruction set. The
 * loops are in product_own_tmpl.c. Float only: double has the reference alone.
 */
#include "kernels/product_own.h"

#include <string.h>

#include "kernels/product_bf16.h"
#include "util/alloc.h"
#include "util/error.h"

static const gn2_own_kernels *kernels_of(const gn2_product_f32 *p)
{
    return p->isa >= GN2_ISA_AVX512 ? &gn2_own_avx512 : &gn2_own_avx2;
}

static int is_half(const gn2_product_f32 *p)
{
    return p->storage == GN2_STORAGE_BF16;
}

gn2_status gn2_own_make_room(gn2_product_f32 *p, int64_t rows, int64_t vector,
                             size_t element)
{
    const int64_t width = gn2_own_round_up(p->n, vector);
    size_t count;
    if (!gn2_mul_size((size_t)rows, (size_t)width, &count)) return gn2_fail_memory();
    p->packed = gn2_alloc(count, element);
    if (!p->packed) return gn2_fail_memory();
    p->bytes = count * element;
    return GN2_OK;
}

static gn2_status own_create(gn2_product_f32 *p)
{
    if (p->is_gradient) return GN2_OK;
    return gn2_own_make_room(p, p->k, kernels_of(p)->vector,
                             is_half(p) ? sizeof(uint16_t) : sizeof(float));
}

/* One matrix to pack: element (k, n) is src[k·step_k + n·step_n]. */
typedef struct source {
    const float *src;
    int64_t step_k, step_n;
} source;

/* Rows of B moved at a time: a cache line of a transposed source. */
#define PACK_ROWS 16

/* Columns first … first + width of B into a panel `stride` wide. */
static void pack_panel(float *panel, int64_t stride, const source *s, int64_t k,
                       int64_t width)
{
    for (int64_t k0 = 0; k0 < k; k0 += PACK_ROWS) {
        const int64_t k1 = k0 + PACK_ROWS < k ? k0 + PACK_ROWS : k;
        for (int64_t j = 0; j < width; j++)
            for (int64_t i = k0; i < k1; i++)
                panel[i * stride + j] = s->src[i * s->step_k + j * s->step_n];
    }
}

/* The same panel in bf16, `stride` 16-bit places a row (product_own.h). */
static void pack_panel_half(uint16_t *panel, int64_t vector, int64_t stride,
                            const source *s, int64_t k, int64_t width)
{
    const int64_t vecs = stride / vector;
    for (int64_t i = 0; i < k; i++, panel += stride)
        for (int64_t j = 0; j < width; j++)
            panel[j % vector * vecs + j / vector] =
                gn2_bf16_of(s->src[i * s->step_k + j * s->step_n]);
}

static void own_pack(gn2_product_f32 *p, const float *src, int64_t ld, int transposed)
{
    const gn2_own_kernels *own = kernels_of(p);
    source s = {src, transposed ? 1 : ld, transposed ? ld : 1};
    for (int64_t j = 0; j < p->n; j += own->columns) {
        const int64_t width = p->n - j < own->columns ? p->n - j : own->columns;
        const int64_t stride = gn2_own_round_up(width, own->vector);
        if (is_half(p))
            pack_panel_half((uint16_t *)(void *)p->packed + j * p->k, own->vector,
                            stride, &s, p->k, width);
        else
            pack_panel(p->packed + j * p->k, stride, &s, p->k, width);
        s.src += own->columns * s.step_n;
    }
}

static size_t own_scratch(const gn2_product_f32 *p)
{
    const gn2_own_kernels *own = kernels_of(p);
    const size_t floats = p->is_gradient ? own->scratch_tn : own->scratch_mul(p->k);
    return floats * sizeof(float);
}

static void own_run(const gn2_product_f32 *p, gn2_lane_view_f32 lane,
                    const gn2_mul_args_f32 *args)
{
    const gn2_own_problem problem = {p->k, p->n, is_half(p), p->packed, lane.scratch};
    kernels_of(p)->mul(&problem, args);
}

static void own_run_tn(const gn2_product_f32 *p, gn2_lane_view_f32 lane,
                       const gn2_tn_args_f32 *args)
{
    const gn2_own_problem problem = {p->k, p->n, 0, NULL, lane.scratch};
    kernels_of(p)->mul_tn(&problem, args);
}

const gn2_product_ops_f32 gn2_product_own = {
    .name = "own",
    .create = own_create,
    .pack = own_pack,
    .scratch = own_scratch,
    .run = own_run,
    .run_tn = own_run_tn,
};
