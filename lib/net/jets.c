/* SPDX-License-Identifier: Apache-2.0 */
#include "net/jets.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config/alias.h"
#include "util/alloc.h"
#include "util/error.h"

/* ---- columns ---- */

static int64_t find_column(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) /* its own name goes before an alias */
        if (strcmp(names[i], name) == 0) return (int64_t)i;
    for (size_t i = 0; i < count; i++)
        if (gn2_alias_match(names[i], name)) return (int64_t)i;
    return -1;
}

/* Two inputs that read one column, by alias: one of them would be another's values. */
static gn2_status check_shared(const gn2_model *model, int object,
                               const int32_t *column, int64_t i)
{
    int64_t j = 0;
    while (j < i && column[j] != column[i]) j++;
    if (j == i) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG,
                    "inputs '%s' and '%s' of '%s' would both read column %d",
                    gn2_model_object_input(model, object, (size_t)j),
                    gn2_model_object_input(model, object, (size_t)i),
                    gn2_model_object_name(model, object), column[i]);
}

/* Which of two columns of one name is meant cannot be known. */
static gn2_status check_once(const char *const *names, size_t count, int32_t column)
{
    for (size_t k = (size_t)column + 1; k < count; k++)
        if (strcmp(names[k], names[column]) == 0)
            return gn2_fail(GN2_ERR_INVALID_ARG, "columns %d and %zu are both '%s'",
                            column, k, names[column]);
    return GN2_OK;
}

gn2_status gn2_binding_set(gn2_binding *binding, const gn2_model *model, int object,
                           const char *const *names, size_t count)
{
    const int64_t inputs = gn2_model_object_inputs(model, object);
    int32_t *column = gn2_alloc((size_t)inputs, sizeof *column);
    if (!column) return gn2_fail_memory();
    for (int64_t i = 0; i < inputs; i++) {
        const char *name = gn2_model_object_input(model, object, (size_t)i);
        const int64_t k = find_column(name, names, count);
        if (k < 0) {
            gn2_free(column);
            return gn2_fail(GN2_ERR_NOT_FOUND,
                            "input '%s' of '%s' is not among the %zu column names",
                            name, gn2_model_object_name(model, object), count);
        }
        column[i] = (int32_t)k;
        gn2_status status = check_shared(model, object, column, i);
        if (status == GN2_OK) status = check_once(names, count, column[i]);
        if (status != GN2_OK) {
            gn2_free(column);
            return status;
        }
    }
    gn2_free(binding->column[object]);
    binding->column[object] = column;
    binding->columns[object] = (int64_t)count;
    return GN2_OK;
}

gn2_status gn2_binding_reset(gn2_binding *binding, int object)
{
    gn2_free(binding->column[object]);
    binding->column[object] = NULL;
    binding->columns[object] = 0;
    return GN2_OK;
}

void gn2_binding_clear(gn2_binding *binding)
{
    for (int i = 0; i <= GN2_MAX_SEQUENCES; i++) gn2_free(binding->column[i]);
    memset(binding, 0, sizeof *binding);
}

/* ---- rows ---- */

typedef struct reader {
    gn2_input *input;
    const gn2_model *model;
    const gn2_binding *binding;
    const gn2_jets *jets;
} reader;

static int64_t columns_of(const reader *r, int object)
{
    if (r->binding && r->binding->column[object]) return r->binding->columns[object];
    return gn2_model_object_inputs(r->model, object);
}

static gn2_jets_form form_of(const reader *r)
{
    gn2_jets_form form = {.sequence_count = r->model->h.sequence_count};
    for (int i = 0; i <= form.sequence_count; i++) {
        form.name[i] = gn2_model_object_name(r->model, i);
        form.columns[i] = columns_of(r, i);
    }
    return form;
}

static void set_rows(const reader *r, int object, const float *data, int64_t stride,
                     gn2_rows_f32 *out)
{
    out->data = data;
    out->ld = stride ? stride : columns_of(r, object);
    out->column = r->binding ? r->binding->column[object] : NULL;
}

static gn2_status reserve(int64_t **block, size_t *capacity, int64_t count)
{
    if ((size_t)count <= *capacity) return GN2_OK;
    if (!gn2_grow(block, 0, (size_t)count, sizeof **block)) return gn2_fail_memory();
    *capacity = (size_t)count;
    return GN2_OK;
}

/* Offsets and row numbers of the valid slots. */
static gn2_status index_padded(const reader *r, int s, const gn2_sequence *seq,
                               gn2_rows_f32 *out)
{
    gn2_input *in = r->input;
    const int64_t jets = r->jets->count, slots = seq->slots;
    GN2_TRY(reserve(&in->offset[s], &in->offset_capacity[s], jets + 1));
    GN2_TRY(reserve(&in->row[s], &in->row_capacity[s], jets * slots));
    int64_t count = 0;
    for (int64_t b = 0; b < jets; b++) {
        in->offset[s][b] = count;
        for (int64_t i = b * slots; i < (b + 1) * slots; i++)
            if (!seq->valid || seq->valid[i]) in->row[s][count++] = i;
    }
    in->offset[s][jets] = count;
    out->offset = in->offset[s];
    out->row = in->row[s];
    return GN2_OK;
}

