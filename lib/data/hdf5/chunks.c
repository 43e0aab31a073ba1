/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed chunks are taken from HDF5 as they are, unpacked here, and only records that
 * count are put together again. HDF5's own way unshuffles every byte of every slot, of
 * which four in five are padding, and costs as much again as inflating; and it takes
 * what lies behind a chunk that unpacks to less than its size for data.
 */
#include "data/hdf5/chunks.h"

#include <string.h>

#include "data/hdf5/filters.h"
#include "util/alloc.h"

const char gn2_hdf5_chunks_no_memory[] = "memory is short";

/* The chunks beside each other that hold a row: what is unpacked at once. */
struct gn2_hdf5_chunks {
    hid_t dataset;
    gn2_hdf5_filters filters;
    int straight;          /* one packer, and chunks as wide as rows */
    int partial_unpacked;  /* chunks over the end are stored without filters */
    int64_t total;         /* rows of the dataset */
    int64_t rows;          /* of a chunk */
    size_t slots, width;   /* of a row; of a chunk */
    size_t across;         /* chunks that hold a row */
    size_t elements, size; /* of a chunk; bytes of an element */
    int64_t cached;        /* number of the row of chunks in `plain`; −1: none */
    gn2_hdf5_packed packed;
    size_t packed_size;
    unsigned char *plain;    /* chunk after chunk */
    unsigned char *shuffled; /* (across) */
    unsigned char *fill;     /* a record that was never written */
};

/* Bytes of a chunk, and of the row of them with room behind each. */
static size_t chunk_bytes(const gn2_hdf5_chunks *c)
{
    return c->elements * c->size;
}

static size_t chunk_stride(const gn2_hdf5_chunks *c)
{
    return chunk_bytes(c) + GN2_HDF5_FILTERS_ROOM;
}

/* 0: HDF5 has to read, as of a text it does not tell what it is filled with. */
static int read_fill(gn2_hdf5_chunks *c, hid_t plist, hid_t type)
{
    H5D_fill_value_t defined;
    if (H5Pfill_value_defined(plist, &defined) < 0) return 0;
    return defined != H5D_FILL_VALUE_USER_DEFINED ||
           H5Pget_fill_value(plist, type, c->fill) >= 0;
}

/* Shape and filters; 0 where HDF5 has to read. */
static int look(gn2_hdf5_chunks *c, hid_t plist, int rank)
{
    hsize_t chunk[2] = {0, 1};
    unsigned options = 0;
    if (H5Pget_layout(plist) != H5D_CHUNKED) return 0;
    c->filters = gn2_hdf5_filters_of(plist);
    if (!c->filters.own || H5Pget_chunk(plist, rank, chunk) != rank) return 0;
    H5Pget_chunk_opts(plist, &options);
    c->partial_unpacked = (options & H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS) != 0;
    c->rows = (int64_t)chunk[0];
    c->width = (size_t)chunk[1];
    c->across = c->slots / c->width + (c->slots % c->width != 0);
    c->straight = c->width == c->slots && c->filters.count == 1 &&
                  c->filters.id[0] != H5Z_FILTER_SHUFFLE &&
                  c->filters.id[0] != H5Z_FILTER_FLETCHER32;
    /* HDF5 has chunks below 4 GiB */
    c->elements = (size_t)chunk[0] * c->width;
    return c->elements > 0 && c->elements <= UINT32_MAX / c->size;
}

static gn2_status fill_in(gn2_hdf5_chunks *c, hid_t plist, hid_t type, int *out_own)
{
    size_t bytes;
    if (!gn2_mul_size(c->across, chunk_stride(c), &bytes)) return GN2_ERR_NO_MEMORY;
    c->plain = gn2_alloc(bytes, 1);
    c->shuffled = gn2_alloc(c->across, 1);
    c->fill = gn2_alloc(c->size, 1);
    if (!c->plain || !c->shuffled || !c->fill) return GN2_ERR_NO_MEMORY;
    *out_own = read_fill(c, plist, type);
    return GN2_OK;
}

gn2_status gn2_hdf5_chunks_new(hid_t dataset, hid_t type, const gn2_h5_info *info,
                               gn2_hdf5_chunks **out)
{
    *out = NULL;
    gn2_hdf5_chunks *c = gn2_alloc(1, sizeof *c);
    if (!c) return GN2_ERR_NO_MEMORY;
    *c = (gn2_hdf5_chunks){.dataset = dataset,
                           .total = info->rows,
                           .slots = (size_t)info->slots,
                           .size = H5Tget_size(type),
                           .cached = -1};
    const hid_t plist = H5Dget_create_plist(dataset);
    int own = look(c, plist, info->rank);
    const gn2_status status = own ? fill_in(c, plist, type, &own) : GN2_OK;
    H5Pclose(plist);
    if (own && status == GN2_OK)
        *out = c;
    else
        gn2_hdf5_chunks_free(c);
    return status;
}

void gn2_hdf5_chunks_free(gn2_hdf5_chunks *c)
{
    if (!c) return;
    gn2_free(c->packed.data);
    gn2_free(c->plain);
    gn2_free(c->shuffled);
    gn2_free(c->fill);
    gn2_free(c);
}

/* ---- a chunk ---- */

static int reserve(gn2_hdf5_chunks *c, size_t size)
{
    if (size <= c->packed_size) return 1;
    size += size / 2; /* chunks are of many sizes */
    gn2_free(c->packed.data);
    c->packed.data = gn2_alloc(size, 1);
    c->packed_size = c->packed.data ? size : 0;
    return c->packed.data != NULL;
}

