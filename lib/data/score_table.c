/* SPDX-License-Identifier: Apache-2.0 */
#include "data/score_table.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "config/alias.h"
#include "util/alloc.h"
#include "util/error.h"
#include "util/str.h"

/* Chunks of salt's files: 100 jets of constituents; for jets near h5py's guess. */
#define CHUNK_SLOTS 100
#define CHUNK_JETS 1000
/* Bytes of records handled at once. */
#define SLAB_BYTES ((int64_t)4 << 20)

gn2_status gn2_score_table_open(gn2_score_table *table, gn2_h5_file *file,
                                const char *dataset)
{
    table->dataset = dataset;
    GN2_TRY(gn2_h5_table_open(file, dataset, &table->in));
    table->info = gn2_h5_table_info(table->in);
    table->valid = -1;
    table->names = gn2_alloc(table->info->field_count, sizeof *table->names);
    if (!table->names) return gn2_fail_memory();
    for (size_t i = 0; i < table->info->field_count; i++) {
        table->names[i] = table->info->fields[i].name;
        if (strcmp(table->names[i], "valid") == 0) table->valid = (int64_t)i;
    }
    return GN2_OK;
}

static gn2_status push(gn2_score_table *table, const char *name, gn2_score_field field)
{
    if (!gn2_reserve(&table->field, &table->field_capacity, table->field_count,
                     table->field_count + 1, sizeof *table->field))
        return gn2_fail_memory();
    field.name = gn2_strdup(name);
    if (!field.name) return gn2_fail_memory();
    table->field[table->field_count++] = field;
    return GN2_OK;
}

/* Reals get 32 bits, as salt casts them, and keep 64; or 16, if these hold them. */
static int32_t copied_size(const gn2_score_table *table, const gn2_h5_field *from)
{
    if (from->kind != GN2_H5_FLOAT) return from->size;
    if (table->half) return 2;
    return from->size > 4 ? from->size : 4;
}

static gn2_status push_copy(gn2_score_table *table, size_t index)
{
    const gn2_h5_field *from = &table->info->fields[index];
    const gn2_score_field field = {
        .kind = from->kind, .size = copied_size(table, from), .from = (int64_t)index};
    GN2_TRY(push(table, from->name, field));
    table->copied++;
    return GN2_OK;
}

/* Numbers, and whatever else is of fixed size. */
static int can_copy(const gn2_score_table *table, size_t index)
{
    const gn2_h5_field *field = &table->info->fields[index];
    return field->kind != GN2_H5_OTHER || field->size > 0;
}

static int is_left_out(const gn2_score_table *table, size_t index)
{
    return !can_copy(table, index);
}

/* Says of which fields of the input something holds. */
static gn2_status log_fields(const gn2_score_table *table, int32_t severity,
                             int (*holds)(const gn2_score_table *, size_t),
                             const char *what)
{
    gn2_text names = {0};
    size_t count = 0;
    for (size_t i = 0; i < table->info->field_count; i++)
        if (holds(table, i))
            gn2_text_format(&names, "%s%s", count++ ? ", " : "", table->names[i]);
    if (!names.failed && count)
        gn2_log_line(severity, "dataset '%s': %zu of %zu fields %s: %s", table->dataset,
                     count, table->info->field_count, what, names.data);
    const int failed = names.failed;
    gn2_free(names.data);
    return failed ? gn2_fail_memory() : GN2_OK;
}

gn2_status gn2_score_table_copy_all(gn2_score_table *table)
{
    for (size_t i = 0; i < table->info->field_count; i++)
        if (can_copy(table, i)) GN2_TRY(push_copy(table, i));
    return log_fields(table, GN2_LOG_WARNING, is_left_out,
                      "are of any length, or refer to others, and are not copied to "
                      "the scores");
}

/* The copy of a field of the input; NULL: it is not copied. */
static const gn2_score_field *copy_of(const gn2_score_table *table, size_t index)
{
    for (size_t i = 0; i < table->copied; i++)
        if (table->field[i].from == (int64_t)index) return &table->field[i];
    return NULL;
}

gn2_status gn2_score_table_copy(gn2_score_table *table, const char *name,
                                int *out_found)
{
    const size_t i = gn2_alias_find(table->names, table->info->field_count, name);
    *out_found = i < table->info->field_count;
    if (!*out_found) return GN2_OK;
    if (!can_copy(table, i))
        return gn2_fail(GN2_ERR_FORMAT,
                        "field '%s' is of any length, or refers to others, and cannot "
                        "be copied",
                        name);
    return copy_of(table, i) ? GN2_OK : push_copy(table, i);
}

static void drop_copy(gn2_score_table *table, const char *name)
{
    for (size_t i = 0; i < table->copied; i++) {
        if (strcmp(table->field[i].name, name) != 0) continue;
        gn2_free(table->field[i].name);
        memmove(&table->field[i], &table->field[i + 1],
                (table->field_count - i - 1) * sizeof *table->field);
        table->field_count--;
        table->copied--;
        return;
    }
}

