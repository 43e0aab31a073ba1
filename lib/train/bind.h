/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dataset as a model needs it: inputs, constituent types, classes and targets are
 * found by name, whatever order and extras the dataset was opened with. What stands
 * right already is handed on without a copy.
 */
#ifndef GN2_TRAIN_BIND_H
#define GN2_TRAIN_BIND_H

#include "data/dataset.h"
#include "data/rows.h"
#include "net/jets.h"

/* What becomes of the labels of a task. */
typedef struct gn2_bound_label {
    int32_t *place; /* (count) of the dataset's classes among the model's; or of the
                     * model's targets among the dataset's; NULL: as they are */
    int32_t count;
    int32_t object;  /* of the dataset, whose rows they are; 0: jets */
    void *values;    /* of the batch, in the model's terms */
    size_t capacity; /* of it, elements of four bytes */
} gn2_bound_label;

typedef struct gn2_bound {
    gn2_dataset *dataset;
    const gn2_model *model;
    gn2_binding columns;                 /* for gn2_input_read() */
    int32_t part[GN2_MAX_SEQUENCES];     /* of a sequence, in the dataset */
    gn2_bound_label task[GN2_MAX_TASKS]; /* by the model's tasks */
    gn2_sequence sequence[GN2_MAX_SEQUENCES];
    gn2_label label[GN2_MAX_LABELS];
} gn2_bound;

/* Both are borrowed. GN2_ERR_INVALID_ARG names what the dataset lacks, with the names
 * of both sides. *out is to be cleared whatever comes. */
gn2_status gn2_bound_make(const gn2_model *model, gn2_dataset *dataset, gn2_bound *out);
void gn2_bound_clear(gn2_bound *bound);
/* Are there labels of every task of the model? The message names files, dataset and
 * field. what: "training", "validation". */
gn2_status gn2_bound_check_labels(const gn2_bound *bound, const char *what);
/* As gn2_dataset_next_impl(), in the model's terms but for the columns of the inputs,
 * which are those of `columns`. Good until the next call. */
gn2_status gn2_bound_next(gn2_bound *bound, gn2_jets *out_jets, gn2_labels *out_labels);

#endif
