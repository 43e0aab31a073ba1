/* SPDX-License-Identifier: Apache-2.0 */
#include "net/jets.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config/alias.h"
#include "util/alloc.h"
#include "util/error.h"

/* ---- shapes ---- */

/* More rows than this cannot be a real call, and sums of them stay far from 2^63. */
#define ROWS_MAX ((int64_t)1 << 40)

gn2_status gn2_rows_check_size(const char *name, int64_t stride, int64_t rows)
{
    int64_t values;
    if (!__builtin_mul_overflow(stride, rows, &values) &&
        values <= PTRDIFF_MAX / (int64_t)sizeof(float))
        return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG,
                    "%s: %lld rows with row_stride %lld exceed any memory", name,
                    (long long)rows, (long long)stride);
}

static gn2_status check_rows(const char *name, const float *data, int64_t stride,
                             int64_t columns, int64_t rows)
{
    if (stride != 0 && stride < columns)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "%s: row_stride %lld is less than its %lld columns", name,
                        (long long)stride, (long long)columns);
    GN2_TRY(gn2_rows_check_size(name, stride ? stride : columns, rows));
    if (rows > 0 && columns > 0 && !data)
        return gn2_fail(GN2_ERR_INVALID_ARG, "%s: %s is NULL", name,
                        strcmp(name, "jets") == 0 ? "features" : "data");
    return GN2_OK;
}

static gn2_status check_offsets(const gn2_sequence *s, const char *name, int64_t jets)
{
    if (s->valid || s->slots)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "%s: offsets (ragged) exclude valid and slots (padded)", name);
    if (s->offsets[0] != 0)
        return gn2_fail(GN2_ERR_INVALID_ARG, "%s: offsets[0] = %lld, must be 0", name,
                        (long long)s->offsets[0]);
    for (int64_t b = 0; b < jets; b++)
        if (s->offsets[b + 1] < s->offsets[b] || s->offsets[b + 1] > ROWS_MAX)
            return gn2_fail(GN2_ERR_INVALID_ARG, "%s: offsets[%lld] = %lld after %lld",
                            name, (long long)b + 1, (long long)s->offsets[b + 1],
                            (long long)s->offsets[b]);
    return GN2_OK;
}

static gn2_status check_slots(const gn2_sequence *s, const char *name, int64_t jets)
{
    int64_t rows;
    if (s->slots >= 0 && !__builtin_mul_overflow(jets, s->slots, &rows) &&
        rows <= ROWS_MAX && s->slots <= INT32_MAX)
        return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG, "%s: slots = %lld for %lld jets", name,
                    (long long)s->slots, (long long)jets);
}

gn2_status gn2_jets_check(const gn2_jets *jets, const gn2_jets_form *form)
{
    if (jets->count < 0 || jets->count > ROWS_MAX)
        return gn2_fail(GN2_ERR_INVALID_ARG, "jets: count = %lld",
                        (long long)jets->count);
    GN2_TRY(check_rows(form->name[0], jets->features, jets->row_stride,
                       form->columns[0], jets->count));
    if ((int64_t)jets->sequence_count != form->sequence_count)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "jets: %u constituent types, model.constituents has %d",
                        jets->sequence_count, form->sequence_count);
    if (form->sequence_count && !jets->sequences)
        return gn2_fail(GN2_ERR_INVALID_ARG, "jets: sequences is NULL");
    for (int i = 0; i < form->sequence_count; i++) {
        const gn2_sequence *s = &jets->sequences[i];
        const char *name = form->name[i + 1];
        GN2_TRY((s->offsets ? check_offsets : check_slots)(s, name, jets->count));
        GN2_TRY(check_rows(name, s->data, s->row_stride, form->columns[i + 1],
                           gn2_sequence_rows(jets, i)));
    }
    return GN2_OK;
}

int64_t gn2_sequence_rows(const gn2_jets *jets, int sequence)
{
    const gn2_sequence *s = &jets->sequences[sequence];
    return s->offsets ? s->offsets[jets->count] : jets->count * s->slots;
}

/* ---- columns ---- */

