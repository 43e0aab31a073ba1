/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libgn2 asks of its oneDNN module (gn2-onednn.so): a back end of products. No
 * type of oneDNN shows here. The module has no heap and no messages of its own, so that
 * what one side allocates the other may free.
 */
#ifndef GN2_KERNELS_ONEDNN_MODULE_H
#define GN2_KERNELS_ONEDNN_MODULE_H

#include "kernels/product_backend.h"

/* Changes with anything below and in product_backend.h; a module of another number is
 * refused. */
#define GN2_ONEDNN_MODULE_VERSION 3

/* What the library lends: gn2_alloc, gn2_free, and gn2_fail of a finished text. */
typedef struct gn2_onednn_host {
    void *(*alloc)(size_t count, size_t size);
    void (*release)(void *block);
    gn2_status (*fail)(gn2_status status, const char *text);
} gn2_onednn_host;

typedef struct gn2_onednn_module {
    uint32_t version;
    /* Once, before anything else: GN2_ERR_UNSUPPORTED where the oneDNN that was loaded
     * has another major version than the one it was compiled for. */
    gn2_status (*start)(const gn2_onednn_host *host);
    /* Arithmetic in bf16 that oneDNN offers, which may be less than the processor's:
     * its version, its environment and the kernel's permission for AMX tiles count. */
    gn2_bf16 (*bf16)(void);
    const gn2_product_ops_f32 *ops;
} gn2_onednn_module;

/* The one symbol of the module, `const gn2_onednn_module *symbol(void)`. */
#define GN2_ONEDNN_MODULE_SYMBOL "gn2_onednn_module_table"

#endif
