/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's arrays as a row of jets, ragged or padded. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/source.h"
#include "net/jets.h"
#include "net/labels.h"
#include "util/alloc.h"
#include "util/error.h"

typedef struct array_source {
    gn2_source base;
    gn2_jets jets;
    gn2_label label[GN2_MAX_LABELS]; /* of the schema; data NULL: not given */
    gn2_sequence sequence[GN2_MAX_PARTS];
} array_source;

typedef struct span {
    int64_t first, end;
} span;

/* Rows of a jet, valid or not. */
static span rows_of(const gn2_sequence *s, int64_t jet)
{
    if (s->offsets) return (span){s->offsets[jet], s->offsets[jet + 1]};
    return (span){jet * s->slots, (jet + 1) * s->slots};
}

static int counts(const gn2_sequence *s, int64_t row)
{
    return s->offsets || !s->valid || s->valid[row];
}

static gn2_status fail_value(const array_source *a, int32_t object, int64_t input,
                             int64_t jet, int64_t slot)
{
    const gn2_object *o = &a->base.schema->object[object];
    char of_slot[32] = "";
    if (object) snprintf(of_slot, sizeof of_slot, ", slot %lld", (long long)slot);
    return gn2_fail(GN2_ERR_NUMERIC,
                    "arrays: %s, field '%s', row %lld%s: not a finite number", o->name,
                    o->inputs[input], (long long)jet, of_slot);
}

/* Is a value what its label may be? */
static gn2_status check_label(const gn2_label_column *label, const void *value,
                              int64_t row)
{
    int32_t number;
    float weight;
    memcpy(&number, value, sizeof number);
    memcpy(&weight, value, sizeof weight);
    if (label->weight && !(weight >= 0 && isfinite(weight)))
        return gn2_fail(GN2_ERR_FORMAT, "arrays: %s, row %lld: %g is no weight",
                        label->name, (long long)row, (double)weight);
    if (label->real && isinf(weight))
        return gn2_fail(GN2_ERR_FORMAT, "arrays: label '%s', row %lld: is infinite",
                        label->name, (long long)row);
    if (label->real || (number >= label->least && number <= label->most)) return GN2_OK;
    return gn2_fail(GN2_ERR_FORMAT, "arrays: label '%s', row %lld: %d is out of range",
                    label->name, (long long)row, number);
}

/* Labels of row `from` of an object's arrays to row `to`; after a bad one none are
 * looked at. */
static void copy_labels(const array_source *a, int32_t object, int64_t from, int64_t to,
                        gn2_rows *rows)
{
    for (int32_t k = 0; k < rows->shape.label_count; k++) {
        const gn2_label_column *label = &a->base.schema->label[k];
        const size_t size = (size_t)label->columns * sizeof(int32_t);
        if (label->object != object || !rows->label[k]) continue;
        const char *source = (const char *)a->label[k].data + (size_t)from * size;
        for (int32_t c = 0; c < label->columns && !rows->trouble.status; c++)
            gn2_trouble_note(
                &rows->trouble,
                check_label(label, source + (size_t)c * sizeof(int32_t), from));
        memcpy(gn2_rows_label_at(rows, k, to), source, size);
    }
}

/* Row `from` of an object's arrays becomes its next; the number of the first input that
 * is no finite number, and may not stay so, −1: none. */
static int64_t copy_row(const array_source *a, int32_t object, int64_t from,
                        gn2_non_finite policy, gn2_rows *rows)
{
    gn2_rows_object *to = &rows->object[object];
    const gn2_sequence *s = object ? &a->sequence[object - 1] : NULL;
    const int64_t columns = rows->shape.columns[object];
    const int64_t stride = s ? s->row_stride : a->jets.row_stride;
    const float *data = s ? s->data : a->jets.features;
    float *out = to->data + to->count * columns;
    memcpy(out, data + from * (stride ? stride : columns),
           (size_t)columns * sizeof *out);
    const int64_t bad = gn2_schema_check(a->base.schema, policy, object, out);
    if (bad >= 0) return bad;
    copy_labels(a, object, from, to->count++, rows);
    return -1;
}

static gn2_status copy_constituents(const array_source *a, int32_t object, int64_t jet,
                                    gn2_non_finite policy, gn2_rows *rows)
{
    const gn2_sequence *s = &a->sequence[object - 1];
    gn2_rows_object *to = &rows->object[object];
    const span all = rows_of(s, jet);
    GN2_TRY(gn2_rows_reserve(rows, object, to->count + all.end - all.first));
    for (int64_t row = all.first; row < all.end; row++) {
        if (!counts(s, row)) continue;
        const int64_t bad = copy_row(a, object, row, policy, rows);
        if (bad >= 0) return fail_value(a, object, bad, jet, row - all.first);
    }
    to->offsets[gn2_rows_jets(rows)] = to->count;
    return GN2_OK;
}

static gn2_status load(gn2_source *source, int64_t start, int64_t count,
                       gn2_non_finite policy, gn2_rows *rows)
{
    array_source *a = (array_source *)source;
    GN2_TRY(gn2_rows_reserve(rows, 0, gn2_rows_jets(rows) + count));
    for (int64_t jet = start; jet < start + count; jet++) {
        const int64_t bad = copy_row(a, 0, jet, policy, rows);
        if (bad >= 0) return fail_value(a, 0, bad, jet, 0);
        for (int32_t o = 1; o < rows->shape.object_count; o++)
            GN2_TRY(copy_constituents(a, o, jet, policy, rows));
    }
    return GN2_OK;
}

