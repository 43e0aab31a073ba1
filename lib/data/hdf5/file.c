/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* strerror_r that returns the text */
#include "data/hdf5/file.h"

#include <errno.h>
#include <string.h>

#include "data/hdf5/disk.h"
#include "data/hdf5/errors.h"
#include "data/hdf5/refusal.h"
#include "util/alloc.h"

static gn2_h5_file *new_file(const char *path)
{
    gn2_h5_file *file = gn2_alloc(1, sizeof *file);
    if (!file) return NULL;
    file->path = gn2_strdup(path);
    if (file->path) return file;
    gn2_free(file);
    return NULL;
}

void gn2_hdf5_file_free(gn2_h5_file *file)
{
    if (!file) return;
    /* HDF5 may still have it: what it reports to stays */
    if (file->id >= 0 && H5Fclose(file->id) < 0) return;
    gn2_free(file->path);
    gn2_free(file);
}

gn2_status gn2_hdf5_file_open(const char *path, gn2_h5_file **out)
{
    *out = NULL;
    GN2_TRY(gn2_hdf5_refuse_path(path));
    gn2_h5_file *file = new_file(path);
    if (!file) return gn2_fail_memory();
    file->id = gn2_hdf5_disk_open(path, &file->failure);
    if (file->id < 0) {
        const int failure = file->failure;
        gn2_hdf5_file_free(file);
        return gn2_hdf5_refusal(path, failure);
    }
    *out = file;
    return GN2_OK;
}

gn2_status gn2_hdf5_file_create(const char *path, gn2_h5_file **out)
{
    *out = NULL;
    gn2_h5_file *file = new_file(path);
    if (!file) return gn2_fail_memory();
    file->id = gn2_hdf5_disk_create(path, &file->failure);
    if (file->id < 0) {
        gn2_hdf5_file_free(file);
        return gn2_hdf5_fail(GN2_ERR_IO, "'%s': cannot be created", path);
    }
    *out = file;
    return GN2_OK;
}

gn2_status gn2_hdf5_file_check(const gn2_h5_file *file)
{
    if (!file->failure) return GN2_OK;
    char reason[128] = "unknown error";
    H5Eclear2(H5E_DEFAULT);
    return gn2_hdf5_fail(GN2_ERR_IO, "cannot write '%s': %s", file->path,
                         strerror_r(file->failure, reason, sizeof reason));
}

gn2_status gn2_hdf5_file_close(gn2_h5_file *file)
{
    if (H5Fclose(file->id) < 0)
        return gn2_hdf5_fail(GN2_ERR_IO, "'%s': cannot be closed", file->path);
    const gn2_status status = gn2_hdf5_file_check(file);
    file->id = -1;
    gn2_hdf5_file_free(file);
    return status;
}
