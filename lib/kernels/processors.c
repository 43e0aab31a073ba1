/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/processors.h"

#include <string.h>

/*
 * EPYC Genoa (Zen 4): dot products 232 GFLOP/s a core where f32 does 117; one jet 1.39
 * and 1.82 times as fast at widths 64 and 256, batches 1.53 and 1.89 times, training
 * 1.50 and 1.70 times, by our own products: medians of turns on an idle machine.
 *
 * Xeon, Emerald Rapids, its AMX hidden by the virtual machine: dot products 85 GFLOP/s
 * where f32 does 176 (best of 40 turns); batches 0.92 and 1.03 times as fast at widths
 * 64 and 256, training 0.83 and 0.94 times, by our own products: medians of turns, of
 * the processor time of one pinned thread, on a machine that was busy with other work.
 */
static const gn2_processor_row rows[] = {
    {"AuthenticAMD", 25, 17, 17, GN2_BF16_AVX512, 1, 64, 64},
    {"GenuineIntel", 6, 207, 207, GN2_BF16_AVX512, 0, 0, 0},
};

const gn2_processor_row *gn2_processor_find(const gn2_processor *processor)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const gn2_processor_row *r = &rows[i];
        if (strcmp(r->vendor, processor->vendor) == 0 &&
            r->family == processor->family && r->first <= processor->model &&
            processor->model <= r->last && r->bf16 == processor->bf16)
            return r;
    }
    return NULL;
}

int gn2_processor_pays(const gn2_processor *processor, int training, int64_t width)
{
    const gn2_processor_row *row = gn2_processor_find(processor);
    if (!row) return 0;
    const int64_t least = training ? row->train_width : row->tag_width;
    return least > 0 && width >= least;
}

int gn2_processor_dots(void)
{
    gn2_processor here;
    gn2_processor_detect(&here);
    if (here.bf16 == GN2_BF16_NONE) return 0;
    const gn2_processor_row *row = gn2_processor_find(&here);
    return row ? row->dots : strcmp(here.vendor, "AuthenticAMD") == 0;
}
