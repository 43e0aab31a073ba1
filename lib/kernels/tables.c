/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables: reference first, then overwritten in rising ISA order. The table in
 * double is the reference alone. No maths here.
 */
#include "kernels/fill.h"

#include <pthread.h>
#include <stddef.h>

/* Who fills a set's slots, then NULL. */
static R(gn2_fill) *const fills[GN2_ISA_BEST + 1][8] = {
    {R(gn2_ref_attention), R(gn2_ref_loss), R(gn2_ref_mul), R(gn2_ref_norm),
     R(gn2_ref_optim), R(gn2_ref_pair)},
#if defined(GN2_X86) && !defined(GN2_REAL_DOUBLE)
    {gn2_attention_avx2, gn2_loss_avx2, gn2_norm_avx2, gn2_optim_avx2, gn2_pair_avx2},
    {gn2_attention_avx512, gn2_loss_avx512, gn2_norm_avx512, gn2_optim_avx512,
     gn2_pair_avx512},
#endif
};
static R(gn2_kernels) tables[GN2_ISA_BEST + 1];
static unsigned highest; /* asked once: CPUID is slow in virtual machines */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill_tables(void)
{
    highest = (unsigned)gn2_isa_detect();
    while (!fills[highest][0]) highest--;
    /* no further: filling runs code that was compiled for that set */
    for (unsigned cap = 0; cap <= highest; cap++) {
        tables[cap].isa = (gn2_isa)cap;
        for (unsigned isa = 0; isa <= cap; isa++)
            for (R(gn2_fill) *const *fill = fills[isa]; *fill; fill++)
                (*fill)(&tables[cap]);
    }
}

const R(gn2_kernels) *R(gn2_kernels_get)(gn2_isa cap)
{
    pthread_once(&once, fill_tables);
    return &tables[(unsigned)cap < highest ? (unsigned)cap : highest];
}
