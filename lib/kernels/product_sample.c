/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/product_sample.h"

#include "kernels/product.h"
#include "kernels/product_check.h"
#include "util/alloc.h"
#include "util/digest.h"
#include "util/error.h"

#define SAMPLE_ROWS 9
#define SAMPLE_SIDE 67

static gn2_status run_sample(gn2_product_f32 *p, const float *a, const float *b,
                             float *c)
{
    gn2_lane_f32 *lane = NULL;
    GN2_TRY(gn2_lane_create_f32(&p, 1, &lane));
    const gn2_mul_args_f32 x = {
        .c = c, .ldc = SAMPLE_SIDE, .a = a, .lda = SAMPLE_SIDE, .m = SAMPLE_ROWS};
    gn2_product_pack_f32(p, b, SAMPLE_SIDE, 0);
    gn2_product_run_f32(p, lane, &x);
    gn2_lane_free_f32(lane);
    return GN2_OK;
}

gn2_status gn2_product_sample(const gn2_product_options *options, uint64_t *out_digest)
{
    const size_t rows = SAMPLE_ROWS * SAMPLE_SIDE, side = SAMPLE_SIDE * SAMPLE_SIDE;
    float *a = gn2_random_floats(rows, 1), *b = gn2_random_floats(side, 2);
    float *c = gn2_random_floats(rows, 3);
    gn2_product_f32 *p = NULL;
    gn2_status status = a && b && c ? GN2_OK : gn2_fail_memory();
    if (!status) status = gn2_product_create_f32(SAMPLE_SIDE, SAMPLE_SIDE, options, &p);
    if (!status) status = run_sample(p, a, b, c);
    if (!status) *out_digest = gn2_digest(0, c, rows * sizeof *c);
    gn2_product_free_f32(p);
    gn2_free(a);
    gn2_free(b);
    gn2_free(c);
    return status;
}
