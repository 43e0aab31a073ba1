/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's labels: found by task name, checked for type and columns. */
#ifndef GN2_NET_LABELS_H
#define GN2_NET_LABELS_H

#include <gn2/dataset.h>

#include "net/net.h"

/* What follows a task's name where a label is the weights of its rows. */
#define GN2_WEIGHT_SUFFIX ".sample_weight"

/* Is a label's data of the type and number of columns its task wants? */
gn2_status gn2_label_check(const gn2_label *label, int is_real, int64_t columns);
/* No task has labels of this name: lists those there are. */
gn2_status gn2_labels_fail_unknown(const gn2_hparams *h, const char *name);
/* Are all labels of tasks the model has? Those of a dataset may be of more. */
gn2_status gn2_labels_check_names(const gn2_hparams *h, const gn2_labels *labels);
/* Labels by task, others left out; the struct must be of the library's own size.
 * Borrows the data. */
gn2_status gn2_labels_by_task(const gn2_hparams *h, const gn2_labels *labels,
                              gn2_batch_labels *out);

#endif
