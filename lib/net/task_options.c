/* SPDX-License-Identifier: Apache-2.0 */
/* What may not be set: options a task's kind has no use for, options of tasks that
 * there are not, names that outputs have already. */
#include <string.h>

#include "config/table.h"
#include "net/tasks.h"
#include "util/error.h"

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
