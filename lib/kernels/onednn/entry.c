/* SPDX-License-Identifier: Apache-2.0 */
/* Entry of the oneDNN module. */
#include "kernels/onednn/module.h"

#include "kernels/onednn/backend.h"
#include "kernels/onednn/host.h"
#include "util/error.h"

/* The symbols of oneDNN carry no version, so another one may have been bound. */
static gn2_status start(const gn2_onednn_host *host)
{
    const dnnl_version_t *v = dnnl_version();
    gn2_onednn_host_set(host);
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
