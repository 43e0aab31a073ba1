/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls of oneDNN that make or run something. Its C interface changed from version
 * 2 to 3, and it lets C++ exceptions through, std::bad_alloc first of all: here they
 * have one spelling, and say by their status what went wrong.
 */
#ifndef GN2_KERNELS_ONEDNN_API_H
#define GN2_KERNELS_ONEDNN_API_H

#include <dnnl.h>

#ifdef __cplusplus
extern "C" {
#endif

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

static inline void desc_free(dnnl_memory_desc_t *d)
{
    if (*d) dnnl_memory_desc_destroy(*d);
    *d = NULL;
}

#else

typedef const dnnl_memory_desc_t *desc_ref;

static inline desc_ref desc_of(const dnnl_memory_desc_t *d)
{
    return d;
}

static inline void desc_free(dnnl_memory_desc_t *d)
{
    (void)d;
}

#endif

dnnl_status_t gn2_dnnl_make_engine(dnnl_engine_t *engine);
dnnl_status_t gn2_dnnl_make_stream(dnnl_stream_t *stream, dnnl_engine_t engine);
dnnl_status_t gn2_dnnl_make_desc(dnnl_memory_desc_t *d, const matrix_shape *s);
dnnl_status_t gn2_dnnl_copy_desc(dnnl_memory_desc_t *d, desc_ref from);
/* On the caller's scratch, in the arithmetic asked for; adding to what is there. */
dnnl_status_t gn2_dnnl_make_attr(dnnl_primitive_attr_t *attr, int accumulate);
dnnl_status_t gn2_dnnl_make_matmul(dnnl_primitive_desc_t *pd, const matmul_parts *m,
                                   dnnl_primitive_attr_t attr, dnnl_engine_t engine);
dnnl_status_t gn2_dnnl_make_reorder(dnnl_primitive_desc_t *pd, desc_ref from,
                                    desc_ref to, dnnl_engine_t engine);
dnnl_status_t gn2_dnnl_make_primitive(dnnl_primitive_t *primitive,
                                      dnnl_primitive_desc_t pd);
dnnl_status_t gn2_dnnl_make_memory(dnnl_memory_t *memory, desc_ref d,
                                   dnnl_engine_t engine, void *data);
/* Runs and waits. */
dnnl_status_t gn2_dnnl_execute(dnnl_primitive_t primitive, dnnl_stream_t stream,
                               int count, const dnnl_exec_arg_t *args);

#ifdef __cplusplus
}
#endif
#endif
