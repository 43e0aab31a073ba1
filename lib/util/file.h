/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files: read with a limit, replaced in one stroke. */
#ifndef GN2_UTIL_FILE_H
#define GN2_UTIL_FILE_H

#include <gn2/base.h>

/* Reads a file of at most `limit` bytes into a new block with a zero behind it,
 * freed by gn2_free(). GN2_ERR_NOT_FOUND, GN2_ERR_IO, GN2_ERR_FORMAT (larger than
 * the limit), GN2_ERR_NO_MEMORY. */
gn2_status gn2_file_read(const char *path, size_t limit, unsigned char **out_data,
                         size_t *out_size);

/* The first `most` bytes of a file, fewer if it is shorter; statuses as above. */
gn2_status gn2_file_read_start(const char *path, size_t most, unsigned char **out_data,
                               size_t *out_size);

/* Size of a file, and a digest of all of a small one, of samples of a large one, both
 * its ends among them; statuses as above. */
gn2_status gn2_file_sample(const char *path, int64_t *out_size, uint64_t *out_digest);

/* GN2_ERR_IO where there is something that is no regular file: renaming onto a device
 * or a pipe would replace it. */
gn2_status gn2_file_check_target(const char *path);

/* Makes `path` hold exactly these bytes, on disk, or leaves it as it was: writes
 * a temporary file in the same folder, syncs it, renames it, syncs the folder.
 * Nothing is left behind on failure. */
gn2_status gn2_file_write_atomic(const char *path, const void *data, size_t size);

#endif
