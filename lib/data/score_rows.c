/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of a score file. Datasets are made at the first rows, when it is known which
 * outputs are given; their fields are in the order of the model's outputs, which say
 * themselves what their columns are called.
 */
#include <gn2/tagger.h>
#include <math.h>
#include <string.h>

#include "data/dataset.h"
#include "data/score_writer.h"
#include "util/alloc.h"
#include "util/error.h"

/* Whole numbers of an output are numbers of constituents within the jet. */
#define NO_CONSTITUENT INT32_MIN /* salt's padding */

/* ---- what a call gives ---- */

int64_t gn2_score_writer_rows(const gn2_score_writer *w, const char *output,
                              int64_t count)
{
    for (size_t i = 0; i < w->outputs.count; i++) {
        const gn2_tag_output *o = &w->outputs.item[i];
        const gn2_score_table *table = &w->table[o->object];
        if (strcmp(o->name, output) == 0 && table->info)
            return count * table->info->slots;
    }
    return count;
}

static gn2_status fail_rows(const gn2_tag_output *o, const gn2_score *score,
                            int64_t count, int64_t most)
{
    return gn2_fail(GN2_ERR_SHAPE, "output '%s': %lld rows for %lld jets of %lld slots",
                    o->name, (long long)score->rows, (long long)count,
                    (long long)(most / count));
}

static gn2_status check_kind(const gn2_score_writer *w, const gn2_tag_output *o,
                             const gn2_score *score)
{
    GN2_TRY(gn2_score_check_place(o));
    if (!w->table[o->object].in)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "output '%s': these constituents are not written, as %s",
                        o->name,
                        o->field ? "scores.write_tracks is not 'yes'"
                                 : "scores.outputs does not name it");
    if (score->type && score->type != o->type)
        return gn2_fail(GN2_ERR_INVALID_ARG, "output '%s': type %d, not %d", o->name,
                        o->type, score->type);
    if (score->columns && score->columns != o->columns)
        return gn2_fail(GN2_ERR_SHAPE, "output '%s': %d columns, must be %lld", o->name,
                        score->columns, (long long)o->columns);
    return GN2_OK;
}

static gn2_status check_score(const gn2_score_writer *w, const gn2_tag_output *o,
                              const gn2_score *score, int64_t count)
{
    GN2_TRY(check_kind(w, o, score));
    const int64_t most = count * w->table[o->object].info->slots;
    if (score->rows < 0 || score->rows > most) return fail_rows(o, score, count, most);
    if (o->object == 0 && score->rows != count) return fail_rows(o, score, count, most);
    if (score->rows > 0 && !score->data)
        return gn2_fail(GN2_ERR_INVALID_ARG, "output '%s': data is NULL", o->name);
    return GN2_OK;
}

/* Which outputs are given. */
static gn2_status take_scores(gn2_score_writer *w, int64_t count,
                              const gn2_score *scores, size_t score_count)
{
    for (size_t i = 0; i < w->outputs.count; i++) w->output[i].given = NULL;
    for (size_t i = 0; i < score_count; i++) {
        int32_t id;
        GN2_TRY(gn2_tag_find_output(&w->outputs, scores[i].output, &id));
        GN2_TRY(check_score(w, &w->outputs.item[id], &scores[i], count));
        if (w->output[id].given)
            return gn2_fail(GN2_ERR_INVALID_ARG, "output '%s' is given twice",
                            scores[i].output);
        w->output[id].given = &scores[i];
    }
    return GN2_OK;
}

static gn2_status check_state(const gn2_score_writer *w, int64_t count)
{
    if (!w->out) return gn2_fail(GN2_ERR_STATE, "'%s': scores after close", w->path);
    if (w->failed)
        return gn2_fail(GN2_ERR_STATE, "'%s': scores after an error", w->path);
    const int64_t rows = w->table[0].info->rows;
    if (count > rows - w->rows)
        return gn2_fail(GN2_ERR_SHAPE, "'%s': scores for %lld jets, the input has %lld",
                        w->path, (long long)w->rows + count, (long long)rows);
    return GN2_OK;
}

