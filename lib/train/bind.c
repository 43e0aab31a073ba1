/* SPDX-License-Identifier: Apache-2.0 */
#include "train/bind.h"

#include <string.h>

#include "data/schema.h"
#include "net/tasks.h"
#include "util/alloc.h"
#include "util/error.h"

/* Names in an order: of inputs, classes, … */
typedef struct names {
    const gn2_config *config;
    char key[128];
    size_t count;
} names;

static names names_of(const gn2_config *config, const char *format, const char *object)
{
    names n = {.config = config};
    gn2_config_key_of(n.key, format, object);
    n.count = gn2_config_list_count(config, n.key);
    return n;
}

static const char *name_at(const names *n, size_t i)
{
    return gn2_config_list_item(n->config, n->key, i);
}

static void list(const names *n, char text[GN2_NAME_LIST_SIZE])
{
    text[0] = 0;
    for (size_t i = 0; i < n->count; i++) gn2_name_list_add(text, name_at(n, i));
}

/* `what`: the first name that one side has and the other has not. */
static gn2_status fail_names(const char *what, const names *model, const names *data)
{
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
        if (strcmp(name_at(n, i), name) == 0) return (int64_t)i;
    return -1;
}

/* ---- inputs ---- */

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
            if (place_of(&theirs, name_at(&ours, i)) < 0)
                return fail_names(name_at(&ours, i), &ours, &theirs);
    }
    GN2_TRY(status);
    if (is_in_order(&b->columns, object, gn2_model_object_inputs(b->model, object)))
        return gn2_binding_reset(&b->columns, object);
    return GN2_OK;
}

static const gn2_object *find_object(const gn2_schema *schema, const char *name,
                                     int32_t *out_number)
{
    for (int32_t o = 0; o < schema->object_count; o++) {
        *out_number = o;
        if (strcmp(schema->object[o].name, name) == 0) return &schema->object[o];
    }
    return NULL;
}

static gn2_status bind_objects(gn2_bound *b)
{
    const gn2_schema *schema = gn2_dataset_schema(b->dataset);
    if (b->model->h.jet_inputs) GN2_TRY(bind_inputs(b, 0, &schema->object[0]));
    for (int s = 0; s < b->model->h.sequence_count; s++) {
        const char *name = gn2_model_object_name(b->model, s + 1);
        int32_t number;
        const gn2_object *from = find_object(schema, name, &number);
        if (!from) {
            const names ours = names_of(b->model->config, "model.%s", "constituents");
            const names theirs = names_of(schema->config, "model.%s", "constituents");
            return fail_names(name, &ours, &theirs);
        }
        b->part[s] = number - 1;
        GN2_TRY(bind_inputs(b, s + 1, from));
    }
    return GN2_OK;
}

/* ---- labels ---- */

/* Of each name of `from`, its place in `to`; *out NULL where they are the same. */
static gn2_status match(const names *from, const names *to, int32_t **out)
{
    int same = from->count == to->count;
    if (from->count == 0) return GN2_OK;
    *out = gn2_alloc(from->count, sizeof **out);
    if (!*out) return gn2_fail_memory();
    for (size_t i = 0; i < from->count; i++) {
        const int64_t place = place_of(to, name_at(from, i));
        if (place < 0) return GN2_ERR_NOT_FOUND;
        (*out)[i] = (int32_t)place;
        same &= place == (int64_t)i;
    }
    if (!same) return GN2_OK;
    gn2_free(*out);
    *out = NULL;
    return GN2_OK;
}

static const char *missing(const names *from, const names *to)
{
    for (size_t i = 0; i < from->count; i++)
        if (place_of(to, name_at(from, i)) < 0) return name_at(from, i);
    return "";
}

/* Every class of the dataset must be one of the model's. */
static gn2_status bind_classes(gn2_bound *b, int k, const gn2_label_column *label)
{
    gn2_bound_label *to = &b->task[k];
    const int is_flavour = k == b->model->h.flavour;
    const names ours =
        names_of(b->model->config, is_flavour ? "model.%s" : "task.%s.classes",
                 is_flavour ? "classes" : b->model->h.task[k].name);
    const names theirs =
        names_of(gn2_dataset_schema(b->dataset)->config, "%s", label->classes_key);
    const gn2_status status = match(&theirs, &ours, &to->class_index);
    to->count = (int32_t)theirs.count;
    if (status != GN2_ERR_NOT_FOUND) return status;
    return fail_names(missing(&theirs, &ours), &ours, &theirs);
}

