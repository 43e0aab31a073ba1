/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of tagger.h: checks, then tag/tagger.h does the work. */
#include <gn2/tagger.h>
#include <string.h>

#include "abi/jets.h"
#include "io/model_file.h"
#include "net/backend.h"
#include "tag/tagger.h"

/* Outputs of one call; a model has fewer than this. */
#define MAX_OUTPUTS 64

gn2_status gn2_tagger_create(const gn2_model *model, const gn2_config *config,
                             gn2_tagger **out_tagger)
{
    GN2_REQUIRE_OUT(out_tagger);
    GN2_REQUIRE(model);
    gn2_config *own = NULL;
    if (!config) GN2_TRY(gn2_model_file_config(model, &own));
    const gn2_status status = gn2_tag_new(model, config ? config : own, out_tagger);
    gn2_config_delete(own);
    return status;
}

void gn2_tagger_free(gn2_tagger *tagger)
{
    gn2_tag_delete(tagger);
}

gn2_status gn2_tagger_set_parallel(gn2_tagger *tagger, gn2_parallel_fn fn, void *user,
                                   int32_t workers)
{
    GN2_REQUIRE(tagger);
    GN2_CHECK(workers >= 1 && workers <= 4096, "%s: workers = %d, must be 1 to 4096",
              __func__, workers);
    GN2_TRY_HELD(&tagger->use, gn2_tag_set_parallel(tagger, fn, user, workers));
    return GN2_OK;
}

gn2_status gn2_tagger_workspace_size(const gn2_tagger *tagger, int64_t max_jets,
                                     int64_t max_tracks, size_t *out_bytes)
{
    GN2_REQUIRE(tagger, out_bytes);
    GN2_CHECK(max_jets >= 0 && max_tracks >= 0 && max_tracks < INT64_C(1) << 31,
              "%s: max_jets = %lld, max_tracks = %lld", __func__, (long long)max_jets,
              (long long)max_tracks);
    const size_t bytes = gn2_tag_plan(tagger, max_jets, max_tracks);
    GN2_CHECK(bytes, "%s: %lld jets of %lld constituents exceed any memory", __func__,
              (long long)max_jets, (long long)max_tracks);
    *out_bytes = bytes;
    return GN2_OK;
}

size_t gn2_tagger_memory(const gn2_tagger *tagger)
{
    return tagger ? gn2_tag_memory(tagger) : 0;
}

const char *gn2_tagger_precision(const gn2_tagger *tagger)
{
    return tagger ? gn2_compute_arithmetic_name(&tagger->product) : "";
}

gn2_status gn2_tagger_bind(gn2_tagger *tagger, const char *object,
                           const char *const *names, size_t count)
{
    GN2_REQUIRE(tagger, object);
    GN2_CHECK(names || count == 0, "%s: names is NULL, count = %zu", __func__, count);
    for (size_t i = 0; i < count; i++)
        GN2_CHECK(names[i], "%s: names[%zu] is NULL", __func__, i);
    const int number = gn2_model_object_find(tagger->model, object);
    if (number < 0)
        return gn2_fail(GN2_ERR_NOT_FOUND, "%s: the model has no object '%s'", __func__,
                        object);
    GN2_TRY_HELD(&tagger->use, count ? gn2_binding_set(&tagger->binding, tagger->model,
                                                       number, names, count)
                                     : gn2_binding_reset(&tagger->binding, number));
    return GN2_OK;
}

size_t gn2_tagger_output_count(const gn2_tagger *tagger)
{
    return tagger ? tagger->outputs.count : 0;
}

gn2_status gn2_tagger_output_info(const gn2_tagger *tagger, size_t index,
                                  gn2_output_info *out_info)
{
    GN2_REQUIRE(tagger, out_info);
    GN2_CHECK(index < tagger->outputs.count,
              "%s: index %zu, the tagger has %zu outputs", __func__, index,
              tagger->outputs.count);
    const gn2_tag_output *o = &tagger->outputs.item[index];
    const gn2_output_info info = {
        .struct_size = sizeof info,
        .flags = o->field ? GN2_OUTPUT_SCORE : 0,
        .id = (int32_t)index,
        .rows = o->rows,
        .type = o->type,
        .sequence = o->object - 1,
        .name = o->name,
        .object = gn2_model_object_name(tagger->model, o->object),
        .columns = o->columns,
    };
    return gn2_guard_out(GN2_GUARD(gn2_output_info), out_info, &info);
}

gn2_status gn2_tagger_output(const gn2_tagger *tagger, const char *name,
                             int32_t *out_id)
{
    GN2_REQUIRE(tagger, name, out_id);
    return gn2_tag_find_output(&tagger->outputs, name, out_id);
}

int64_t gn2_tagger_output_columns(const gn2_tagger *tagger, int32_t id)
{
    if (!tagger || id < 0 || (size_t)id >= tagger->outputs.count) return 0;
    return tagger->outputs.item[id].columns;
}

