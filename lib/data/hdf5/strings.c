/* SPDX-License-Identifier: Apache-2.0 */
#include "data/hdf5/strings.h"

#include <string.h>

#include "data/hdf5/errors.h"
#include "util/alloc.h"

static gn2_status give_variable(hid_t attribute, size_t count, gn2_h5_text_fn each,
                                void *context)
{
    char **items = gn2_alloc(count + 1, sizeof *items);
    if (!items) return GN2_ERR_NO_MEMORY;
    const hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    const herr_t result = H5Aread(attribute, type, items);
    for (size_t i = 0; i < count && result >= 0; i++)
        each(context, i, items[i] ? items[i] : "");
    if (result >= 0) H5Dvlen_reclaim(type, space, H5P_DEFAULT, items);
    H5Sclose(space);
    H5Tclose(type);
    gn2_free(items);
    return result < 0 ? GN2_ERR_FORMAT : GN2_OK;
}

static gn2_status give_fixed(hid_t attribute, size_t count, gn2_h5_text_fn each,
                             void *context)
{
    const hid_t type = H5Aget_type(attribute);
    const size_t size = H5Tget_size(type);
    char *items = gn2_alloc(count + 1, size), *item = gn2_alloc(size + 1, 1);
    herr_t result = items && item ? H5Aread(attribute, type, items) : -1;
    for (size_t i = 0; i < count && result >= 0; i++) {
        memcpy(item, items + i * size, size);
        each(context, i, item);
    }
    gn2_free(item);
    gn2_free(items);
    H5Tclose(type);
    return result < 0 ? GN2_ERR_FORMAT : GN2_OK;
}

static gn2_status give_strings(hid_t attribute, gn2_h5_text_fn each, void *context)
{
    const hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    const hssize_t count = H5Sget_simple_extent_npoints(space);
    const int is_text = H5Tget_class(type) == H5T_STRING;
    const int is_variable = is_text && H5Tis_variable_str(type) > 0;
    H5Sclose(space);
    H5Tclose(type);
    if (!is_text || count < 0 || count > 1 << 20) return GN2_ERR_FORMAT;
    return is_variable ? give_variable(attribute, (size_t)count, each, context)
                       : give_fixed(attribute, (size_t)count, each, context);
}

gn2_status gn2_hdf5_strings_read(gn2_h5_table *table, const char *attribute,
                                 gn2_h5_text_fn each, void *context, char *error)
{
    if (H5Aexists(table->dataset, attribute) <= 0) {
        H5Eclear2(H5E_DEFAULT);
        return gn2_hdf5_fail(error, GN2_ERR_NOT_FOUND,
                             "'%s': dataset '%s' has no attribute '%s'", table->path,
                             table->name, attribute);
    }
    const hid_t id = H5Aopen(table->dataset, attribute, H5P_DEFAULT);
    const gn2_status status = id < 0 ? GN2_ERR_FORMAT : give_strings(id, each, context);
    if (id >= 0) H5Aclose(id);
    if (status == GN2_OK) return GN2_OK;
    return gn2_hdf5_fail(
        error, status, "'%s': attribute '%s' of dataset '%s' is not a list of strings",
        table->path, attribute, table->name);
}

gn2_status gn2_hdf5_strings_write(gn2_h5_file *file, gn2_h5_table *table,
                                  const char *attribute, const char *const *items,
                                  size_t count, char *error)
{
    const hid_t owner = table ? table->dataset : file->id;
    const hsize_t size = count;
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    const hid_t space =
        table ? H5Screate_simple(1, &size, NULL) : H5Screate(H5S_SCALAR);
    const hid_t id =
        H5Acreate2(owner, attribute, type, space, H5P_DEFAULT, H5P_DEFAULT);
    const herr_t result = id < 0 ? -1 : H5Awrite(id, type, items);
    if (id >= 0) H5Aclose(id);
    H5Sclose(space);
    H5Tclose(type);
    if (result >= 0) return GN2_OK;
    return gn2_hdf5_fail(error, GN2_ERR_IO, "'%s': attribute '%s' cannot be written",
                         file->path, attribute);
}
