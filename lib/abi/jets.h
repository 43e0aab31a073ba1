/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's gn2_jets, whatever its struct sizes, as structs of our own size. */
#ifndef GN2_ABI_JETS_H
#define GN2_ABI_JETS_H

#include <gn2/dataset.h>

#include "abi/guard.h"
#include "net/hparams.h"

typedef struct gn2_jets_view {
    gn2_jets jets; /* sequences points to the array below */
    gn2_sequence sequence[GN2_MAX_SEQUENCES];
} gn2_jets_view;

gn2_status gn2_jets_read(gn2_jets_view *view, const gn2_jets *theirs);

/* The same of gn2_labels; names are there and differ. */
typedef struct gn2_labels_view {
    gn2_labels labels;                      /* labels points to the array below */
    gn2_label label[2 * GN2_MAX_TASKS + 3]; /* those given by name, and short */
} gn2_labels_view;

gn2_status gn2_labels_read(gn2_labels_view *view, const gn2_labels *theirs);

#endif
