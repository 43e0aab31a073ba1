/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed chunks are taken from HDF5 as they are, unpacked here, and only records that
 * count are put together again. HDF5's own way unshuffles every byte of every slot, of
 * which four in five are padding, and costs as much again as inflating; and it takes
 * what lies behind a chunk that unpacks to less than its size for data.
 */
#include "data/hdf5/chunks.h"

#include <errno.h>
#include <string.h>

#include "data/hdf5/crew.h"
#include "util/alloc.h"
#include "util/error.h"

/* Bytes of a row of chunks beyond which it is unpacked by the caller alone. */
#define CREW_SPACE ((size_t)64 << 20)

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
    size_t bytes, stride;  /* of a chunk; with room behind it */
    size_t space;          /* bytes of a row of chunks, as in `plain` */
    int64_t cached;        /* number of the row of chunks in `plain`; −1: none */
    unsigned char *plain;  /* chunk after chunk, then a byte each: is it shuffled? */
    unsigned char *fill;   /* a record that was never written */
    gn2_h5_crew *alone;    /* who reads without a crew */
};

/* Behind a row of chunks: which of them are shuffled. */
static size_t flags_at(const gn2_hdf5_chunks *c)
{
    return c->across * c->stride;
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
    c->bytes = c->elements * c->size;
    c->stride = c->bytes + GN2_HDF5_FILTERS_ROOM;
    return c->elements > 0 && c->elements <= UINT32_MAX / c->size;
}

static gn2_status fill_in(gn2_hdf5_chunks *c, hid_t plist, hid_t type, int *out_own)
{
    const gn2_h5_hands one = {.count = 1};
    if (!gn2_mul_size(c->across, c->stride + 1, &c->space)) return gn2_fail_memory();
    c->plain = gn2_alloc(c->space, 1);
    c->fill = gn2_alloc(c->size, 1);
    if (!c->plain || !c->fill) return gn2_fail_memory();
    *out_own = read_fill(c, plist, type);
    return gn2_hdf5_crew_new(&one, &c->alone);
}

gn2_status gn2_hdf5_chunks_new(hid_t dataset, hid_t type, const gn2_h5_info *info,
                               gn2_hdf5_chunks **out)
{
    *out = NULL;
    gn2_hdf5_chunks *c = gn2_alloc(1, sizeof *c);
    if (!c) return gn2_fail_memory();
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
    gn2_hdf5_crew_free(c->alone);
    gn2_free(c->plain);
    gn2_free(c->fill);
    gn2_free(c);
}

/* ---- a chunk ---- */

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

/* Reads a chunk as it is stored. */
static const char *fetch_chunk(const gn2_hdf5_chunks *c, const hsize_t at[2],
                               gn2_hdf5_packet *packet)
{
    hsize_t stored;
    if (!stored_size(c, at, &stored)) return "it is not found";
    /* deflate, LZF and LZ4 make at most a little more of what does not shrink */
    if (stored / 2 > c->bytes + 4096) return "it is longer than a chunk can be";
    if (!gn2_hdf5_packet_reserve(packet, (size_t)stored))
        return gn2_hdf5_chunks_no_memory;
    packet->size = (size_t)stored;
    if (stored == 0) return NULL;
    if (H5Dread_chunk(c->dataset, H5P_DEFAULT, at, &packet->mask, packet->data) < 0)
        return "it cannot be read";
    if (c->partial_unpacked && is_partial(c, at)) packet->mask = UINT32_MAX;
    return NULL;
}