static void fill_chunk(const gn2_hdf5_chunks *c, unsigned char *out)
{
    for (size_t i = 0; i < c->elements; i++)
        memcpy(out + i * c->size, c->fill, c->size);
}

static int is_partial(const gn2_hdf5_chunks *c, const hsize_t at[2])
{
    return (int64_t)at[0] + c->rows > c->total || at[1] + c->width > c->slots;
}

/* Bytes of a chunk in the file, 0: it was never written; returns 0 on failure. */
static int stored_size(const gn2_hdf5_chunks *c, const hsize_t at[2], hsize_t *out_size)
{
    *out_size = 0;
    if (H5Dget_chunk_storage_size(c->dataset, at, out_size) >= 0) return 1;
#if H5_VERSION_GE(1, 10, 5)
    /* it fails too where there is no chunk */
    unsigned mask;
    haddr_t address = 0;
    return H5Dget_chunk_info_by_coord(c->dataset, at, &mask, &address, out_size) >= 0 &&
           address == HADDR_UNDEF;
#else
    return 0;
#endif
}

static const char *fetch_chunk(gn2_hdf5_chunks *c, const hsize_t at[2],
                               unsigned char *out, int *out_shuffled)
{
    hsize_t stored;
    *out_shuffled = 0;
    if (!stored_size(c, at, &stored)) return "it is not found";
    if (stored == 0) {
        fill_chunk(c, out);
        return NULL;
    }
    /* deflate, LZF and LZ4 make at most a little more of what does not shrink */
    if (stored / 2 > chunk_bytes(c) + 4096) return "it is longer than a chunk can be";
    if (!reserve(c, (size_t)stored)) return gn2_hdf5_chunks_no_memory;
    c->packed.size = (size_t)stored;
    if (H5Dread_chunk(c->dataset, H5P_DEFAULT, at, &c->packed.mask, c->packed.data) < 0)
        return "it cannot be read";
    if (c->partial_unpacked && is_partial(c, at)) c->packed.mask = UINT32_MAX;
    return gn2_hdf5_filters_undo(&c->filters, &c->packed, out, chunk_bytes(c),
                                 out_shuffled);
}

/* Brings a row of chunks into `plain`. */
static const char *fetch(gn2_hdf5_chunks *c, int64_t number)
{
    if (c->cached == number) return NULL;
    c->cached = -1;
    for (size_t i = 0; i < c->across; i++) {
        const hsize_t at[2] = {(hsize_t)(number * c->rows), (hsize_t)(i * c->width)};
        int shuffled;
        const char *wrong =
            fetch_chunk(c, at, c->plain + i * chunk_stride(c), &shuffled);
        if (wrong) return wrong;
        c->shuffled[i] = (unsigned char)shuffled;
    }
    c->cached = number;
    return NULL;
}

/* ---- records ---- */

/* Byte b of element i lies at b · elements + i. */
static void gather(const gn2_hdf5_chunks *c, const unsigned char *plain, size_t count,
                   int64_t only, char *records)
{
    for (size_t i = 0; i < count; i++, records += c->size) {
        const unsigned char *from = plain + i;
        if (only >= 0 && from[(size_t)only * c->elements] == 0) {
            records[only] = 0;
            continue;
        }
        for (size_t b = 0; b < c->size; b++) records[b] = (char)from[b * c->elements];
    }
}

/* Elements of a chunk from number `first` on. */
static void take(const gn2_hdf5_chunks *c, size_t number, size_t first, size_t count,
                 const gn2_hdf5_range *range, char *records)
{
    const unsigned char *plain = c->plain + number * chunk_stride(c);
    if (c->shuffled[number])
        gather(c, plain + first, count, range->only, records);
    else
        memcpy(records, plain + first * c->size, count * c->size);
}

/* Rows first … first+count−1 of the row of chunks. */
static void take_rows(const gn2_hdf5_chunks *c, size_t first, size_t count,
                      const gn2_hdf5_range *range, char *records)
{
    if (c->width == c->slots) {
        take(c, 0, first * c->slots, count * c->slots, range, records);
        return;
    }
    for (size_t row = first; row < first + count; row++)
        for (size_t i = 0; i < c->across; i++) {
            const size_t left = c->slots - i * c->width;
            const size_t slots = left < c->width ? left : c->width;
            take(c, i, row * c->width, slots, range, records);
            records += slots * c->size;
        }
}

/* `count` rows from `first` on of a row of chunks. */
static const char *read_rows(gn2_hdf5_chunks *c, int64_t number, int64_t first,
                             int64_t count, const gn2_hdf5_range *range, char *out)
{
    /* a chunk that is wanted whole and not shuffled goes where it belongs at once */
    if (c->straight && count == c->rows && c->cached != number) {
        const hsize_t at[2] = {(hsize_t)(number * c->rows), 0};
        int shuffled;
        return fetch_chunk(c, at, (unsigned char *)out, &shuffled);
    }
    const char *wrong = fetch(c, number);
    if (!wrong) take_rows(c, (size_t)first, (size_t)count, range, out);
    return wrong;
}

const char *gn2_hdf5_chunks_read(gn2_hdf5_chunks *c, const gn2_hdf5_range *range,
                                 void *records, int64_t *out_bad)
{
    char *out = records;
    const int64_t end = range->start + range->count;
    for (int64_t row = range->start; row < end;) {
        const int64_t number = row / c->rows, first = row - number * c->rows;
        const int64_t most = c->rows - first;
        const int64_t count = most < end - row ? most : end - row;
        const char *wrong = read_rows(c, number, first, count, range, out);
        *out_bad = number * c->rows;
        if (wrong) return wrong;
        out += (size_t)count * c->slots * c->size;
        row += count;
    }
    return NULL;
}
