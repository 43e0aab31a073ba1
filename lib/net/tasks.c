/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tasks.h"

#include <string.h>

const R(gn2_task_kind) *const R(gn2_task_kinds)[] = {
    &R(gn2_kind_classification),
    &R(gn2_kind_vertexing),
    &R(gn2_kind_regression),
    &R(gn2_kind_gaussian_regression),
    NULL,
};

const R(gn2_task_kind) *R(gn2_task_kind_of)(const gn2_task *task)
{
    return R(gn2_task_kinds)[task->kind];
}

int64_t R(gn2_label_rows)(const R(gn2_label_place) *p, int64_t b)
{
    const gn2_task *task = &p->h->task[p->task];
    if (task->rows == GN2_OVER_JETS) return b;
    return p->batch->sequence[task->sequence].offset[b];
}

int64_t R(gn2_label_row)(const R(gn2_label_place) *p, int64_t i)
{
    const gn2_task *task = &p->h->task[p->task];
    if (task->rows == GN2_OVER_JETS) return i;
    return R(gn2_rows_at)(&p->batch->sequence[task->sequence], i);
}

#ifndef GN2_REAL_DOUBLE
int gn2_task_kind_find(const char *name)
{
    for (int i = 0; gn2_task_kinds_f32[i]; i++)
        if (strcmp(gn2_task_kinds_f32[i]->name, name) == 0) return i;
    return -1;
}

const char *gn2_task_key(const gn2_task_reader *r, const char *option, char key[128])
{
    char format[64] = "task.%s.";
    strncat(format, option, sizeof format - strlen(format) - 1);
    return gn2_config_key_of(key, format, r->task->name);
}

void gn2_task_target_field(const gn2_task_column *c, gn2_text *out_name)
{
    char key[128];
    const gn2_task_reader r = {c->config, c->h, &c->h->task[c->task]};
    gn2_text_format(out_name, "%s_%s", gn2_config_str(c->config, "model.name"),
                    gn2_config_list_item(c->config, gn2_task_key(&r, "targets", key),
                                         (size_t)c->column));
}
#endif
