/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The back end in three files: it is made in backend.c, run in run.c, one primitive at
 * a time in piece.c. What oneDNN keeps of a product and of a lane, and the thread it
 * runs on.
 */
#ifndef GN2_KERNELS_ONEDNN_BACKEND_H
#define GN2_KERNELS_ONEDNN_BACKEND_H

#include "kernels/onednn/api.h"
#include "kernels/product_backend.h"
#include "kernels/product_bf16.h"
#include "util/alloc.h"

#define MAX_BUCKETS 16 /* up to 32768 rows at once */
#define BF16_ROWS 16   /* least rows of a primitive in bf16: a tile of AMX */
#define STAGE_ROWS 64  /* rows copied together when strides are not tight */

/* What is done with the old content of c. */
enum { OVERWRITE = 0, ACCUMULATE = 1, MODES = 2 };

/* The primitives for one number of rows. */
typedef struct bucket {
    int64_t rows;
    dnnl_memory_desc_t src, dst, rhs, pad[MODES];
    dnnl_primitive_t run[MODES];
} bucket;

/* Of a product. */
typedef struct dnnl_state {
    bucket buckets[MAX_BUCKETS];
    int count;
    size_t pad_bytes;
    int unpacked; /* the last packing failed: B is in tight_data only */
    dnnl_memory_desc_t weights, bias, tight; /* B packed; (1, n); B row-major */
    dnnl_memory_t packed_memory, tight_memory;
    dnnl_primitive_t reorder;
    float *tight_data, *no_bias; /* one block */
    gn2_bf16_convert *convert;   /* in bf16 */
} dnnl_state;

/* Memory objects of one lane, their addresses set before each run. */
typedef struct lane_bucket {
    dnnl_memory_t src, dst, rhs, pad[MODES];
} lane_bucket;

typedef struct dnnl_lane {
    dnnl_stream_t stream;
    dnnl_memory_t bias;
    lane_bucket buckets[MAX_BUCKETS];
} dnnl_lane;

/* Of the OpenMP runtime oneDNN is linked to (its header belongs to a compiler). */
int omp_get_max_threads(void);
void omp_set_num_threads(int count);

/* oneDNN on this thread alone; gives the count to restore. */
static inline int gn2_dnnl_one_thread(void)
{
    const int before = omp_get_max_threads();
    if (before != 1) omp_set_num_threads(1);
    return before;
}

static inline void gn2_dnnl_restore_threads(int before)
{
    if (before != 1) omp_set_num_threads(before);
}

/* One run of one bucket on tight matrices, of bf16 where the product is. */
typedef struct gn2_dnnl_piece {
    const gn2_product_f32 *p;
    const gn2_lane_view_f32 *lane;
    int index, mode;
    const void *src, *rhs; /* rhs NULL: packed B */
    const float *bias;
    float *dst;
} gn2_dnnl_piece;

/* Where oneDNN fails, having had no memory, plain loops multiply. */
void gn2_dnnl_run_piece(const gn2_dnnl_piece *x);

extern const gn2_product_ops_f32 gn2_dnnl_ops;

/* Its `scratch`, `run` and `run_tn`; oneDNN's part of the scratch comes first. */
size_t gn2_dnnl_scratch(const gn2_product_f32 *p);
void gn2_dnnl_run(const gn2_product_f32 *p, gn2_lane_view_f32 lane,
                  const gn2_mul_args_f32 *args);
void gn2_dnnl_run_tn(const gn2_product_f32 *p, gn2_lane_view_f32 lane,
                     const gn2_tn_args_f32 *args);

#endif
