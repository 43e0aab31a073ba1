/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oneDNN back end of product.h: making primitives, packing, lanes, running.
 *
 * A primitive is bound to its number of rows and costs some 0.2 ms to make, so a
 * product has one for each power of two up to max_rows and cuts m into them. All
 * share one packed B, in the layout the largest asked for. Primitives read and
 * write tight rows. oneDNN runs on the caller's thread alone: the thread's OpenMP
 * count is 1 while primitives are made or run.
 *
 * In bf16 the factors of a run are rounded into scratch (run.c), so its last rows can
 * be filled up there: the least primitive has BF16_ROWS rows.
 */
#include "kernels/onednn/backend.h"

#include <pthread.h>

#include "util/error.h"

/* ---- the engine, threads, failures ---- */

static dnnl_engine_t engine; /* kept for the life of the process */
static pthread_mutex_t engine_mutex = PTHREAD_MUTEX_INITIALIZER;

static gn2_status check(dnnl_status_t status, const gn2_product_f32 *p,
                        const char *what)
{
    if (status == dnnl_success) return GN2_OK;
    if (status == dnnl_out_of_memory) return gn2_fail_memory();
    const dnnl_version_t *v = dnnl_version();
    return gn2_fail(GN2_ERR_INTERNAL,
                    "oneDNN %d.%d.%d, product %lld -> %lld: %s (status %d)", v->major,
                    v->minor, v->patch, (long long)p->k, (long long)p->n, what,
                    (int)status);
}

static gn2_status need_engine(const gn2_product_f32 *p)
{
    dnnl_status_t s = dnnl_success;
    pthread_mutex_lock(&engine_mutex);
    if (!engine) s = gn2_dnnl_make_engine(&engine);
    pthread_mutex_unlock(&engine_mutex);
    return check(s, p, "engine");
}

/* ---- making primitives ---- */

static dnnl_data_type_t factor_type(const gn2_product_f32 *p)
{
    return p->arithmetic == GN2_ARITHMETIC_BF16 ? dnnl_bf16 : dnnl_f32;
}

static int64_t least_rows(const gn2_product_f32 *p)
{
    return p->arithmetic == GN2_ARITHMETIC_BF16 ? BF16_ROWS : 1;
}

/* Keeps what the primitive wants of scratch and, the first time, of B's layout. */
static dnnl_status_t keep_layouts(const gn2_product_f32 *p, bucket *b, int mode,
                                  dnnl_primitive_desc_t pd)
{
    dnnl_state *d = p->data;
    desc_ref pad = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    const size_t bytes = dnnl_memory_desc_get_size(pad);
    if (bytes > d->pad_bytes) d->pad_bytes = bytes;
    const dnnl_status_t s = gn2_dnnl_copy_desc(&b->pad[mode], pad);
    if (s || p->is_gradient || d->count > 1 || mode != OVERWRITE) return s;
    desc_free(&d->weights);
    return gn2_dnnl_copy_desc(
        &d->weights, dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0));
}

static gn2_status make_primitive(const gn2_product_f32 *p, bucket *b, int mode)
{
    dnnl_state *d = p->data;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    const matmul_parts parts = {&b->src, p->is_gradient ? &b->rhs : &d->weights,
                                p->is_gradient ? NULL : &d->bias, &b->dst};
    gn2_status status;
    GN2_TRY_GOTO(check(gn2_dnnl_make_attr(&attr, mode == ACCUMULATE), p, "attributes"));
    GN2_TRY_GOTO(
        check(gn2_dnnl_make_matmul(&pd, &parts, attr, engine), p, "description"));
    GN2_TRY_GOTO(check(keep_layouts(p, b, mode, pd), p, "layouts"));
    GN2_TRY_GOTO(check(gn2_dnnl_make_primitive(&b->run[mode], pd), p, "primitive"));
fail:
    if (pd) dnnl_primitive_desc_destroy(pd);
    if (attr) dnnl_primitive_attr_destroy(attr);
    return status;
}

