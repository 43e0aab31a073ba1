/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few oneDNN calls whose C interface changed from version 2 to 3, under one
 * spelling.
 */
#ifndef GN2_KERNELS_ONEDNN_API_H
#define GN2_KERNELS_ONEDNN_API_H

#include <dnnl.h>

/* A matrix (rows, cols) of `type`: element (r, c) at r·step_r + c·step_c, or in the
 * layout oneDNN likes best where step_r is 0. */
typedef struct matrix_shape {
    int64_t rows, cols, step_r, step_c;
    dnnl_data_type_t type;
} matrix_shape;

/* What a product is made from. bias NULL: none. */
typedef struct matmul_parts {
    const dnnl_memory_desc_t *src, *weights, *bias, *dst;
} matmul_parts;

#if DNNL_VERSION_MAJOR >= 3

typedef const_dnnl_memory_desc_t desc_ref;

static inline desc_ref desc_of(const dnnl_memory_desc_t *d)
{
    return *d;
}

static inline dnnl_status_t desc_make(dnnl_memory_desc_t *d, const matrix_shape *s)
{
    const dnnl_dims_t dims = {s->rows, s->cols}, steps = {s->step_r, s->step_c};
    if (!s->step_r)
        return dnnl_memory_desc_create_with_tag(d, 2, dims, s->type,
                                                dnnl_format_tag_any);
    return dnnl_memory_desc_create_with_strides(d, 2, dims, s->type, steps);
}

static inline dnnl_status_t desc_copy(dnnl_memory_desc_t *d, desc_ref from)
{
    return dnnl_memory_desc_clone(d, from);
}

static inline void desc_free(dnnl_memory_desc_t *d)
{
    if (*d) dnnl_memory_desc_destroy(*d);
    *d = NULL;
}

static inline dnnl_status_t matmul_desc_make(dnnl_primitive_desc_t *pd,
                                             const matmul_parts *m,
                                             dnnl_primitive_attr_t attr,
                                             dnnl_engine_t engine)
{
    return dnnl_matmul_primitive_desc_create(pd, engine, *m->src, *m->weights,
                                             m->bias ? *m->bias : NULL, *m->dst, attr);
}

static inline dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_f32);
}

#else

typedef const dnnl_memory_desc_t *desc_ref;

static inline desc_ref desc_of(const dnnl_memory_desc_t *d)
{
    return d;
}

static inline dnnl_status_t desc_make(dnnl_memory_desc_t *d, const matrix_shape *s)
{
    const dnnl_dims_t dims = {s->rows, s->cols}, steps = {s->step_r, s->step_c};
    if (!s->step_r)
        return dnnl_memory_desc_init_by_tag(d, 2, dims, s->type, dnnl_format_tag_any);
    return dnnl_memory_desc_init_by_strides(d, 2, dims, s->type, steps);
}

static inline dnnl_status_t desc_copy(dnnl_memory_desc_t *d, desc_ref from)
{
    *d = *from;
    return dnnl_success;
}

static inline void desc_free(dnnl_memory_desc_t *d)
{
    (void)d;
}

static inline dnnl_status_t matmul_desc_make(dnnl_primitive_desc_t *pd,
                                             const matmul_parts *m,
                                             dnnl_primitive_attr_t attr,
                                             dnnl_engine_t engine)
{
    dnnl_matmul_desc_t op;
    const dnnl_status_t status =
        dnnl_matmul_desc_init(&op, m->src, m->weights, m->bias, m->dst);
    if (status != dnnl_success) return status;
    return dnnl_primitive_desc_create(pd, &op, attr, engine, NULL);
}

static inline dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1.0f);
}

#endif
#endif
