/* SPDX-License-Identifier: Apache-2.0 */
/* Network and batches of a golden file, whatever its sizes. */
#ifndef GN2_TESTS_GOLDEN_MODEL_H
#define GN2_TESTS_GOLDEN_MODEL_H

#include "common/testnet.h"
#include "golden_file.h"

/* What a file does not say of itself. */
typedef struct golden_form {
    const char *parametrization; /* "sp", "mup", "mup_absolute" */
    const char *optimiser;       /* "adamw", "sgd": whose multipliers */
    int64_t embed_dim;           /* 0: the file's */
} golden_form;

/* Network of the root attributes with the library's own start. */
testmodel *golden_model_create(golden_id file, const golden_form *form);
/* Weights of a group of datasets by name, each of the table's tensors once. */
void golden_weights_read(golden_id file, const char *group, testmodel *model);
/* The tensors a group has, the others stay. */
void golden_weights_replace(golden_id file, const char *group, testmodel *model);
/* Weights of a closed form (`param_form`), its check values compared: returns the
 * largest relative deviation from them. */
double golden_weights_generate(golden_id file, testmodel *model);

/* Batch of <group>inputs, <group>labels; padded: from tracks_padded and valid. */
testbatch *golden_batch_packed(golden_id file, const char *group, const testmodel *m);
testbatch *golden_batch_padded(golden_id file, const char *group, const testmodel *m);

#endif
