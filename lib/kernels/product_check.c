/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a row's result depend on the number of rows? A shared libdnnl can be swapped
 * under the library, so its products are asked before they are trusted.
 */
#include <string.h>

#include "kernels/product_backend.h"
#include "util/alloc.h"
#include "util/error.h"
#include "util/rng.h"

/* Numbers in (-1, 1): rounding differs somewhere if the order of a sum does. */
static float *random_floats(size_t count, uint64_t key)
{
    float *data = gn2_alloc(count, sizeof *data);
    for (size_t i = 0; data && i < count; i++)
        data[i] = (float)(2.0 * gn2_rng_uniform(key, i) - 1.0);
    return data;
}

/* `rows` rows from row `first` on must repeat the bits of the whole. */
static int piece_agrees(const gn2_product_f32 *p, gn2_lane_f32 *lane,
                        const gn2_mul_args_f32 *whole, float *c, int64_t first)
{
    gn2_mul_args_f32 x = *whole;
    x.m = first;
    x.a += first * p->k;
    x.c = c;
    gn2_product_run_f32(p, lane, &x);
    return memcmp(c, whole->c + first * p->n, (size_t)(x.m * p->n) * sizeof *c) == 0;
}

/* Pieces of 1, 2, 4 … rows, each taken at the row of the same number. */
static int all_agree(const gn2_product_f32 *p, gn2_lane_f32 *lane,
                     const gn2_mul_args_f32 *whole, float *c)
{
    gn2_product_run_f32(p, lane, whole);
    for (int64_t rows = 1; 2 * rows <= whole->m; rows *= 2)
        if (!piece_agrees(p, lane, whole, c, rows)) return 0;
    return 1;
}

gn2_status gn2_product_rows_agree(gn2_product_f32 *p, int *out_agree)
{
    int64_t m = 1;
    while (m <= p->max_rows / 2) m *= 2;
    gn2_lane_f32 *lane = NULL;
    float *a = random_floats((size_t)(m * p->k), 1);
    float *b = random_floats((size_t)(p->k * p->n), 2);
    float *c = random_floats((size_t)(2 * m * p->n), 3);
    gn2_status status = a && b && c ? GN2_OK : gn2_fail_memory();
    if (status == GN2_OK) status = gn2_lane_create_f32(&p, 1, &lane);
    if (status == GN2_OK) {
        gn2_product_pack_f32(p, b, p->n, 0);
        const gn2_mul_args_f32 whole = {
            .c = c, .ldc = p->n, .a = a, .lda = p->k, .m = m};
        *out_agree = all_agree(p, lane, &whole, c + m * p->n);
    }
    gn2_lane_free_f32(lane);
    gn2_free(a);
    gn2_free(b);
    gn2_free(c);
    return status;
}
