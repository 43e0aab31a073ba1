/* SPDX-License-Identifier: Apache-2.0 */
/* The architecture as plain numbers, read from a config and checked once. */
#ifndef GN2_NET_HPARAMS_H
#define GN2_NET_HPARAMS_H

#include "config/config.h"
#include "layers/block.h"
#include "layers/mlp.h"
#include "layers/readout.h"
#include "optim/optimizer.h"

#define GN2_MAX_SEQUENCES 8
#define GN2_MAX_TASKS 16
#define GN2_MAX_CLASSES 64
#define GN2_MAX_TARGETS 16
#define GN2_MAX_TASK_NAME 65

/* Whose rows a task has; a head reads G, [G, z_i] or [G, z_i, z_j]. */
typedef enum gn2_task_rows {
    GN2_OVER_JETS = 1,
    GN2_OVER_CONSTITUENTS = 2,
    GN2_OVER_PAIRS = 3
} gn2_task_rows;

/* How a target of a regression is scaled: (t − mean) / std, or by an input. */
typedef struct gn2_target {
    double mean, std;
    int denominator; /* number of the object's input, −1: none */
} gn2_target;

/* A task of model.tasks, in its order: k of salt's tasks.k. */
typedef struct gn2_task {
    char name[GN2_MAX_TASK_NAME];
    int kind; /* row of the table of kinds (net/tasks.h) */
    gn2_task_rows rows;
    int sequence; /* constituent type, −1: the jets */
    double weight;
    int weighted;    /* its rows have weights: sample_weight */
    gn2_dense net;   /* size[0] counts the context: o, 2o, 3o */
    int64_t targets; /* values a label has: 1, more for a regression */
    int option;      /* the kind's own choice, see its file */
    int partner;     /* another task whose labels it needs, −1: none */
    gn2_target target[GN2_MAX_TARGETS]; /* of a regression */
} gn2_task;

/* Logits a row of a task. */
static inline int64_t gn2_task_columns(const gn2_task *task)
{
    return task->net.size[task->net.depth];
}

typedef struct gn2_hparams {
    int64_t jet_inputs;
    int32_t sequence_count;
    int64_t sequence_inputs[GN2_MAX_SEQUENCES];
    gn2_dense init[GN2_MAX_SEQUENCES]; /* size[0] = jet + sequence inputs */
    int64_t embed_dim, num_layers, out_dim, num_registers;
    gn2_block_shape block; /* of every layer */
    gn2_readout_shape readout;
    int32_t task_count;
    gn2_task task[GN2_MAX_TASKS];
    int32_t flavour; /* task that classifies jets into model.classes, −1: none */
    int32_t pairs;   /* the task over pairs, −1: none */
    int64_t classes; /* of model.classes */
    double dropout_init, dropout_heads;
    int parametrization; /* row of the table (net/parametrization.h) */
    int64_t base_width;
    int torch_init;
    int plain_decay;        /* wd_mult 1 whatever lr_mult */
    int replace_non_finite; /* inputs: by the defaults, instead of an error */
    gn2_update_rule rule;   /* whose multipliers the parameter table shows */
    uint64_t seed;
} gn2_hparams;

/* Reads and checks; the message names the key. */
gn2_status gn2_hparams_read(const gn2_config *config, gn2_hparams *out);

/* Tasks and inputs alone: what a dataset needs to know. */
gn2_status gn2_hparams_tasks(const gn2_config *config, gn2_hparams *out);

/* What a config says of the inputs of an object, one number each; NULL where it has no
 * list, and *out_for_all of all of them: a mean of 0, a deviation of 1, 0 in place of
 * what is not finite. Borrowed until the key is set. */
typedef enum gn2_input_number {
    GN2_INPUT_MEAN,
    GN2_INPUT_STD,
    GN2_INPUT_DEFAULT
} gn2_input_number;
const double *gn2_input_numbers(const gn2_config *config, const char *object,
                                gn2_input_number which, double *out_for_all);
/* Have the lists of these numbers one for each of `inputs`, or none? */
gn2_status gn2_input_numbers_check(const gn2_config *config, const char *object,
                                   size_t inputs);

/* Number of a task, −1 if there is none of that name. */
int gn2_hparams_task(const gn2_hparams *h, const char *name);

#endif
