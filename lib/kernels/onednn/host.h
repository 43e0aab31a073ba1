/* SPDX-License-Identifier: Apache-2.0 */
/* util/alloc.h and util/error.h inside the module: forwarded to the library. */
#ifndef GN2_KERNELS_ONEDNN_HOST_H
#define GN2_KERNELS_ONEDNN_HOST_H

#include "kernels/onednn/module.h"

/* Whose functions they are from now on; copied. */
void gn2_onednn_host_set(const gn2_onednn_host *host);

#endif
