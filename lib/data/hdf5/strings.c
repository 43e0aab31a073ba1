/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes that are lists of strings. */
#include <string.h>

#include "data/hdf5/errors.h"
#include "data/hdf5/table.h"
#include "util/alloc.h"

/* Items of an attribute, and bytes of one of fixed length: classes are a few words. */
#define MOST_ITEMS ((hssize_t)1 << 20)
#define MOST_LENGTH ((size_t)1 << 12)

/* An attribute and who wants its items. */
typedef struct taker {
    const gn2_h5_table *table;
    const char *attribute;
    gn2_h5_text_fn each;
    void *context;
} taker;

/* Right after the call that failed, while HDF5 knows why. */
static gn2_status fail_read(const taker *t)
{
    return gn2_hdf5_fail(GN2_ERR_FORMAT,
                         "'%s': attribute '%s' of dataset '%s' cannot be read: damaged",
                         t->table->file->path, t->attribute, t->table->name);
}

static gn2_status give_items(hid_t attribute, hid_t type, size_t count, const taker *t)
{
    const int is_variable = H5Tis_variable_str(type) > 0;
    const size_t size = H5Tget_size(type); /* of a variable one: of a pointer */
    char *items = gn2_alloc(count + 1, size), *item = gn2_alloc(size + 1, 1);
    gn2_status status = items && item ? GN2_OK : gn2_hdf5_fail_memory();
    if (status == GN2_OK && H5Aread(attribute, type, items) < 0) status = fail_read(t);
    for (size_t i = 0; i < count && status == GN2_OK; i++) {
        const char *text = item;
        if (is_variable)
            memcpy(&text, items + i * size, sizeof text);
        else
            memcpy(item, items + i * size, size);
        t->each(t->context, i, text ? text : "");
    }
    if (status == GN2_OK && is_variable) {
        const hid_t space = H5Aget_space(attribute);
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, items);
        H5Sclose(space);
    }
    gn2_free(item);
    gn2_free(items);
    return status;
}

static gn2_status give_strings(hid_t attribute, const taker *t)
{
    const hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    const hssize_t count = H5Sget_simple_extent_npoints(space);
    const int fits = H5Tget_class(type) == H5T_STRING && count >= 0 &&
                     count <= MOST_ITEMS &&
                     (H5Tis_variable_str(type) > 0 || H5Tget_size(type) <= MOST_LENGTH);
    H5Sclose(space);
    const gn2_status status =
        fits ? give_items(attribute, type, (size_t)count, t)
             : gn2_hdf5_fail(GN2_ERR_FORMAT,
                             "'%s': attribute '%s' of dataset '%s' is not a list of "
                             "strings",
                             t->table->file->path, t->attribute, t->table->name);
    H5Tclose(type);
    return status;
}

gn2_status gn2_hdf5_strings_read(gn2_h5_table *table, const char *attribute,
                                 gn2_h5_text_fn each, void *context)
{
    const taker t = {table, attribute, each, context};
    const htri_t there = H5Aexists(table->dataset, attribute);
    if (there < 0) return fail_read(&t);
    if (there == 0)
        return gn2_hdf5_table_fail(table, GN2_ERR_NOT_FOUND, " has no attribute '%s'",
                                   attribute);
    const hid_t id = H5Aopen(table->dataset, attribute, H5P_DEFAULT);
    if (id < 0) return fail_read(&t);
    const gn2_status status = give_strings(id, &t);
    H5Aclose(id);
    return status;
}

gn2_status gn2_hdf5_strings_write(gn2_h5_file *file, gn2_h5_table *table,
                                  const char *attribute, const char *const *items,
                                  size_t count)
{
    const hid_t owner = table ? table->dataset : file->id;
    const hsize_t size = count;
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    const hid_t space =
        table || count > 1 ? H5Screate_simple(1, &size, NULL) : H5Screate(H5S_SCALAR);
    const hid_t id =
        H5Acreate2(owner, attribute, type, space, H5P_DEFAULT, H5P_DEFAULT);
    gn2_status status = GN2_OK;
    if (id < 0 || H5Awrite(id, type, items) < 0) /* said before HDF5 forgets why */
        status = gn2_hdf5_fail(GN2_ERR_IO, "'%s': attribute '%s' cannot be written",
                               file->path, attribute);
    if (id >= 0) H5Aclose(id);
    H5Sclose(space);
    H5Tclose(type);
    return status;
}
