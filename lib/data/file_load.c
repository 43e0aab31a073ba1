/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records → rows: decodes what is valid of slabs. What a padded slot holds (NaN, −1,
 * anything) is never looked at. Of a slab each thread has its share, whose place among
 * the rows is known before: the rows are the same, however many there are.
 */
#include "data/source_file.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/error.h"
#include "util/str.h"

/* What a share of a slab is decoded with, and how far that has come. */
typedef struct decoder {
    const gn2_data_file *file;
    const gn2_data_table *table;
    const gn2_schema *schema;
    gn2_non_finite policy;
    int32_t object;
    int64_t first; /* row of the file the slab begins with */
    gn2_rows *rows;
    int64_t jet, at; /* of `rows`: the jet, and row of the object, that come next */
    gn2_trouble *trouble;
    const char *record; /* that is decoded */
    int64_t row, slot;  /* of it, in the slab; slot −1: a jet */
} decoder;

/* Fails at the record: "'f.h5': dataset 'tracks', field 'd0', row 7, slot 2: …". */
__attribute__((format(printf, 4, 5))) static gn2_status
fail(const decoder *d, gn2_status status, const char *field, const char *format, ...)
{
    char where[GN2_ERROR_SIZE - 160], what[GN2_ERROR_SIZE], slot[32] = "";
    va_list arguments;
    if (d->slot >= 0) snprintf(slot, sizeof slot, ", slot %lld", (long long)d->slot);
    snprintf(where, sizeof where, "'%s': dataset '%s', field '%s', row %lld%s",
             d->file->path, d->schema->object[d->object].dataset, field,
             (long long)d->first + d->row, slot);
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return gn2_fail(status, "%s: %s", where, what);
}

static void print_value(const decoder *d, const gn2_column *column, char text[32])
{
    gn2_field_print(&column->read, d->record + column->field.offset, text);
}

/* What a label may be: a range, or the values that stand for classes. */
static void print_range(const decoder *d, int32_t k, char out_text[GN2_NAME_LIST_SIZE])
{
    const gn2_label_column *label = &d->schema->label[k];
    const gn2_label_map *map = &d->file->label[k].map;
    char pair[64];
    out_text[0] = 0;
    if (!map->count) {
        snprintf(out_text, GN2_NAME_LIST_SIZE, " %lld to %lld", (long long)label->least,
                 (long long)label->most);
        return;
    }
    for (size_t i = 0; i < map->count; i++) {
        snprintf(pair, sizeof pair, "%lld=%s", (long long)map->value[i], map->name[i]);
        gn2_name_list_add(out_text, pair);
    }
}

static gn2_status fail_label(const decoder *d, int32_t k)
{
    char value[32], range[GN2_NAME_LIST_SIZE];
    const gn2_column *column = &d->file->label[k].column[0];
    const int64_t number = column->read.to_int(d->record + column->field.offset);
    const char *name = gn2_label_map_name(&d->file->label[k].map, number);
    print_value(d, column, value);
    if (number == GN2_FIELD_NOT_WHOLE && column->field.kind == GN2_H5_FLOAT)
        return fail(d, GN2_ERR_FORMAT, column->field.name,
                    "label %s is not a whole number", value);
    if (name)
        return fail(d, GN2_ERR_FORMAT, column->field.name,
                    "label %s is '%s', which is not in %s", value, name,
                    d->schema->label[k].classes_key);
    print_range(d, k, range);
    return fail(d, GN2_ERR_FORMAT, column->field.name, "label %s is out of range:%s",
                value, range);
}

static gn2_status fail_flag(const decoder *d)
{
    char value[32];
    print_value(d, &d->table->valid, value);
    return fail(d, GN2_ERR_FORMAT, d->table->valid.field.name,
                "flag %s is neither 0 nor 1", value);
}

/* ---- labels ---- */

/* Targets may be NaN: there is none. */
static gn2_status decode_reals(const decoder *d, int32_t k, float *out)
{
    const gn2_label_column *label = &d->schema->label[k];
    for (int32_t i = 0; i < label->columns; i++) {
        const gn2_column *column = &d->file->label[k].column[i];
        out[i] = column->read.to_float(d->record + column->field.offset);
        const int bad =
            label->weight ? !(out[i] >= 0 && isfinite(out[i])) : isinf(out[i]);
        if (bad)
            return fail(d, GN2_ERR_FORMAT, column->field.name,
                        "%g can be no target or weight", (double)out[i]);
    }
    return GN2_OK;
}

static gn2_status decode_number(const decoder *d, int32_t k, int32_t *out)
{
    const gn2_label_column *label = &d->schema->label[k];
    const gn2_column *column = &d->file->label[k].column[0];
    int64_t value = column->read.to_int(d->record + column->field.offset);
    if (d->file->label[k].map.count)
        value = gn2_label_map_find(&d->file->label[k].map, value);
    if (value < label->least || value > label->most) return fail_label(d, k);
    *out = (int32_t)value;
    return GN2_OK;
}

