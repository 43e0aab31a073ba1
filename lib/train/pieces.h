/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arena of parameters cut into pieces for flat loops: a piece lies in one
 * tensor, and the cut depends on the shapes alone, so sums over pieces are the
 * same for any number of threads.
 */
#ifndef GN2_TRAIN_PIECES_H
#define GN2_TRAIN_PIECES_H

#include "net/params.h"
#include "optim/optimizer.h"

gn2_status gn2_pieces_create(const gn2_params *params, gn2_pieces *out);
void gn2_pieces_free(gn2_pieces *pieces);

#endif
