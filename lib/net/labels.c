/* SPDX-License-Identifier: Apache-2.0 */
#include "net/labels.h"

#include <string.h>

#include "net/tasks.h"
#include "util/error.h"
#include "util/str.h"

gn2_status gn2_label_check(const gn2_label *label, int is_real, int64_t columns)
{
    const int32_t type = is_real ? GN2_DATA_F32 : GN2_DATA_I32;
    const int64_t has = label->columns ? label->columns : 1;
    if (label->type != type)
        return gn2_fail(GN2_ERR_INVALID_ARG, "label '%s': type = %d, must be %s",
                        label->name, label->type,
                        is_real ? "GN2_DATA_F32" : "GN2_DATA_I32");
    if (has == columns) return GN2_OK;
    return gn2_fail(GN2_ERR_SHAPE, "label '%s': %lld columns, the task has %lld",
                    label->name, (long long)has, (long long)columns);
}

gn2_status gn2_labels_fail_unknown(const gn2_hparams *h, const char *name)
{
    char list[GN2_NAME_LIST_SIZE] = "";
    for (int k = 0; k < h->task_count; k++) gn2_name_list_add(list, h->task[k].name);
    return gn2_fail(GN2_ERR_NOT_FOUND, "labels '%.80s': the tasks are%s", name, list);
}

/* Task a label is of; *out_weight: it is the weights of its rows. */
static int task_of(const gn2_hparams *h, const char *name, int *out_weight)
{
    for (int k = 0; k < h->task_count; k++) {
        const size_t length = strlen(h->task[k].name);
        if (strncmp(name, h->task[k].name, length) != 0) continue;
        *out_weight = strcmp(name + length, GN2_WEIGHT_SUFFIX) == 0;
        if (name[length] == 0 || *out_weight) return k;
    }
    return -1;
}

static gn2_status put(const gn2_hparams *h, const gn2_label *label,
                      gn2_batch_labels *out)
{
    int weight;
    const int k = task_of(h, label->name, &weight);
    if (k < 0) return GN2_OK;
    const gn2_task *task = &h->task[k];
    const int targets = gn2_task_kind_of_f32(task)->label == GN2_LABEL_TARGETS;
    GN2_TRY(gn2_label_check(label, weight || targets, weight ? 1 : task->targets));
    gn2_task_labels *to = &out->task[k];
    if (weight)
        to->weight = label->data;
    else if (targets)
        to->target = label->data;
    else
        to->index = label->data;
    return GN2_OK;
}

gn2_status gn2_labels_check_names(const gn2_hparams *h, const gn2_labels *labels)
{
    for (uint32_t i = 0; i < labels->label_count; i++) {
        int weight;
        if (task_of(h, labels->labels[i].name, &weight) < 0)
            return gn2_labels_fail_unknown(h, labels->labels[i].name);
    }
    return GN2_OK;
}

gn2_status gn2_labels_by_task(const gn2_hparams *h, const gn2_labels *labels,
                              gn2_batch_labels *out)
{
    *out = (gn2_batch_labels){0};
    for (uint32_t i = 0; i < labels->label_count; i++)
        GN2_TRY(put(h, &labels->labels[i], out));
    return GN2_OK;
}