gn2_status gn2_tagger_run(gn2_tagger *tagger, const gn2_jets *jets,
                          const gn2_output *outputs, size_t count)
{
    gn2_jets_view view;
    gn2_output mine[MAX_OUTPUTS];
    GN2_REQUIRE(tagger, jets);
    GN2_CHECK(outputs && count > 0, "%s: no outputs", __func__);
    GN2_CHECK(count <= MAX_OUTPUTS, "%s: %zu outputs, at most %d", __func__, count,
              MAX_OUTPUTS);
    GN2_TRY(gn2_jets_read(&view, jets));
    for (size_t i = 0; i < count; i++)
        GN2_TRY(gn2_guard_in_at(GN2_GUARD_IN(gn2_output, type), &mine[i], outputs, 0,
                                (int64_t)i));
    GN2_TRY_HELD(&tagger->use, gn2_tag_run(tagger, &view.jets, mine, count));
    return GN2_OK;
}

gn2_status gn2_tagger_flavour(gn2_tagger *tagger, const gn2_jets *jets,
                              float *probabilities, float *d_b)
{
    gn2_jets_view view;
    GN2_REQUIRE(tagger, jets);
    GN2_TRY(gn2_jets_read(&view, jets));
    gn2_output outputs[2] = {
        {.struct_size = sizeof *outputs,
         .type = GN2_DATA_F32,
         .data = probabilities,
         .capacity = view.jets.count},
        {.struct_size = sizeof *outputs, .data = d_b, .capacity = view.jets.count}};
    outputs[0].id = gn2_tag_probabilities(&tagger->outputs);
    if (outputs[0].id < 0)
        return gn2_fail(GN2_ERR_NOT_FOUND, "the model does not classify jets");
    if (d_b) GN2_TRY(gn2_tag_find_output(&tagger->outputs, "jets.D_b", &outputs[1].id));
    GN2_TRY_HELD(&tagger->use, gn2_tag_run(tagger, &view.jets, outputs, d_b ? 2 : 1));
    return GN2_OK;
}

void gn2_tagger_cancel(gn2_tagger *tagger)
{
    if (tagger) atomic_store(&tagger->cancelled, 1);
}

gn2_status gn2_discriminant_get(const gn2_config *config, const char *name,
                                double *out_fractions, int64_t classes,
                                int64_t *out_signal, int64_t *out_rest,
                                int32_t *out_form)
{
    GN2_REQUIRE(config, name, out_fractions, out_signal, out_rest, out_form);
    gn2_discriminants all;
    GN2_TRY(gn2_discriminants_read(config, NULL, &all));
    const int64_t own = (int64_t)gn2_config_list_count(config, "model.classes");
    const gn2_discriminant_rule *rule = gn2_discriminant_find(&all, name);
    if (!rule) return gn2_fail(GN2_ERR_NOT_FOUND, "no discriminant '%s'", name);
    if (classes != own)
        return gn2_fail(GN2_ERR_SHAPE, "%s: room for %lld classes, there are %lld",
                        __func__, (long long)classes, (long long)own);
    memcpy(out_fractions, rule->fraction, (size_t)classes * sizeof *out_fractions);
    *out_signal = rule->signal;
    *out_rest = rule->rest;
    *out_form = rule->form;
    return GN2_OK;
}

static gn2_status check_probabilities(const float *p, int64_t rows, int64_t classes)
{
    for (int64_t i = 0; i < rows * classes; i++)
        if (!(p[i] >= 0 && p[i] <= 1e30f))
            return gn2_fail(
                GN2_ERR_NUMERIC, "jet %lld: probability of class %lld is %g",
                (long long)(i / classes), (long long)(i % classes), (double)p[i]);
    return GN2_OK;
}

gn2_status gn2_discriminant(const float *probabilities, int64_t rows, int64_t classes,
                            int64_t signal, const double *fractions, int32_t form,
                            float *out)
{
    GN2_CHECK(rows >= 0 && rows < INT64_C(1) << 40, "%s: rows = %lld", __func__,
              (long long)rows);
    GN2_CHECK(classes >= 2 && classes <= 1 << 20, "%s: classes = %lld", __func__,
              (long long)classes);
    GN2_CHECK(signal >= 0 && signal < classes, "%s: signal = %lld of %lld classes",
              __func__, (long long)signal, (long long)classes);
    GN2_CHECK(form == GN2_FORM_LOG || form == GN2_FORM_RATIO, "%s: form = %d", __func__,
              form);
    GN2_REQUIRE(fractions);
    GN2_CHECK((probabilities && out) || rows == 0, "%s: NULL for %lld rows", __func__,
              (long long)rows);
    GN2_TRY(gn2_fractions_check(__func__, fractions, classes, signal));
    GN2_TRY(check_probabilities(probabilities, rows, classes));
    for (int64_t i = 0; i < rows; i++)
        out[i] = gn2_discriminant_value(probabilities + i * classes, classes, signal,
                                        fractions, form);
    return GN2_OK;
}
