/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The short way for the usual storage, chunks that are shuffled and deflated: packed
 * chunks are taken from HDF5 as they are, inflated here, and only records that count
 * are put together again. HDF5's own way unshuffles every byte of every slot, of
 * which four in five are padding, and costs as much again as inflating.
 */
#include <string.h>
#include <zlib.h>

#include "data/h5_internal.h"
#include "util/alloc.h"

/* Larger chunks go HDF5's way. */
#define CHUNK_MOST ((size_t)64 << 20)

struct gn2_h5_chunks {
    size_t elements, size; /* of a chunk; bytes of an element */
    int shuffled;
    int64_t cached; /* number of the chunk in `plain`; −1: none */
    unsigned char *packed, *plain;
    size_t packed_size;
};

/* Whether the filters are deflate, or shuffle and deflate, in full. */
static int is_usual(hid_t plist, int *out_shuffled)
{
    static const H5Z_filter_t usual[] = {H5Z_FILTER_SHUFFLE, H5Z_FILTER_DEFLATE};
    const int count = H5Pget_nfilters(plist);
    if (count != 1 && count != 2) return 0;
    for (int i = 0; i < count; i++) {
        unsigned flags, config;
        size_t values = 0;
        const H5Z_filter_t id =
            H5Pget_filter2(plist, (unsigned)i, &flags, &values, NULL, 0, NULL, &config);
        if (id != usual[2 - count + i]) return 0;
    }
    *out_shuffled = count == 2;
    return 1;
}

gn2_h5_chunks *gn2_h5_chunks_new(const gn2_h5_table *table)
{
    int shuffled = 0;
    hsize_t chunk[2] = {0, 1};
    const hid_t plist = H5Dget_create_plist(table->dataset);
    int fits = H5Pget_layout(plist) == H5D_CHUNKED && is_usual(plist, &shuffled);
    if (fits) H5Pget_chunk(plist, table->info.rank, chunk);
    H5Pclose(plist);
    /* chunks across the slots would have to be put together */
    fits = fits && (int64_t)chunk[1] == table->info.slots;
    const size_t size = H5Tget_size(table->file_type);
    const size_t elements = (size_t)(chunk[0] * chunk[1]);
    if (!fits || elements == 0 || elements > CHUNK_MOST / size) return NULL;
    gn2_h5_chunks *c = gn2_alloc(1, sizeof *c);
    if (!c) return NULL;
    *c = (gn2_h5_chunks){
        .elements = elements, .size = size, .shuffled = shuffled, .cached = -1};
    c->plain = gn2_alloc(elements, size);
    if (c->plain) return c;
    gn2_free(c);
    return NULL;
}

void gn2_h5_chunks_free(gn2_h5_chunks *c)
{
    if (!c) return;
    gn2_free(c->packed);
    gn2_free(c->plain);
    gn2_free(c);
}

static int reserve(gn2_h5_chunks *c, size_t size)
{
    if (size <= c->packed_size) return 1;
    gn2_free(c->packed);
    c->packed = gn2_alloc(size, 1);
    c->packed_size = c->packed ? size : 0;
    return c->packed != NULL;
}

/* Brings a chunk into `plain`; 0: HDF5 shall try, and say what is wrong. */
static int fetch(const gn2_h5_table *table, int64_t number)
{
    gn2_h5_chunks *c = table->chunks;
    const hsize_t at[2] = {(hsize_t)(number * table->info.chunk_rows), 0};
    hsize_t stored = 0;
    uint32_t mask = 0;
    uLongf size = (uLongf)(c->elements * c->size);
    if (c->cached == number) return 1;
    if (H5Dget_chunk_storage_size(table->dataset, at, &stored) < 0 || stored == 0)
        return 0;
    if (stored > 2 * CHUNK_MOST || !reserve(c, (size_t)stored)) return 0;
    if (H5Dread_chunk(table->dataset, H5P_DEFAULT, at, &mask, c->packed) < 0 || mask)
        return 0;
    c->cached = -1;
    if (uncompress(c->plain, &size, c->packed, (uLong)stored) != Z_OK) return 0;
    if (size != c->elements * c->size) return 0;
    c->cached = number;
    return 1;
}

/* Byte b of element i lies at b · elements + i. */
static void gather(const gn2_h5_chunks *c, size_t first, size_t count, int64_t only,
                   char *records)
{
    for (size_t i = first; i < first + count; i++, records += c->size) {
        const unsigned char *from = c->plain + i;
        if (only >= 0 && from[(size_t)only * c->elements] == 0) {
            records[only] = 0;
            continue;
        }
        for (size_t b = 0; b < c->size; b++) records[b] = (char)from[b * c->elements];
    }
}

int gn2_h5_chunks_read(const gn2_h5_table *table, int64_t start, int64_t count,
                       void *records)
{
    gn2_h5_chunks *c = table->chunks;
    const int64_t rows = table->info.chunk_rows;
    const size_t slots = (size_t)table->info.slots;
    char *out = records;
    for (int64_t row = start; row < start + count;) {
        const int64_t number = row / rows, first = row - number * rows;
        const int64_t left = start + count - row;
        const int64_t take = rows - first < left ? rows - first : left;
        const size_t elements = (size_t)take * slots;
        if (!fetch(table, number)) return 0;
        if (c->shuffled)
            gather(c, (size_t)first * slots, elements, table->only, out);
        else
            memcpy(out, c->plain + (size_t)first * slots * c->size, elements * c->size);
        out += elements * c->size;
        row += take;
    }
    return 1;
}
