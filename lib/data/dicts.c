/* SPDX-License-Identifier: Apache-2.0 */
#include "data/dicts.h"

#include "config/alias.h"
#include "data/yaml.h"
#include "util/error.h"

/* Reads a dict, to be cleared, and finds the entry of a dataset. */
static gn2_status open_dict(const char *path, const char *dataset, gn2_yaml *out_yaml,
                            int32_t *out_node)
{
    GN2_TRY(gn2_yaml_load(path, out_yaml));
    *out_node = gn2_yaml_find(out_yaml, 0, dataset);
    if (*out_node >= 0) return GN2_OK;
    gn2_yaml_clear(out_yaml);
    return gn2_fail(GN2_ERR_NOT_FOUND, "'%s': no entry '%s'", path, dataset);
}

/* Entry of a variable: its own name first, then the aliases. */
static int32_t find_variable(const gn2_yaml *yaml, int32_t parent, const char *name)
{
    const int32_t exact = gn2_yaml_find(yaml, parent, name);
    if (exact >= 0) return exact;
    for (int32_t i = yaml->node[parent].first; i >= 0; i = yaml->node[i].next)
        if (yaml->node[i].key && gn2_alias_match(yaml->node[i].key, name)) return i;
    return -1;
}

static gn2_status read_part(const gn2_yaml *yaml, int32_t variable, const char *part,
                            double *out_value)
{
    const int32_t node = gn2_yaml_find(yaml, variable, part);
    if (node >= 0) return gn2_yaml_number(yaml, node, out_value);
    return gn2_fail(GN2_ERR_FORMAT, "'%s', line %d: '%s' has no '%s'", yaml->path,
                    yaml->node[variable].line, yaml->node[variable].key, part);
}

static gn2_status read_norm(const gn2_yaml *yaml, int32_t dataset,
                            const gn2_object *object, double *mean, double *std)
{
    for (size_t i = 0; i < object->input_count; i++) {
        const int32_t node = find_variable(yaml, dataset, object->inputs[i]);
        if (node < 0)
            return gn2_fail(GN2_ERR_NOT_FOUND, "'%s': '%s' has no entry '%s'",
                            yaml->path, object->dataset, object->inputs[i]);
        double m, s;
        GN2_TRY(read_part(yaml, node, "mean", &m));
        GN2_TRY(read_part(yaml, node, "std", &s));
        if (mean) mean[i] = m;
        if (std) std[i] = s;
        if (!(s > 0))
            return gn2_fail(GN2_ERR_FORMAT,
                            "'%s', line %d: std of '%s' must be positive", yaml->path,
                            yaml->node[node].line, object->inputs[i]);
    }
    return GN2_OK;
}

gn2_status gn2_norm_dict_read(const char *path, const gn2_object *object, double *mean,
                              double *std)
{
    gn2_yaml yaml;
    int32_t node;
    GN2_TRY(open_dict(path, object->dataset, &yaml, &node));
    const gn2_status status = read_norm(&yaml, node, object, mean, std);
    gn2_yaml_clear(&yaml);
    return status;
}

static gn2_status read_weights(const gn2_yaml *yaml, int32_t list, double *weights,
                               size_t count)
{
    size_t found = 0;
    for (int32_t i = yaml->node[list].first; i >= 0; i = yaml->node[i].next) {
        if (found < count) GN2_TRY(gn2_yaml_number(yaml, i, &weights[found]));
        found++;
    }
    if (found == count) return GN2_OK;
    return gn2_fail(GN2_ERR_FORMAT,
                    "'%s', line %d: '%s' has %zu weights for %zu classes", yaml->path,
                    yaml->node[list].line, yaml->node[list].key, found, count);
}

gn2_status gn2_class_dict_read(const char *path, const char *dataset, const char *label,
                               double *weights, size_t count)
{
    gn2_yaml yaml;
    int32_t node;
    GN2_TRY(open_dict(path, dataset, &yaml, &node));
    const int32_t list = gn2_yaml_find(&yaml, node, label);
    const gn2_status status =
        list >= 0 ? read_weights(&yaml, list, weights, count)
                  : gn2_fail(GN2_ERR_NOT_FOUND, "'%s': '%s' has no entry '%s'", path,
                             dataset, label);
    gn2_yaml_clear(&yaml);
    return status;
}