static gn2_status read_sequence(const reader *r, int s, gn2_rows_f32 *out)
{
    const gn2_sequence *seq = &r->jets->sequences[s];
    set_rows(r, s + 1, seq->data, seq->row_stride, out);
    if (!seq->offsets) return index_padded(r, s, seq, out);
    out->offset = seq->offsets;
    out->row = NULL;
    return GN2_OK;
}

/* ---- values ---- */

/* One row of an object: the number of its jet, and its place among the jet's rows. */
typedef struct row_at {
    int object;
    const float *x;
    const int32_t *column;
    int64_t jet, constituent;
} row_at;

/* Whether every value lies within its limits; NaN and Inf do not. */
static int row_fits(const row_at *row, const gn2_object_norm *norm, int64_t inputs)
{
    const float *x = row->x, *low = norm->low, *high = norm->high;
    int fits = 1;
    if (row->column)
        for (int64_t i = 0; i < inputs; i++)
            fits &= (x[row->column[i]] >= low[i]) & (x[row->column[i]] <= high[i]);
    else
        for (int64_t i = 0; i < inputs; i++)
            fits &= (x[i] >= low[i]) & (x[i] <= high[i]);
    return fits;
}

static gn2_status fail_value(const reader *r, const row_at *row, int64_t i, float value)
{
    const gn2_object_norm *norm = &r->model->norm[row->object];
    const char *name = gn2_model_object_input(r->model, row->object, (size_t)i);
    char where[200] = "", why[120] = "";
    if (row->object)
        snprintf(where, sizeof where, " of %s %lld",
                 gn2_model_object_name(r->model, row->object),
                 (long long)row->constituent);
    if (isfinite(value))
        snprintf(why, sizeof why,
                 ", %.3g standard deviations from its mean; at most %g are allowed",
                 fabs((double)value - (double)norm->mean[i]) / (double)norm->std[i],
                 GN2_NORMALISED_MAX);
    return gn2_fail(GN2_ERR_NUMERIC, "jet %lld: '%s'%s is %g%s", (long long)row->jet,
                    name, where, (double)value, why);
}

static gn2_status check_row(const reader *r, const row_at *row)
{
    const gn2_object_norm *norm = &r->model->norm[row->object];
    const int64_t inputs = gn2_model_object_inputs(r->model, row->object);
    if (row_fits(row, norm, inputs)) return GN2_OK;
    for (int64_t i = 0; i < inputs; i++) {
        const float value = row->x[row->column ? row->column[i] : i];
        const int replaced = r->model->h.replace_non_finite && !isfinite(value);
        if (replaced || (value >= norm->low[i] && value <= norm->high[i])) continue;
        return fail_value(r, row, i, value);
    }
    return GN2_OK;
}

static gn2_status check_constituents(const reader *r, const gn2_rows_f32 *rows, int s,
                                     int64_t jet)
{
    const int64_t slots = r->jets->sequences[s].slots;
    const int64_t first = rows->row ? jet * slots : rows->offset[jet];
    for (int64_t i = rows->offset[jet]; i < rows->offset[jet + 1]; i++) {
        const int64_t k = rows->row ? rows->row[i] : i;
        const row_at row = {.object = s + 1,
                            .x = rows->data + k * rows->ld,
                            .column = rows->column,
                            .jet = jet,
                            .constituent = k - first};
        GN2_TRY(check_row(r, &row));
    }
    return GN2_OK;
}

static gn2_status check_values(const reader *r, const gn2_batch_f32 *batch)
{
    for (int64_t b = 0; b < batch->jets && r->model->h.jet_inputs; b++) {
        const row_at row = {.x = batch->jet.data + b * batch->jet.ld,
                            .column = batch->jet.column,
                            .jet = b};
        GN2_TRY(check_row(r, &row));
    }
    for (int s = 0; s < r->model->h.sequence_count; s++)
        for (int64_t b = 0; b < batch->jets && r->model->h.sequence_inputs[s]; b++)
            GN2_TRY(check_constituents(r, &batch->sequence[s], s, b));
    return GN2_OK;
}

gn2_status gn2_input_read(gn2_input *input, const gn2_model *model,
                          const gn2_binding *binding, const gn2_jets *jets,
                          gn2_batch_f32 *out_batch)
{
    const reader r = {input, model, binding, jets};
    const gn2_jets_form form = form_of(&r);
    GN2_TRY(gn2_jets_check(jets, &form));
    gn2_batch_f32 batch = {.jets = jets->count};
    set_rows(&r, 0, jets->features, jets->row_stride, &batch.jet);
    for (int s = 0; s < model->h.sequence_count; s++)
        GN2_TRY(read_sequence(&r, s, &batch.sequence[s]));
    GN2_TRY(check_values(&r, &batch));
    *out_batch = batch;
    return GN2_OK;
}

void gn2_input_clear(gn2_input *input)
{
    for (int s = 0; s < GN2_MAX_SEQUENCES; s++) {
        gn2_free(input->offset[s]);
        gn2_free(input->row[s]);
    }
    memset(input, 0, sizeof *input);
}

size_t gn2_input_bytes(const gn2_input *input)
{
    size_t bytes = 0;
    for (int s = 0; s < GN2_MAX_SEQUENCES; s++)
        bytes += (input->offset_capacity[s] + input->row_capacity[s]) * sizeof(int64_t);
    return bytes;
}
