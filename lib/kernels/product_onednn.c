/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/product_onednn.h"

#include <pthread.h>
#include <stdio.h>

#include "kernels/onednn/module.h"
#include "util/alloc.h"
#include "util/module.h"

#ifdef GN2_ONEDNN_VERSION

static const gn2_module onednn = {.title = "oneDNN module",
                                  .file = "gn2-onednn.so",
                                  .symbol = GN2_ONEDNN_MODULE_SYMBOL,
                                  .version = GN2_ONEDNN_MODULE_VERSION};

/* Written once, by load(). */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static const gn2_onednn_module *module;
static char error[GN2_ERROR_SIZE];

/* While the module starts its message is kept: the call that loads it may not fail, and
 * the thread's last message stays. */
static gn2_status fail(gn2_status status, const char *text)
{
    if (module) return gn2_fail(status, "%s", text);
    snprintf(error, sizeof error, "%s", text);
    return status;
}

static void load(void)
{
    static const gn2_onednn_host host = {gn2_alloc, gn2_free, fail};
    const gn2_onednn_module *found = gn2_module_open(&onednn, error);
    if (found && found->start(&host) == GN2_OK) module = found;
}

const char *gn2_onednn_version(void)
{
    return gn2_module_present(&onednn) ? GN2_ONEDNN_VERSION : "none";
}

int gn2_onednn_usable(void)
{
    pthread_once(&once, load);
    return module != NULL;
}

gn2_status gn2_onednn_load(void)
{
    return gn2_onednn_usable() ? GN2_OK : gn2_fail(GN2_ERR_UNSUPPORTED, "%s", error);
}

gn2_bf16 gn2_onednn_bf16(void)
{
    const int asked = gn2_bf16_detect() != GN2_BF16_NONE && gn2_onednn_usable();
    return asked ? module->bf16() : GN2_BF16_NONE;
}

gn2_status gn2_onednn_ops(const gn2_product_ops_f32 **out_ops)
{
    GN2_TRY(gn2_onednn_load());
    *out_ops = &module->ops;
    return GN2_OK;
}

#else

const char *gn2_onednn_version(void)
{
    return "none";
}

int gn2_onednn_usable(void)
{
    return 0;
}

gn2_status gn2_onednn_load(void)
{
    return gn2_fail(GN2_ERR_UNSUPPORTED, "this libgn2 was built without oneDNN");
}

gn2_bf16 gn2_onednn_bf16(void)
{
    return GN2_BF16_NONE;
}

gn2_status gn2_onednn_ops(const gn2_product_ops_f32 **out_ops)
{
    *out_ops = NULL;
    return gn2_onednn_load();
}

#endif
