/* SPDX-License-Identifier: Apache-2.0 */
/* The library's training core behind doubles, in either precision. */
#ifndef GN2_TESTS_GOLDEN_TRAIN_H
#define GN2_TESTS_GOLDEN_TRAIN_H

#include "common/testnet.h"
#include "train/engine.h"

/* Mean |x| of a named place of the network; `have` 0: not kept by it. */
typedef struct golden_l1 {
    const char *name;
    int have;
    double sum, count;
} golden_l1;

typedef struct golden_trainer {
    const char *precision;
    int is_double;
    void *(*create)(const testmodel *model, const gn2_optim_options *options);
    void (*free)(void *engine);
    /* One update; the losses are those before it. */
    void (*step)(void *engine, const testbatch *batch, double lr, double beta1,
                 double losses[TASK_COUNT]);
    /* The places (n) on a batch, without an update. */
    void (*probe)(void *engine, const testbatch *batch, golden_l1 *places, int64_t n);
    void (*weights)(const void *engine, double *out);
} golden_trainer;

extern const golden_trainer golden_trainer_f64, golden_trainer_f32;

#endif
