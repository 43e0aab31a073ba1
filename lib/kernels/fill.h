/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who fills the table: one function a file, called by tables.c alone. The
 * reference fills every slot, the files of an instruction set overwrite theirs.
 */
#ifndef GN2_KERNELS_FILL_H
#define GN2_KERNELS_FILL_H

#include "kernels/kernels.h"

typedef void R(gn2_fill)(R(gn2_kernels) *table);

R(gn2_fill) R(gn2_ref_attention), R(gn2_ref_loss), R(gn2_ref_mul), R(gn2_ref_norm);
R(gn2_fill) R(gn2_ref_optim), R(gn2_ref_pair);

#if defined(GN2_X86) && !defined(GN2_REAL_DOUBLE)
gn2_fill_f32 gn2_attention_avx2, gn2_loss_avx2, gn2_norm_avx2;
gn2_fill_f32 gn2_optim_avx2, gn2_pair_avx2;
gn2_fill_f32 gn2_attention_avx512, gn2_loss_avx512, gn2_norm_avx512;
gn2_fill_f32 gn2_optim_avx512, gn2_pair_avx512;
#endif

#endif
