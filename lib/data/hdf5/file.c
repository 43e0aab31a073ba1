/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* strerror_r that returns the text */
#include "data/hdf5/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "data/hdf5/errors.h"
#include "util/alloc.h"

/* A file object around an open HDF5 file, which it takes over. */
static gn2_status wrap(hid_t id, const char *path, gn2_h5_file **out, char *error)
{
    gn2_h5_file *file = gn2_alloc(1, sizeof *file);
    char *copy = gn2_strdup(path);
    if (!file || !copy) {
        gn2_free(file);
        gn2_free(copy);
        H5Fclose(id);
        return gn2_hdf5_no_memory(error);
    }
    file->id = id;
    file->path = copy;
    *out = file;
    return GN2_OK;
}

/* Locks fail on many shared file systems, and a reader needs none. */
static hid_t access_without_locks(void)
{
    const hid_t plist = H5Pcreate(H5P_FILE_ACCESS);
#if H5_VERSION_GE(1, 10, 7)
    H5Pset_file_locking(plist, 0, 1);
#endif
    return plist;
}

static gn2_status probe(const char *path, char *error)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        close(fd);
        return GN2_OK;
    }
    const int code = errno;
    char reason[128] = "unknown error";
    const char *text = strerror_r(code, reason, sizeof reason);
    return gn2_hdf5_fail(error, code == ENOENT ? GN2_ERR_NOT_FOUND : GN2_ERR_IO,
                         "cannot open '%s': %s", path, text);
}

gn2_status gn2_hdf5_file_open(const char *path, gn2_h5_file **out, char *error)
{
    *out = NULL;
    const gn2_status status = probe(path, error);
    if (status != GN2_OK) return status;
    const hid_t plist = access_without_locks();
    const hid_t id = H5Fopen(path, H5F_ACC_RDONLY, plist);
    H5Pclose(plist);
    if (id < 0)
        return gn2_hdf5_fail(error, GN2_ERR_FORMAT,
                             "'%s': not a HDF5 file, or damaged or truncated", path);
    return wrap(id, path, out, error);
}

gn2_status gn2_hdf5_file_create(const char *path, gn2_h5_file **out, char *error)
{
    *out = NULL;
    const hid_t plist = access_without_locks();
    const hid_t id = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, plist);
    H5Pclose(plist);
    if (id < 0)
        return gn2_hdf5_fail(error, GN2_ERR_IO, "'%s': cannot be created", path);
    return wrap(id, path, out, error);
}

gn2_status gn2_hdf5_file_close(gn2_h5_file *file, char *error)
{
    if (!file) return GN2_OK;
    gn2_status status = GN2_OK;
    if (H5Fclose(file->id) < 0)
        status = gn2_hdf5_fail(error, GN2_ERR_IO, "'%s': cannot be closed", file->path);
    gn2_free(file->path);
    gn2_free(file);
    return status;
}