/* Discriminants that are not given are computed from the probabilities. */
static int is_written(const gn2_score_writer *w, int32_t id, int object)
{
    if (w->outputs.item[id].object != object) return 0;
    if (w->output[id].with) return 1;
    const int32_t source = gn2_tag_probabilities(&w->outputs);
    return gn2_tag_rule_of(&w->outputs, id) && source >= 0 && w->output[source].with;
}

/* The first call says which outputs there are. */
static gn2_status check_same(gn2_score_writer *w)
{
    for (size_t i = 0; i < w->outputs.count && !w->made; i++)
        w->output[i].with = w->output[i].given != NULL;
    for (size_t i = 0; i < w->outputs.count; i++) {
        const int with = w->output[i].given != NULL;
        if (w->output[i].asked && !is_written(w, (int32_t)i, w->outputs.item[i].object))
            return gn2_fail(GN2_ERR_INVALID_ARG,
                            "'%s': output '%s' is asked for by scores.outputs and is "
                            "not given",
                            w->path, w->outputs.item[i].name);
        if (w->output[i].with != with)
            return gn2_fail(
                GN2_ERR_STATE, "'%s': output '%s' is %s, other than in the first call",
                w->path, w->outputs.item[i].name, with ? "given" : "missing");
    }
    return GN2_OK;
}

/* ---- fields ---- */

/* Probabilities and logarithms of their ratios fit 16 bits; what a regression finds,
 * or a ratio itself, may not, and is not known yet. */
static int fits_half(const gn2_score_writer *w, int32_t id)
{
    const gn2_tag_output *o = &w->outputs.item[id];
    const gn2_discriminant_rule *rule = gn2_tag_rule_of(&w->outputs, id);
    if (rule) return rule->form == GN2_FORM_LOG;
    return o->of_task && o->of_task->form == GN2_OUT_SOFTMAX;
}

static gn2_status add_field(gn2_score_writer *w, int32_t id, int64_t column)
{
    const gn2_tag_output *o = &w->outputs.item[id];
    gn2_score_table *table = &w->table[o->object];
    gn2_score_field field = {
        .kind = GN2_H5_INT, .size = 8, .output = id, .column = column};
    gn2_text name = {0};
    if (o->type == GN2_DATA_F32) {
        field.kind = GN2_H5_FLOAT;
        field.size = table->half && fits_half(w, id) ? 2 : 4;
    }
    gn2_tag_name_field(&w->outputs, o, column, &name);
    const gn2_status status =
        name.failed ? gn2_fail_memory() : gn2_score_table_add(table, name.data, field);
    gn2_free(name.data);
    return status;
}

static gn2_status add_fields(gn2_score_writer *w, int object)
{
    const gn2_score_field mask = {.kind = GN2_H5_BOOL, .size = 1, .output = -1};
    for (int32_t i = 0; i < (int32_t)w->outputs.count; i++)
        for (int64_t c = 0; is_written(w, i, object) && c < w->outputs.item[i].columns;
             c++)
            GN2_TRY(add_field(w, i, c));
    if (object == 0) return GN2_OK;
    return gn2_score_table_add(&w->table[object], "mask", mask);
}

/* An attribute for each output, of its name: the fields it went to. */
static gn2_status write_names(const gn2_score_writer *w, int object)
{
    const gn2_score_table *t = &w->table[object];
    const char **names = gn2_alloc(t->field_count, sizeof *names);
    gn2_status status = names ? GN2_OK : gn2_fail_memory();
    size_t next = t->copied;
    for (int32_t i = 0; i < (int32_t)w->outputs.count && status == GN2_OK; i++) {
        const gn2_tag_output *o = &w->outputs.item[i];
        if (!is_written(w, i, object)) continue;
        for (int64_t c = 0; c < o->columns; c++) names[c] = t->field[next++].name;
        status =
            gn2_h5_strings_write(w->out, t->out, o->name, names, (size_t)o->columns);
    }
    gn2_free(names);
    return status;
}

static gn2_status make_table(gn2_score_writer *w, int object)
{
    gn2_score_table *table = &w->table[object];
    GN2_TRY(add_fields(w, object));
    if (table->field_count == 0) return GN2_OK; /* HDF5 has no empty records */
    GN2_TRY(gn2_score_table_make(table, w->out));
    return write_names(w, object);
}

