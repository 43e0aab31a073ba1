/* SPDX-License-Identifier: Apache-2.0 */
#include "train/bind.h"

#include <string.h>

#include "data/schema.h"
#include "net/labels.h"
#include "net/tasks.h"
#include "util/alloc.h"
#include "util/error.h"

/* Names in an order: of inputs, classes, … */
typedef struct names {
    const gn2_config *config;
    char key[128];
    const char *const *at;
    size_t count;
} names;

static names names_of(const gn2_config *config, const char *format, const char *object)
{
    names n = {.config = config};
    gn2_config_key_of(n.key, format, object);
    n.at = gn2_config_str_list(config, n.key);
    n.count = gn2_config_list_count(config, n.key);
    return n;
}

static void list(const names *n, char text[GN2_NAME_LIST_SIZE])
{
    text[0] = 0;
    for (size_t i = 0; i < n->count; i++) gn2_name_list_add(text, n->at[i]);
}

/* `what`: the first name that one side, in either order, has and the other has not. */
static gn2_status fail_names(const gn2_bound *b, const char *what, const names *one,
                             const names *other)
{
    const int first = one->config == b->model->config;
    const names *model = first ? one : other, *data = first ? other : one;
    char ours[GN2_NAME_LIST_SIZE], theirs[GN2_NAME_LIST_SIZE];
    list(model, ours);
    list(data, theirs);
    return gn2_fail(GN2_ERR_INVALID_ARG,
                    "'%.60s': %s of the model and of the dataset do not go together. "
                    "Model:%s. Dataset:%s. Open the dataset with the model's",
                    what, model->key, ours, theirs);
}

static int64_t place_of(const names *n, const char *name)
{
    for (size_t i = 0; i < n->count; i++)
        if (strcmp(n->at[i], name) == 0) return (int64_t)i;
    return -1;
}

/* ---- inputs ---- */

/* The dataset replaces NaN and Inf before the model sees them: as the model would. */
static gn2_status check_defaults(const gn2_bound *b, int object, const gn2_object *from)
{
    const gn2_object_inputs *ours = &b->model->object[object];
    if (gn2_dataset_schema(b->dataset)->non_finite != GN2_NON_FINITE_DEFAULT)
        return GN2_OK; /* then it refuses them */
    if (!b->model->h.replace_non_finite)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "input.non_finite is 'error' in the model and 'default' in the "
                        "dataset: open it with the model's");
    for (int64_t i = 0; i < gn2_model_object_inputs(b->model, object); i++) {
        const float own = ours->fallback[i];
        const float theirs = from->defaults[b->columns.column[object][i]];
        if (own == theirs) continue;
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "input.defaults.%s: '%s' is %g in the model and %g in the "
                        "dataset: open it with the model's",
                        ours->name, ours->inputs[i], (double)own, (double)theirs);
    }
    return GN2_OK;
}

static int is_in_order(const gn2_binding *b, int object, int64_t inputs)
{
    if (b->columns[object] != inputs) return 0;
    for (int64_t i = 0; i < inputs; i++)
        if (b->column[object][i] != i) return 0;
    return 1;
}

static gn2_status bind_inputs(gn2_bound *b, int object, const gn2_object *from)
{
    const char *name = gn2_model_object_name(b->model, object);
    const gn2_schema *schema = gn2_dataset_schema(b->dataset);
    const gn2_status status =
        gn2_binding_set(&b->columns, b->model, object, from->inputs, from->input_count);
    if (status == GN2_ERR_NOT_FOUND) {
        const names ours = names_of(b->model->config, "inputs.%s", name);
        const names theirs = names_of(schema->config, "inputs.%s", name);
        for (size_t i = 0; i < ours.count; i++)
            if (place_of(&theirs, ours.at[i]) < 0)
                return fail_names(b, ours.at[i], &ours, &theirs);
    }
    GN2_TRY(status);
    GN2_TRY(check_defaults(b, object, from));
    if (is_in_order(&b->columns, object, gn2_model_object_inputs(b->model, object)))
        return gn2_binding_reset(&b->columns, object);
    return GN2_OK;
}

static gn2_status bind_sequence(gn2_bound *b, int s)
{
    const gn2_schema *schema = gn2_dataset_schema(b->dataset);
    const char *name = gn2_model_object_name(b->model, s + 1);
    for (int32_t o = 0; o < schema->object_count; o++) {
        if (strcmp(schema->object[o].name, name) != 0) continue;
        b->part[s] = o - 1;
        return bind_inputs(b, s + 1, &schema->object[o]);
    }
    const names ours = names_of(b->model->config, "model.%s", "constituents");
    const names theirs = names_of(schema->config, "model.%s", "constituents");
    return fail_names(b, name, &ours, &theirs);
}

