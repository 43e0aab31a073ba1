/* SPDX-License-Identifier: Apache-2.0 */
#include "data/schema.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "net/labels.h"
#include "net/tasks.h"
#include "util/alloc.h"
#include "util/error.h"

static gn2_status read_defaults(const gn2_config *config, gn2_object *object)
{
    char key[128];
    gn2_config_key_of(key, "input.defaults.%s", object->name);
    const size_t count = gn2_config_list_count(config, key);
    if (count && count != object->input_count)
        return gn2_fail(GN2_ERR_INVALID_ARG, "%s has %zu values for %zu inputs", key,
                        count, object->input_count);
    for (size_t i = 0; i < count; i++)
        object->defaults[i] = (float)gn2_config_f64_item(config, key, i);
    return GN2_OK;
}

const char *gn2_schema_dataset(const gn2_config *config, const char *object)
{
    char key[128];
    gn2_config_key_of(key, "data.dataset.%s", object);
    const char *dataset = gn2_config_str(config, key);
    return dataset[0] ? dataset : object;
}

static gn2_status read_object(const gn2_config *config, const char *name,
                              gn2_object *object)
{
    char key[128];
    object->name = name;
    object->dataset = gn2_schema_dataset(config, name);
    gn2_config_key_of(key, "inputs.%s", name);
    object->input_count = gn2_config_list_count(config, key);
    if (object->input_count == 0)
        return gn2_fail(GN2_ERR_INVALID_ARG, "%s is empty: name its variables", key);
    object->inputs = gn2_config_str_list(config, key);
    object->defaults = gn2_alloc(object->input_count, sizeof *object->defaults);
    if (!object->defaults) return gn2_fail_memory();
    return read_defaults(config, object);
}

static gn2_status read_objects(const gn2_config *config, gn2_schema *schema)
{
    const size_t parts = gn2_config_list_count(config, "model.constituents");
    if (parts > GN2_MAX_PARTS)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "model.constituents has %zu types, at most %d are possible",
                        parts, GN2_MAX_PARTS);
    schema->object_count = 1;
    GN2_TRY(read_object(config, "jets", &schema->object[0]));
    for (size_t i = 0; i < parts; i++) {
        const char *name = gn2_config_list_item(config, "model.constituents", i);
        GN2_TRY(gn2_config_check_name(name, "model.constituents"));
        gn2_object *object = &schema->object[schema->object_count++];
        GN2_TRY(read_object(config, name, object));
    }
    return GN2_OK;
}

/* ---- labels ---- */

static const char *task_text(const gn2_schema *schema, const gn2_task *task,
                             const char *format, char key[128])
{
    return gn2_config_str(schema->config, gn2_config_key_of(key, format, task->name));
}

static gn2_label_column *add_label(gn2_schema *schema, int k, const char *suffix)
{
    const gn2_task *task = &schema->h.task[k];
    gn2_label_column *label = &schema->label[schema->label_count++];
    snprintf(label->name, sizeof label->name, "%s%s", task->name, suffix);
    label->task = k;
    label->object = task->sequence + 1;
    return label;
}

static void read_targets(const gn2_schema *schema, gn2_label_column *label)
{
    char key[128];
    gn2_config_key_of(key, "task.%s.targets", schema->h.task[label->task].name);
    const size_t count = gn2_config_list_count(schema->config, key);
    label->real = 1;
    label->columns = (int32_t)(count < GN2_LABEL_FIELDS ? count : GN2_LABEL_FIELDS);
    for (int32_t i = 0; i < label->columns; i++)
        label->field[i] = gn2_config_list_item(schema->config, key, (size_t)i);
}

static void read_numbers(const gn2_schema *schema, gn2_label_column *label)
{
    char key[128];
    const gn2_task *task = &schema->h.task[label->task];
    const gn2_task_kind_f32 *kind = gn2_task_kind_of_f32(task);
    label->field[0] = task_text(schema, task, "task.%s.label", key);
    label->columns = label->field[0][0] ? 1 : 0;
    label->least = INT32_MIN;
    label->most = INT32_MAX;
    if (!kind->classifies) return;
    /* −1: not labelled; −2: given up by the truth matching of constituents */
    label->least = label->object ? -2 : -1;
    label->most = gn2_task_columns(task) - 1;
    gn2_config_key_of(key, "task.%s.classes", task->name);
    const char *names = label->task == schema->h.flavour ? "model.classes" : key;
    snprintf(label->classes_key, sizeof label->classes_key, "%s", names);
}

static void read_weights(gn2_schema *schema, int k)
{
    char key[128];
    const char *field =
        task_text(schema, &schema->h.task[k], "task.%s.sample_weight", key);
    if (!field[0]) return;
    gn2_label_column *label = add_label(schema, k, GN2_WEIGHT_SUFFIX);
    label->weight = label->real = 1;
    label->columns = 1;
    label->field[0] = field;
}

