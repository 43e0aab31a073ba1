/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kinds of tasks: one file and one row each. Heads, losses, labels and metrics of all
 * tasks are reached through this table; nothing else names a kind.
 */
#ifndef GN2_NET_TASKS_H
#define GN2_NET_TASKS_H

#include "net/net.h"
#include "util/str.h"

/* Where a task reads its own options: `task.<name>.<option>`. */
typedef struct gn2_task_reader {
    const gn2_config *config;
    const gn2_hparams *h; /* what is read so far: inputs, earlier tasks */
    const gn2_task *task;
} gn2_task_reader;

/* Key of an option, "task.NAME.option". */
const char *gn2_task_key(const gn2_task_reader *r, const char *option, char key[128]);

/* Most sums a kind's metrics are made of, and most metrics. */
#define GN2_MAX_SUMS 6

/* How a row of labels is named in messages, and where it lies. */
typedef struct R(gn2_label_place) {
    const gn2_hparams *h;
    const R(gn2_batch) *batch;
    const gn2_batch_labels *labels;
    int task;
} R(gn2_label_place);

/* Labelled rows of the batch before jet b: jets, or valid constituents. */
int64_t R(gn2_label_rows)(const R(gn2_label_place) *p, int64_t b);
/* Where the label of row i, counted over the batch, lies. */
int64_t R(gn2_label_row)(const R(gn2_label_place) *p, int64_t i);

/* How an output of a task is made of its logits. */
typedef enum gn2_task_form {
    GN2_OUT_LOGITS,
    GN2_OUT_SOFTMAX,
    GN2_OUT_VALUES,  /* one a target, by the output's `value` */
    GN2_OUT_VERTICES /* int32_t: pair logits to vertices */
} gn2_task_form;

/* label (n): smallest index in the constituent's component. Two constituents match
 * when (x_ij + x_ji)/2 ≥ 0, i.e. the mean probability is ≥ ½
 * (salt.utils.union_find.get_node_assignment).
 * logits (n(n−1)): ordered pairs i ≠ j, i outer. */
void R(gn2_vertex_assign)(int32_t *label, const real *logits, int64_t n);

/* A column of an output, to be named as a field of score files. */
typedef struct gn2_task_column {
    const gn2_config *config;
    const gn2_hparams *h;
    int task;
    int64_t column;
    int known; /* an output of GN2's own tasks: fields do without the task's name */
} gn2_task_column;

/* MODEL_TARGET, for kinds with targets. */
void gn2_task_target_field(const gn2_task_column *c, gn2_text *out_name);

/* A row of a task with targets: number of a jet, or of a row of data. */
typedef struct R(gn2_target_row) {
    const R(gn2_net) *net;
    const R(gn2_batch) *batch;
    const gn2_task *task;
    const gn2_task_labels *labels; /* NULL: none */
    int64_t row;
    const real *x; /* logits of the row; NULL outside a pass */
} R(gn2_target_row);

/* An output a tagger can be asked for: OBJECT.TASK<suffix>. It has as many columns as
 * the task has logits, or of values as it has targets. */
typedef struct R(gn2_task_output) {
    const char *suffix; /* NULL ends a list */
    gn2_task_form form;
    /* Appends the field's name; NULL: score files do not have this output. */
    void (*field)(const gn2_task_column *c, gn2_text *out_name);
    /* What the logits say of target t, in its own units. */
    real (*value)(const R(gn2_target_row) *row, int64_t t);
} R(gn2_task_output);

/* Row r of the chunk of an output of form GN2_OUT_VALUES: out (targets). */
void R(gn2_task_values)(const R(gn2_pass) *pass, int k, int64_t r,
                        const R(gn2_task_output) *output, real *out);

/* What its labels are. */
typedef enum gn2_label_kind {
    GN2_LABEL_INDEX,  /* int32_t: classes, vertices; field `task.NAME.label` */
    GN2_LABEL_TARGETS /* float; fields `task.NAME.targets` */
} gn2_label_kind;

typedef struct R(gn2_task_kind) {
    const char *name;
    gn2_label_kind label;
    int pairs;      /* a head over pairs of constituents */
    int classifies; /* its logits are of classes */
    /* Options it reads beside those of every task, ended by NULL; one that only other
     * kinds list is refused. */
    const char *const *options;

    /* Sets *out_columns and the kind's own fields; the message names the key. */
    gn2_status (*read)(const gn2_task_reader *r, gn2_task *task, int64_t *out_columns);
    /* Finds other tasks it needs, when all are read; NULL: none. */
    gn2_status (*link)(const gn2_task_reader *r, gn2_task *task);
    /* Working memory beyond that of every head; NULL: none. */
    void (*carve)(gn2_carver *c, const R(gn2_net) *net, int k, R(gn2_space) *space);
    /* Forward; with labels the loss; with ctx.grads backward. */
    void (*run)(R(gn2_pass) *pass, int k);
    /* Of kinds that gn2_targets_run() runs: loss of a row times `factor`, and d
     * (columns) = its gradient by the logits, NULL: not wanted. */
    double (*row_loss)(const R(gn2_target_row) *row, double factor, real *d);

    /* Is the label of row i, which is jet b's, in range? The message names task, jet
     * and value. NULL: any is. That there are labels of its sort is known. */
    gn2_status (*check)(const R(gn2_label_place) *p, int64_t b, int64_t i);
    /* What the loss is divided by. */
    double (*total)(const R(gn2_net) *net, const R(gn2_label_place) *p);

    const R(gn2_task_output) *outputs; /* of a tagger */

    /* Metrics: sums of jet b of the chunk, exact or added in the order of jets; then
     * values from the sums over all jets. Names end with NULL; at most GN2_MAX_SUMS of
     * either. */
    const char *const *metrics;
    void (*observe)(const R(gn2_pass) *pass, int k, int64_t b, double *sums);
    void (*conclude)(const double *sums, double *out_values);
} R(gn2_task_kind);

/* One row each, ended by NULL. */
extern const R(gn2_task_kind) *const R(gn2_task_kinds)[];

/* The kind of a task. */
const R(gn2_task_kind) *R(gn2_task_kind_of)(const gn2_task *task);
/* Refuses options that take no effect, and names that outputs have. */
gn2_status gn2_tasks_check(const gn2_config *config, const gn2_hparams *h);
/* Is a word in a list that NULL ends, as gn2_task_kind.options? NULL: no list. */
int gn2_is_listed(const char *const *list, const char *word);
/* Number of a kind in the table, −1 if there is none of that name. */
int gn2_task_kind_find(const char *name);

extern const R(gn2_task_kind) R(gn2_kind_classification), R(gn2_kind_vertexing),
    R(gn2_kind_regression), R(gn2_kind_gaussian_regression);

#endif
