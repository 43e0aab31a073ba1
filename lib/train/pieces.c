/* SPDX-License-Identifier: Apache-2.0 */
#include "train/pieces.h"

#include "util/alloc.h"
#include "util/error.h"

/* Elements of a piece: the gradients of 8 shards (256 kB) fit a second-level
 * cache, and a width-256 model still makes some 300 pieces. */
#define PIECE 8192

static size_t pieces_of(const gn2_tensor *t)
{
    return (size_t)((t->count + PIECE - 1) / PIECE);
}

gn2_status gn2_pieces_create(const gn2_params *params, gn2_pieces *out)
{
    *out = (gn2_pieces){0};
    size_t count = 0;
    for (size_t i = 0; i < params->count; i++) count += pieces_of(&params->tensor[i]);
    gn2_piece *piece = gn2_alloc(count, sizeof *piece);
    if (!piece) return gn2_fail_memory();
    out->piece = piece;
    for (size_t i = 0; i < params->count; i++) {
        const gn2_tensor *t = &params->tensor[i];
        for (int64_t at = 0; at < t->count; at += PIECE) {
            const int64_t left = t->count - at;
            out->piece[out->count++] = (gn2_piece){
                t->offset + at, left < PIECE ? left : PIECE, t->lr_mult, t->wd_mult};
        }
    }
    return GN2_OK;
}

void gn2_pieces_free(gn2_pieces *pieces)
{
    gn2_free(pieces->piece);
    *pieces = (gn2_pieces){0};
}
