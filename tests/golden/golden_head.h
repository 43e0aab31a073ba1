/* SPDX-License-Identifier: Apache-2.0 */
/* The head of one task on a pooled vector and tokens that are given, in either
 * precision: no trunk has a part in what comes out. */
#ifndef GN2_TESTS_GOLDEN_HEAD_H
#define GN2_TESTS_GOLDEN_HEAD_H

#include "common/testnet.h"

typedef struct golden_head_input {
    const testmodel *model; /* of one task */
    const testbatch *batch;
    const double *pooled; /* (B, o) */
    const double *z;      /* (N, o), NULL: 0 */
} golden_head_input;

typedef struct golden_head_result {
    int64_t rows, columns;
    double *logits;    /* (rows, columns) */
    double *values[2]; /* (rows, targets) of outputs of form GN2_OUT_VALUES */
    double loss, total;
    double *grads;          /* arena */
    double *d_pooled, *d_z; /* (B, o), (N, o) */
} golden_head_result;

typedef struct golden_head {
    const char *precision;
    int is_double;
    golden_head_result *(*run)(const golden_head_input *input);
} golden_head;

extern const golden_head golden_head_f64, golden_head_f32;

void golden_head_result_free(golden_head_result *result);

#endif