/* Shapes of one bucket: c (m, n) = a (m, k)·B, or c (k, n) += aᵀ (k, m)·b (m, n). */
static dnnl_status_t make_shapes(const gn2_product_f32 *p, bucket *b)
{
    const int64_t k = p->k, n = p->n, m = b->rows;
    const dnnl_data_type_t t = factor_type(p);
    const matrix_shape forward[] = {{m, k, k, 1, t}, {m, n, n, 1, dnnl_f32}};
    const matrix_shape gradient[] = {{k, m, 1, k, t}, {k, n, n, 1, dnnl_f32}};
    const matrix_shape *s = p->is_gradient ? gradient : forward;
    const matrix_shape rhs = {m, n, n, 1, t};
    dnnl_status_t status = gn2_dnnl_make_desc(&b->src, &s[0]);
    if (!status) status = gn2_dnnl_make_desc(&b->dst, &s[1]);
    if (!status && p->is_gradient) status = gn2_dnnl_make_desc(&b->rhs, &rhs);
    return status;
}

static gn2_status make_bucket(const gn2_product_f32 *p, int64_t rows)
{
    dnnl_state *d = p->data;
    bucket *b = &d->buckets[d->count++];
    b->rows = rows;
    GN2_TRY(check(make_shapes(p, b), p, "shapes"));
    if (!p->is_gradient) GN2_TRY(make_primitive(p, b, OVERWRITE));
    return make_primitive(p, b, ACCUMULATE);
}

/* Largest first: it chooses B's layout. */
static gn2_status make_buckets(const gn2_product_f32 *p)
{
    const int64_t least = least_rows(p);
    int64_t rows = least;
    while (rows <= p->max_rows / 2 && rows < (1 << (MAX_BUCKETS - 1))) rows *= 2;
    for (; rows >= least; rows /= 2) GN2_TRY(make_bucket(p, rows));
    return GN2_OK;
}

/* ---- packing ---- */

static gn2_status make_packed(gn2_product_f32 *p)
{
    dnnl_state *d = p->data;
    const size_t packed = dnnl_memory_desc_get_size(desc_of(&d->weights));
    const size_t tight = (size_t)(p->k + 1) * (size_t)p->n;
    p->packed = gn2_alloc(packed, 1);
    d->tight_data = gn2_alloc(tight, sizeof(float));
    if (!p->packed || !d->tight_data) return gn2_fail_memory();
    d->no_bias = d->tight_data + p->k * p->n;
    p->bytes = sizeof *d + packed + tight * sizeof(float);
    GN2_TRY(check(gn2_dnnl_make_memory(&d->packed_memory, desc_of(&d->weights), engine,
                                       p->packed),
                  p, "packed matrix"));
    return check(gn2_dnnl_make_memory(&d->tight_memory, desc_of(&d->tight), engine,
                                      d->tight_data),
                 p, "matrix");
}

static gn2_status make_reorder(const gn2_product_f32 *p)
{
    dnnl_state *d = p->data;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t s =
        gn2_dnnl_make_reorder(&pd, desc_of(&d->tight), desc_of(&d->weights), engine);
    if (!s) s = gn2_dnnl_make_primitive(&d->reorder, pd);
    if (pd) dnnl_primitive_desc_destroy(pd);
    return check(s, p, "reorder");
}

static gn2_status make_forward(gn2_product_f32 *p)
{
    dnnl_state *d = p->data;
    const matrix_shape any = {p->k, p->n, 0, 0, factor_type(p)};
    const matrix_shape tight = {p->k, p->n, p->n, 1, dnnl_f32};
    const matrix_shape bias = {1, p->n, p->n, 1, dnnl_f32};
    GN2_TRY(check(gn2_dnnl_make_desc(&d->weights, &any), p, "shape of B"));
    GN2_TRY(check(gn2_dnnl_make_desc(&d->tight, &tight), p, "shape of B"));
    GN2_TRY(check(gn2_dnnl_make_desc(&d->bias, &bias), p, "shape of the bias"));
    GN2_TRY(make_buckets(p));
    GN2_TRY(make_packed(p));
    return make_reorder(p);
}

static gn2_status create(gn2_product_f32 *p)
{
    GN2_TRY(need_engine(p));
    p->data = gn2_alloc(1, sizeof(dnnl_state));
    if (!p->data) return gn2_fail_memory();
    p->bytes = sizeof(dnnl_state);
    ((dnnl_state *)p->data)->convert = gn2_bf16_converter();
    const int threads = gn2_dnnl_one_thread();
    const gn2_status status = p->is_gradient ? make_buckets(p) : make_forward(p);
    gn2_dnnl_restore_threads(threads);
    return status;
}