static void describe(const gn2_source *source, gn2_text *text)
{
    gn2_text_format(text, "arrays %lld %lld\n", (long long)source->count,
                    (long long)source->max_slots);
    for (int32_t t = 0; t < source->schema->object_count; t++)
        for (size_t i = 0; i < source->schema->object[t].input_count; i++)
            gn2_text_format(text, "%s\n", source->schema->object[t].inputs[i]);
}

/* Their contents are compared batch by batch. */
static gn2_status identify(const gn2_source *source, const char *what,
                           const atomic_int *stop, gn2_text *text)
{
    (void)stop;
    gn2_text_format(text, "%s data = arrays of %lld jets\n", what,
                    (long long)source->count);
    return GN2_OK;
}

static void title(const gn2_source *source, gn2_text *text)
{
    (void)source;
    gn2_text_add(text, "arrays");
}

/* ---- taking over the caller's structs ---- */

static gn2_jets_form form_of(const gn2_schema *schema)
{
    gn2_jets_form form = {.sequence_count = schema->object_count - 1};
    for (int32_t i = 0; i < schema->object_count; i++) {
        form.name[i] = schema->object[i].name;
        form.columns[i] = (int64_t)schema->object[i].input_count;
    }
    return form;
}

static void count_slots(array_source *a, int32_t p)
{
    for (int64_t jet = 0; jet < a->jets.count; jet++) {
        const span all = rows_of(&a->sequence[p], jet);
        if (all.end - all.first > a->base.max_slots)
            a->base.max_slots = all.end - all.first;
        if (!a->sequence[p].offsets) return;
    }
}

static void take_sequences(array_source *a)
{
    for (int32_t p = 0; p < a->base.shape.object_count - 1; p++) {
        a->sequence[p] = a->jets.sequences[p];
        count_slots(a, p);
    }
    a->jets.sequences = a->sequence;
}

/* Each label that was given must be one that is wanted. */
static gn2_status take_label(array_source *a, const gn2_label *given)
{
    const gn2_schema *schema = a->base.schema;
    for (int32_t k = 0; k < schema->label_count; k++) {
        const gn2_label_column *label = &schema->label[k];
        if (strcmp(label->name, given->name) != 0) continue;
        const int32_t columns = label->real ? label->columns : 1; /* no field needed */
        GN2_TRY(gn2_label_check(given, label->real, columns));
        a->base.shape.label[k].columns = columns;
        a->label[k] = *given;
        return GN2_OK;
    }
    return gn2_labels_fail_unknown(&schema->h, given->name);
}

/* Weights that were asked for belong to the labels beside them. */
static gn2_status check_weights(const array_source *a)
{
    const gn2_schema *schema = a->base.schema;
    for (int32_t k = 0; k < schema->label_count; k++) {
        const gn2_label_column *label = &schema->label[k];
        if (!label->weight || a->label[k].data) continue;
        if (!a->label[gn2_schema_label(schema, label->task)].data) continue;
        return gn2_fail(GN2_ERR_NOT_FOUND,
                        "arrays: no weights '%s' beside the labels: give them, or "
                        "leave task.%s empty",
                        label->name, label->name);
    }
    return GN2_OK;
}

static gn2_status take_labels(array_source *a, const gn2_labels *labels)
{
    const uint32_t count = labels ? labels->label_count : 0;
    for (uint32_t i = 0; i < count; i++) GN2_TRY(take_label(a, &labels->labels[i]));
    for (int32_t k = 0; k < a->base.shape.label_count; k++)
        if (!a->label[k].data) a->base.shape.label[k].columns = 0;
    return check_weights(a);
}

/* What options of files say of these. */
static gn2_status check_options(const gn2_schema *schema)
{
    const int64_t threads = gn2_config_i64(schema->config, "data.read_threads");
    if (schema->selection.count)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "data.selection chooses jets of files by their fields; of "
                        "arrays, give the rows that are wanted");
    if (threads > 1)
        return gn2_fail(
            GN2_ERR_INVALID_ARG,
            "data.read_threads = %lld has no effect: the threads unpack what "
            "is read of files, and these are arrays",
            (long long)threads);
    return GN2_OK;
}

gn2_status gn2_source_arrays(const gn2_jets *jets, const gn2_labels *labels,
                             const gn2_schema *schema, _Atomic int64_t *memory,
                             gn2_source **out_source)
{
    const gn2_jets_form form = form_of(schema);
    array_source *a = gn2_alloc(1, sizeof *a);
    *out_source = a ? &a->base : NULL;
    if (!a) return gn2_fail_memory();
    a->base = (gn2_source){.schema = schema,
                           .shape = gn2_schema_shape(schema),
                           .memory = memory,
                           .load = load,
                           .describe = describe,
                           .identify = identify,
                           .title = title};
    a->jets = *jets;
    a->base.count = jets->count;
    GN2_TRY(check_options(schema));
    GN2_TRY(gn2_jets_check(jets, &form));
    GN2_TRY(take_labels(a, labels));
    take_sequences(a);
    return GN2_OK;
}
