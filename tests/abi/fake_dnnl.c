/* SPDX-License-Identifier: Apache-2.0 */
/* Stands for another oneDNN in the program that loads libgn2: oneDNN's symbols carry no
 * version, and calling one release by the interface of another crashes. So does this.
 */
#include <stdlib.h>

#define FAKE(name)   \
    void name(void); \
    void name(void)  \
    {                \
        abort();     \
    }

FAKE(dnnl_engine_create)
FAKE(dnnl_get_effective_cpu_isa)
FAKE(dnnl_matmul_desc_init)
FAKE(dnnl_matmul_primitive_desc_create)
FAKE(dnnl_memory_create)
FAKE(dnnl_memory_desc_clone)
FAKE(dnnl_memory_desc_create_with_strides)
FAKE(dnnl_memory_desc_create_with_tag)
FAKE(dnnl_memory_desc_destroy)
FAKE(dnnl_memory_desc_get_size)
FAKE(dnnl_memory_desc_init_by_strides)
FAKE(dnnl_memory_desc_init_by_tag)
FAKE(dnnl_memory_destroy)
FAKE(dnnl_memory_set_data_handle)
FAKE(dnnl_post_ops_append_sum)
FAKE(dnnl_post_ops_create)
FAKE(dnnl_post_ops_destroy)
FAKE(dnnl_primitive_attr_create)
FAKE(dnnl_primitive_attr_destroy)
FAKE(dnnl_primitive_attr_set_fpmath_mode)
FAKE(dnnl_primitive_attr_set_post_ops)
FAKE(dnnl_primitive_attr_set_scratchpad_mode)
FAKE(dnnl_primitive_create)
FAKE(dnnl_primitive_desc_create)
FAKE(dnnl_primitive_desc_destroy)
FAKE(dnnl_primitive_desc_query_md)
FAKE(dnnl_primitive_destroy)
FAKE(dnnl_primitive_execute)
FAKE(dnnl_reorder_primitive_desc_create)
FAKE(dnnl_stream_create)
FAKE(dnnl_stream_destroy)
FAKE(dnnl_stream_wait)
FAKE(dnnl_version)
