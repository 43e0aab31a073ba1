/* SPDX-License-Identifier: Apache-2.0 */
#include "net/jets.h"

#include <math.h>
#include <string.h>

#include "config/alias.h"
#include "util/alloc.h"
#include "util/error.h"

/* More rows than this cannot be a real call, and products of sizes stay safe. */
#define ROWS_MAX ((int64_t)1 << 40)

/* ---- columns ---- */

static int64_t find_column(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) /* its own name goes before an alias */
        if (strcmp(names[i], name) == 0) return (int64_t)i;
    for (size_t i = 0; i < count; i++)
        if (gn2_alias_match(names[i], name)) return (int64_t)i;
    return -1;
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
    }
    gn2_free(binding->column[object]);
    binding->column[object] = column;
    binding->columns[object] = (int64_t)count;
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

static gn2_status set_rows(const reader *r, int object, const float *data,
                           int64_t stride, gn2_rows_f32 *out)
{
    const int64_t columns = columns_of(r, object);
    const char *name = gn2_model_object_name(r->model, object);
    if (stride != 0 && stride < columns)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "%s: row_stride %lld is less than its %lld columns", name,
                        (long long)stride, (long long)columns);
    out->data = data;
    out->ld = stride ? stride : columns;
    out->column = r->binding ? r->binding->column[object] : NULL;
    return GN2_OK;
}

static gn2_status check_offsets(const reader *r, const gn2_sequence *seq,
                                const char *name)
{
    if (seq->valid || seq->slots)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "%s: offsets (ragged) exclude valid and slots (padded)", name);
    if (seq->offsets[0] != 0)
        return gn2_fail(GN2_ERR_INVALID_ARG, "%s: offsets[0] = %lld, must be 0", name,
                        (long long)seq->offsets[0]);
    for (int64_t b = 0; b < r->jets->count; b++)
        if (seq->offsets[b + 1] < seq->offsets[b] || seq->offsets[b + 1] > ROWS_MAX)
            return gn2_fail(GN2_ERR_INVALID_ARG, "%s: offsets[%lld] = %lld after %lld",
                            name, (long long)b + 1, (long long)seq->offsets[b + 1],
                            (long long)seq->offsets[b]);
    return GN2_OK;
}

static gn2_status reserve(int64_t **block, size_t *capacity, int64_t count)
{
    if ((size_t)count <= *capacity) return GN2_OK;
    if (!gn2_grow((void **)block, 0, (size_t)count, sizeof **block))
        return gn2_fail_memory();
    *capacity = (size_t)count;
    return GN2_OK;
}

/* Offsets and row numbers of the valid slots. */
static gn2_status index_padded(const reader *r, int s, const gn2_sequence *seq,
                               gn2_rows_f32 *out)
{
    gn2_input *in = r->input;
    const int64_t jets = r->jets->count, slots = seq->slots;
    int64_t total;
    if (slots < 0 || __builtin_mul_overflow(jets, slots, &total) || total > ROWS_MAX)
        return gn2_fail(GN2_ERR_INVALID_ARG, "%s: slots = %lld for %lld jets",
                        gn2_model_object_name(r->model, s + 1), (long long)slots,
                        (long long)jets);
    GN2_TRY(reserve(&in->offset[s], &in->offset_capacity[s], jets + 1));
    GN2_TRY(reserve(&in->row[s], &in->row_capacity[s], total));
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
    const char *name = gn2_model_object_name(r->model, s + 1);
    GN2_TRY(set_rows(r, s + 1, seq->data, seq->row_stride, out));
    if (seq->offsets) {
        GN2_TRY(check_offsets(r, seq, name));
        out->offset = seq->offsets;
        out->row = NULL;
    } else {
        GN2_TRY(index_padded(r, s, seq, out));
    }
    if (out->offset[r->jets->count] > 0 && !seq->data)
        return gn2_fail(GN2_ERR_INVALID_ARG, "%s: data is NULL", name);
    return GN2_OK;
}

