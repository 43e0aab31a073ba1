/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's arrays as a row of jets, ragged or padded. */
#include <math.h>
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
    if (object == 0)
        return gn2_fail(GN2_ERR_NUMERIC,
                        "arrays: %s, field '%s', row %lld: not a "
                        "finite number",
                        o->name, o->inputs[input], (long long)jet);
    return gn2_fail(GN2_ERR_NUMERIC,
                    "arrays: %s, field '%s', row %lld, slot %lld: not a finite number",
                    o->name, o->inputs[input], (long long)jet, (long long)slot);
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

static gn2_status copy_jet(const array_source *a, int64_t jet, gn2_non_finite policy,
                           gn2_rows *rows)
{
    const int64_t columns = rows->shape.columns;
    const int64_t stride = a->jets.row_stride ? a->jets.row_stride : columns;
    float *out = rows->features + rows->count * columns;
    memcpy(out, a->jets.features + jet * stride, (size_t)columns * sizeof *out);
    const int64_t bad = gn2_schema_check(a->base.schema, policy, 0, out);
    if (bad >= 0) return fail_value(a, 0, bad, jet, 0);
    copy_labels(a, 0, jet, rows->count, rows);
    return GN2_OK;
}

static gn2_status copy_part(const array_source *a, int32_t p, int64_t jet,
                            gn2_non_finite policy, gn2_rows *rows)
{
    const gn2_sequence *s = &a->sequence[p];
    gn2_rows_part *part = &rows->part[p];
    const int64_t columns = rows->shape.part_columns[p];
    const int64_t stride = s->row_stride ? s->row_stride : columns;
    const span all = rows_of(s, jet);
    GN2_TRY(gn2_rows_reserve_part(rows, p, part->count + all.end - all.first));
    for (int64_t row = all.first; row < all.end; row++) {
        if (!counts(s, row)) continue;
        float *out = part->data + part->count * columns;
        memcpy(out, s->data + row * stride, (size_t)columns * sizeof *out);
        const int64_t bad = gn2_schema_check(a->base.schema, policy, p + 1, out);
        if (bad >= 0) return fail_value(a, p + 1, bad, jet, row - all.first);
        copy_labels(a, p + 1, row, part->count, rows);
        part->count++;
    }
    part->offsets[rows->count + 1] = part->count;
    return GN2_OK;
}

static gn2_status load(gn2_source *source, int64_t start, int64_t count,
                       gn2_non_finite policy, gn2_rows *rows)
{
    array_source *a = (array_source *)source;
    GN2_TRY(gn2_rows_reserve(rows, rows->count + count));
    for (int64_t jet = start; jet < start + count; jet++) {
        GN2_TRY(copy_jet(a, jet, policy, rows));
        for (int32_t p = 0; p < rows->shape.part_count; p++)
            GN2_TRY(copy_part(a, p, jet, policy, rows));
        rows->count++;
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

static const gn2_label_map *no_labels(const gn2_source *source, int32_t label)
{
    (void)source;
    (void)label;
    return NULL;
}

static void free_source(gn2_source *source)
{
    gn2_free(source);
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
    for (int32_t p = 0; p < a->base.shape.part_count; p++) {
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
        GN2_TRY(gn2_label_check(given, label->real, label->columns));
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

static gn2_status fill(array_source *a, const gn2_labels *labels)
{
    const gn2_jets_form form = form_of(a->base.schema);
    if (a->base.schema->selection.count)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "data.selection chooses jets of files by their fields; of "
                        "arrays, give the rows that are wanted");
    const int64_t threads = gn2_config_i64(a->base.schema->config, "data.read_threads");
    if (threads > 1)
        return gn2_fail(
            GN2_ERR_INVALID_ARG,
            "data.read_threads = %lld has no effect: the threads unpack what "
            "is read of files, and these are arrays",
            (long long)threads);
    GN2_TRY(gn2_jets_check(&a->jets, &form));
    GN2_TRY(take_labels(a, labels));
    a->base.count = a->jets.count;
    take_sequences(a);
    return GN2_OK;
}

gn2_status gn2_source_arrays(const gn2_jets *jets, const gn2_labels *labels,
                             const gn2_schema *schema, _Atomic int64_t *memory,
                             gn2_source **out_source)
{
    *out_source = NULL;
    array_source *a = gn2_alloc(1, sizeof *a);
    if (!a) return gn2_fail_memory();
    a->base = (gn2_source){.schema = schema,
                           .shape = gn2_schema_shape(schema),
                           .memory = memory,
                           .load = load,
                           .describe = describe,
                           .identify = identify,
                           .title = title,
                           .labels = no_labels,
                           .close = free_source};
    a->jets = *jets;
    const gn2_status status = fill(a, labels);
    if (status != GN2_OK) {
        gn2_free(a);
        return status;
    }
    *out_source = &a->base;
    return GN2_OK;
}
