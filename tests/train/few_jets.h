/* SPDX-License-Identifier: Apache-2.0 */
/* JETS jets of TRACKS tracks each with the default inputs, and their classes, as static
 * arrays of a test that comes in as a user does; it says the two numbers first. */
#ifndef GN2_TESTS_FEW_JETS_H
#define GN2_TESTS_FEW_JETS_H

#include <gn2/tagger.h>

#include "../common/labels.h"

static float features[JETS * 2], tracks[JETS * TRACKS * 19];
static int64_t offsets[JETS + 1];
static int32_t flavour[JETS];
static const gn2_sequence sequence = {
    .struct_size = sizeof sequence, .data = tracks, .offsets = offsets};
static const gn2_jets jets = {.struct_size = sizeof jets,
                              .sequence_count = 1,
                              .count = JETS,
                              .features = features,
                              .sequences = &sequence};

/* Inputs are left as they are, zero. */
static inline void fill_jets(void)
{
    for (int i = 0; i <= JETS; i++) offsets[i] = TRACKS * i;
    for (int i = 0; i < JETS; i++) flavour[i] = i % 4;
}

#endif
