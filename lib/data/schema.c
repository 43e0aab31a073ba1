/* SPDX-License-Identifier: Apache-2.0 */
#include "data/schema.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

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

static gn2_status read_object(const gn2_config *config, const char *name,
                              gn2_object *object)
{
    char key[128];
    object->name = name;
    gn2_config_key_of(key, "data.dataset.%s", name);
    const char *dataset = gn2_config_str(config, key);
    object->dataset = dataset[0] ? dataset : name;
    gn2_config_key_of(key, "inputs.%s", name);
    object->input_count = gn2_config_list_count(config, key);
    if (object->input_count == 0)
        return gn2_fail(GN2_ERR_INVALID_ARG, "%s is empty: name its variables", key);
    object->inputs = gn2_alloc(object->input_count, sizeof *object->inputs);
    object->defaults = gn2_alloc(object->input_count, sizeof *object->defaults);
    if (!object->inputs || !object->defaults) return gn2_fail_memory();
    for (size_t i = 0; i < object->input_count; i++)
        object->inputs[i] = gn2_config_list_item(config, key, i);
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
        GN2_TRY(gn2_config_check_object(name));
        gn2_object *object = &schema->object[schema->object_count++];
        GN2_TRY(read_object(config, name, object));
    }
    return GN2_OK;
}

static gn2_status read_classes(const gn2_config *config, gn2_schema *schema)
{
    const size_t count = gn2_config_list_count(config, "model.classes");
    if (count == 0 || count > GN2_LABEL_MAP_MAX)
        return gn2_fail(GN2_ERR_INVALID_ARG, "model.classes has %zu names, not 1 to %d",
                        count, GN2_LABEL_MAP_MAX);
    schema->class_count = count;
    schema->classes = gn2_alloc(count, sizeof *schema->classes);
    if (!schema->classes) return gn2_fail_memory();
    for (size_t i = 0; i < count; i++)
        schema->classes[i] = gn2_config_list_item(config, "model.classes", i);
    schema->flavour.field = gn2_config_str(config, "task.jets_classification.label");
    schema->flavour.object = schema->flavour.field[0] ? 0 : -1;
    schema->flavour.classes = (int64_t)count;
    return GN2_OK;
}

static int has_task(const gn2_config *config, const char *task)
{
    const size_t count = gn2_config_list_count(config, "model.tasks");
    for (size_t i = 0; i < count; i++)
        if (strcmp(gn2_config_list_item(config, "model.tasks", i), task) == 0) return 1;
    return 0;
}

/* A constituent label of a task that is switched on. */
static gn2_status read_label(const gn2_config *config, gn2_schema *schema,
                             const char *task, gn2_label *label)
{
    char key[128];
    label->object = -1;
    label->field =
        gn2_config_str(config, gn2_config_key_of(key, "task.%s.label", task));
    if (!has_task(config, task) || !label->field[0]) return GN2_OK;
    const char *name =
        gn2_config_str(config, gn2_config_key_of(key, "task.%s.object", task));
    for (int32_t i = 1; i < schema->object_count; i++)
        if (strcmp(schema->object[i].name, name) == 0) label->object = i;
    if (label->object < 0)
        return gn2_fail(GN2_ERR_INVALID_ARG, "%s: '%s' is not in model.constituents",
                        key, name);
    return GN2_OK;
}

gn2_status gn2_schema_read(const gn2_config *config, gn2_schema *out_schema)
{
    gn2_schema *schema = out_schema;
    memset(schema, 0, sizeof *schema);
    gn2_status status;
    GN2_TRY_GOTO(read_objects(config, schema));
    GN2_TRY_GOTO(read_classes(config, schema));
    GN2_TRY_GOTO(read_label(config, schema, "track_origin", &schema->origin));
    GN2_TRY_GOTO(read_label(config, schema, "track_vertexing", &schema->vertex));
    schema->origin.classes =
        (int64_t)gn2_config_list_count(config, "task.track_origin.classes");
    const char *policy = gn2_config_str(config, "input.non_finite");
    schema->non_finite =
        strcmp(policy, "default") == 0 ? GN2_NON_FINITE_DEFAULT : GN2_NON_FINITE_ERROR;
    return GN2_OK;
fail:
    gn2_schema_clear(schema);
    return status;
}

void gn2_schema_clear(gn2_schema *schema)
{
    for (int32_t i = 0; i < schema->object_count; i++) {
        gn2_free(schema->object[i].inputs);
        gn2_free(schema->object[i].defaults);
    }
    gn2_free(schema->classes);
    memset(schema, 0, sizeof *schema);
}

gn2_rows_shape gn2_schema_shape(const gn2_schema *schema)
{
    gn2_rows_shape shape = {
        .columns = (int64_t)schema->object[0].input_count,
        .has_flavour = schema->flavour.object == 0,
        .part_count = schema->object_count - 1,
        .origin_part = schema->origin.object < 0 ? -1 : schema->origin.object - 1,
        .vertex_part = schema->vertex.object < 0 ? -1 : schema->vertex.object - 1,
    };
    for (int32_t p = 0; p < shape.part_count; p++)
        shape.part_columns[p] = (int64_t)schema->object[p + 1].input_count;
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

/* ---- jet labels ---- */

int32_t gn2_schema_class(const gn2_schema *schema, const char *name)
{
    for (size_t i = 0; i < schema->class_count; i++)
        if (strcmp(schema->classes[i], name) == 0) return (int32_t)i;
    return GN2_LABEL_UNKNOWN;
}

static void map_add(const gn2_schema *schema, gn2_label_map *map, int64_t value,
                    const char *name)
{
    const size_t i = map->count++;
    map->value[i] = value;
    map->class_index[i] = gn2_schema_class(schema, name);
    snprintf(map->name[i], sizeof map->name[i], "%s", name);
}

void gn2_label_map_default(const gn2_schema *schema, gn2_label_map *out_map)
{
    /* HadronConeExclTruthLabelID: codes of the heaviest hadron in the jet */
    static const struct {
        int64_t code;
        const char *name;
    } codes[] = {{0, "ujets"}, {4, "cjets"}, {5, "bjets"}, {15, "taujets"}};
    out_map->count = 0;
    if (strcmp(schema->flavour.field, "HadronConeExclTruthLabelID") != 0) {
        for (size_t i = 0; i < schema->class_count; i++)
            map_add(schema, out_map, (int64_t)i, schema->classes[i]);
        return;
    }
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        map_add(schema, out_map, codes[i].code, codes[i].name);
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
