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

static size_t row_size(const gn2_rows *rows, int32_t object)
{
    return (size_t)rows->shape.columns[object] * sizeof(float);
}

static size_t label_size(const gn2_rows *rows, int32_t k)
{
    return (size_t)rows->shape.label[k].columns * sizeof(int32_t);
}

void *gn2_rows_label_at(const gn2_rows *rows, int32_t k, int64_t row)
{
    return (char *)rows->label[k] + (size_t)row * label_size(rows, k);
}

gn2_status gn2_rows_init(gn2_rows *rows, const gn2_rows_shape *shape,
                         _Atomic int64_t *memory)
{
    memset(rows, 0, sizeof *rows);
    rows->shape = *shape;
    rows->memory = memory;
    for (int32_t o = 0; o < shape->object_count; o++)
        GN2_TRY(gn2_rows_reserve(rows, o, 1));
    return GN2_OK;
}

void gn2_rows_free(gn2_rows *rows)
{
    if (!rows->memory) return;
    for (int32_t k = 0; k < rows->shape.label_count; k++) {
        const int64_t rooms = rows->object[rows->shape.label[k].object].capacity;
        if (rows->label[k]) give_back(rows, rooms, label_size(rows, k));
        gn2_free(rows->label[k]);
    }
    for (int32_t o = 0; o < rows->shape.object_count; o++) {
        const gn2_rows_object *object = &rows->object[o];
        give_back(rows, object->capacity, row_size(rows, o));
        if (object->offsets)
            give_back(rows, rows->object[0].capacity + 1, sizeof *object->offsets);
        gn2_free(object->data);
        gn2_free(object->offsets);
    }
    memset(rows, 0, sizeof *rows);
}

void gn2_rows_clear(gn2_rows *rows)
{
    rows->trouble.status = GN2_OK;
    for (int32_t o = 0; o < rows->shape.object_count; o++) rows->object[o].count = 0;
}

/* Offsets of all constituents grow with the jets. */
static gn2_status regrow_offsets(gn2_rows *rows, int64_t old, int64_t capacity)
{
    for (int32_t o = 1; o < rows->shape.object_count; o++) {
        int64_t **offsets = &rows->object[o].offsets;
        const int64_t used = *offsets ? gn2_rows_jets(rows) + 1 : 0;
        GN2_TRY(regrow(rows, offsets, used, *offsets ? old + 1 : 0, capacity + 1,
                       sizeof **offsets));
    }
    return GN2_OK;
}

gn2_status gn2_rows_reserve(gn2_rows *rows, int32_t o, int64_t count)
{
    gn2_rows_object *object = &rows->object[o];
    const int64_t old = object->capacity, used = object->count;
    if (count <= old) return GN2_OK;
    const int64_t capacity = next_capacity(old, count);
    GN2_TRY(regrow(rows, &object->data, used, old, capacity, row_size(rows, o)));
    for (int32_t k = 0; k < rows->shape.label_count; k++)
        if (rows->shape.label[k].object == o && rows->shape.label[k].columns)
            GN2_TRY(regrow(rows, &rows->label[k], used, old, capacity,
                           label_size(rows, k)));
    if (o == 0) GN2_TRY(regrow_offsets(rows, old, capacity));
    object->capacity = capacity;
    return GN2_OK;
}

/* Rows first … first+count−1 of an object of another table, and their labels, to row
 * `at`. */
static void copy_rows(gn2_rows *rows, const gn2_rows *from, int32_t o, int64_t at,
                      int64_t first, int64_t count)
{
    const int64_t columns = rows->shape.columns[o];
    if (count == 0) return;
    if (columns)
        memcpy(rows->object[o].data + at * columns,
               from->object[o].data + first * columns,
               (size_t)count * row_size(rows, o));
    for (int32_t k = 0; k < rows->shape.label_count; k++)
        if (rows->shape.label[k].object == o && rows->label[k])
            memcpy(gn2_rows_label_at(rows, k, at), gn2_rows_label_at(from, k, first),
                   (size_t)count * label_size(rows, k));
}

/* Makes room, and finds out where the constituents go. */
static gn2_status place(gn2_rows *rows, const gn2_rows_choice *c)
{
    const int64_t jets = gn2_rows_jets(rows);
    GN2_TRY(gn2_rows_reserve(rows, 0, jets + c->count));
    for (int32_t o = 1; o < rows->shape.object_count; o++) {
        const int64_t *given = c->from->object[o].offsets;
        int64_t *offsets = rows->object[o].offsets + jets;
        for (int64_t i = 0; i < c->count; i++)
            offsets[i + 1] = offsets[i] + given[c->index[i] + 1] - given[c->index[i]];
        GN2_TRY(gn2_rows_reserve(rows, o, offsets[c->count]));
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
    const int64_t first = index * PIECE_JETS, end = first + PIECE_JETS;
    const int64_t count = c->choice->count;
    (void)lane;
    for (int64_t i = first; i < (end < count ? end : count); i++) {
        const int64_t jet = c->choice->index[i], to = gn2_rows_jets(rows) + i;
        copy_rows(rows, from, 0, to, jet, 1);
        for (int32_t o = 1; o < rows->shape.object_count; o++) {
            const int64_t *given = from->object[o].offsets + jet;
            copy_rows(rows, from, o, rows->object[o].offsets[to], given[0],
                      given[1] - given[0]);
        }
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
    rows->object[0].count += choice->count;
    for (int32_t o = 1; o < rows->shape.object_count; o++)
        rows->object[o].count = rows->object[o].offsets[gn2_rows_jets(rows)];
    return GN2_OK;
}