/* After a bad one none are looked at. */
static void decode_labels(const decoder *d)
{
    for (int32_t k = 0; k < d->schema->label_count && !d->trouble->status; k++) {
        if (d->schema->label[k].object != d->object || !d->rows->label[k]) continue;
        void *out = gn2_rows_label_at(d->rows, k, d->at);
        gn2_trouble_note(d->trouble, d->schema->label[k].real
                                         ? decode_reals(d, k, out)
                                         : decode_number(d, k, out));
    }
}

/* ---- inputs ---- */

/* Of a file's doubles, those that became infinite here: not what is missing. */
static gn2_status check_range(const decoder *d, const float *out)
{
    for (size_t i = 0; i < d->table->input_count; i++) {
        const gn2_column *column = &d->table->input[i];
        if (!isinf(out[i])) continue;
        const double value =
            gn2_field_real(&column->read, d->record + column->field.offset);
        if (isfinite(value))
            return fail(d, GN2_ERR_NUMERIC, column->field.name,
                        "%g is beyond 32-bit floats", value);
    }
    return GN2_OK;
}

static gn2_status decode_record(decoder *d)
{
    const gn2_data_table *t = d->table;
    float *out = d->rows->object[d->object].data + d->at * (int64_t)t->input_count;
    for (size_t i = 0; i < t->input_count; i++)
        out[i] = t->input[i].read.to_float(d->record + t->input[i].field.offset);
    if (t->wide) GN2_TRY(check_range(d, out));
    const int64_t bad = gn2_schema_check(d->schema, d->policy, d->object, out);
    if (bad >= 0)
        return fail(d, GN2_ERR_NUMERIC, t->input[bad].field.name,
                    "not a finite number");
    decode_labels(d);
    d->at++;
    return GN2_OK;
}

/* ---- jets ---- */

static int is_fill(const decoder *d, const gn2_column *column)
{
    const char *fill = d->table->info->fill;
    return column->field.size == 0 || !fill ||
           memcmp(d->record + column->field.offset, fill + column->field.offset,
                  (size_t)column->field.size) == 0;
}

/* Does all that is read of a jet stand at the fill values? The first input says no. */
static int looks_unwritten(const decoder *d)
{
    const gn2_data_table *t = d->table;
    for (size_t i = 0; i < t->input_count; i++)
        if (!is_fill(d, &t->input[i])) return 0;
    for (int32_t k = 0; k < d->schema->label_count; k++)
        for (int32_t i = 0; i < d->schema->label[k].columns; i++)
            if (d->schema->label[k].object == 0 && d->rows->label[k] &&
                !is_fill(d, &d->file->label[k].column[i]))
                return 0;
    return 1;
}

/* Storage may hold rows that were not written: the end of a chunk, or all of a dataset
 * that is not chunked. A jet that looks so is looked at in full. */
static gn2_status check_written(const decoder *d)
{
    const int64_t row = d->first + d->row;
    int fill;
    if (d->schema->keeps_unwritten || !looks_unwritten(d)) return GN2_OK;
    GN2_TRY(gn2_h5_table_is_fill(d->table->table, row, &fill));
    if (!fill) return GN2_OK;
    return gn2_fail(GN2_ERR_FORMAT,
                    "'%s': dataset '%s', row %lld: never written, as every field is "
                    "at its fill value; data.unwritten = keep takes it as it is",
                    d->file->path, d->schema->object[0].dataset, (long long)row);
}

static gn2_status decode_jet(decoder *d)
{
    d->slot = -1;
    GN2_TRY(check_written(d));
    return decode_record(d);
}

/* ---- constituents ---- */

/* Valid slots of the selected rows of a share. */
static int64_t count_valid(const decoder *d, const char *records,
                           const gn2_share *share)
{
    const gn2_column *valid = &d->table->valid;
    const int64_t slots = d->table->info->slots, record = d->table->info->record;
    int64_t total = 0;
    for (int64_t row = share->row; row < share->row + share->count; row++) {
        const char *at = records + row * slots * record + valid->field.offset;
        if (!gn2_row_set_has(&d->file->jets, d->first + row)) continue;
        for (int64_t i = 0; i < slots; i++)
            total += valid->read.to_int(at + i * record) ? 1 : 0;
    }
    return total;
}

static gn2_status decode_slots(decoder *d)
{
    const gn2_h5_info *info = d->table->info;
    const gn2_column *valid = &d->table->valid;
    for (d->slot = 0; d->slot < info->slots; d->slot++, d->record += info->record) {
        const int64_t flag = valid->read.to_int(d->record + valid->field.offset);
        if (flag == 0) continue;
        if (flag != 1) return fail_flag(d);
        GN2_TRY(decode_record(d));
    }
    d->rows->object[d->object].offsets[++d->jet] = d->at;
    return GN2_OK;
}

/* ---- shares ---- */

/* Rows that one thread decodes are not worth another one's waking below these. */
#define SHARE_ROWS 64

/* A slab that is shared out. */
typedef struct work {
    const decoder *decoder;
    const char *records;
    gn2_share *shares;
    int64_t count;
} work;

