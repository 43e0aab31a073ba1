/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a dataset needs to be read, checked and told by name before anything is
 * read: its filters, and the sources of a virtual one.
 */
#include "data/hdf5/storage.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/hdf5/errors.h"
#include "data/hdf5/file.h"
#include "data/hdf5/filters.h"

static gn2_status check_filters(hid_t plist, const char *path, const char *name,
                                char *error)
{
    const int count = H5Pget_nfilters(plist);
    if (gn2_hdf5_filters_of(plist).own) return GN2_OK;
    for (int i = 0; i < count; i++) {
        unsigned flags, config;
        size_t values = 0;
        char title[32] = "";
        const H5Z_filter_t id = H5Pget_filter2(plist, (unsigned)i, &flags, &values,
                                               NULL, sizeof title, title, &config);
        if (id < 0 || H5Zfilter_avail(id) > 0) continue;
        const char *known = gn2_hdf5_filter_name(id);
        H5Eclear2(H5E_DEFAULT); /* where HDF5 has looked for the plugin */
        return gn2_hdf5_fail(
            error, GN2_ERR_FORMAT,
            "'%s': dataset '%s' is packed with filter %d (%.24s), for which there is "
            "no "
            "plugin here: name the folder of its plugin in HDF5_PLUGIN_PATH before the "
            "program starts, or where there is one, repack with h5repack -f GZIP=4 IN "
            "OUT",
            path, name, (int)id,
            known[0]   ? known
            : title[0] ? title
                       : "unknown");
    }
    return GN2_OK;
}

/* A source named relative to the folder of the virtual file, as HDF5 does. */
void gn2_hdf5_source_path(const char *path, const char *source, char out[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    const int folder = slash && source[0] != '/' ? (int)(slash - path + 1) : 0;
    const int length = strcmp(source, ".") == 0
                           ? snprintf(out, PATH_MAX, "%s", path)
                           : snprintf(out, PATH_MAX, "%.*s%s", folder, path, source);
    if (length >= PATH_MAX || access(out, R_OK) != 0)
        snprintf(out, PATH_MAX, "%s", source);
}

static gn2_status check_source(hid_t plist, size_t index, const char *path,
                               const char *name, char *error)
{
    char file[PATH_MAX] = "", dataset[256] = "", full[PATH_MAX];
    H5Pget_virtual_filename(plist, index, file, sizeof file);
    H5Pget_virtual_dsetname(plist, index, dataset, sizeof dataset);
    if (strchr(file, '%') || strchr(dataset, '%')) return GN2_OK; /* a pattern */
    if (strcmp(file, ".") == 0) return GN2_OK;
    gn2_hdf5_source_path(path, file, full);
    gn2_h5_file *source = NULL;
    const gn2_status status = gn2_hdf5_file_open(full, &source, error);
    if (status != GN2_OK)
        return gn2_hdf5_fail(error, status,
                             "'%s': virtual dataset '%s' needs '%s', which cannot be "
                             "opened",
                             path, name, file);
    const hid_t id = H5Dopen2(source->id, dataset, H5P_DEFAULT);
    gn2_status result = GN2_OK;
    if (id < 0)
        result = gn2_hdf5_fail(error, GN2_ERR_NOT_FOUND,
                               "'%s': virtual dataset '%s' needs dataset '%s' of '%s'",
                               path, name, dataset, file);
    else
        result = gn2_hdf5_check_storage(id, full, dataset, error);
    if (id >= 0) H5Dclose(id);
    char ignored[GN2_H5_ERROR_SIZE];
    gn2_hdf5_file_close(source, ignored);
    return result;
}

gn2_status gn2_hdf5_check_storage(hid_t dataset, const char *path, const char *name,
                                  char *error)
{
    const hid_t plist = H5Dget_create_plist(dataset);
    gn2_status status = check_filters(plist, path, name, error);
    size_t sources = 0;
    if (H5Pget_layout(plist) == H5D_VIRTUAL) H5Pget_virtual_count(plist, &sources);
    for (size_t i = 0; i < sources && status == GN2_OK; i++)
        status = check_source(plist, i, path, name, error);
    H5Pclose(plist);
    return status;
}
