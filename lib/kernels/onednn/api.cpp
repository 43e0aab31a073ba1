// SPDX-License-Identifier: Apache-2.0
// The one file of the library in C++, inside the module that needs C++ anyway.
#include "kernels/onednn/api.h"

#include <new>

namespace
{

// oneDNN remembers a primitive from before it is made: one whose making was broken off
// would be found, and fail, for ever.
void forget_primitives()
{
    int capacity = 0;
    if (dnnl_get_primitive_cache_capacity(&capacity) != dnnl_success) return;
    dnnl_set_primitive_cache_capacity(0);
    dnnl_set_primitive_cache_capacity(capacity);
}

template <typename Call> dnnl_status_t caught(Call call) noexcept
{
    dnnl_status_t status = dnnl_runtime_error;
    try {
        return call();
    } catch (const std::bad_alloc &) {
        status = dnnl_out_of_memory;
    } catch (...) {
    }
    try {
        forget_primitives();
    } catch (...) {
    }
    return status;
}

dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_f32);
#else
    return dnnl_post_ops_append_sum(ops, 1.0f);
#endif
}

dnnl_status_t set_accumulate(dnnl_primitive_attr_t attr)
{
    dnnl_post_ops_t ops = nullptr;
    dnnl_status_t s = dnnl_post_ops_create(&ops);
    if (!s) s = append_sum(ops);
    if (!s) s = dnnl_primitive_attr_set_post_ops(attr, ops);
    if (ops) dnnl_post_ops_destroy(ops);
    return s;
}

} // namespace

dnnl_status_t gn2_dnnl_make_engine(dnnl_engine_t *engine)
{
    return caught([=] { return dnnl_engine_create(engine, dnnl_cpu, 0); });
}

dnnl_status_t gn2_dnnl_make_stream(dnnl_stream_t *stream, dnnl_engine_t engine)
{
    return caught(
        [=] { return dnnl_stream_create(stream, engine, dnnl_stream_default_flags); });
}

dnnl_status_t gn2_dnnl_make_desc(dnnl_memory_desc_t *d, const matrix_shape *s)
{
    const dnnl_dims_t dims = {s->rows, s->cols}, steps = {s->step_r, s->step_c};
    return caught([&] {
#if DNNL_VERSION_MAJOR >= 3
        if (!s->step_r)
            return dnnl_memory_desc_create_with_tag(d, 2, dims, s->type,
                                                    dnnl_format_tag_any);
        return dnnl_memory_desc_create_with_strides(d, 2, dims, s->type, steps);
#else
        if (!s->step_r)
            return dnnl_memory_desc_init_by_tag(d, 2, dims, s->type,
                                                dnnl_format_tag_any);
        return dnnl_memory_desc_init_by_strides(d, 2, dims, s->type, steps);
#endif
    });
}

dnnl_status_t gn2_dnnl_copy_desc(dnnl_memory_desc_t *d, desc_ref from)
{
#if DNNL_VERSION_MAJOR >= 3
    return caught([=] { return dnnl_memory_desc_clone(d, from); });
#else
    *d = *from;
    return dnnl_success;
#endif
}

dnnl_status_t gn2_dnnl_make_attr(dnnl_primitive_attr_t *attr, int accumulate)
{
    return caught([=] {
        dnnl_status_t s = dnnl_primitive_attr_create(attr);
        // Strict: an environment variable could allow lower precision.
        if (!s) s = dnnl_primitive_attr_set_fpmath_mode(*attr, dnnl_fpmath_mode_strict);
        if (!s)
            s = dnnl_primitive_attr_set_scratchpad_mode(*attr,
                                                        dnnl_scratchpad_mode_user);
        return !s && accumulate ? set_accumulate(*attr) : s;
    });
}

dnnl_status_t gn2_dnnl_make_matmul(dnnl_primitive_desc_t *pd, const matmul_parts *m,
                                   dnnl_primitive_attr_t attr, dnnl_engine_t engine)
{
    return caught([=] {
#if DNNL_VERSION_MAJOR >= 3
        return dnnl_matmul_primitive_desc_create(pd, engine, *m->src, *m->weights,
                                                 m->bias ? *m->bias : nullptr, *m->dst,
                                                 attr);
#else
        dnnl_matmul_desc_t op;
        const dnnl_status_t s =
            dnnl_matmul_desc_init(&op, m->src, m->weights, m->bias, m->dst);
        return s ? s : dnnl_primitive_desc_create(pd, &op, attr, engine, nullptr);
#endif
    });
}

dnnl_status_t gn2_dnnl_make_reorder(dnnl_primitive_desc_t *pd, desc_ref from,
                                    desc_ref to, dnnl_engine_t engine)
{
    return caught([=] {
        return dnnl_reorder_primitive_desc_create(pd, from, engine, to, engine,
                                                  nullptr);
    });
}

dnnl_status_t gn2_dnnl_make_primitive(dnnl_primitive_t *primitive,
                                      dnnl_primitive_desc_t pd)
{
    return caught([=] { return dnnl_primitive_create(primitive, pd); });
}

dnnl_status_t gn2_dnnl_make_memory(dnnl_memory_t *memory, desc_ref d,
                                   dnnl_engine_t engine, void *data)
{
    return caught([=] { return dnnl_memory_create(memory, d, engine, data); });
}

dnnl_status_t gn2_dnnl_execute(dnnl_primitive_t primitive, dnnl_stream_t stream,
                               int count, const dnnl_exec_arg_t *args)
{
    return caught([=] {
        const dnnl_status_t s = dnnl_primitive_execute(primitive, stream, count, args);
        return s ? s : dnnl_stream_wait(stream);
    });
}