/* Jets that rows of the slab become. */
static int64_t count_jets(const decoder *d, const gn2_share *share)
{
    const int64_t first = d->first + share->row;
    return gn2_row_set_before(&d->file->jets, first + share->count) -
           gn2_row_set_before(&d->file->jets, first);
}

/* Even shares; gives the number of jets of all. */
static int64_t share_out(work *w, const gn2_slabs *slab)
{
    const decoder *d = w->decoder;
    const int64_t most = slab->count / SHARE_ROWS + 1;
    w->count = slab->buffer->share_count < most ? slab->buffer->share_count : most;
    int64_t jet = d->jet;
    for (int64_t i = 0; i < w->count; i++) {
        gn2_share *share = &w->shares[i];
        share->row = i * slab->count / w->count;
        share->count = (i + 1) * slab->count / w->count - share->row;
        share->jet = share->at = jet;
        share->failed.status = GN2_OK;
        share->trouble.status = d->rows->trouble.status;
        jet += count_jets(d, share);
    }
    return jet - d->jet;
}

static void count_share(void *context, int64_t index, int32_t lane)
{
    const work *w = context;
    (void)lane;
    w->shares[index].at = count_valid(w->decoder, w->records, &w->shares[index]);
}

/* Finds out where the constituents of each share go, and makes room for them. */
static gn2_status place_constituents(work *w, gn2_pool *pool)
{
    const decoder *d = w->decoder;
    int64_t total = d->rows->object[d->object].count;
    gn2_pool_run(pool, w->count, count_share, w);
    for (int64_t i = 0; i < w->count; i++) {
        const int64_t own = w->shares[i].at;
        w->shares[i].at = total;
        total += own;
    }
    return gn2_rows_reserve(d->rows, d->object, total);
}

static gn2_status decode_rows(decoder *d, const char *records, const gn2_share *share)
{
    const gn2_h5_info *info = d->table->info;
    const int64_t size = info->record * info->slots;
    for (d->row = share->row; d->row < share->row + share->count; d->row++) {
        if (!gn2_row_set_has(&d->file->jets, d->first + d->row)) continue;
        d->record = records + d->row * size;
        GN2_TRY(d->object ? decode_slots(d) : decode_jet(d));
    }
    return GN2_OK;
}

static void decode_share(void *context, int64_t index, int32_t lane)
{
    const work *w = context;
    gn2_share *share = &w->shares[index];
    decoder d = *w->decoder;
    (void)lane;
    d.jet = share->jet;
    d.at = share->at;
    d.trouble = &share->trouble;
    gn2_trouble_note(&share->failed, decode_rows(&d, w->records, share));
    share->at = d.at;
}

/* What is wrong first, in the order of the rows, is what counts. */
static gn2_status conclude(const work *w)
{
    gn2_rows *rows = w->decoder->rows;
    for (int64_t i = 0; i < w->count; i++) {
        gn2_trouble_pass(&rows->trouble, &w->shares[i].trouble);
        GN2_TRY(gn2_trouble_raise(&w->shares[i].failed));
    }
    return GN2_OK;
}

static gn2_status decode_slab(decoder *d, const gn2_slabs *slab)
{
    work w = {d, slab->buffer->data, slab->buffer->shares, 0};
    d->first = slab->first;
    const int64_t jets = share_out(&w, slab);
    if (d->object) GN2_TRY(place_constituents(&w, slab->buffer->pool));
    gn2_pool_run(slab->buffer->pool, w.count, decode_share, &w);
    GN2_TRY(conclude(&w));
    d->jet += jets;
    d->rows->object[d->object].count = w.shares[w.count - 1].at;
    return GN2_OK;
}

static gn2_status load_table(decoder *d, gn2_slabs slabs)
{
    slabs.table = d->table;
    for (;;) {
        GN2_TRY(gn2_slabs_next(&slabs));
        if (slabs.count == 0) return GN2_OK;
        GN2_TRY(decode_slab(d, &slabs));
    }
}

gn2_status gn2_data_file_load(gn2_data_file *file, const gn2_schema *schema,
                              gn2_non_finite policy, int64_t start, int64_t count,
                              gn2_read_buffer *buffer, gn2_rows *rows)
{
    const int64_t jet = gn2_rows_jets(rows);
    gn2_slabs slabs = {.file = file, .buffer = buffer};
    if (count == 0) return GN2_OK;
    slabs.next = gn2_row_set_at(&file->jets, start);
    slabs.end = gn2_row_set_at(&file->jets, start + count - 1) + 1;
    GN2_TRY(gn2_rows_reserve(rows, 0, jet + count));
    for (int32_t i = 0; i < schema->object_count; i++) {
        decoder d = {.file = file,
                     .table = &file->table[i],
                     .schema = schema,
                     .policy = policy,
                     .object = i,
                     .rows = rows,
                     .jet = jet};
        GN2_TRY(load_table(&d, slabs));
    }
    return GN2_OK;
}
