/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who fills the table: one function a file, called by kernels.c alone. The
 * reference fills every slot, the files of an instruction set overwrite theirs.
 */
#ifndef GN2_KERNELS_FILL_H
#define GN2_KERNELS_FILL_H

#include "kernels/kernels.h"

void R(gn2_ref_attention)(R(gn2_kernels) * table);
void R(gn2_ref_loss)(R(gn2_kernels) * table);
void R(gn2_ref_mul)(R(gn2_kernels) * table);
void R(gn2_ref_norm)(R(gn2_kernels) * table);
void R(gn2_ref_optim)(R(gn2_kernels) * table);
void R(gn2_ref_pair)(R(gn2_kernels) * table);
void R(gn2_ref_vector)(R(gn2_kernels) * table);

#endif