static gn2_status check_jets(const reader *r)
{
    const gn2_jets *jets = r->jets;
    if (jets->count < 0 || jets->count > ROWS_MAX)
        return gn2_fail(GN2_ERR_INVALID_ARG, "jets: count = %lld",
                        (long long)jets->count);
    if (jets->count && !jets->features && r->model->h.jet_inputs)
        return gn2_fail(GN2_ERR_INVALID_ARG, "jets: features is NULL");
    if ((int32_t)jets->sequence_count != r->model->h.sequence_count)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "jets: %u constituent types, the model has %d",
                        jets->sequence_count, r->model->h.sequence_count);
    if (!jets->sequences)
        return gn2_fail(GN2_ERR_INVALID_ARG, "jets: sequences is NULL");
    return GN2_OK;
}

/* ---- values ---- */

static gn2_status check_row(const reader *r, int object, const gn2_rows_f32 *rows,
                            int64_t row, int64_t jet, int64_t constituent)
{
    const float *x = rows->data + row * rows->ld;
    for (int64_t i = 0; i < gn2_model_object_inputs(r->model, object); i++) {
        const float value = x[rows->column ? rows->column[i] : i];
        if (isfinite(value)) continue;
        const char *name = gn2_model_object_input(r->model, object, (size_t)i);
        if (object == 0)
            return gn2_fail(GN2_ERR_NUMERIC, "jet %lld: '%s' is %g", (long long)jet,
                            name, (double)value);
        return gn2_fail(GN2_ERR_NUMERIC, "jet %lld: '%s' of %s %lld is %g",
                        (long long)jet, name, gn2_model_object_name(r->model, object),
                        (long long)constituent, (double)value);
    }
    return GN2_OK;
}

/* Row by row; contiguous rows without gaps are first tried as one. */
static gn2_status check_values(const reader *r, const gn2_batch_f32 *batch)
{
    const gn2_kernels_f32 *k = gn2_kernels_get_f32(GN2_ISA_BEST);
    const gn2_rows_f32 *jet = &batch->jet;
    for (int64_t b = 0; b < batch->jets && r->model->h.jet_inputs; b++)
        GN2_TRY(check_row(r, 0, jet, b, b, 0));
    for (int s = 0; s < r->model->h.sequence_count; s++) {
        const gn2_rows_f32 *rows = &batch->sequence[s];
        const int64_t inputs = gn2_model_object_inputs(r->model, s + 1);
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): read_sequence set it */
        const int64_t count = rows->offset[batch->jets];
        const int dense = !rows->row && !rows->column && rows->ld == inputs;
        if (count == 0 || (dense && k->all_finite(rows->data, count * inputs)))
            continue;
        for (int64_t b = 0; b < batch->jets; b++)
            for (int64_t i = rows->offset[b]; i < rows->offset[b + 1]; i++) {
                const int64_t row = rows->row ? rows->row[i] : i;
                const int64_t first =
                    rows->row ? b * r->jets->sequences[s].slots : rows->offset[b];
                GN2_TRY(check_row(r, s + 1, rows, row, b, row - first));
            }
    }
    return GN2_OK;
}

gn2_status gn2_input_read(gn2_input *input, const gn2_model *model,
                          const gn2_binding *binding, const gn2_jets *jets,
                          gn2_batch_f32 *out_batch)
{
    const reader r = {input, model, binding, jets};
    GN2_TRY(check_jets(&r));
    gn2_batch_f32 batch = {.jets = jets->count};
    GN2_TRY(set_rows(&r, 0, jets->features, jets->row_stride, &batch.jet));
    for (int s = 0; s < model->h.sequence_count; s++)
        GN2_TRY(read_sequence(&r, s, &batch.sequence[s]));
    if (!model->h.replace_non_finite) GN2_TRY(check_values(&r, &batch));
    *out_batch = batch;
    return GN2_OK;
}

int64_t gn2_sequence_rows(const gn2_jets *jets, int sequence)
{
    const gn2_sequence *seq = &jets->sequences[sequence];
    return seq->offsets ? seq->offsets[jets->count] : jets->count * seq->slots;
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
