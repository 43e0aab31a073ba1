/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of a task: a perceptron over G, [G, z_i] or [G, z_i, z_j]. What all kinds
 * share: parameters, memory, cost, dropout, and the network over jets or constituents.
 */
#ifndef GN2_NET_HEAD_H
#define GN2_NET_HEAD_H

#include "net/net.h"

void R(gn2_head_declare)(gn2_declaration *d, R(gn2_head) *head, const gn2_task *task,
                         int drops);
void R(gn2_head_each)(R(gn2_head) *head, R(gn2_linear_fn) fn, void *user);
void R(gn2_head_carve)(gn2_carver *c, const R(gn2_net) *net, int k,
                       R(gn2_space) *space);
void R(gn2_head_show)(const R(gn2_pass) *pass, int k, R(gn2_show) *show);

/* Rows of the task's logits in the chunk. */
int64_t R(gn2_head_rows)(const R(gn2_pass) *pass, int k);
/* Those before jet b of the chunk; not of pairs. */
int64_t R(gn2_head_rows_before)(const R(gn2_pass) *pass, int k, int64_t b);
/* Where the label of row r lies: number of a jet, or of a row of data. */
int64_t R(gn2_head_label_row)(const R(gn2_pass) *pass, int k, int64_t r);
/* What a row's loss is multiplied by: weight over total, 0 where nothing counts. */
real R(gn2_head_factor)(const R(gn2_pass) *pass, int k);

/* Dropout of the perceptron of task k, rows numbered from `first` of the batch. */
gn2_dropout R(gn2_head_dropout)(const R(gn2_pass) *pass, int k, int64_t first);
/* First layer of a head over constituents or pairs, from z and the pooled vector: a, b
 * (N, hidden) as of gn2_split_fwd(). */
void R(gn2_head_first)(R(gn2_pass) *pass, int k, real *a, real *b, int relu);
/* d_z, d_pooled += of the task from d_a, d_b. */
void R(gn2_head_first_bwd)(R(gn2_pass) *pass, int k, const real *d_a, const real *d_b);

/* Logits of jets or constituents. */
void R(gn2_head_fwd)(R(gn2_pass) *pass, int k);
/* Gradients from those of the logits, d_act of the last layer. */
void R(gn2_head_bwd)(R(gn2_pass) *pass, int k);
/* Gradient of the logits, NULL without training. */
real *R(gn2_head_d_logits)(const R(gn2_pass) *pass, int k);

#endif