static gn2_status make_tables(gn2_score_writer *w)
{
    for (int i = 0; i <= GN2_MAX_SEQUENCES; i++)
        if (w->table[i].in) GN2_TRY(make_table(w, i));
    w->made = 1;
    return GN2_OK;
}

gn2_status gn2_score_make_empty(gn2_score_writer *w)
{
    for (int32_t i = 0; i < (int32_t)w->outputs.count; i++)
        w->output[i].with = gn2_score_wanted(w, (size_t)i);
    return make_tables(w);
}

/* ---- a slab of rows ---- */

typedef struct slab {
    gn2_score_writer *w;
    gn2_score_table *table;
    int object;
    int64_t jets;         /* of the call */
    int64_t first, count; /* jets of the slab, first counted in the call */
    int64_t slots;        /* of them */
    int64_t used;         /* packed rows before the slab */
} slab;

/* Fewer rows than slots are those of valid slots, one after the other. */
static int is_packed(const slab *s, const gn2_score *score)
{
    return score->rows != s->jets * s->table->info->slots;
}

static gn2_status check_packed(const slab *s, int64_t end, int whole)
{
    for (size_t i = 0; i < s->w->outputs.count; i++) {
        const gn2_score *score = s->w->output[i].given;
        const gn2_tag_output *o = &s->w->outputs.item[i];
        if (!score || o->object != s->object || !is_packed(s, score)) continue;
        if (score->rows < end || (whole && score->rows > end))
            return gn2_fail(GN2_ERR_SHAPE,
                            "output '%s': %lld rows, the constituents of these jets "
                            "are %lld%s",
                            o->name, (long long)score->rows, (long long)end,
                            whole ? "" : " or more");
    }
    return GN2_OK;
}

/* Numbers the valid slots. */
static gn2_status find_rows(slab *s)
{
    for (int64_t i = 0; i < s->slots; i++)
        s->table->row[i] = gn2_score_table_valid(s->table, i) ? s->used++ : -1;
    return check_packed(s, s->used, 0);
}

/* Row of the given data that belongs to a slot, −1: none. */
static int64_t row_of(const slab *s, const gn2_score *score, int64_t slot)
{
    if (is_packed(s, score)) return s->table->row[slot];
    return s->first * s->table->info->slots + slot;
}

/* ---- columns ---- */

/* Of a discriminant that is not given; p: the probabilities of the call. */
static float compute(const slab *s, const gn2_discriminant_rule *rule, const float *p,
                     int64_t jet)
{
    const int64_t classes = s->w->model->h.classes;
    return gn2_discriminant_value(p + (s->first + jet) * classes, classes, rule->signal,
                                  rule->fraction, rule->form);
}

static float given(const slab *s, const gn2_score *score, const gn2_score_field *field,
                   int64_t slot)
{
    const int64_t row = row_of(s, score, slot);
    const int64_t columns = s->w->outputs.item[field->output].columns;
    const float *data = score->data;
    return row < 0 ? 0 : data[row * columns + field->column];
}

static gn2_status fail_half(const slab *s, const gn2_score_field *field, int64_t slot,
                            float value)
{
    return gn2_fail(GN2_ERR_NUMERIC,
                    "output '%s', jet %lld of the file: %g would be infinite in 16 "
                    "bits; set scores.half_precision to no",
                    s->w->outputs.item[field->output].name,
                    (long long)(s->w->rows + s->first + slot / s->table->info->slots),
                    (double)value);
}

static gn2_status put_reals(const slab *s, const gn2_score_field *field)
{
    const gn2_tag_outputs *outputs = &s->w->outputs;
    const gn2_score *score = s->w->output[field->output].given;
    const gn2_discriminant_rule *rule = gn2_tag_rule_of(outputs, field->output);
    const float *p =
        score ? NULL : s->w->output[gn2_tag_probabilities(outputs)].given->data;
    for (int64_t i = 0; i < s->slots; i++) {
        const float value = score ? given(s, score, field, i) : compute(s, rule, p, i);
        if (field->size == 2 && isfinite(value) && fabsf(value) >= GN2_HALF_OVERFLOW)
            return fail_half(s, field, i, value);
        gn2_score_put_real(gn2_score_table_at(s->table, field, i), value, field->size);
    }
    return GN2_OK;
}

