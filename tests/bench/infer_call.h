/* SPDX-License-Identifier: Apache-2.0 */
/* A tagger with its outputs and the jets it is timed on, for bench_infer.c. */
#ifndef GN2_BENCH_INFER_CALL_H
#define GN2_BENCH_INFER_CALL_H

#include "bench_common.h"

/* Which outputs are asked for: probabilities, or also origin and vertex. */
typedef enum infer_tasks { INFER_FLAVOUR, INFER_ALL, INFER_TASK_COUNT } infer_tasks;
extern const char *const infer_task_names[INFER_TASK_COUNT];

/* Heads that are run for them, bits of gn2_task_id. */
unsigned infer_heads(infer_tasks tasks);

typedef struct infer_run {
    gn2_model *model;
    gn2_tagger *tagger;
    const gn2_hparams *h;
    gn2_output outputs[3];
    size_t count[INFER_TASK_COUNT]; /* outputs of each kind of call */
    void *data[3];
} infer_run;

/* Takes a reference of the model. rows: jets and tracks a call may have. */
gn2_status infer_open(gn2_model *model, const gn2_config *config, int64_t rows,
                      infer_run *out);
void infer_close(infer_run *r);
gn2_status infer_call(const infer_run *r, const gn2_jets *jets, infer_tasks tasks);

/* Seconds of one call of all the view's jets. */
gn2_status infer_time(const infer_run *r, const bench_view *v, infer_tasks tasks,
                      double *out_seconds);

#endif
