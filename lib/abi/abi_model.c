/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of model.h: checks, then model/ and io/ do the work. */
#include <gn2/model.h>
#include <math.h>
#include <string.h>

#include "abi/guard.h"
#include "io/model_file.h"
#include "net/model.h"
#include "net/tasks.h"
#include "tag/discriminant.h"
#include "util/alloc.h"
#include "util/str.h"

gn2_status gn2_model_create(const gn2_config *config, gn2_model **out_model)
{
    GN2_REQUIRE_OUT(out_model);
    gn2_config *defaults = NULL;
    if (!config) GN2_TRY(gn2_config_new(&defaults));
    gn2_status status = gn2_model_random(config ? config : defaults, out_model);
    gn2_config_delete(defaults);
    gn2_discriminants ignored;
    if (status == GN2_OK)
        status = gn2_discriminants_read((*out_model)->config, NULL, &ignored);
    if (status == GN2_OK) return GN2_OK;
    gn2_model_unref(*out_model);
    *out_model = NULL;
    return status;
}

gn2_model *gn2_model_ref(const gn2_model *model)
{
    return model ? gn2_model_share(model) : NULL;
}

void gn2_model_free(gn2_model *model)
{
    gn2_model_unref(model);
}

gn2_status gn2_model_load(const char *path, gn2_model **out_model)
{
    GN2_REQUIRE_OUT(out_model);
    GN2_REQUIRE(path);
    return gn2_model_file_load(path, out_model);
}

gn2_status gn2_model_load_buffer(const void *data, size_t size, gn2_model **out_model)
{
    GN2_REQUIRE_OUT(out_model);
    GN2_REQUIRE(data);
    return gn2_model_file_load_buffer(data, size, out_model);
}

gn2_status gn2_model_save(const gn2_model *model, const char *path)
{
    GN2_REQUIRE(model, path);
    return gn2_model_file_save(model, path);
}

gn2_status gn2_model_save_buffer(const gn2_model *model, void *data, size_t capacity,
                                 size_t *out_size)
{
    unsigned char *bytes;
    size_t size;
    GN2_REQUIRE(model, out_size);
    GN2_CHECK(data || capacity == 0, "%s: data is NULL, capacity = %zu", __func__,
              capacity);
    GN2_TRY(gn2_model_file_finish(model, &bytes, &size));
    const gn2_status status = gn2_give_bytes(bytes, size, data, capacity, out_size);
    gn2_free(bytes);
    return status;
}

gn2_status gn2_model_inspect(const char *path, gn2_config **out_config)
{
    GN2_REQUIRE_OUT(out_config);
    GN2_REQUIRE(path);
    return gn2_model_file_inspect(path, out_config);
}

size_t gn2_model_param_count(const gn2_model *model)
{
    return model ? model->params->count : 0;
}

gn2_status gn2_model_param_info(const gn2_model *model, size_t index,
                                gn2_param_info *out_info)
{
    GN2_REQUIRE(model, out_info);
    GN2_CHECK(index < model->params->count, "%s: index %zu, the model has %zu tensors",
              __func__, index, model->params->count);
    const gn2_tensor *t = &model->params->tensor[index];
    const gn2_param_info info = {
        .struct_size = sizeof info,
        .role = t->role,
        .name = t->name,
        .shape = {t->shape[0], t->shape[1]},
        .count = t->count,
        .fan_in = t->fan_in,
        .fan_out = t->fan_out,
        .init_std = t->init_std,
        .lr_mult = t->lr_mult,
        .wd_mult = t->wd_mult,
        .forward_mult = t->forward_mult,
        .rank = t->shape[1] ? 2 : 1,
    };
    return gn2_guard_out(GN2_GUARD_OUT(gn2_param_info, rank), out_info, &info);
}

static gn2_status find_tensor(const gn2_model *model, const char *name, size_t count,
                              const gn2_tensor **out)
{
    const gn2_tensor *t = gn2_params_find(model->params, name);
    if (!t) return gn2_fail(GN2_ERR_NOT_FOUND, "the model has no tensor '%s'", name);
    if ((size_t)t->count != count)
        return gn2_fail(GN2_ERR_SHAPE, "tensor '%s': %zu values given, it has %lld",
                        name, count, (long long)t->count);
    *out = t;
    return GN2_OK;
}

