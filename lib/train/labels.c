/* SPDX-License-Identifier: Apache-2.0 */
/* Labels of a batch: are they there, of the right sort and in range, and what the
 * losses are divided by. What range means is for each kind of task to say. */
#include <math.h>

#include "train/engine.h"

gn2_status R(gn2_labels_complete)(const gn2_hparams *h, const gn2_batch_labels *labels)
{
    for (int k = 0; k < h->task_count; k++) {
        const char *name = h->task[k].name;
        if (!gn2_task_labelled(&labels->task[k]))
            return gn2_fail(GN2_ERR_INVALID_ARG,
                            "no labels for task %s: take it out of model.tasks, or "
                            "give them",
                            name);
        if (h->task[k].weighted && !labels->task[k].weight)
            return gn2_fail(GN2_ERR_INVALID_ARG,
                            "no weights '%s.sample_weight' beside the labels: the "
                            "model was made with task.%s.sample_weight; give them, or "
                            "make it without",
                            name, name);
    }
    return GN2_OK;
}

static gn2_status check_sort(const R(gn2_label_place) *p, const R(gn2_task_kind) *kind)
{
    const gn2_task_labels *labels = &p->labels->task[p->task];
    const char *name = p->h->task[p->task].name;
    const int targets = kind->label == GN2_LABEL_TARGETS;
    if (targets ? !labels->target : !labels->index)
        return gn2_fail(GN2_ERR_INVALID_ARG, "%s: %s are given, not %s", name,
                        targets ? "indices" : "targets",
                        targets ? "targets" : "indices");
    if (!labels->weight || gn2_is_listed(kind->options, "sample_weight")) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG, "%s: a %s has no weights of rows", name,
                    kind->name);
}

/* The label as its kind says, and the weight, a number of 0 or more. */
static gn2_status check_row(const R(gn2_label_place) *p, const R(gn2_task_kind) *kind,
                            int64_t b, int64_t i)
{
    const float *weight = p->labels->task[p->task].weight;
    const float w = weight ? weight[R(gn2_label_row)(p, i)] : 1;
    if (w >= 0 && isfinite(w)) return kind->check ? kind->check(p, b, i) : GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG, "%s: weight %g of jet %lld: must be 0 or more",
                    p->h->task[p->task].name, (double)w, (long long)b);
}

static gn2_status check_task(const R(gn2_label_place) *p)
{
    const R(gn2_task_kind) *kind = R(gn2_task_kind_of)(&p->h->task[p->task]);
    if (!gn2_task_labelled(&p->labels->task[p->task])) return GN2_OK;
    GN2_TRY(check_sort(p, kind));
    for (int64_t b = 0; b < p->batch->jets; b++)
        for (int64_t i = R(gn2_label_rows)(p, b); i < R(gn2_label_rows)(p, b + 1); i++)
            GN2_TRY(check_row(p, kind, b, i));
    return GN2_OK;
}

gn2_status R(gn2_labels_check)(const gn2_hparams *h, const R(gn2_batch) *batch,
                               const gn2_batch_labels *labels)
{
    for (int k = 0; k < h->task_count; k++) {
        const R(gn2_label_place) p = {h, batch, labels, k};
        GN2_TRY(check_task(&p));
    }
    return GN2_OK;
}

void R(gn2_labels_totals)(const R(gn2_net) *net, const R(gn2_batch) *batch,
                          const gn2_batch_labels *labels, gn2_totals *out_totals)
{
    for (int k = 0; k < net->h->task_count; k++) {
        const R(gn2_label_place) p = {net->h, batch, labels, k};
        out_totals->value[k] =
            gn2_task_labelled(&labels->task[k])
                ? R(gn2_task_kind_of)(&net->h->task[k])->total(net, &p)
                : 0;
    }
}