/* Slot of valid constituent `member` of the jet that has `slot`; −1: none. */
static int64_t slot_of(const slab *s, int64_t slot, int32_t member)
{
    const int64_t slots = s->table->info->slots;
    const int64_t *row = s->table->row + slot / slots * slots;
    int32_t seen = 0;
    for (int64_t i = 0; i < slots; i++)
        if (row[i] >= 0 && seen++ == member) return i;
    return -1;
}

static gn2_status put_whole(const slab *s, const gn2_score_field *field)
{
    const gn2_tag_output *o = &s->w->outputs.item[field->output];
    const gn2_score *score = s->w->output[field->output].given;
    const int32_t *data = score->data;
    for (int64_t i = 0; i < s->slots; i++) {
        const int64_t row = row_of(s, score, i);
        const int32_t member =
            row < 0 ? NO_CONSTITUENT : data[row * o->columns + field->column];
        const int within = is_packed(s, score) && member >= 0;
        const int64_t slot = within ? slot_of(s, i, member) : member;
        if (within && slot < 0)
            return gn2_fail(GN2_ERR_SHAPE,
                            "output '%s', row %lld: the jet has no constituent %d",
                            o->name, (long long)row, member);
        memcpy(gn2_score_table_at(s->table, field, i), &slot, sizeof slot);
    }
    return GN2_OK;
}

/* salt's mask: 1 where there is nothing. */
static void put_mask(const slab *s, const gn2_score_field *field)
{
    const gn2_score_table *t = s->table;
    for (int64_t i = 0; i < s->slots; i++)
        *gn2_score_table_at(t, field, i) = gn2_score_table_valid(t, i) ? 0 : 1;
}

static gn2_status put_scores(const slab *s)
{
    const gn2_score_table *t = s->table;
    for (size_t i = t->copied; i < t->field_count; i++) {
        const gn2_score_field *field = &t->field[i];
        if (field->output < 0)
            put_mask(s, field);
        else
            GN2_TRY(field->kind == GN2_H5_FLOAT ? put_reals(s, field)
                                                : put_whole(s, field));
    }
    return GN2_OK;
}

static gn2_status write_slab(slab *s)
{
    const gn2_score_table *t = s->table;
    GN2_TRY(gn2_score_table_begin(s->table, s->w->rows + s->first, s->count));
    if (s->object) GN2_TRY(find_rows(s));
    GN2_TRY(put_scores(s));
    return gn2_h5_table_append(t->out, s->count, t->out_data);
}

static gn2_status write_object(gn2_score_writer *w, int object, int64_t count)
{
    slab s = {.w = w, .table = &w->table[object], .object = object, .jets = count};
    if (!s.table->out) return GN2_OK;
    const int64_t most = gn2_score_table_slab(s.table);
    for (s.first = 0; s.first < count; s.first += most) {
        s.count = count - s.first < most ? count - s.first : most;
        s.slots = s.count * s.table->info->slots;
        GN2_TRY(write_slab(&s));
    }
    return object ? check_packed(&s, s.used, 1) : GN2_OK;
}

static gn2_status write_rows(gn2_score_writer *w, int64_t count)
{
    if (!w->made) GN2_TRY(make_tables(w));
    for (int i = 0; i <= GN2_MAX_SEQUENCES; i++) GN2_TRY(write_object(w, i, count));
    w->rows += count;
    return GN2_OK;
}

gn2_status gn2_score_writer_add_impl(gn2_score_writer *w, int64_t count,
                                     const gn2_score *scores, size_t score_count)
{
    GN2_TRY(gn2_score_check_process(w));
    GN2_TRY(check_state(w, count));
    GN2_TRY(take_scores(w, count, scores, score_count));
    GN2_TRY(check_same(w));
    const gn2_status status = write_rows(w, count);
    w->failed = status != GN2_OK;
    return status;
}
