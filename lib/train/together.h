/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trainer as one rank of a group. Everything that can fail on one rank alone is done
 * before an agreement; behind it all ranks do the same.
 */
#ifndef GN2_TRAIN_TOGETHER_H
#define GN2_TRAIN_TOGETHER_H

#include "group/agree.h"
#include "train/trainer.h"

/* May so many ranks share so many shards? Names the numbers that may. */
gn2_status gn2_train_check_ranks(int32_t ranks, int32_t shards);

/* Before a step, a batch of an evaluation or its end: place says which, and its count.
 * `status` is that of what led up to it, without which there is no batch.
 * GN2_ERR_CANCELLED when a rank was asked to stop a run or evaluation. Alone: `status`.
 */
gn2_status gn2_train_agree_batch(gn2_trainer *t, gn2_status status, gn2_place place,
                                 const gn2_batch_f32 *batch,
                                 const gn2_batch_labels *labels);

/* Ends a call of all ranks: failures that they do not know of yet are told. */
gn2_status gn2_train_agree_end(gn2_trainer *t, gn2_status status);

/* Compares lines that describe a run; `status` as above. */
gn2_status gn2_train_agree_run(gn2_trainer *t, gn2_status status,
                               const gn2_text *lines);

/* Makes a new engine, not the trainer's yet, that of this rank, and compares it with
 * the others'. On failure it is to be thrown away. */
gn2_status gn2_train_agree_engine(gn2_trainer *t, gn2_status status,
                                  gn2_engine_f32 *engine);

#endif
