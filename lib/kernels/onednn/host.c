/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/onednn/host.h"

#include <stdarg.h>
#include <stdio.h>

#include "util/alloc.h"
#include "util/error.h"

#undef gn2_fail
#undef gn2_fail_memory

static gn2_onednn_host its; /* set once, before the first product */

void gn2_onednn_host_set(const gn2_onednn_host *host)
{
    its = *host;
}

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
