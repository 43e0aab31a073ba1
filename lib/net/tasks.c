/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tasks.h"

#include <string.h>

#include "config/table.h"
#include "util/error.h"

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

/* ---- what may not be set: options a task's kind has no use for, options of tasks that
 * there are not, names that outputs have already ---- */

int gn2_is_listed(const char *const *list, const char *word)
{
    while (list && *list && strcmp(*list, word) != 0) list++;
    return list && *list;
}

/* An option that no kind lists is one of every task. */
static int is_of_kinds(const char *option)
{
    for (int i = 0; gn2_task_kinds_f32[i]; i++)
        if (gn2_is_listed(gn2_task_kinds_f32[i]->options, option)) return 1;
    return 0;
}

/* GN2's own tasks have rows in the table: they are there even when they are off. */
static int is_default_task(const char *name)
{
    char key[128];
    gn2_config_key_of(key, "task.%s.kind", name);
    for (size_t i = 0; i < gn2_config_table_size; i++)
        if (strcmp(gn2_config_table[i].key, key) == 0) return 1;
    return 0;
}

static gn2_status check_option(const gn2_hparams *h, const char *name,
                               const char *option)
{
    const int k = gn2_hparams_task(h, name);
    if (k < 0 && is_default_task(name)) return GN2_OK;
    if (k < 0)
        return gn2_fail(GN2_ERR_INVALID_ARG, "task.%s.%s: model.tasks has no '%s'",
                        name, option, name);
    const gn2_task_kind_f32 *kind = gn2_task_kind_of_f32(&h->task[k]);
    if (!is_of_kinds(option) || gn2_is_listed(kind->options, option)) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG, "task.%s.%s: a %s has no such option", name,
                    option, kind->name);
}

/* The first slots are the table's: one with the default's text is not set. */
static gn2_status check_slot(const gn2_config *c, size_t i, const gn2_hparams *h)
{
    const char *key, *text;
    char name[GN2_MAX_TASK_NAME] = "";
    gn2_config_slot_at(c, i, &key, &text);
    if (strncmp(key, "task.", 5) != 0 || strchr(key, '*')) return GN2_OK;
    if (i < gn2_config_table_size &&
        strcmp(text, gn2_config_table[i].default_text) == 0)
        return GN2_OK;
    const size_t length = strcspn(key + 5, ".");
    if (length >= sizeof name || !key[5 + length])
        return gn2_fail(GN2_ERR_INVALID_ARG, "%s: no task has so long a name", key);
    memcpy(name, key + 5, length);
    return check_option(h, name, key + 5 + length + 1);
}

static int ends_with(const char *name, const char *end)
{
    const size_t a = strlen(name), b = strlen(end);
    return a >= b && strcmp(name + a - b, end) == 0;
}

static gn2_status check_name(const char *name)
{
    static const char *const taken[] = {
        "embedding", "probabilities", "logits",   "attention",
        "origin",    "vertex",        "gradient", NULL};
    if (!gn2_is_listed(taken, name) && strncmp(name, "D_", 2) != 0 &&
        !ends_with(name, "_logits") && !ends_with(name, "_stddev"))
        return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG,
                    "model.tasks: '%s' is the name of an output, or could be", name);
}

gn2_status gn2_tasks_check(const gn2_config *c, const gn2_hparams *h)
{
    for (int k = 0; k < h->task_count; k++) GN2_TRY(check_name(h->task[k].name));
    for (size_t i = 0; i < gn2_config_slot_count(c); i++) GN2_TRY(check_slot(c, i, h));
    return GN2_OK;
}
#endif