/* Without HDF5: from here on it may be any thread. */
static const char *unpack_chunk(const gn2_hdf5_chunks *c, const gn2_hdf5_packet *packet,
                                unsigned char *out, unsigned char *out_shuffled)
{
    int shuffled = 0;
    const char *wrong = NULL;
    if (packet->size == 0)
        fill_chunk(c, out);
    else
        wrong = gn2_hdf5_filters_undo(&c->filters, packet, out, c->bytes, &shuffled);
    *out_shuffled = (unsigned char)shuffled;
    return wrong;
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

/* A chunk that is unpacked, and what of its records counts. */
typedef struct source {
    const unsigned char *plain;
    int shuffled;
    int64_t only;
} source;

/* Elements from number `first` on. */
static void take(const gn2_hdf5_chunks *c, const source *from, size_t first,
                 size_t count, char *records)
{
    if (from->shuffled)
        gather(c, from->plain + first, count, from->only, records);
    else
        memcpy(records, from->plain + first * c->size, count * c->size);
}

/* The rows of a piece, which are in `plain`. */
static void take_rows(const gn2_hdf5_chunks *c, const gn2_hdf5_piece *piece,
                      const unsigned char *plain, int64_t only)
{
    const unsigned char *shuffled = plain + flags_at(c);
    const size_t first = (size_t)piece->first, count = (size_t)piece->count;
    char *out = piece->out;
    if (c->width == c->slots) {
        const source from = {plain, shuffled[0], only};
        take(c, &from, first * c->slots, count * c->slots, out);
        return;
    }
    for (size_t row = first; row < first + count; row++)
        for (size_t i = 0; i < c->across; i++) {
            const source from = {plain + i * c->stride, shuffled[i], only};
            const size_t left = c->slots - i * c->width;
            const size_t slots = left < c->width ? left : c->width;
            take(c, &from, row * c->width, slots, out);
            out += slots * c->size;
        }
}

/* ---- pieces ---- */

/* Pieces in the hands of a crew. */
typedef struct job {
    gn2_hdf5_chunks *chunks;
    gn2_h5_crew *crew;
    int64_t only;
} job;

/* One at least; rows of many chunks take the room of many pieces. */
static size_t pieces_at_once(const gn2_h5_crew *crew, const gn2_hdf5_chunks *c)
{
    return crew->piece_count > c->across ? crew->piece_count / c->across : 1;
}

/* Rows that follow one another as pieces; gives their number, about the same in every
 * round, so that none is of a lonely piece. */
static size_t cut(const job *j, int64_t start, int64_t end, char *out)
{
    const gn2_hdf5_chunks *c = j->chunks;
    const int64_t left = (end - 1) / c->rows - start / c->rows + 1;
    const int64_t most = (int64_t)pieces_at_once(j->crew, c);
    const int64_t rounds = (left + most - 1) / most;
    const size_t count = (size_t)((left + rounds - 1) / rounds);
    for (size_t i = 0; i < count; i++) {
        const int64_t number = start / c->rows, first = start - number * c->rows;
        const int64_t rest = c->rows - first;
        const int64_t rows = rest < end - start ? rest : end - start;
        j->crew->pieces[i] = (gn2_hdf5_piece){
            number, first, rows, out, j->crew->packets + i * c->across, NULL, 0};
        out += (size_t)rows * c->slots * c->size;
        start += rows;
    }
    return count;
}

/* Brings what is stored of a piece, or all of it if it was unpacked before. */
static const char *fetch(const job *j, gn2_hdf5_piece *piece)
{
    const gn2_hdf5_chunks *c = j->chunks;
    const char *wrong = NULL;
    if (piece->number == c->cached) {
        take_rows(c, piece, c->plain, j->only);
        piece->count = 0;
        return NULL;
    }
    for (size_t i = 0; i < c->across && !wrong; i++) {
        const hsize_t at[2] = {(hsize_t)(piece->number * c->rows),
                               (hsize_t)(i * c->width)};
        wrong = fetch_chunk(c, at, &piece->packets[i]);
    }
    return wrong;
}

/* Unpacks a row of chunks. */
static const char *unpack(const gn2_hdf5_chunks *c, const gn2_hdf5_piece *piece,
                          unsigned char *plain)
{
    unsigned char *shuffled = plain + flags_at(c);
    const char *wrong = NULL;
    for (size_t i = 0; i < c->across && !wrong; i++)
        wrong =
            unpack_chunk(c, &piece->packets[i], plain + i * c->stride, &shuffled[i]);
    return wrong;
}

static const char *unpack_piece(const job *j, const gn2_hdf5_piece *piece, int32_t hand)
{
    gn2_hdf5_chunks *c = j->chunks;
    /* unpacked where the next read finds it, which goes on in the same chunks: of a
     * crew's pieces that is the last one at most */
    const int keep = j->crew == c->alone || piece->first + piece->count < c->rows;
    unsigned char *plain = keep ? c->plain : j->crew->space[hand];
    unsigned char flag;
    if (piece->count == 0) return NULL;
    /* a chunk that is wanted whole and not shuffled goes where it belongs at once */
    if (c->straight && piece->count == c->rows)
        return unpack_chunk(c, piece->packets, (unsigned char *)piece->out, &flag);
    if (keep) c->cached = -1;
    const char *wrong = unpack(c, piece, plain);
    if (wrong) return wrong;
    if (keep) c->cached = piece->number;
    take_rows(c, piece, plain, j->only);
    return NULL;
}

static void do_piece(void *context, int64_t index, int32_t hand)
{
    const job *j = context;
    gn2_hdf5_piece *piece = &j->crew->pieces[index];
    errno = 0;
    piece->wrong = unpack_piece(j, piece, hand);
    piece->code = errno;
}

static void do_pieces(job *j, size_t count)
{
    const gn2_h5_hands *hands = &j->crew->hands;
    if (hands->run)
        hands->run(hands->pool, (int64_t)count, do_piece, j);
    else
        for (size_t i = 0; i < count; i++) do_piece(j, (int64_t)i, 0);
}

/* The first piece that fails says why, whoever came to it and when. */
static const char *read_pieces(job *j, size_t count, int64_t *out_bad)
{
    gn2_hdf5_piece *pieces = j->crew->pieces;
    size_t fetched = 0;
    const char *wrong = NULL;
    while (fetched < count && !wrong) {
        wrong = fetch(j, &pieces[fetched]);
        fetched += !wrong;
    }
    do_pieces(j, fetched);
    for (size_t i = 0; i < fetched; i++) {
        if (!pieces[i].wrong) continue;
        *out_bad = pieces[i].number * j->chunks->rows;
        if (wrong) H5Eclear2(H5E_DEFAULT); /* of a later one */
        errno = pieces[i].code;
        return pieces[i].wrong;
    }
    if (wrong) *out_bad = pieces[fetched].number * j->chunks->rows;
    return wrong;
}

/* A crew where each of its hands can have room for a row of chunks. */
static const char *choose_crew(job *j, gn2_h5_crew *crew)
{
    const gn2_hdf5_chunks *c = j->chunks;
    const int together = crew && c->space <= CREW_SPACE;
    j->crew = together ? crew : c->alone;
    const size_t packets = pieces_at_once(j->crew, c) * c->across;
    return gn2_hdf5_crew_reserve(j->crew, packets, together ? c->space : 0)
               ? NULL
               : gn2_hdf5_chunks_no_memory;
}

const char *gn2_hdf5_chunks_read(gn2_hdf5_chunks *c, const gn2_h5_read *read,
                                 int64_t only, void *records, int64_t *out_bad)
{
    char *out = records;
    const int64_t end = read->start + read->count;
    job j = {.chunks = c, .only = only};
    const char *wrong = choose_crew(&j, read->crew);
    *out_bad = read->start;
    for (int64_t row = read->start; row < end && !wrong;) {
        const size_t count = cut(&j, row, end, out);
        const gn2_hdf5_piece *last = &j.crew->pieces[count - 1];
        const int64_t next = last->number * c->rows + last->first + last->count;
        wrong = read_pieces(&j, count, out_bad);
        out += (size_t)(next - row) * c->slots * c->size;
        row = next;
    }
    return wrong;
}
