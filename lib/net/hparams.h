/* SPDX-License-Identifier: Apache-2.0 */
/* The architecture as plain numbers, read from a config and checked once. */
#ifndef GN2_NET_HPARAMS_H
#define GN2_NET_HPARAMS_H

#include "config/config.h"
#include "layers/layer.h"
#include "optim/optimizer_kind.h"

#define GN2_MAX_SEQUENCES 8
#define GN2_MAX_CLASSES 64

typedef enum gn2_task_id {
    GN2_TASK_JETS = 0,
    GN2_TASK_ORIGIN = 1,
    GN2_TASK_VERTEX = 2,
    GN2_TASK_COUNT = 3
} gn2_task_id;

typedef enum gn2_final_norm {
    GN2_FINAL_POST = 0,
    GN2_FINAL_PRE = 1,
    GN2_FINAL_NONE = 2
} gn2_final_norm;

typedef enum gn2_parametrization {
    GN2_PARAM_SP = 0,
    GN2_PARAM_MUP = 1,
    GN2_PARAM_MUP_ABSOLUTE = 2
} gn2_parametrization;

typedef enum gn2_pair_weights {
    GN2_PAIR_SALT = 0,
    GN2_PAIR_SYMMETRIC = 1,
    GN2_PAIR_NONE = 2
} gn2_pair_weights;

/* Sizes of a perceptron: size[0] inputs, size[depth] outputs. */
typedef struct gn2_dense {
    int32_t depth;
    int64_t size[GN2_DENSE_MAX + 1];
} gn2_dense;

typedef struct gn2_task {
    int on;
    int index;    /* k of salt's tasks.k */
    int sequence; /* constituent type; 0 for the jet task */
    double weight;
    gn2_dense net; /* size[0] counts the context: o, 2o, 3o */
} gn2_task;

typedef struct gn2_hparams {
    int64_t jet_inputs;
    int32_t sequence_count;
    int64_t sequence_inputs[GN2_MAX_SEQUENCES];
    gn2_dense init[GN2_MAX_SEQUENCES]; /* size[0] = jet + sequence inputs */
    int64_t embed_dim, num_layers, num_heads, head_dim, ffn_hidden, out_dim;
    int64_t num_registers;
    int legacy; /* TransformerEncoder of GN2v01 */
    gn2_final_norm final_norm;
    double norm_eps;
    int64_t classes, origins;
    gn2_task task[GN2_TASK_COUNT];
    gn2_pair_weights pair_weights;
    double dropout_init, dropout_ffn, dropout_heads;
    gn2_parametrization parametrization;
    int64_t base_width;
    double attn_scale;   /* factor of q·k */
    double readout_mult; /* factor of the out projection's input */
    int torch_init;
    int zero_readout, zero_query; /* only with mup */
    int plain_decay;              /* wd_mult 1 whatever lr_mult */
    int replace_non_finite;       /* inputs: by the defaults, instead of an error */
    gn2_update_rule rule;         /* whose multipliers the parameter table shows */
    uint64_t seed;
} gn2_hparams;

/* Reads and checks; the message names the key. */
gn2_status gn2_hparams_read(const gn2_config *config, gn2_hparams *out);

#endif