/* ---- labels ---- */

/* Of each name of `from`, its place in `to`, which must have them all. */
static gn2_status match(const gn2_bound *b, const names *from, const names *to,
                        gn2_bound_label *out)
{
    int same = from->count == to->count;
    if (from->count == 0) return GN2_OK;
    out->count = (int32_t)from->count;
    out->place = gn2_alloc(from->count, sizeof *out->place);
    if (!out->place) return gn2_fail_memory();
    for (size_t i = 0; i < from->count; i++) {
        const int64_t place = place_of(to, from->at[i]);
        if (place < 0) return fail_names(b, from->at[i], from, to);
        out->place[i] = (int32_t)place;
        same &= place == (int64_t)i;
    }
    if (!same) return GN2_OK;
    gn2_free(out->place);
    out->place = NULL;
    return GN2_OK;
}

/* Number of a label, −1 if there is none of that name. */
static int32_t find_label(const gn2_schema *schema, const char *name)
{
    int32_t l = schema->label_count - 1;
    while (l >= 0 && strcmp(schema->label[l].name, name) != 0) l--;
    return l;
}

static int has_label(const gn2_bound *b, int32_t label)
{
    return label >= 0 && gn2_dataset_has_label(b->dataset, label);
}

/* The rows of a task have weights in the data if they have in the model. */
static gn2_status check_weights(const gn2_bound *b, const char *task)
{
    char key[128];
    gn2_config_key_of(key, "task.%s" GN2_WEIGHT_SUFFIX, task);
    const char *field = gn2_config_str(b->model->config, key);
    const int32_t weights =
        find_label(gn2_dataset_schema(b->dataset), key + strlen("task."));
    const int there = has_label(b, weights);
    if (there == (field[0] != 0)) return GN2_OK;
    if (there)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "%s is empty in the model, but the dataset has such weights: "
                        "open it without",
                        key);
    return gn2_fail(GN2_ERR_INVALID_ARG,
                    "%s is '%.80s' in the model, but the dataset has no such weights: "
                    "open it with the same",
                    key, field);
}

/* A task of one name must be the same: rows of one object, labels of one sort. */
static gn2_status check_task(const gn2_bound *b, const gn2_task *task,
                             const gn2_label_column *label)
{
    const gn2_schema *schema = gn2_dataset_schema(b->dataset);
    const gn2_task *other = &schema->h.task[label->task];
    const gn2_task_kind_f32 *ours = gn2_task_kind_of_f32(task);
    const gn2_task_kind_f32 *theirs = gn2_task_kind_of_f32(other);
    const char *object = gn2_model_object_name(b->model, task->sequence + 1);
    const char *their_object = schema->object[label->object].name;
    if (strcmp(object, their_object) == 0 && ours->label == theirs->label &&
        ours->classifies == theirs->classifies)
        return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG,
                    "task '%s' is a %s of %s in the model and a %s of %s in the "
                    "dataset: open it with the model's",
                    task->name, ours->name, object, theirs->name, their_object);
}

/* Every class of the dataset must be one of the model's, every target of the model one
 * of the dataset's. */
static gn2_status bind_label(gn2_bound *b, int k)
{
    const gn2_schema *schema = gn2_dataset_schema(b->dataset);
    const gn2_config *ours = b->model->config, *theirs = schema->config;
    const char *task = b->model->h.task[k].name;
    const gn2_task_kind_f32 *kind = gn2_task_kind_of_f32(&b->model->h.task[k]);
    const int32_t l = find_label(schema, task);
    if (!has_label(b, l)) return GN2_OK;
    const gn2_label_column *label = &schema->label[l];
    GN2_TRY(check_task(b, &b->model->h.task[k], label));
    GN2_TRY(check_weights(b, task));
    b->task[k].object = label->object;
    if (kind->classifies && label->classes_key[0]) {
        const names to = k == b->model->h.flavour
                             ? names_of(ours, "model.%s", "classes")
                             : names_of(ours, "task.%s.classes", task);
        const names from = names_of(theirs, "%s", label->classes_key);
        return match(b, &from, &to, &b->task[k]);
    }
    if (kind->label != GN2_LABEL_TARGETS || !label->real) return GN2_OK;
    const names from = names_of(ours, "task.%s.targets", task);
    const names to = names_of(theirs, "task.%s.targets", task);
    return match(b, &from, &to, &b->task[k]);
}

gn2_status gn2_bound_make(const gn2_model *model, gn2_dataset *dataset, gn2_bound *out)
{
    *out = (gn2_bound){.dataset = dataset, .model = model};
    if (model->h.jet_inputs)
        GN2_TRY(bind_inputs(out, 0, &gn2_dataset_schema(dataset)->object[0]));
    for (int s = 0; s < model->h.sequence_count; s++) GN2_TRY(bind_sequence(out, s));
    for (int k = 0; k < model->h.task_count; k++) GN2_TRY(bind_label(out, k));
    return GN2_OK;
}

