/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why the labels of some jets may not be used. Kept until somebody asks for labels:
 * who only tags does not look at them.
 */
#ifndef GN2_DATA_TROUBLE_H
#define GN2_DATA_TROUBLE_H

#include "util/error.h"

typedef struct gn2_trouble {
    gn2_status status; /* GN2_OK: none */
    char text[GN2_ERROR_SIZE];
} gn2_trouble;

/* Keeps a failure and this thread's message of it; the first one stays. */
void gn2_trouble_keep(gn2_trouble *trouble, gn2_status status);
/* The same where most often nothing failed, row after row. */
static inline void gn2_trouble_note(gn2_trouble *trouble, gn2_status status)
{
    if (status != GN2_OK) gn2_trouble_keep(trouble, status);
}
/* The same of what was noted elsewhere. */
void gn2_trouble_pass(gn2_trouble *trouble, const gn2_trouble *other);
/* Fails as was noted; GN2_OK if nothing was. */
gn2_status gn2_trouble_raise(const gn2_trouble *trouble);

#endif
