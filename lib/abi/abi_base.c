/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of base.h: versions, features, messages, logging. */
#include <gn2/base.h>

#include <pthread.h>
#include <stdio.h>
#include <zlib.h>

#include "data/module.h"
#include "kernels/kernels.h"
#include "kernels/product_onednn.h"
#include "net/backend.h"
#include "util/error.h"

const char *gn2_version(void)
{
    return GN2_VERSION_STRING;
}

int32_t gn2_abi_version(void)
{
    return GN2_ABI_VERSION;
}

static char features_text[256];

static void write_features(void)
{
    const int hdf5 = gn2_h5_present();
    snprintf(features_text, sizeof features_text,
             "isa=%s gemm=%s onednn=%s zlib=%s hdf5=%s filters=%s",
             gn2_isa_name(gn2_isa_detect()), gn2_compute_auto_name(),
             gn2_onednn_version(), zlibVersion(), hdf5 ? GN2_HDF5_VERSION : "none",
             hdf5 ? GN2_HDF5_FILTERS : "none");
}

const char *gn2_features(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, write_features);
    return features_text;
}

const char *gn2_last_error(void)
{
    return gn2_error_text();
}

int32_t gn2_last_error_of_network(void)
{
    return gn2_error_of_network();
}

/* by −status */
static const char *const status_names[] = {
    "GN2_OK",
    "GN2_ERR_INVALID_ARG",
    "GN2_ERR_NO_MEMORY",
    "GN2_ERR_IO",
    "GN2_ERR_FORMAT",
    "GN2_ERR_VERSION",
    "GN2_ERR_SHAPE",
    "GN2_ERR_NOT_FOUND",
    "GN2_ERR_STATE",
    "GN2_ERR_NUMERIC",
    "GN2_ERR_ABI",
    "GN2_ERR_BUSY",
    "GN2_ERR_CANCELLED",
    "GN2_ERR_UNSUPPORTED",
    "GN2_ERR_INTERNAL",
};

const char *gn2_status_name(gn2_status status)
{
    const int64_t count = sizeof status_names / sizeof status_names[0];
    const int64_t index = -(int64_t)status;
    if (index < 0 || index >= count) return "GN2_ERR_UNKNOWN";
    return status_names[index];
}

void gn2_set_log(gn2_log_fn fn, void *user)
{
    gn2_log_set(fn, user);
}

void gn2_get_log(gn2_log_fn *out_fn, void **out_user)
{
    gn2_log_get(out_fn, out_user);
}