/* Every target of the model must be one of the dataset's. */
static gn2_status bind_targets(gn2_bound *b, int k)
{
    gn2_bound_label *to = &b->task[k];
    const char *task = b->model->h.task[k].name;
    const names ours = names_of(b->model->config, "task.%s.targets", task);
    const names theirs =
        names_of(gn2_dataset_schema(b->dataset)->config, "task.%s.targets", task);
    const gn2_status status = match(&ours, &theirs, &to->column);
    to->count = (int32_t)ours.count;
    if (status != GN2_ERR_NOT_FOUND) return status;
    return fail_names(missing(&ours, &theirs), &ours, &theirs);
}

/* The rows of a task have weights in the data if they have in the model. */
static gn2_status check_weights(const gn2_bound *b, int k)
{
    const gn2_schema *schema = gn2_dataset_schema(b->dataset);
    const char *task = b->model->h.task[k].name;
    char key[128];
    gn2_config_key_of(key, "task.%s.sample_weight", task);
    const char *field = gn2_config_str(b->model->config, key);
    int there = 0;
    for (int32_t l = 0; l < schema->label_count; l++)
        there |= schema->label[l].weight && gn2_dataset_has_label(b->dataset, l) &&
                 strcmp(schema->h.task[schema->label[l].task].name, task) == 0;
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

static gn2_status bind_label(gn2_bound *b, int k)
{
    const gn2_schema *schema = gn2_dataset_schema(b->dataset);
    for (int32_t l = 0; l < schema->label_count; l++) {
        const gn2_label_column *label = &schema->label[l];
        if (strcmp(label->name, b->model->h.task[k].name) != 0) continue;
        if (!gn2_dataset_has_label(b->dataset, l)) continue;
        GN2_TRY(check_weights(b, k));
        b->task[k].object = label->object;
        const gn2_task_kind_f32 *kind = gn2_task_kind_of_f32(&b->model->h.task[k]);
        /* another kind of task is refused when its first batch is looked at */
        if (kind->classifies && label->classes_key[0]) return bind_classes(b, k, label);
        if (kind->label == GN2_LABEL_TARGETS && label->real) return bind_targets(b, k);
    }
    return GN2_OK;
}

gn2_status gn2_bound_make(const gn2_model *model, gn2_dataset *dataset, gn2_bound *out)
{
    *out = (gn2_bound){.dataset = dataset, .model = model};
    GN2_TRY(bind_objects(out));
    for (int k = 0; k < model->h.task_count; k++) GN2_TRY(bind_label(out, k));
    return GN2_OK;
}

static const gn2_label_column *find_label(const gn2_schema *schema, const char *task,
                                          int32_t *out_number)
{
    for (int32_t l = 0; l < schema->label_count; l++) {
        *out_number = l;
        if (strcmp(schema->label[l].name, task) == 0) return &schema->label[l];
    }
    return NULL;
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
    for (int k = 0; k < b->model->h.task_count; k++) {
        int32_t number;
        const char *task = b->model->h.task[k].name;
        const gn2_label_column *label =
            find_label(gn2_dataset_schema(b->dataset), task, &number);
        if (!label || !gn2_dataset_has_label(b->dataset, number))
            return fail_label(b, what, task, label);
    }
    return GN2_OK;
}

void gn2_bound_clear(gn2_bound *b)
{
    gn2_binding_clear(&b->columns);
    for (int k = 0; k < GN2_MAX_TASKS; k++) {
        gn2_free(b->task[k].class_index);
        gn2_free(b->task[k].column);
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
        out[i] =
            from[i] >= 0 && from[i] < to->count ? to->class_index[from[i]] : from[i];
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
            out[i * to->count + c] = from[i * label->columns + to->column[c]];
    label->data = out;
    label->columns = to->count;
    return GN2_OK;
}

static gn2_status turn_label(gn2_bound *b, const gn2_jets *jets, gn2_label *label)
{
    for (int k = 0; k < b->model->h.task_count; k++) {
        gn2_bound_label *to = &b->task[k];
        if (strcmp(label->name, b->model->h.task[k].name) != 0) continue;
        const int64_t rows = to->object
                                 ? jets->sequences[to->object - 1].offsets[jets->count]
                                 : jets->count;
        if (to->class_index) return turn_classes(to, rows, label);
        if (to->column) return turn_targets(to, rows, label);
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
