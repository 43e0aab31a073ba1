/* SPDX-License-Identifier: Apache-2.0 */
/* Both ends of the oneDNN module: its entry, and util/alloc.h and util/error.h inside
 * it, forwarded to the library. */
#include <stdarg.h>
#include <stdio.h>

#include "kernels/onednn/backend.h"
#include "kernels/onednn/module.h"
#include "util/error.h"

static gn2_onednn_host its; /* set once, before the first product */

/* The symbols of oneDNN carry no version, so another one may have been bound. */
static gn2_status start(const gn2_onednn_host *host)
{
    const dnnl_version_t *v = dnnl_version();
    its = *host;
    if (v->major == DNNL_VERSION_MAJOR) return GN2_OK;
    return gn2_fail(GN2_ERR_UNSUPPORTED,
                    "the oneDNN module was made for oneDNN %d, %d.%d.%d was loaded",
                    DNNL_VERSION_MAJOR, v->major, v->minor, v->patch);
}

/* Sets of instructions are bit masks, each holding those it needs. */
static gn2_bf16 bf16(void)
{
    const gn2_bf16 have = gn2_bf16_detect();
    if (have == GN2_BF16_NONE) return have;
    const int used = (int)dnnl_get_effective_cpu_isa();
    const int amx = dnnl_cpu_isa_avx512_core_amx, half = dnnl_cpu_isa_avx512_core_bf16;
    if ((used & half) != half) return GN2_BF16_NONE;
    return (used & amx) == amx ? have : GN2_BF16_AVX512;
}

static const gn2_onednn_module module = {
    .version = GN2_ONEDNN_MODULE_VERSION,
    .start = start,
    .bf16 = bf16,
    .ops = &gn2_dnnl_ops,
};

__attribute__((visibility("default"))) const gn2_onednn_module *
gn2_onednn_module_table(void);

const gn2_onednn_module *gn2_onednn_module_table(void)
{
    return &module;
}

#undef gn2_fail
#undef gn2_fail_memory

void *gn2_alloc(size_t count, size_t size)
{
    return its.alloc(count, size);
}

void gn2_free(void *block)
{
    its.release(block);
}

gn2_status gn2_fail(gn2_status status, const char *format, ...)
{
    char text[GN2_ERROR_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return its.fail(status, text);
}

gn2_status gn2_fail_memory(void)
{
    return its.fail(GN2_ERR_NO_MEMORY, "out of memory");
}
