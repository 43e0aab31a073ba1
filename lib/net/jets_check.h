/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one check of the shape of a gn2_jets, whoever takes it: tagger, trainer and
 * dataset give the same status and message. Values are not looked at.
 */
#ifndef GN2_NET_JETS_CHECK_H
#define GN2_NET_JETS_CHECK_H

#include <gn2/tagger.h>

#include "net/hparams.h"

/* What the jets have to look like; 0: the jets, then the constituent types. */
typedef struct gn2_jets_form {
    int32_t sequence_count;
    const char *name[1 + GN2_MAX_SEQUENCES];
    int64_t columns[1 + GN2_MAX_SEQUENCES]; /* of a row of the caller */
} gn2_jets_form;

/* Structs are of the library's own size, sequences without a stride. After it every
 * offset, and every size in bytes that follows from counts and strides, fits. */
gn2_status gn2_jets_check(const gn2_jets *jets, const gn2_jets_form *form);

/* Rows of data a sequence of checked `jets` has: N, or B·slots when padded. */
int64_t gn2_sequence_rows(const gn2_jets *jets, int sequence);

#endif