gn2_status gn2_score_table_add(gn2_score_table *table, const char *name,
                               gn2_score_field field)
{
    field.from = -1;
    drop_copy(table, name);
    for (size_t i = table->copied; i < table->field_count; i++)
        if (strcmp(table->field[i].name, name) == 0)
            return gn2_fail(GN2_ERR_INVALID_ARG,
                            "two scores of an object are called '%s'", name);
    return push(table, name, field);
}

/* ---- making ---- */

static gn2_status select_copied(gn2_score_table *table)
{
    uint8_t *wanted = gn2_alloc(table->info->field_count, 1);
    if (!wanted) return gn2_fail_memory();
    size_t count = 0;
    for (size_t i = 0; i < table->copied; i++)
        wanted[table->field[i].from] = GN2_H5_AS_STORED;
    if (table->info->rank == 2 && table->valid >= 0)
        wanted[table->valid] = GN2_H5_AS_NUMBER;
    for (size_t i = 0; i < table->info->field_count; i++) count += wanted[i] != 0;
    const gn2_status status =
        count ? gn2_h5_table_select(table->in, wanted, -1) : GN2_OK;
    gn2_free(wanted);
    return status;
}

int64_t gn2_score_table_slab(const gn2_score_table *table)
{
    const int64_t record = table->record + table->info->record;
    const int64_t rows = SLAB_BYTES / (record * table->info->slots + 1);
    return rows < CHUNK_SLOTS ? CHUNK_SLOTS : rows / CHUNK_SLOTS * CHUNK_SLOTS;
}

/* ---- how wide copied reals have to be so that none becomes infinite ---- */

static int32_t width_of(double value)
{
    const double size = fabs(value);
    if (!isfinite(value) || size < (double)GN2_HALF_OVERFLOW) return 2;
    return size <= (double)FLT_MAX ? 4 : 8;
}

static void widen(const gn2_score_table *table, gn2_score_field *to,
                  const char *records, int64_t slots)
{
    const gn2_h5_field *from = &table->info->fields[to->from];
    const gn2_field_reader *reader = gn2_field_reader_of(from->kind, from->size);
    for (int64_t i = 0; i < slots; i++) {
        const char *at = records + i * table->info->record + from->offset;
        const int32_t width = width_of(gn2_field_real(reader, at));
        if (width > to->size) to->size = width;
    }
}

static gn2_status look_through(gn2_score_table *table, char *records, int64_t rows)
{
    const int64_t total = table->info->rows;
    for (int64_t row = 0; row < total; row += rows) {
        const int64_t count = total - row < rows ? total - row : rows;
        GN2_TRY(gn2_h5_table_read(table->in, row, count, records));
        for (size_t i = 0; i < table->copied; i++)
            if (table->field[i].kind == GN2_H5_FLOAT)
                widen(table, &table->field[i], records, count * table->info->slots);
    }
    return GN2_OK;
}

static int is_wider(const gn2_score_table *table, size_t index)
{
    const gn2_score_field *copy = copy_of(table, index);
    return copy && copy->kind == GN2_H5_FLOAT && copy->size > 2;
}

/* Reals that 16 bits do not hold get 32, or 64. */
static gn2_status choose_widths(gn2_score_table *table)
{
    int reals = 0;
    for (size_t i = 0; i < table->copied; i++)
        reals |= table->field[i].kind == GN2_H5_FLOAT;
    if (!table->half || !reals || table->info->slots == 0) return GN2_OK;
    const int64_t rows = gn2_score_table_slab(table);
    char *records =
        gn2_alloc((size_t)(rows * table->info->slots), (size_t)table->info->record);
    if (!records) return gn2_fail_memory();
    const gn2_status status = look_through(table, records, rows);
    gn2_free(records);
    GN2_TRY(status);
    return log_fields(table, GN2_LOG_INFO, is_wider,
                      "have numbers that 16 bits do not hold, and are written wider");
}

gn2_status gn2_score_table_make(gn2_score_table *table, gn2_h5_file *out)
{
    GN2_TRY(select_copied(table));
    GN2_TRY(choose_widths(table));
    gn2_h5_field *fields = gn2_alloc(table->field_count, sizeof *fields);
    if (!fields) return gn2_fail_memory();
    for (size_t i = 0; i < table->field_count; i++) {
        gn2_score_field *f = &table->field[i];
        fields[i] = (gn2_h5_field){
            .name = f->name, .kind = f->kind, .size = f->size, .offset = f->from};
        f->offset = table->record;
        table->record += f->size;
    }
    const gn2_h5_layout layout = {.like = table->in,
                                  .rank = table->info->rank,
                                  .slots = table->info->slots,
                                  .chunk_rows =
                                      table->info->rank == 2 ? CHUNK_SLOTS : CHUNK_JETS,
                                  .field_count = table->field_count,
                                  .fields = fields};
    const gn2_status status =
        gn2_h5_table_create(out, table->dataset, &layout, &table->out);
    gn2_free(fields);
    return status;
}

