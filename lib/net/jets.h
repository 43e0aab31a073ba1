/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's jets as a batch: checked, rows found, nothing copied but indices. */
#ifndef GN2_NET_JETS_H
#define GN2_NET_JETS_H

#include <gn2/tagger.h>

#include "net/model.h"
#include "net/net.h"

/* What the jets have to look like; 0: the jets, then the constituent types. */
typedef struct gn2_jets_form {
    int32_t sequence_count;
    const char *name[1 + GN2_MAX_SEQUENCES];
    int64_t columns[1 + GN2_MAX_SEQUENCES]; /* of a row of the caller */
} gn2_jets_form;

/* The one check of shapes, whoever takes the jets: tagger, trainer and dataset give the
 * same status and message. Structs are of the library's own size, sequences without a
 * stride. After it every offset, and every size in bytes that follows from counts and
 * strides, fits. */
gn2_status gn2_jets_check(const gn2_jets *jets, const gn2_jets_form *form);

/* Whether rows of 4-byte values, inputs or outputs, can lie in any memory. */
gn2_status gn2_rows_check_size(const char *name, int64_t stride, int64_t rows);

/* Rows of data a sequence of checked `jets` has: N, or B·slots when padded. */
int64_t gn2_sequence_rows(const gn2_jets *jets, int sequence);

/* Order of the caller's columns, by object (0: jets, then sequences). */
typedef struct gn2_binding {
    int64_t columns[1 + GN2_MAX_SEQUENCES]; /* of the caller; 0: the model's */
    int32_t *column[1 + GN2_MAX_SEQUENCES]; /* model input → column, NULL: as is */
} gn2_binding;

gn2_status gn2_binding_set(gn2_binding *binding, const gn2_model *model, int object,
                           const char *const *names, size_t count);
/* Columns of an object in the model's order again. */
gn2_status gn2_binding_reset(gn2_binding *binding, int object);
void gn2_binding_clear(gn2_binding *binding);

/* Index memory of padded inputs, reused from call to call. */
typedef struct gn2_input {
    int64_t *index[GN2_MAX_SEQUENCES]; /* offsets (B+1), then numbers of rows */
    size_t capacity[GN2_MAX_SEQUENCES];
} gn2_input;

/*
 * Checks `jets` (gn2_jets_check(), GN2_NORMALISED_MAX, and NaN/Inf unless the model
 * replaces them) and fills the batch, which borrows the caller's arrays and the
 * input's. binding may be NULL: columns in the model's order.
 */
gn2_status gn2_input_read(gn2_input *input, const gn2_model *model,
                          const gn2_binding *binding, const gn2_jets *jets,
                          gn2_batch_f32 *out_batch);
void gn2_input_clear(gn2_input *input);
size_t gn2_input_bytes(const gn2_input *input);

#endif
