/* SPDX-License-Identifier: Apache-2.0 */
/* Labels of a batch: are they there and in range, and what the losses are divided
 * by. What that means is for each kind of task to say. */
#include "train/engine.h"

static R(gn2_label_place) place_of(const gn2_hparams *h, const R(gn2_batch) *batch,
                                   const gn2_batch_labels *labels, int k)
{
    return (R(gn2_label_place)){.h = h, .batch = batch, .labels = labels, .task = k};
}

gn2_status R(gn2_labels_complete)(const gn2_hparams *h, const gn2_batch_labels *labels)
{
    for (int k = 0; k < h->task_count; k++)
        if (!gn2_task_labelled(&labels->task[k]))
            return gn2_fail(GN2_ERR_INVALID_ARG,
                            "no labels for task %s: take it out of model.tasks, or "
                            "give them",
                            h->task[k].name);
    return GN2_OK;
}

gn2_status R(gn2_labels_check)(const gn2_hparams *h, const R(gn2_batch) *batch,
                               const gn2_batch_labels *labels)
{
    for (int k = 0; k < h->task_count; k++) {
        const R(gn2_label_place) p = place_of(h, batch, labels, k);
        if (gn2_task_labelled(&labels->task[k]))
            GN2_TRY(R(gn2_task_kind_of)(&h->task[k])->check(&p));
    }
    return GN2_OK;
}

void R(gn2_labels_totals)(const R(gn2_net) *net, const R(gn2_batch) *batch,
                          const gn2_batch_labels *labels, gn2_totals *out_totals)
{
    for (int k = 0; k < net->h->task_count; k++) {
        const R(gn2_label_place) p = place_of(net->h, batch, labels, k);
        out_totals->value[k] =
            gn2_task_labelled(&labels->task[k])
                ? R(gn2_task_kind_of)(&net->h->task[k])->total(net, &p)
                : 0;
    }
}
