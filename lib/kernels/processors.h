/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was measured of processors that multiply bf16: a table that ships, so that what
 * is computed, and how, never depends on a clock. `gn2 bench precision` prints a row.
 */
#ifndef GN2_KERNELS_PROCESSORS_H
#define GN2_KERNELS_PROCESSORS_H

#include "kernels/kernels.h"

/* As CPUID names it: leaf 0, and leaf 1 with the extended parts added. */
typedef struct gn2_processor {
    char vendor[13];
    int family, model;
    gn2_bf16 bf16;
} gn2_processor;

/* One row: models first … last of a family that offer just this of bf16. */
typedef struct gn2_processor_row {
    const char *vendor;
    int family, first, last;
    gn2_bf16 bf16;
    int dots; /* dot products of bf16 outrun multiply-adds of floats */
    /* least model.embed_dim from which bf16 outruns f32; 0: it does not */
    int64_t tag_width, train_width;
} gn2_processor_row;

void gn2_processor_detect(gn2_processor *out);

/* Its row, or NULL where nobody has measured. */
const gn2_processor_row *gn2_processor_find(const gn2_processor *processor);

/* Whether bf16 outruns f32 in a network of this width; 0 where nobody has measured. */
int gn2_processor_pays(const gn2_processor *processor, int training, int64_t width);

/* Whether own products in bf16 should take dot products here; their bits are those of
 * multiply-adds, so that where nothing was measured the vendor may decide. */
int gn2_processor_dots(void);

#endif
