/* SPDX-License-Identifier: Apache-2.0 */
#include "data/score_width.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "util/alloc.h"
#include "util/error.h"
#include "util/str.h"

/* Bytes of records looked through at once. */
#define SLAB_BYTES ((int64_t)4 << 20)

static int32_t width_of(double value)
{
    const double size = fabs(value);
    if (!isfinite(value) || size < (double)GN2_HALF_OVERFLOW) return 2;
    return size <= (double)FLT_MAX ? 4 : 8;
}

static double value_of(const gn2_h5_field *field, const char *at)
{
    double wide;
    if (field->size < 8)
        return (double)gn2_field_float_reader(field->kind, field->size)(at);
    memcpy(&wide, at, sizeof wide);
    return wide;
}

static void widen(const gn2_score_table *table, size_t index, const char *records,
                  int64_t slots)
{
    gn2_score_field *to = &table->field[index];
    const gn2_h5_field *from = &table->info->fields[to->from];
    for (int64_t i = 0; i < slots; i++) {
        const char *at = records + i * table->info->record + from->offset;
        const int32_t width = width_of(value_of(from, at));
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
                widen(table, i, records, count * table->info->slots);
    }
    return GN2_OK;
}

static gn2_status log_wider(const gn2_score_table *table)
{
    gn2_text names = {0};
    size_t count = 0;
    for (size_t i = 0; i < table->copied; i++)
        if (table->field[i].kind == GN2_H5_FLOAT && table->field[i].size > 2)
            gn2_text_format(&names, "%s%s", count++ ? ", " : "", table->field[i].name);
    if (!names.failed && count)
        gn2_log_line(GN2_LOG_INFO,
                     "dataset '%s': %zu fields have numbers that 16 bits do not hold, "
                     "and are written wider: %s",
                     table->dataset, count, names.data);
    const int failed = names.failed;
    gn2_free(names.data);
    return failed ? gn2_fail_memory() : GN2_OK;
}

static int has_reals(const gn2_score_table *table)
{
    for (size_t i = 0; i < table->copied; i++)
        if (table->field[i].kind == GN2_H5_FLOAT) return 1;
    return 0;
}

gn2_status gn2_score_width_choose(gn2_score_table *table)
{
    const gn2_h5_info *info = table->info;
    if (!has_reals(table) || info->slots == 0) return GN2_OK;
    const int64_t fit = SLAB_BYTES / (info->record * info->slots);
    const int64_t rows = fit > 0 ? fit : 1;
    char *records = gn2_alloc((size_t)rows, (size_t)info->record * (size_t)info->slots);
    if (!records) return gn2_fail_memory();
    gn2_status status = look_through(table, records, rows);
    gn2_free(records);
    if (status == GN2_OK) status = log_wider(table);
    return status;
}
