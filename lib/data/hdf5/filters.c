/* SPDX-License-Identifier: Apache-2.0 */
#include "data/hdf5/filters.h"

#include <liblzf/lzf.h>
#include <lz4.h>
#include <string.h>
#include <zlib.h>

/* liblz4's limit; HDF5's own is 4 GiB. */
#define LZ4_LIMIT 0x7E000000u

/* ---- packers: each fills `size` bytes, or gives 0 ---- */

static int inflate_all(const unsigned char *in, size_t length, unsigned char *out,
                       size_t size)
{
    uLongf done = (uLongf)size;
    return uncompress(out, &done, in, (uLong)length) == Z_OK && done == size;
}

static int lzf_all(const unsigned char *in, size_t length, unsigned char *out,
                   size_t size)
{
    if (length > UINT32_MAX || size > UINT32_MAX) return 0;
    return lzf_decompress(in, (unsigned)length, out, (unsigned)size) == size;
}

static uint64_t big_endian(const unsigned char *bytes, int count)
{
    uint64_t value = 0;
    for (int i = 0; i < count; i++) value = value << 8 | bytes[i];
    return value;
}

/* One block of the frame; gives the bytes taken from the input, 0 on failure. */
static size_t lz4_block(const unsigned char *in, size_t left, unsigned char *out,
                        size_t size)
{
    if (left < 4) return 0;
    const size_t coded = (size_t)big_endian(in, 4);
    if (coded > left - 4) return 0;
    if (coded == size) /* stored as it is */
        memcpy(out, in + 4, size);
    else if (coded > LZ4_LIMIT ||
             LZ4_decompress_safe((const char *)in + 4, (char *)out, (int)coded,
                                 (int)size) != (int)size)
        return 0;
    return 4 + coded;
}

/* Frame of HDF5's registered filter 32004, big-endian: 8 bytes size, 4 bytes block
 * size, then blocks of 4 bytes coded size and data. */
static int lz4_all(const unsigned char *in, size_t length, unsigned char *out,
                   size_t size)
{
    if (length < 12 || size > LZ4_LIMIT || big_endian(in, 8) != size) return 0;
    const size_t block = (size_t)big_endian(in + 8, 4);
    if (block == 0) return 0;
    size_t used = 12;
    for (size_t done = 0; done < size; done += block) {
        const size_t left = size - done < block ? size - done : block;
        const size_t taken = lz4_block(in + used, length - used, out + done, left);
        if (!taken) return 0;
        used += taken;
    }
    return 1;
}

/* ---- Fletcher's checksum, as HDF5 computes it ---- */

static uint32_t fold(uint32_t sum)
{
    return (sum & 0xFFFFu) + (sum >> 16);
}

static uint32_t fletcher32(const unsigned char *data, size_t size)
{
    uint32_t a = 0, b = 0;
    for (size_t i = 0; i < size; i += 2) {
        a += (uint32_t)data[i] << 8 | (i + 1 < size ? data[i + 1] : 0u);
        b += a;
        /* 360 words: as often as HDF5, before 32 bits overflow */
        if (i % 720 == 718 || i + 2 >= size) {
            a = fold(a);
            b = fold(b);
        }
    }
    return fold(b) << 16 | fold(a);
}

static int checksum_fits(const unsigned char *data, size_t size)
{
    const unsigned char *c = data + size;
    const uint32_t sum = fletcher32(data, size);
    const uint32_t high = sum >> 16, low = sum & 0xFFFFu;
    if (c[0] == (low & 255) && c[1] == low >> 8 && c[2] == (high & 255) &&
        c[3] == high >> 8)
        return 1;
    /* HDF5 1.6.2 and before, on machines like this */
    return c[1] == (low & 255) && c[0] == low >> 8 && c[3] == (high & 255) &&
           c[2] == high >> 8;
}

/* ---- all filters of a chunk ---- */

/* Numbers of HDF5's registry of filters that jets have been packed with. */
typedef struct filter {
    H5Z_filter_t id;
    const char *name;
    int (*unpack)(const unsigned char *in, size_t length, unsigned char *out,
                  size_t size); /* NULL: not here */
} filter;

static const filter known[] = {
    {H5Z_FILTER_DEFLATE, "deflate", inflate_all},
    {H5Z_FILTER_SZIP, "szip", NULL},
    {307, "bzip2", NULL},
    {32000, "LZF", lzf_all},
    {32001, "Blosc", NULL},
    {32004, "LZ4", lz4_all},
    {32008, "bitshuffle", NULL},
    {32013, "ZFP", NULL},
    {32015, "Zstandard", NULL},
    {32017, "SZ", NULL},
    {32018, "FCIDECOMP", NULL},
    {32019, "JPEG", NULL},
    {32024, "SZ3", NULL},
    {32026, "Blosc2", NULL},
};

/* One without name and packer if it is none of them. */
static filter find(H5Z_filter_t id)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].id == id) return known[i];
    return (filter){id, "", NULL};
}

const char *gn2_hdf5_filter_name(H5Z_filter_t id)
{
    return find(id).name;
}

/* Shuffle is left to who gathers the records, so it has to come first; with two
 * packers the size between them would be unknown. */
static int is_own(const gn2_hdf5_filters *f)
{
    int packed = 0;
    for (int i = 0; i < f->count; i++) {
        if (find(f->id[i]).unpack)
            packed++;
        else if (f->id[i] == H5Z_FILTER_SHUFFLE ? i > 0
                                                : f->id[i] != H5Z_FILTER_FLETCHER32)
            return 0;
    }
    return f->count > 0 && packed <= 1;
}

gn2_hdf5_filters gn2_hdf5_filters_of(hid_t plist)
{
    gn2_hdf5_filters f = {.count = H5Pget_nfilters(plist)};
    if (f.count < 0 || f.count > GN2_HDF5_FILTERS) return f;
    for (int i = 0; i < f.count; i++) {
        unsigned flags, config;
        size_t values = 0;
        f.id[i] =
            H5Pget_filter2(plist, (unsigned)i, &flags, &values, NULL, 0, NULL, &config);
    }
    f.own = is_own(&f);
    return f;
}

/* Bytes behind the filters before number `end`. */
static size_t size_at(const gn2_hdf5_filters *f, uint32_t mask, int end, size_t size)
{
    for (int i = 0; i < end; i++)
        if (f->id[i] == H5Z_FILTER_FLETCHER32 && !(mask >> i & 1)) size += 4;
    return size;
}

const char *gn2_hdf5_filters_undo(const gn2_hdf5_filters *f,
                                  const gn2_hdf5_packet *packet, unsigned char *out,
                                  size_t size, int *out_shuffled)
{
    const unsigned char *data = packet->data;
    size_t length = packet->size;
    *out_shuffled = 0;
    for (int i = f->count - 1; i >= 0; i--) {
        const filter step = find(f->id[i]);
        if (packet->mask >> i & 1) continue;
        if (step.unpack) {
            const size_t wanted = size_at(f, packet->mask, i, size);
            if (wanted > size + GN2_HDF5_FILTERS_ROOM ||
                !step.unpack(data, length, out, wanted))
                return "it does not unpack to its size";
            data = out;
            length = wanted;
        } else if (f->id[i] == H5Z_FILTER_SHUFFLE) {
            *out_shuffled = 1;
        } else {
            if (length < 4) return "it is too short";
            length -= 4;
            if (!checksum_fits(data, length)) return "its checksum is wrong";
        }
    }
    if (length != size) return "it has not the size of a chunk";
    if (data != out) memcpy(out, data, size);
    return NULL;
}
