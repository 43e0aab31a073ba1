/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network, a batch and a run through both for tests, in either precision. All
 * data are doubles, whatever the precision of the run, so that a test is written
 * once; floats convert exactly, so equal bits stay equal.
 */
#ifndef GN2_TESTS_COMMON_TESTNET_H
#define GN2_TESTS_COMMON_TESTNET_H

#include "net/net.h"
#include "net/params.h"

/* The tasks of the default config; each may be off. */
enum { TASK_JETS, TASK_ORIGIN, TASK_VERTEX, TASK_COUNT };
/* Number of one in a model, −1: off. */
int test_task(const gn2_hparams *h, int task);
/* Classes of the origin task, 0: off. */
int64_t test_origins(const gn2_hparams *h);

/* ---- network ---- */

typedef struct testmodel {
    gn2_config *config;
    gn2_hparams h;
    gn2_params *params;
    double *weights; /* arena (params->total) */
} testmodel;

/* From `key = value` lines; missing keys have the library's defaults. Weights are
 * the model's own random start. */
testmodel *testmodel_create(const char *lines);
void testmodel_free(testmodel *model);
/* Every element of every tensor N(0, scale²/fan_in) – biases, gains and registers
 * too, so that nothing is hidden by a zero; rounded to float. */
void testmodel_scatter(testmodel *model, uint64_t key, double scale);

/* ---- batch ---- */

/* Constituents of one type: rows valid ones, found by `row` in `slots` data rows
 * (NULL: one after the other). */
typedef struct testrows {
    int64_t inputs, rows, slots;
    int64_t *offset; /* (B+1) */
    int64_t *row;    /* (rows) or NULL */
    double *data;    /* (slots, inputs) */
} testrows;

/* Labels of a task that is none of the three: values (rows, targets) with NaN among
 * them, or classes; weights NULL: 1. Rows are jets, or slots of the task's type. */
typedef struct testlabels {
    int sequence; /* −1: jets */
    int64_t rows, targets;
    int32_t *index;
    float *target, *weight;
} testlabels;

/* Labels are by slot of the tasks' type, NULL: none. */
typedef struct testbatch {
    int64_t jets, jet_inputs;
    double *jet; /* (B, jet_inputs) */
    int32_t count;
    testrows sequence[GN2_MAX_SEQUENCES];
    int32_t *flavour, *origin, *vertex;
    testlabels more[GN2_MAX_TASKS]; /* by task; the three only have weights here */
} testbatch;

/* Empty batch with room for tracks[s·jets + b] constituents of type s in jet b. */
testbatch *testbatch_create(const gn2_hparams *h, const int64_t *tracks, int64_t jets);
/* The same filled with random floats and labels, ignored ones among them. */
testbatch *testbatch_random(const gn2_hparams *h, const int64_t *tracks, int64_t jets,
                            uint64_t key);
void testbatch_free(testbatch *batch);
/* Gives every row of every task but that over pairs a weight of 0 to 2. */
void testbatch_weigh(const gn2_hparams *h, testbatch *batch, uint64_t key);
/* Jets which[0 … count−1] in this order. */
testbatch *testbatch_pick(const gn2_hparams *h, const testbatch *batch,
                          const int64_t *which, int64_t count);
/* The same jets with `extra` slots of junk a jet, some of them between the valid
 * ones (holes). */
testbatch *testbatch_pad(const testbatch *batch, int64_t extra, uint64_t key);
/* The tracks of each jet in another order: track i of the result is track
 * order[i] of `batch` (numbers over the whole batch). */
testbatch *testbatch_permute(const gn2_hparams *h, const testbatch *batch,
                             const int64_t *order);

/* Its labels by task; lives as long as the batch. */
gn2_batch_labels testbatch_labels(const gn2_hparams *h, const testbatch *batch);
/* What the losses of a batch are divided by. */
gn2_totals testbatch_totals(const testmodel *model, const testbatch *batch);

/* ---- run ---- */

typedef struct testoptions {
    gn2_isa cap;
    gn2_backend backend;  /* of the float products */
    int training;         /* gradients, every activation kept */
    int64_t chunk_tokens; /* 0: one chunk */
    int dropping;
    uint64_t step_key;
} testoptions;

/* Packed results; arrays that the run does not keep are NULL. */
typedef struct testresult {
    int64_t jets, tokens, pairs;
    int64_t rows[GN2_MAX_SEQUENCES];
    double *init[GN2_MAX_SEQUENCES]; /* (rows, w), training */
    double **layer;                  /* (L) of (T, w), training: behind layer i */
    int64_t layers;
    double *z, *alpha, *pooled;       /* (T, o), (T), (B, o) */
    double *logits[TASK_COUNT];       /* (B, C), (N, origins), (P) */
    double *probs[TASK_COUNT];        /* softmax of the first two */
    double losses[TASK_COUNT], total; /* of a batch with labels */
    /* by number of the task: rows, losses, logits, and what its kind makes of them
     * for outputs of form GN2_OUT_VALUES, one after the other */
    int64_t head_rows[GN2_MAX_TASKS];
    double head_loss[GN2_MAX_TASKS];
    double *head_logits[GN2_MAX_TASKS];
    double *head_values[GN2_MAX_TASKS][2];
    double *grads; /* arena, training */
} testresult;

typedef testresult *(*testrun_fn)(const testmodel *model, const testbatch *batch,
                                  const testoptions *options);
testresult *testrun_f32(const testmodel *model, const testbatch *batch,
                        const testoptions *options);
testresult *testrun_f64(const testmodel *model, const testbatch *batch,
                        const testoptions *options);
void testresult_free(testresult *result);

/* Largest |a − b|; NaN if there is one in either. */
double test_max_diff(const double *a, const double *b, int64_t count);

#endif
