/* SPDX-License-Identifier: Apache-2.0 */
#include "common/need.h"

#include <stdio.h>
#include <stdlib.h>

#include "util/alloc.h"
#include "util/error.h"

#define MESON_ERROR 99

void *need_memory(size_t count, size_t size)
{
    void *block = gn2_alloc(count, size);
    need_true(block != NULL, "memory");
    return block;
}

void need_ok(gn2_status status, const char *what)
{
    if (status == GN2_OK) return;
    fprintf(stderr, "%s: %s\n", what, gn2_error_text());
    exit(MESON_ERROR);
}

void need_true(int condition, const char *what)
{
    if (condition) return;
    fprintf(stderr, "needed, but not so: %s\n", what);
    exit(MESON_ERROR);
}