static void free_bucket(bucket *b)
{
    for (int mode = 0; mode < MODES; mode++) {
        if (b->run[mode]) dnnl_primitive_destroy(b->run[mode]);
        desc_free(&b->pad[mode]);
    }
    desc_free(&b->src);
    desc_free(&b->dst);
    desc_free(&b->rhs);
}

static void destroy(gn2_product_f32 *p)
{
    dnnl_state *d = p->data;
    if (!d) return;
    for (int i = 0; i < d->count; i++) free_bucket(&d->buckets[i]);
    if (d->reorder) dnnl_primitive_destroy(d->reorder);
    if (d->packed_memory) dnnl_memory_destroy(d->packed_memory);
    if (d->tight_memory) dnnl_memory_destroy(d->tight_memory);
    desc_free(&d->weights);
    desc_free(&d->bias);
    desc_free(&d->tight);
    gn2_free(d->tight_data);
    gn2_free(d);
    p->data = NULL;
}

static void pack(gn2_product_f32 *p, const float *src, int64_t ld, int transposed)
{
    dnnl_state *d = p->data;
    const int64_t step_k = transposed ? 1 : ld, step_n = transposed ? ld : 1;
    for (int64_t i = 0; i < p->k; i++)
        for (int64_t j = 0; j < p->n; j++)
            d->tight_data[i * p->n + j] = src[i * step_k + j * step_n];
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, d->tight_memory},
                                    {DNNL_ARG_TO, d->packed_memory}};
    dnnl_stream_t stream = NULL;
    const int threads = gn2_dnnl_one_thread();
    dnnl_status_t s = gn2_dnnl_make_stream(&stream, engine);
    if (!s) s = gn2_dnnl_execute(d->reorder, stream, 2, args);
    if (stream) dnnl_stream_destroy(stream);
    gn2_dnnl_restore_threads(threads);
    d->unpacked = s != dnnl_success;
}

/* ---- lanes ---- */

static dnnl_status_t empty_memory(dnnl_memory_t *out, const dnnl_memory_desc_t *shape)
{
    return gn2_dnnl_make_memory(out, desc_of(shape), engine, DNNL_MEMORY_NONE);
}

static dnnl_status_t open_bucket(const gn2_product_f32 *p, const bucket *b,
                                 lane_bucket *l)
{
    dnnl_status_t s = empty_memory(&l->src, &b->src);
    if (!s) s = empty_memory(&l->dst, &b->dst);
    if (!s && p->is_gradient) s = empty_memory(&l->rhs, &b->rhs);
    for (int mode = 0; mode < MODES && !s; mode++)
        if (b->run[mode]) s = empty_memory(&l->pad[mode], &b->pad[mode]);
    return s;
}

static void free_memory(dnnl_memory_t memory)
{
    if (memory) dnnl_memory_destroy(memory);
}

static void lane_close(void *state)
{
    dnnl_lane *lane = state;
    for (int i = 0; i < MAX_BUCKETS; i++) {
        const lane_bucket *l = &lane->buckets[i];
        free_memory(l->src);
        free_memory(l->dst);
        free_memory(l->rhs);
        for (int mode = 0; mode < MODES; mode++) free_memory(l->pad[mode]);
    }
    free_memory(lane->bias);
    if (lane->stream) dnnl_stream_destroy(lane->stream);
    gn2_free(lane);
}

static gn2_status lane_open(const gn2_product_f32 *p, void **out_state,
                            size_t *out_bytes)
{
    const dnnl_state *d = p->data;
    dnnl_lane *lane = gn2_alloc(1, sizeof *lane);
    if (!lane) return gn2_fail_memory();
    dnnl_status_t s = gn2_dnnl_make_stream(&lane->stream, engine);
    if (!s && !p->is_gradient) s = empty_memory(&lane->bias, &d->bias);
    for (int i = 0; i < d->count && !s; i++)
        s = open_bucket(p, &d->buckets[i], &lane->buckets[i]);
    if (s) {
        lane_close(lane);
        return check(s, p, "lane");
    }
    *out_state = lane;
    *out_bytes = sizeof *lane;
    return GN2_OK;
}

const gn2_product_ops_f32 gn2_dnnl_ops = {
    .name = "onednn",
    .create = create,
    .destroy = destroy,
    .pack = pack,
    .scratch = gn2_dnnl_scratch,
    .lane_open = lane_open,
    .lane_close = lane_close,
    .run = gn2_dnnl_run,
    .run_tn = gn2_dnnl_run_tn,
};