/* Two inputs that read one column, by alias: one of them would be another's values. */
static gn2_status check_shared(const gn2_model *model, int object,
                               const int32_t *column, size_t i)
{
    size_t j = 0;
    while (j < i && column[j] != column[i]) j++;
    if (j == i) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG,
                    "inputs '%s' and '%s' of '%s' would both read column %d",
                    gn2_model_object_input(model, object, j),
                    gn2_model_object_input(model, object, i),
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

static gn2_status find_columns(const gn2_model *model, int object,
                               const char *const *names, size_t count, int32_t *column)
{
    const size_t inputs = (size_t)gn2_model_object_inputs(model, object);
    for (size_t i = 0; i < inputs; i++) {
        const char *name = gn2_model_object_input(model, object, i);
        const size_t k = gn2_alias_find(names, count, name);
        if (k == count)
            return gn2_fail(GN2_ERR_NOT_FOUND,
                            "input '%s' of '%s' is not among the %zu column names",
                            name, gn2_model_object_name(model, object), count);
        column[i] = (int32_t)k;
        GN2_TRY(check_shared(model, object, column, i));
        GN2_TRY(check_once(names, count, column[i]));
    }
    return GN2_OK;
}

gn2_status gn2_binding_set(gn2_binding *binding, const gn2_model *model, int object,
                           const char *const *names, size_t count)
{
    const int64_t inputs = gn2_model_object_inputs(model, object);
    int32_t *column = gn2_alloc((size_t)inputs, sizeof *column);
    if (!column) return gn2_fail_memory();
    const gn2_status status = find_columns(model, object, names, count, column);
    if (status != GN2_OK) {
        gn2_free(column);
        return status;
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

/* Offsets and row numbers of the valid slots. */
static gn2_status index_padded(const reader *r, int s, const gn2_sequence *seq,
                               gn2_rows_f32 *out)
{
    gn2_input *in = r->input;
    const int64_t jets = r->jets->count, slots = seq->slots;
    const size_t size = (size_t)(jets + 1 + jets * slots);
    if (size > in->capacity[s]) {
        if (!gn2_grow(&in->index[s], 0, size, sizeof **in->index))
            return gn2_fail_memory();
        in->capacity[s] = size;
    }
    int64_t count = 0, *offset = in->index[s], *row = offset + jets + 1;
    for (int64_t b = 0; b < jets; b++) {
        offset[b] = count;
        for (int64_t i = b * slots; i < (b + 1) * slots; i++)
            if (!seq->valid || seq->valid[i]) row[count++] = i;
    }
    offset[jets] = count;
    out->offset = offset;
    out->row = row;
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
static int row_fits(const row_at *row, const gn2_object_inputs *object, int64_t inputs)
{
    const float *x = row->x, *low = object->low, *high = object->high;
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
    const gn2_object_inputs *object = &r->model->object[row->object];
    const char *name = gn2_model_object_input(r->model, row->object, (size_t)i);
    char where[200] = "", why[120] = "";
    if (row->object)
        snprintf(where, sizeof where, " of %s %lld",
                 gn2_model_object_name(r->model, row->object),
                 (long long)row->constituent);
    if (isfinite(value))
        snprintf(why, sizeof why,
                 ", %.3g standard deviations from its mean; at most %g are allowed",
                 fabs((double)value - (double)object->mean[i]) / (double)object->std[i],
                 GN2_NORMALISED_MAX);
    return gn2_fail(GN2_ERR_NUMERIC, "jet %lld: '%s'%s is %g%s", (long long)row->jet,
                    name, where, (double)value, why);
}

static gn2_status check_row(const reader *r, const row_at *row)
{
    const gn2_object_inputs *object = &r->model->object[row->object];
    const int64_t inputs = gn2_model_object_inputs(r->model, row->object);
    if (row_fits(row, object, inputs)) return GN2_OK;
    for (int64_t i = 0; i < inputs; i++) {
        const float value = row->x[row->column ? row->column[i] : i];
        const int replaced = r->model->h.replace_non_finite && !isfinite(value);
        if (replaced || (value >= object->low[i] && value <= object->high[i])) continue;
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

static gn2_status check_jets(const reader *r, const gn2_rows_f32 *rows)
{
    for (int64_t b = 0; b < r->jets->count && r->model->h.jet_inputs; b++) {
        const row_at row = {
            .x = rows->data + b * rows->ld, .column = rows->column, .jet = b};
        GN2_TRY(check_row(r, &row));
    }
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
    GN2_TRY(check_jets(&r, &batch.jet));
    for (int s = 0; s < model->h.sequence_count; s++) {
        GN2_TRY(read_sequence(&r, s, &batch.sequence[s]));
        for (int64_t b = 0; b < jets->count && model->h.sequence_inputs[s]; b++)
            GN2_TRY(check_constituents(&r, &batch.sequence[s], s, b));
    }
    *out_batch = batch;
    return GN2_OK;
}

void gn2_input_clear(gn2_input *input)
{
    for (int s = 0; s < GN2_MAX_SEQUENCES; s++) gn2_free(input->index[s]);
    memset(input, 0, sizeof *input);
}

size_t gn2_input_bytes(const gn2_input *input)
{
    size_t bytes = 0;
    for (int s = 0; s < GN2_MAX_SEQUENCES; s++)
        bytes += input->capacity[s] * sizeof(int64_t);
    return bytes;
}