static void read_labels(gn2_schema *schema)
{
    for (int k = 0; k < schema->h.task_count; k++) {
        gn2_label_column *label = add_label(schema, k, "");
        if (gn2_task_kind_of_f32(&schema->h.task[k])->label == GN2_LABEL_TARGETS)
            read_targets(schema, label);
        else
            read_numbers(schema, label);
        read_weights(schema, k);
    }
}

gn2_status gn2_schema_read(const gn2_config *config, gn2_schema *out_schema)
{
    gn2_schema *schema = out_schema;
    memset(schema, 0, sizeof *schema);
    schema->config = config;
    GN2_TRY(read_objects(config, schema));
    GN2_TRY(gn2_hparams_tasks(config, &schema->h));
    read_labels(schema);
    if (gn2_config_says(config, "input.non_finite", "default"))
        schema->non_finite = GN2_NON_FINITE_DEFAULT;
    schema->keeps_unwritten = gn2_config_says(config, "data.unwritten", "keep");
    return gn2_selection_parse(gn2_config_str(config, "data.selection"),
                               &schema->selection);
}

void gn2_schema_clear(gn2_schema *schema)
{
    for (int32_t i = 0; i < schema->object_count; i++)
        gn2_free(schema->object[i].defaults);
    memset(schema, 0, sizeof *schema);
}

gn2_rows_shape gn2_schema_shape(const gn2_schema *schema)
{
    gn2_rows_shape shape = {.object_count = schema->object_count,
                            .label_count = schema->label_count};
    for (int32_t o = 0; o < shape.object_count; o++)
        shape.columns[o] = (int64_t)schema->object[o].input_count;
    for (int32_t k = 0; k < shape.label_count; k++)
        shape.label[k] =
            (gn2_rows_label){schema->label[k].object, schema->label[k].columns};
    return shape;
}

int64_t gn2_schema_check(const gn2_schema *schema, gn2_non_finite policy,
                         int32_t object, float *row)
{
    const gn2_object *o = &schema->object[object];
    if (policy == GN2_NON_FINITE_KEEP) return -1;
    for (size_t i = 0; i < o->input_count; i++) {
        if (isfinite(row[i])) continue;
        if (policy == GN2_NON_FINITE_ERROR) return (int64_t)i;
        row[i] = o->defaults[i];
    }
    return -1;
}

/* ---- values of labels ---- */

int32_t gn2_schema_label(const gn2_schema *schema, int task)
{
    for (int32_t k = 0; k < schema->label_count; k++)
        if (schema->label[k].task == task && !schema->label[k].weight) return k;
    return -1;
}

/* Index of a class of a label, −2 if it has none of that name. */
static int32_t class_of(const gn2_schema *schema, const gn2_label_column *label,
                        const char *name)
{
    const size_t count = gn2_config_list_count(schema->config, label->classes_key);
    for (size_t i = 0; i < count; i++) {
        const char *known = gn2_config_list_item(schema->config, label->classes_key, i);
        if (strcmp(known, name) == 0) return (int32_t)i;
    }
    return GN2_LABEL_UNKNOWN;
}

void gn2_label_map_add(gn2_label_map *map, const gn2_schema *schema,
                       const gn2_label_column *label, int64_t value, const char *name)
{
    const size_t i = map->count++;
    map->value[i] = value;
    map->class_index[i] = class_of(schema, label, name);
    snprintf(map->name[i], sizeof map->name[i], "%s", name);
}

void gn2_label_map_default(const gn2_schema *schema, const gn2_label_column *label,
                           gn2_label_map *out_map)
{
    /* HadronConeExclTruthLabelID: codes of the heaviest hadron in the jet */
    static const struct {
        int64_t code;
        const char *name;
    } codes[] = {{0, "ujets"}, {4, "cjets"}, {5, "bjets"}, {15, "taujets"}};
    const size_t count = gn2_config_list_count(schema->config, label->classes_key);
    out_map->count = 0;
    if (strcmp(label->field[0], "HadronConeExclTruthLabelID") != 0) {
        for (size_t i = 0; i < count; i++)
            gn2_label_map_add(
                out_map, schema, label, (int64_t)i,
                gn2_config_list_item(schema->config, label->classes_key, i));
        return;
    }
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        gn2_label_map_add(out_map, schema, label, codes[i].code, codes[i].name);
}

int32_t gn2_label_map_find(const gn2_label_map *map, int64_t value)
{
    if (value == -1) return -1;
    for (size_t i = 0; i < map->count; i++)
        if (map->value[i] == value) return map->class_index[i];
    return GN2_LABEL_UNKNOWN;
}

const char *gn2_label_map_name(const gn2_label_map *map, int64_t value)
{
    for (size_t i = 0; i < map->count; i++)
        if (map->value[i] == value) return map->name[i];
    return NULL;
}
