/* SPDX-License-Identifier: Apache-2.0 */
/* The caller's arrays as a row of jets, ragged or padded. */
#include <string.h>

#include "data/source.h"
#include "net/jets_check.h"
#include "util/alloc.h"
#include "util/error.h"

typedef struct array_source {
    gn2_source base;
    gn2_jets jets;
    gn2_labels labels;
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

static gn2_status fail_label(const char *label, int64_t row, int32_t value)
{
    return gn2_fail(GN2_ERR_FORMAT, "arrays: label '%s', row %lld: %d is out of range",
                    label, (long long)row, value);
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
    if (!rows->flavour) return GN2_OK;
    const int32_t label = a->labels.flavour[jet];
    if (label < -1 || label >= a->base.schema->flavour.classes)
        return fail_label("flavour", jet, label);
    rows->flavour[rows->count] = label;
    return GN2_OK;
}

static gn2_status copy_labels(const array_source *a, gn2_rows_part *part, int64_t row)
{
    const int64_t at = part->count;
    if (part->vertex) part->vertex[at] = a->labels.vertex[row];
    if (!part->origin) return GN2_OK;
    const int32_t origin = a->labels.origin[row];
    if (origin < -2 || origin >= a->base.schema->origin.classes)
        return fail_label("origin", row, origin);
    part->origin[at] = origin;
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
        GN2_TRY(copy_labels(a, part, row));
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

static void title(const gn2_source *source, gn2_text *text)
{
    (void)source;
    gn2_text_add(text, "arrays");
}

static const gn2_label_map *no_labels(const gn2_source *source)
{
    (void)source;
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

static gn2_status fill(array_source *a, const gn2_labels *labels)
{
    const gn2_jets_form form = form_of(a->base.schema);
    if (labels) a->labels = *labels;
    gn2_rows_shape *shape = &a->base.shape;
    if (!a->labels.flavour) shape->has_flavour = 0;
    if (!a->labels.origin) shape->origin_part = -1;
    if (!a->labels.vertex) shape->vertex_part = -1;
    GN2_TRY(gn2_jets_check(&a->jets, &form));
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
