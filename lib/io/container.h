/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The .gn2 container: a header of keys and values, then named tensors, every byte
 * under a CRC (grammar, limits and versions: doc/format.md). It knows nothing of
 * networks: model files and checkpoints say by their keys what they are.
 */
#ifndef GN2_IO_CONTAINER_H
#define GN2_IO_CONTAINER_H

#include <gn2/base.h>

/* Revision of the meaning of keys this library reads and writes. */
#define GN2_CONTAINER_REVISION 1

/* Limits of the format; a file beyond one of them is refused. */
#define GN2_CONTAINER_MAX_RANK 8
#define GN2_CONTAINER_MAX_NAME 255               /* bytes of a tensor's name or a key */
#define GN2_CONTAINER_MAX_HEADER (16u << 20)     /* bytes of the header text */
#define GN2_CONTAINER_MAX_TENSORS 65536u         /* tensors of a file */
#define GN2_CONTAINER_MAX_DIM (1ull << 32)       /* length of one axis */
#define GN2_CONTAINER_MAX_RAW (1ull << 36)       /* bytes of one tensor */
#define GN2_CONTAINER_MAX_FILE ((size_t)1 << 38) /* bytes of a file */

/* Numbers of dtypes are part of the format. */
#define GN2_DTYPE_F32 1
#define GN2_DTYPE_F64 2
#define GN2_DTYPE_I64 3
#define GN2_DTYPE_U8 4

typedef struct gn2_tensor_info {
    const char *name; /* printable ASCII, unique in the file */
    int32_t dtype;    /* GN2_DTYPE_* */
    int32_t rank;     /* 0 (a scalar) to 8 */
    uint64_t shape[GN2_CONTAINER_MAX_RANK];
} gn2_tensor_info;

/* Bytes of the elements; 0 if dtype, rank, an axis or the product is not allowed
 * (*out is then left alone). */
int gn2_tensor_size(const gn2_tensor_info *info, uint64_t *out_bytes);

/* ---- writing: built in memory, saved in one stroke ---- */

typedef struct gn2_container_writer gn2_container_writer;

gn2_status gn2_container_writer_create(gn2_container_writer **out_writer);
void gn2_container_writer_free(gn2_container_writer *writer);

/* Adds a key. Keys starting with `reader.` are the container's own. The reader
 * finds keys and tensors in the order in which they were added. */
gn2_status gn2_container_add_header(gn2_container_writer *writer, const char *key,
                                    const char *value);

/* The same, and a reader that does not know the key must refuse the file. */
gn2_status gn2_container_add_vital(gn2_container_writer *writer, const char *key,
                                   const char *value);

/* Adds a tensor; row-major elements, not kept. */
gn2_status gn2_container_add_tensor(gn2_container_writer *writer,
                                    const gn2_tensor_info *info, const void *data);

/* The whole file; freed by gn2_free(). The writer can still be added to. */
gn2_status gn2_container_finish(const gn2_container_writer *writer,
                                unsigned char **out_data, size_t *out_size);
gn2_status gn2_container_save(const gn2_container_writer *writer, const char *path);

/* ---- reading ---- */

typedef struct gn2_container gn2_container;

/* Opens a file in memory, which is not copied and must outlive the container.
 * Checks everything but the tensors' bytes, which gn2_container_read() checks.
 * `origin` is named in messages. GN2_ERR_FORMAT: foreign, cut or corrupt;
 * GN2_ERR_VERSION: needs a newer library. */
gn2_status gn2_container_open(const void *data, size_t size, const char *origin,
                              gn2_container **out_container);
gn2_status gn2_container_open_file(const char *path, gn2_container **out_container);
/* Its keys only, without the tensors' bytes being read: it has none. */
gn2_status gn2_container_open_header(const char *path, gn2_container **out_container);
void gn2_container_close(gn2_container *container);

/* Origin for messages: the path, or what gn2_container_open() was told. */
const char *gn2_container_origin(const gn2_container *container);
/* GN2_ERR_FORMAT, the message begun by the origin. */
gn2_status gn2_container_bad(const gn2_container *container, const char *format, ...)
    __attribute__((cold, format(printf, 2, 3)));

/* GN2_ERR_VERSION naming the first vital key for which knows(key) is 0. */
gn2_status gn2_container_check_vital(const gn2_container *container,
                                     int (*knows)(const char *key));

/* Value of a key, NULL if absent. Borrowed like all strings from here. */
const char *gn2_container_header(const gn2_container *container, const char *key);
size_t gn2_container_header_count(const gn2_container *container);
void gn2_container_header_at(const gn2_container *container, size_t index,
                             const char **out_key, const char **out_value);

size_t gn2_container_tensor_count(const gn2_container *container);
const gn2_tensor_info *gn2_container_tensor_info(const gn2_container *container,
                                                 size_t index);
/* Index of a tensor; GN2_ERR_NOT_FOUND. */
gn2_status gn2_container_find(const gn2_container *container, const char *name,
                              size_t *out_index);

/* Inflates a tensor into `size` bytes, which must be its exact size, and checks
 * it. On failure the bytes are undefined. */
gn2_status gn2_container_read(const gn2_container *container, size_t index, void *out,
                              size_t size);

#endif
