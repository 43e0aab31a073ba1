/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/product_onednn.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "kernels/onednn/module.h"
#include "util/alloc.h"
#include "util/module.h"

/* Settled by the first search that memory does not cut short. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static atomic_int settled;
static const gn2_onednn_module *module;
static char error[GN2_ERROR_SIZE];

/* While the module starts its message is kept: the call that loads it may not fail, and
 * the thread's last message stays. */
static gn2_status fail(gn2_status status, const char *text)
{
    if (atomic_load(&settled)) return gn2_fail(status, "%s", text);
    snprintf(error, sizeof error, "%s", text);
    return status;
}

#ifdef GN2_ONEDNN_VERSION

static const gn2_module onednn = {.title = "oneDNN module",
                                  .file = "gn2-onednn.so",
                                  .symbol = GN2_ONEDNN_MODULE_SYMBOL,
                                  .version = GN2_ONEDNN_MODULE_VERSION,
                                  .memory = (size_t)128 << 20};

static gn2_status search(void)
{
    static const gn2_onednn_host host = {gn2_alloc, gn2_free, fail};
    const void *table;
    GN2_TRY(gn2_module_open(&onednn, &table, error));
    const gn2_onednn_module *found = table;
    GN2_TRY(found->start(&host));
    module = found;
    return GN2_OK;
}

const char *gn2_onednn_version(void)
{
    return gn2_module_present(&onednn) ? GN2_ONEDNN_VERSION : "none";
}

#else

static gn2_status search(void)
{
    return fail(GN2_ERR_UNSUPPORTED, "this libgn2 was built without oneDNN");
}

const char *gn2_onednn_version(void)
{
    return "none";
}

#endif

gn2_status gn2_onednn_find(void)
{
    gn2_status status = GN2_OK;
    if (!atomic_load(&settled)) {
        pthread_mutex_lock(&mutex);
        if (!atomic_load(&settled)) status = search();
        if (status != GN2_ERR_NO_MEMORY) atomic_store(&settled, 1);
        pthread_mutex_unlock(&mutex);
        if (status == GN2_ERR_NO_MEMORY) return status;
    }
    return module ? GN2_OK : GN2_ERR_UNSUPPORTED;
}

gn2_status gn2_onednn_load(void)
{
    const gn2_status status = gn2_onednn_find();
    if (status == GN2_ERR_NO_MEMORY) return gn2_fail_memory();
    return status == GN2_OK ? GN2_OK : gn2_fail(status, "%s", error);
}

gn2_status gn2_onednn_bf16(gn2_bf16 *out_have)
{
    *out_have = GN2_BF16_NONE;
    if (gn2_bf16_detect() == GN2_BF16_NONE) return GN2_OK;
    const gn2_status status = gn2_onednn_find();
    if (status == GN2_ERR_NO_MEMORY) return gn2_fail_memory();
    if (status == GN2_OK) *out_have = module->bf16();
    return GN2_OK;
}

gn2_status gn2_onednn_ops(const gn2_product_ops_f32 **out_ops)
{
    GN2_TRY(gn2_onednn_load());
    *out_ops = module->ops;
    return GN2_OK;
}