/* ---- rows ---- */

static gn2_status reserve(gn2_score_table *table, int64_t rows)
{
    size_t slots;
    if (rows <= table->capacity) return GN2_OK;
    if (!gn2_mul_size((size_t)rows, (size_t)table->info->slots, &slots))
        return gn2_fail_memory();
    gn2_free(table->in_data);
    gn2_free(table->out_data);
    gn2_free(table->row);
    table->capacity = 0;
    table->in_data = gn2_alloc(slots, (size_t)table->info->record);
    table->out_data = gn2_alloc(slots, (size_t)table->record);
    table->row = gn2_alloc(slots, sizeof *table->row);
    if (!table->in_data || !table->out_data || !table->row) return gn2_fail_memory();
    table->capacity = rows;
    return GN2_OK;
}

void gn2_score_put_real(char *at, float value, int32_t size)
{
    const uint16_t half = gn2_float_to_half(value);
    if (size == 2)
        memcpy(at, &half, sizeof half);
    else
        memcpy(at, &value, sizeof value);
}

static void copy_field(const gn2_score_table *table, const gn2_score_field *to,
                       int64_t slots)
{
    const gn2_h5_field *from = &table->info->fields[to->from];
    const gn2_field_reader *reader = gn2_field_reader_of(from->kind, from->size);
    for (int64_t i = 0; i < slots; i++) {
        const char *source = table->in_data + i * table->info->record + from->offset;
        char *target = gn2_score_table_at(table, to, i);
        if (to->kind == GN2_H5_FLOAT && to->size < 8)
            gn2_score_put_real(target, reader->to_float(source), to->size);
        else
            memcpy(target, source, (size_t)to->size);
    }
}

/* As the dataset that is tagged is read. */
static gn2_status check_written(const gn2_score_table *table, int64_t start,
                                int64_t count)
{
    const gn2_h5_info *info = table->info;
    if (table->keeps_unwritten) return GN2_OK;
    for (size_t i = 0; i < info->gap_count; i++)
        if (info->gaps[i].end > start && info->gaps[i].first < start + count)
            return gn2_fail(GN2_ERR_FORMAT,
                            "input, dataset '%s': rows %lld to %lld were never "
                            "written; data.unwritten = keep takes HDF5's fill values "
                            "for them",
                            table->dataset, (long long)info->gaps[i].first,
                            (long long)info->gaps[i].end - 1);
    return GN2_OK;
}

static gn2_status check_flags(const gn2_score_table *table, int64_t start,
                              int64_t slots)
{
    if (table->valid < 0 || table->info->fields[table->valid].offset < 0) return GN2_OK;
    const gn2_h5_field *field = &table->info->fields[table->valid];
    const gn2_field_reader *reader = gn2_field_reader_of(field->kind, field->size);
    for (int64_t i = 0; i < slots; i++) {
        const char *at = table->in_data + i * table->info->record + field->offset;
        const int64_t flag = reader->to_int(at);
        char value[32];
        if (flag == 0 || flag == 1) continue;
        gn2_field_print(reader, at, value);
        return gn2_fail(GN2_ERR_FORMAT,
                        "input, dataset '%s', field 'valid', row %lld, slot %lld: flag "
                        "%s is neither 0 nor 1",
                        table->dataset, (long long)(start + i / table->info->slots),
                        (long long)(i % table->info->slots), value);
    }
    return GN2_OK;
}

gn2_status gn2_score_table_begin(gn2_score_table *table, int64_t start, int64_t count)
{
    GN2_TRY(reserve(table, count));
    GN2_TRY(check_written(table, start, count));
    if (table->info->record > 0)
        GN2_TRY(gn2_h5_table_read(table->in, start, count, table->in_data));
    GN2_TRY(check_flags(table, start, count * table->info->slots));
    for (size_t i = 0; i < table->copied; i++)
        copy_field(table, &table->field[i], count * table->info->slots);
    return GN2_OK;
}

int gn2_score_table_valid(const gn2_score_table *table, int64_t slot)
{
    const gn2_h5_field *field = &table->info->fields[table->valid];
    const char *at = table->in_data + slot * table->info->record + field->offset;
    return gn2_field_reader_of(field->kind, field->size)->to_int(at) != 0;
}

gn2_status gn2_score_table_close(gn2_score_table *table)
{
    (void)gn2_h5_table_close(table->in);
    const gn2_status status = gn2_h5_table_close(table->out);
    for (size_t i = 0; i < table->field_count; i++) gn2_free(table->field[i].name);
    gn2_free(table->field);
    gn2_free(table->names);
    gn2_free(table->in_data);
    gn2_free(table->out_data);
    gn2_free(table->row);
    memset(table, 0, sizeof *table);
    return status;
}
