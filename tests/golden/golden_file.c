/* SPDX-License-Identifier: Apache-2.0 */
#include "golden_file.h"

#include <hdf5.h>
#include <stdio.h>
#include <string.h>

#include "common/need.h"
#include "util/alloc.h"

golden_id golden_open(const char *path)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    const hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    need_true(file >= 0, path);
    return file;
}

void golden_close(golden_id file)
{
    H5Fclose((hid_t)file);
}

/* H5Lexists wants every group on the way to be there. */
int golden_has(golden_id file, const char *path)
{
    char part[256];
    for (const char *end = strchr(path, '/'); end; end = strchr(end + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(end - path), path);
        if (*part && H5Lexists((hid_t)file, part, H5P_DEFAULT) <= 0) return 0;
    }
    return strcmp(path, "/") == 0 || H5Lexists((hid_t)file, path, H5P_DEFAULT) > 0;
}

int golden_has_attr(golden_id file, const char *path, const char *name)
{
    return H5Aexists_by_name((hid_t)file, path, name, H5P_DEFAULT) > 0;
}

static herr_t add_member(hid_t group, const char *name, const H5L_info_t *info,
                         void *user)
{
    (void)group;
    (void)info;
    golden_text *text = user;
    text->item[text->count] = need_memory(strlen(name) + 1, 1);
    memcpy(text->item[text->count++], name, strlen(name));
    return 0;
}

golden_text golden_members(golden_id file, const char *path)
{
    golden_text text = {0};
    H5G_info_t info;
    need_true(H5Gget_info_by_name((hid_t)file, path, &info, H5P_DEFAULT) >= 0, path);
    text.item = need_memory((size_t)info.nlinks, sizeof *text.item);
    H5Literate_by_name((hid_t)file, path, H5_INDEX_NAME, H5_ITER_INC, NULL, add_member,
                       &text, H5P_DEFAULT);
    return text;
}

/* A dataset or an attribute behind one face. */
typedef struct source {
    hid_t id;
    int is_attr;
} source;

static source open_source(golden_id file, const char *path, const char *attr)
{
    source s = {.is_attr = attr != NULL};
    s.id = attr ? H5Aopen_by_name((hid_t)file, path, attr, H5P_DEFAULT, H5P_DEFAULT)
                : H5Dopen2((hid_t)file, path, H5P_DEFAULT);
    if (s.id < 0) fprintf(stderr, "%s %s: ", path, attr ? attr : "");
    need_true(s.id >= 0, "dataset or attribute of the file");
    return s;
}

static void close_source(source s)
{
    if (s.is_attr)
        H5Aclose(s.id);
    else
        H5Dclose(s.id);
}

static void read_source(source s, hid_t type, void *to)
{
    const herr_t status = s.is_attr
                              ? H5Aread(s.id, type, to)
                              : H5Dread(s.id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, to);
    need_true(status >= 0, "readable values");
}

/* Dimensions of a source; a scalar has rank 0 and one value. */
static golden_array shape_of(source s)
{
    golden_array a = {.count = 1};
    hsize_t dim[GOLDEN_RANK] = {0};
    const hid_t space = s.is_attr ? H5Aget_space(s.id) : H5Dget_space(s.id);
    a.rank = H5Sget_simple_extent_ndims(space);
    need_true(a.rank >= 0 && a.rank <= GOLDEN_RANK, "rank at most 3");
    H5Sget_simple_extent_dims(space, dim, NULL);
    for (int i = 0; i < GOLDEN_RANK; i++) {
        a.dim[i] = i < a.rank ? (int64_t)dim[i] : 1;
        a.count *= a.dim[i];
    }
    H5Sclose(space);
    return a;
}

golden_array golden_read_attr(golden_id file, const char *path, const char *name)
{
    const source s = open_source(file, path, name);
    golden_array a = shape_of(s);
    a.x = need_memory((size_t)a.count, sizeof *a.x);
    if (a.count) read_source(s, H5T_NATIVE_DOUBLE, a.x);
    close_source(s);
    return a;
}

golden_array golden_read(golden_id file, const char *path)
{
    return golden_read_attr(file, path, NULL);
}

golden_text golden_read_attr_text(golden_id file, const char *path, const char *name)
{
    const source s = open_source(file, path, name);
    const hid_t type = s.is_attr ? H5Aget_type(s.id) : H5Dget_type(s.id);
    const size_t size = H5Tget_size(type);
    golden_text text = {.count = shape_of(s).count};
    char *all = need_memory((size_t)text.count, size);
    text.item = need_memory((size_t)text.count, sizeof *text.item);
    read_source(s, type, all);
    for (int64_t i = 0; i < text.count; i++) {
        text.item[i] = need_memory(size + 1, 1);
        memcpy(text.item[i], all + (size_t)i * size, size);
    }
    gn2_free(all);
    H5Tclose(type);
    close_source(s);
    return text;
}

golden_text golden_read_text(golden_id file, const char *path)
{
    return golden_read_attr_text(file, path, NULL);
}

void golden_array_free(golden_array *array)
{
    gn2_free(array->x);
    array->x = NULL;
}

void golden_text_free(golden_text *text)
{
    for (int64_t i = 0; i < text->count; i++) gn2_free(text->item[i]);
    gn2_free(text->item);
}

double golden_number(golden_id file, const char *path, const char *attr)
{
    golden_array a = golden_read_attr(file, path, attr);
    need_true(a.count == 1, attr ? attr : path);
    const double value = a.x[0];
    golden_array_free(&a);
    return value;
}

void golden_string(golden_id file, const char *path, const char *attr, char out[64])
{
    golden_text text = golden_read_attr_text(file, path, attr);
    need_true(text.count == 1, attr ? attr : path);
    snprintf(out, 64, "%s", text.item[0]);
    golden_text_free(&text);
}
