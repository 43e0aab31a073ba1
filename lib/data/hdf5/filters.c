/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filters h5py and UPP write by default but libhdf5 does not have: LZF (32000)
 * and LZ4 (32004), decoding only.
 */
#include "data/hdf5/filters.h"

#include <errno.h>
#include <liblzf/lzf.h>
#include <lz4.h>
#include <string.h>

#define FILTER_LZF 32000
#define FILTER_LZ4 32004

/* Largest chunk: HDF5's own limit is 4 GiB, liblz4's 2 GiB − 1. */
#define CHUNK_LIMIT 0x7E000000u

/* Hands the decoded block to HDF5 in place of the coded one. */
static size_t replace(void **buffer, size_t *buffer_size, void *decoded, size_t size)
{
    H5free_memory(*buffer);
    *buffer = decoded;
    *buffer_size = size;
    return size;
}

/* h5py stores the size of a chunk as third parameter; older writers did not, so a
 * block that does not fit is tried again with more room. */
static size_t lzf_filter(unsigned flags, size_t cd_count, const unsigned cd_values[],
                         size_t bytes, size_t *buffer_size, void **buffer)
{
    if (!(flags & H5Z_FLAG_REVERSE) || bytes > CHUNK_LIMIT) return 0;
    size_t room = cd_count >= 3 && cd_values[2] ? cd_values[2] : *buffer_size;
    for (; room <= CHUNK_LIMIT; room *= 2) {
        void *out = H5allocate_memory(room, 0);
        if (!out) return 0;
        errno = 0;
        const unsigned size =
            lzf_decompress(*buffer, (unsigned)bytes, out, (unsigned)room);
        if (size) return replace(buffer, buffer_size, out, size);
        H5free_memory(out);
        if (errno != E2BIG) return 0;
    }
    return 0;
}

static uint64_t big_endian(const uint8_t *bytes, int count)
{
    uint64_t value = 0;
    for (int i = 0; i < count; i++) value = value << 8 | bytes[i];
    return value;
}

/* One block of the frame; gives the bytes taken from the input, 0 on failure. */
static size_t lz4_block(const uint8_t *in, size_t left, uint8_t *out, size_t size)
{
    if (left < 4) return 0;
    const size_t coded = (size_t)big_endian(in, 4);
    if (coded > left - 4) return 0;
    if (coded == size) /* stored as it is */
        memcpy(out, in + 4, size);
    else if (LZ4_decompress_safe((const char *)in + 4, (char *)out, (int)coded,
                                 (int)size) != (int)size)
        return 0;
    return 4 + coded;
}

/* Frame of HDF5's registered filter 32004, big-endian: 8 bytes size, 4 bytes block
 * size, then blocks of 4 bytes coded size and data. */
static size_t lz4_filter(unsigned flags, size_t cd_count, const unsigned cd_values[],
                         size_t bytes, size_t *buffer_size, void **buffer)
{
    (void)cd_count, (void)cd_values;
    const uint8_t *in = *buffer;
    if (!(flags & H5Z_FLAG_REVERSE) || bytes < 12) return 0;
    const uint64_t total = big_endian(in, 8), block = big_endian(in + 8, 4);
    /* LZ4 cannot shrink below 1/255, which bounds what is allocated */
    if (total == 0 || total > CHUNK_LIMIT || block == 0 || total / 256 > bytes)
        return 0;
    uint8_t *out = H5allocate_memory((size_t)total, 0);
    if (!out) return 0;
    size_t used = 12;
    for (uint64_t done = 0; done < total; done += block) {
        const uint64_t size = total - done < block ? total - done : block;
        const size_t taken = lz4_block(in + used, bytes - used, out + done, size);
        if (!taken) {
            H5free_memory(out);
            return 0;
        }
        used += taken;
    }
    return replace(buffer, buffer_size, out, (size_t)total);
}

void gn2_hdf5_register_filters(void)
{
    static int done;
    static const H5Z_class2_t filters[] = {
        {H5Z_CLASS_T_VERS, FILTER_LZF, 0, 1, "lzf", NULL, NULL, lzf_filter},
        {H5Z_CLASS_T_VERS, FILTER_LZ4, 0, 1, "lz4", NULL, NULL, lz4_filter},
    };
    if (done) return;
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++)
        H5Zregister(&filters[i]);
    done = 1;
}

int gn2_hdf5_knows_filter(H5Z_filter_t id)
{
    if (id == FILTER_LZF || id == FILTER_LZ4) return 1;
    /* built-in ones are below 256; szip may be left out of a build */
    return id < 256 && H5Zfilter_avail(id) > 0;
}
