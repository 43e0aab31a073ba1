/* SPDX-License-Identifier: Apache-2.0 */
#include "data/rows.h"

#include <string.h>

#include "util/alloc.h"

static void give_back(gn2_rows *rows, int64_t count, size_t size)
{
    atomic_fetch_sub(rows->memory, count * (int64_t)size);
}

/* Grows one array of a table from `old` to `capacity` elements, the first `used`
 * kept, and counts its bytes. */
static gn2_status regrow(gn2_rows *rows, void *array, int64_t used, int64_t old,
                         int64_t capacity, size_t size)
{
    if (!gn2_grow(array, (size_t)used, (size_t)capacity, size))
        return gn2_fail_memory();
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
    give_back(rows, part->capacity, part_size(rows, p));
    if (part->offsets) give_back(rows, rows->capacity + 1, sizeof(int64_t));
    gn2_free(part->data);
    gn2_free(part->offsets);
}

static size_t label_size(const gn2_rows *rows, int32_t k)
{
    return (size_t)rows->shape.label[k].columns * sizeof(int32_t);
}

void *gn2_rows_label_at(const gn2_rows *rows, int32_t k, int64_t row)
{
    return (char *)rows->label[k] + (size_t)row * label_size(rows, k);
}

static void free_labels(gn2_rows *rows)
{
    for (int32_t k = 0; k < rows->shape.label_count; k++) {
        const int32_t p = rows->shape.label[k].part;
        const int64_t rooms = p < 0 ? rows->capacity : rows->part[p].capacity;
        if (rows->label[k]) give_back(rows, rooms, label_size(rows, k));
        gn2_free(rows->label[k]);
    }
}

void gn2_rows_free(gn2_rows *rows)
{
    if (!rows->memory) return;
    free_labels(rows);
    for (int32_t p = 0; p < rows->shape.part_count; p++) free_part(rows, p);
    give_back(rows, rows->capacity, jet_size(rows));
    gn2_free(rows->features);
    memset(rows, 0, sizeof *rows);
}

void gn2_rows_clear(gn2_rows *rows)
{
    rows->count = 0;
    rows->trouble.status = GN2_OK;
    for (int32_t p = 0; p < rows->shape.part_count; p++) rows->part[p].count = 0;
}

/* Labels of a part (−1: the jets) grow with its rows. */
static gn2_status regrow_labels(gn2_rows *rows, int32_t part, int64_t used, int64_t old,
                                int64_t capacity)
{
    for (int32_t k = 0; k < rows->shape.label_count; k++) {
        const gn2_rows_label *label = &rows->shape.label[k];
        if (label->part == part && label->columns)
            GN2_TRY(regrow(rows, &rows->label[k], used, old, capacity,
                           label_size(rows, k)));
    }
    return GN2_OK;
}

gn2_status gn2_rows_reserve(gn2_rows *rows, int64_t jets)
{
    const int64_t old = rows->capacity;
    if (jets <= old) return GN2_OK;
    const int64_t capacity = next_capacity(old, jets);
    GN2_TRY(regrow(rows, &rows->features, rows->count, old, capacity, jet_size(rows)));
    GN2_TRY(regrow_labels(rows, -1, rows->count, old, capacity));
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
    GN2_TRY(regrow_labels(rows, p, part->count, old, capacity));
    part->capacity = capacity;
    return GN2_OK;
}

/* Rows first … first+count−1 of another table's labels of a part to row `at`. */
static void copy_labels(gn2_rows *rows, const gn2_rows *from, int32_t part, int64_t at,
                        int64_t first, int64_t count)
{
    for (int32_t k = 0; k < rows->shape.label_count; k++)
        if (rows->shape.label[k].part == part && rows->label[k] && count)
            memcpy(gn2_rows_label_at(rows, k, at), gn2_rows_label_at(from, k, first),
                   (size_t)count * label_size(rows, k));
}

/* Constituents of jet `from` to those of jet `to`, whose place is known. */
static void copy_constituents(gn2_rows *rows, const gn2_rows *source, int32_t p,
                              int64_t from, int64_t to)
{
    gn2_rows_part *part = &rows->part[p];
    const gn2_rows_part *given = &source->part[p];
    const int64_t columns = rows->shape.part_columns[p];
    const int64_t first = given->offsets[from], at = part->offsets[to];
    const int64_t count = given->offsets[from + 1] - first;
    if (count && columns)
        memcpy(part->data + at * columns, given->data + first * columns,
               (size_t)(count * columns) * sizeof(float));
    copy_labels(rows, source, p, at, first, count);
}

/* Makes room, and finds out where the constituents go. */
static gn2_status place(gn2_rows *rows, const gn2_rows_choice *c)
{
    GN2_TRY(gn2_rows_reserve(rows, rows->count + c->count));
    for (int32_t p = 0; p < rows->shape.part_count; p++) {
        const int64_t *given = c->from->part[p].offsets;
        int64_t *offsets = rows->part[p].offsets + rows->count;
        for (int64_t i = 0; i < c->count; i++)
            offsets[i + 1] = offsets[i] + given[c->index[i] + 1] - given[c->index[i]];
        GN2_TRY(gn2_rows_reserve_part(rows, p, offsets[c->count]));
    }
    return GN2_OK;
}

/* Jets that are copied at once; fewer are not worth another thread's waking. */
#define PIECE_JETS 64

typedef struct copying {
    gn2_rows *rows;
    const gn2_rows_choice *choice;
} copying;

static void copy_jets(void *context, int64_t index, int32_t lane)
{
    const copying *c = context;
    gn2_rows *rows = c->rows;
    const gn2_rows *from = c->choice->from;
    const int64_t columns = rows->shape.columns, first = index * PIECE_JETS;
    const int64_t end = first + PIECE_JETS, count = c->choice->count;
    (void)lane;
    for (int64_t i = first; i < (end < count ? end : count); i++) {
        const int64_t jet = c->choice->index[i], to = rows->count + i;
        memcpy(rows->features + to * columns, from->features + jet * columns,
               jet_size(rows));
        copy_labels(rows, from, -1, to, jet, 1);
        for (int32_t p = 0; p < rows->shape.part_count; p++)
            copy_constituents(rows, from, p, jet, to);
    }
}

gn2_status gn2_rows_gather(gn2_rows *rows, const gn2_rows_choice *choice,
                           gn2_pool *pool)
{
    copying c = {rows, choice};
    if (choice->count == 0) return GN2_OK;
    GN2_TRY(place(rows, choice));
    gn2_trouble_pass(&rows->trouble, &choice->from->trouble);
    gn2_pool_run(pool, (choice->count - 1) / PIECE_JETS + 1, copy_jets, &c);
    rows->count += choice->count;
    for (int32_t p = 0; p < rows->shape.part_count; p++)
        rows->part[p].count = rows->part[p].offsets[rows->count];
    return GN2_OK;
}
