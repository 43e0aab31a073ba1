/* SPDX-License-Identifier: Apache-2.0 */
#include "data/rows.h"

#include <string.h>

#include "util/alloc.h"
#include "util/error.h"

static void give_back(gn2_rows *rows, int64_t count, size_t size)
{
    atomic_fetch_sub(rows->memory, count * (int64_t)size);
}

/* Grows one array of a table from `old` to `capacity` elements, the first `used`
 * kept, and counts its bytes. */
static gn2_status regrow(gn2_rows *rows, void *array, int64_t used, int64_t old,
                         int64_t capacity, size_t size)
{
    void *block;
    memcpy(&block, array, sizeof block);
    if (!gn2_grow(&block, (size_t)used, (size_t)capacity, size))
        return gn2_fail_memory();
    memcpy(array, &block, sizeof block);
    give_back(rows, old - capacity, size);
    return GN2_OK;
}

static int64_t next_capacity(int64_t old, int64_t wanted)
{
    const int64_t more = old + old / 2;
    return more > wanted ? more : wanted;
}

gn2_status gn2_rows_init(gn2_rows *rows, const gn2_rows_shape *shape,
                         _Atomic int64_t *memory)
{
    memset(rows, 0, sizeof *rows);
    rows->shape = *shape;
    rows->memory = memory;
    GN2_TRY(gn2_rows_reserve(rows, 1));
    for (int32_t p = 0; p < shape->part_count; p++)
        GN2_TRY(gn2_rows_reserve_part(rows, p, 1));
    return GN2_OK;
}

static size_t part_size(const gn2_rows *rows, int32_t p)
{
    return (size_t)rows->shape.part_columns[p] * sizeof(float);
}

static size_t jet_size(const gn2_rows *rows)
{
    return (size_t)rows->shape.columns * sizeof(float);
}

static void free_part(gn2_rows *rows, int32_t p)
{
    gn2_rows_part *part = &rows->part[p];
    const size_t labels = (part->origin ? 1u : 0u) + (part->vertex ? 1u : 0u);
    give_back(rows, part->capacity, part_size(rows, p) + labels * sizeof(int32_t));
    if (part->offsets) give_back(rows, rows->capacity + 1, sizeof(int64_t));
    gn2_free(part->data);
    gn2_free(part->offsets);
    gn2_free(part->origin);
    gn2_free(part->vertex);
}

void gn2_rows_free(gn2_rows *rows)
{
    if (!rows->memory) return;
    for (int32_t p = 0; p < rows->shape.part_count; p++) free_part(rows, p);
    give_back(rows, rows->capacity, jet_size(rows));
    if (rows->flavour) give_back(rows, rows->capacity, sizeof(int32_t));
    gn2_free(rows->features);
    gn2_free(rows->flavour);
    memset(rows, 0, sizeof *rows);
}

void gn2_rows_clear(gn2_rows *rows)
{
    rows->count = 0;
    for (int32_t p = 0; p < rows->shape.part_count; p++) rows->part[p].count = 0;
}

gn2_status gn2_rows_reserve(gn2_rows *rows, int64_t jets)
{
    const int64_t old = rows->capacity;
    if (jets <= old) return GN2_OK;
    const int64_t capacity = next_capacity(old, jets);
    GN2_TRY(regrow(rows, &rows->features, rows->count, old, capacity, jet_size(rows)));
    if (rows->shape.has_flavour)
        GN2_TRY(
            regrow(rows, &rows->flavour, rows->count, old, capacity, sizeof(int32_t)));
    for (int32_t p = 0; p < rows->shape.part_count; p++) {
        gn2_rows_part *part = &rows->part[p];
        const int64_t used = part->offsets ? rows->count + 1 : 0;
        GN2_TRY(regrow(rows, &part->offsets, used, part->offsets ? old + 1 : 0,
                       capacity + 1, sizeof(int64_t)));
    }
    rows->capacity = capacity;
    return GN2_OK;
}

gn2_status gn2_rows_reserve_part(gn2_rows *rows, int32_t p, int64_t count)
{
    gn2_rows_part *part = &rows->part[p];
    const int64_t old = part->capacity;
    if (count <= old) return GN2_OK;
    const int64_t capacity = next_capacity(old, count);
    GN2_TRY(regrow(rows, &part->data, part->count, old, capacity, part_size(rows, p)));
    if (p == rows->shape.origin_part)
        GN2_TRY(
            regrow(rows, &part->origin, part->count, old, capacity, sizeof(int32_t)));
    if (p == rows->shape.vertex_part)
        GN2_TRY(
            regrow(rows, &part->vertex, part->count, old, capacity, sizeof(int32_t)));
    part->capacity = capacity;
    return GN2_OK;
}

static void copy_labels(int32_t *to, const int32_t *from, int64_t at, int64_t first,
                        int64_t count)
{
    if (to && count) memcpy(to + at, from + first, (size_t)count * sizeof *to);
}

static void copy_constituents(gn2_rows *rows, const gn2_rows *from, int32_t p,
                              int64_t jet)
{
    gn2_rows_part *to = &rows->part[p];
    const gn2_rows_part *source = &from->part[p];
    const int64_t columns = rows->shape.part_columns[p];
    const int64_t first = source->offsets[jet];
    const int64_t count = source->offsets[jet + 1] - first;
    if (count && columns)
        memcpy(to->data + to->count * columns, source->data + first * columns,
               (size_t)(count * columns) * sizeof(float));
    copy_labels(to->origin, source->origin, to->count, first, count);
    copy_labels(to->vertex, source->vertex, to->count, first, count);
    to->count += count;
    to->offsets[rows->count + 1] = to->count;
}

static gn2_status reserve_for(gn2_rows *rows, const gn2_rows *from,
                              const int64_t *index, int64_t count)
{
    GN2_TRY(gn2_rows_reserve(rows, rows->count + count));
    for (int32_t p = 0; p < rows->shape.part_count; p++) {
        const int64_t *offsets = from->part[p].offsets;
        int64_t total = rows->part[p].count;
        for (int64_t i = 0; i < count; i++)
            total += offsets[index[i] + 1] - offsets[index[i]];
        GN2_TRY(gn2_rows_reserve_part(rows, p, total));
    }
    return GN2_OK;
}

gn2_status gn2_rows_gather(gn2_rows *rows, const gn2_rows *from, const int64_t *index,
                           int64_t count)
{
    GN2_TRY(reserve_for(rows, from, index, count));
    const int64_t columns = rows->shape.columns;
    for (int64_t i = 0; i < count; i++) {
        const int64_t jet = index[i];
        memcpy(rows->features + rows->count * columns, from->features + jet * columns,
               jet_size(rows));
        copy_labels(rows->flavour, from->flavour, rows->count, jet, 1);
        for (int32_t p = 0; p < rows->shape.part_count; p++)
            copy_constituents(rows, from, p, jet);
        rows->count++;
    }
    return GN2_OK;
}