static gn2_status fail_label(const gn2_bound *b, const char *what, const char *task,
                             const gn2_label_column *label)
{
    char fields[GN2_NAME_LIST_SIZE] = "";
    const gn2_schema *schema = gn2_dataset_schema(b->dataset);
    if (!label || !label->columns)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "the %s data was opened without labels of task '%s': open it "
                        "with task.%s.%s, or leave the task out of model.tasks",
                        what, task, task, label && label->real ? "targets" : "label");
    for (int32_t i = 0; i < label->columns; i++)
        gn2_name_list_add(fields, label->field[i]);
    gn2_text title = {0};
    gn2_dataset_title(b->dataset, &title);
    const gn2_status status = gn2_fail(
        GN2_ERR_INVALID_ARG,
        "%s data %.200s: dataset '%s' lacks labels of task '%s', field%s: take "
        "files that have them, name the field in task.%s.%s, or leave the "
        "task out of model.tasks",
        what, title.failed ? "" : title.data, schema->object[label->object].dataset,
        task, fields, task, label->real ? "targets" : "label");
    gn2_free(title.data);
    return status;
}

gn2_status gn2_bound_check_labels(const gn2_bound *b, const char *what)
{
    const gn2_schema *schema = gn2_dataset_schema(b->dataset);
    for (int k = 0; k < b->model->h.task_count; k++) {
        const char *task = b->model->h.task[k].name;
        const int32_t l = find_label(schema, task);
        if (!has_label(b, l))
            return fail_label(b, what, task, l < 0 ? NULL : &schema->label[l]);
    }
    return GN2_OK;
}

void gn2_bound_clear(gn2_bound *b)
{
    gn2_binding_clear(&b->columns);
    for (int k = 0; k < GN2_MAX_TASKS; k++) {
        gn2_free(b->task[k].place);
        gn2_free(b->task[k].values);
    }
    *b = (gn2_bound){0};
}

/* ---- a batch ---- */

static gn2_status reserve(gn2_bound_label *to, int64_t count)
{
    const int there =
        gn2_reserve(&to->values, &to->capacity, 0, (size_t)count, sizeof(int32_t));
    return there ? GN2_OK : gn2_fail_memory();
}

/* Negative: no label. */
static gn2_status turn_classes(gn2_bound_label *to, int64_t rows, gn2_label *label)
{
    const int32_t *from = label->data;
    GN2_TRY(reserve(to, rows));
    int32_t *out = to->values;
    for (int64_t i = 0; i < rows; i++)
        out[i] = from[i] >= 0 && from[i] < to->count ? to->place[from[i]] : from[i];
    label->data = out;
    return GN2_OK;
}

static gn2_status turn_targets(gn2_bound_label *to, int64_t rows, gn2_label *label)
{
    const float *from = label->data;
    GN2_TRY(reserve(to, rows * to->count));
    float *out = to->values;
    for (int64_t i = 0; i < rows; i++)
        for (int32_t c = 0; c < to->count; c++)
            out[i * to->count + c] = from[i * label->columns + to->place[c]];
    label->data = out;
    label->columns = to->count;
    return GN2_OK;
}

static gn2_status turn_label(gn2_bound *b, const gn2_jets *jets, gn2_label *label)
{
    for (int k = 0; k < b->model->h.task_count; k++) {
        gn2_bound_label *to = &b->task[k];
        if (!to->place || strcmp(label->name, b->model->h.task[k].name) != 0) continue;
        const int64_t rows = to->object
                                 ? jets->sequences[to->object - 1].offsets[jets->count]
                                 : jets->count;
        return label->type == GN2_DATA_F32 ? turn_targets(to, rows, label)
                                           : turn_classes(to, rows, label);
    }
    return GN2_OK;
}

gn2_status gn2_bound_next(gn2_bound *b, gn2_jets *out_jets, gn2_labels *out_labels)
{
    GN2_TRY(gn2_dataset_next_impl(b->dataset, out_jets, out_labels));
    if (out_jets->count == 0) return GN2_OK;
    for (uint32_t i = 0; i < out_labels->label_count; i++) {
        b->label[i] = out_labels->labels[i];
        GN2_TRY(turn_label(b, out_jets, &b->label[i]));
    }
    for (int s = 0; s < b->model->h.sequence_count; s++)
        b->sequence[s] = out_jets->sequences[b->part[s]];
    out_jets->sequence_count = (uint32_t)b->model->h.sequence_count;
    out_jets->sequences = b->sequence;
    out_labels->labels = b->label;
    return GN2_OK;
}
