/* SPDX-License-Identifier: Apache-2.0 */
/* The object behind gn2_dataset, for dataset.c and setup.c. */
#ifndef GN2_DATA_DATASET_OBJECT_H
#define GN2_DATA_DATASET_OBJECT_H

#include <gn2/dataset.h>

#include "data/reader.h"

struct gn2_dataset {
    gn2_use use;
    gn2_config *config; /* own copy; the schema's strings live in it */
    gn2_schema schema;
    gn2_source *source;
    gn2_sampler *sampler;
    gn2_reader *reader;   /* NULL: batches are made when asked for */
    gn2_rows rows;        /* a batch, without a reader; and the empty one */
    int64_t epoch, batch; /* the next one given out */
    gn2_sequence sequence[GN2_MAX_PARTS];
    gn2_label label[GN2_MAX_LABELS];
    _Atomic int64_t memory;
    atomic_int stop; /* asked of setup */
};

#endif