gn2_status gn2_model_param_get(const gn2_model *model, const char *name,
                               float *out_data, size_t count)
{
    const gn2_tensor *t = NULL;
    GN2_REQUIRE(model, name, out_data);
    GN2_TRY(find_tensor(model, name, count, &t));
    memcpy(out_data, model->weights + t->offset, count * sizeof *out_data);
    return GN2_OK;
}

gn2_status gn2_model_param_set(gn2_model *model, const char *name, const float *data,
                               size_t count)
{
    const gn2_tensor *t = NULL;
    GN2_REQUIRE(model, name, data);
    GN2_TRY(find_tensor(model, name, count, &t));
    if (atomic_load(&model->shared))
        return gn2_fail(GN2_ERR_BUSY,
                        "tensor '%s': a tagger or trainer uses the model already",
                        name);
    for (size_t i = 0; i < count; i++)
        if (!isfinite(data[i]))
            return gn2_fail(GN2_ERR_NUMERIC, "tensor '%s': value %zu is %g", name, i,
                            (double)data[i]);
    memcpy(model->weights + t->offset, data, count * sizeof *data);
    return GN2_OK;
}

size_t gn2_model_task_count(const gn2_model *model)
{
    return model ? (size_t)model->h.task_count : 0;
}

gn2_status gn2_model_task_info(const gn2_model *model, size_t index,
                               gn2_task_info *out_info)
{
    GN2_REQUIRE(model, out_info);
    GN2_CHECK(index < gn2_model_task_count(model), "%s: index %zu of %zu tasks",
              __func__, index, gn2_model_task_count(model));
    const gn2_task *task = &model->h.task[index];
    const gn2_task_kind_f32 *kind = gn2_task_kind_of_f32(task);
    const gn2_task_info mine = {
        .struct_size = sizeof mine,
        .name = task->name,
        .kind = kind->name,
        .object = gn2_model_object_name(model, task->sequence + 1),
        .columns = gn2_task_columns(task),
        .label_type = kind->label == GN2_LABEL_TARGETS ? GN2_DATA_F32 : GN2_DATA_I32,
        .label_columns = (int32_t)task->targets,
    };
    return gn2_guard_out(GN2_GUARD(gn2_task_info), out_info, &mine);
}

size_t gn2_model_class_count(const gn2_model *model)
{
    return model ? (size_t)model->h.classes : 0;
}

const char *gn2_model_class_name(const gn2_model *model, size_t index)
{
    if (index >= gn2_model_class_count(model)) return NULL;
    return gn2_config_list_item(model->config, "model.classes", index);
}

gn2_status gn2_model_class_find(const gn2_model *model, const char *name,
                                size_t *out_index)
{
    GN2_REQUIRE(model, name, out_index);
    char list[GN2_NAME_LIST_SIZE] = "";
    for (size_t i = 0; i < gn2_model_class_count(model); i++) {
        const char *known = gn2_model_class_name(model, i);
        gn2_name_list_add(list, known);
        if (strcmp(known, name) != 0) continue;
        *out_index = i;
        return GN2_OK;
    }
    return gn2_fail(GN2_ERR_NOT_FOUND, "no class '%.100s'; the model has%s", name,
                    list);
}

size_t gn2_model_input_count(const gn2_model *model, const char *object)
{
    const int number = model && object ? gn2_model_object_find(model, object) : -1;
    return number < 0 ? 0 : (size_t)gn2_model_object_inputs(model, number);
}

const char *gn2_model_input_name(const gn2_model *model, const char *object,
                                 size_t index)
{
    if (index >= gn2_model_input_count(model, object)) return NULL;
    return gn2_model_object_input(model, gn2_model_object_find(model, object), index);
}

gn2_status gn2_model_metadata_get(const gn2_model *model, const char *key,
                                  const char **out_text)
{
    GN2_REQUIRE(model, key, out_text);
    return gn2_model_metadata(model, key, out_text);
}

gn2_status gn2_model_config(const gn2_model *model, gn2_config **out_config)
{
    GN2_REQUIRE_OUT(out_config);
    GN2_REQUIRE(model);
    return gn2_config_copy(model->config, out_config);
}
