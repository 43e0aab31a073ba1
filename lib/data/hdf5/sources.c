/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a table's storage can give: filters, sources, fields, rows that were written.
 * The parts of a virtual dataset, as UPP and h5py make them, are read as tables of
 * their own, so that they may be packed with whatever can be unpacked here; HDF5 would
 * unpack them by its own filters only.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/hdf5/errors.h"
#include "data/hdf5/filters.h"
#include "data/hdf5/table.h"
#include "util/alloc.h"

/* Virtual datasets of virtual datasets; more is a circle. */
#define MOST_DEPTH 8

typedef struct survey {
    gn2_h5_table *table;
    int depth;
} survey;

/* A dataset, with the names it has in messages. */
typedef struct place {
    hid_t dataset;
    const char *path, *name;
} place;

static gn2_status look_at(survey *s, const place *at, gn2_hdf5_ranges *gaps);

/* The first filter that HDF5 itself cannot undo here, and what the file calls it; −1:
 * there is none. */
static H5Z_filter_t find_unavailable(hid_t plist, char title[32])
{
    const int count = H5Pget_nfilters(plist);
    for (int i = 0; i < count; i++) {
        unsigned flags, config;
        size_t values = 0;
        const H5Z_filter_t id = H5Pget_filter2(plist, (unsigned)i, &flags, &values,
                                               NULL, 32, title, &config);
        if (id < 0 || H5Zfilter_avail(id) > 0) continue;
        H5Eclear2(H5E_DEFAULT); /* where HDF5 has looked for the plugin */
        return id;
    }
    return -1;
}

/* Refuses what nobody can unpack, and notes a source that only we can. */
static gn2_status check_filters(const survey *s, const place *at, hid_t plist)
{
    char title[32] = "";
    const int own = gn2_hdf5_filters_of(plist).own;
    if (own && (s->depth == 0 || s->table->unreadable)) return GN2_OK;
    const H5Z_filter_t id = find_unavailable(plist, title);
    if (id < 0) return GN2_OK;
    if (own) {
        s->table->unreadable = gn2_strdup(at->path);
        s->table->gaps.failed |= !s->table->unreadable;
        return GN2_OK;
    }
    const char *known = gn2_hdf5_filter_name(id);
    return gn2_hdf5_fail(
        GN2_ERR_FORMAT,
        "'%s': dataset '%s' is packed with filter %d (%.24s), for which there is no "
        "plugin here: name the folder of its plugin in HDF5_PLUGIN_PATH before the "
        "program starts, or where there is one, repack with h5repack -f GZIP=4 IN OUT",
        at->path, at->name, (int)id,
        known[0]   ? known
        : title[0] ? title
                   : "unknown");
}

/* The first source that has not got a field of the table, for each field. */
static void note_fields(const survey *s, const place *at)
{
    gn2_h5_table *table = s->table;
    const hid_t type = H5Dget_type(at->dataset);
    const int is_record = H5Tget_class(type) == H5T_COMPOUND;
    for (size_t i = 0; i < table->info.field_count; i++) {
        gn2_h5_field *field = &table->fields[i];
        if (field->lacking) continue;
        if (is_record && H5Tget_member_index(type, field->name) >= 0) continue;
        field->lacking = gn2_strdup(at->path);
        table->gaps.failed |= !field->lacking;
    }
    H5Eclear2(H5E_DEFAULT);
    H5Tclose(type);
}

/* A source named relative to the folder of the virtual file, as HDF5 does. */
static void find_path(const char *path, const char *source, char out[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    const int folder = slash && source[0] != '/' ? (int)(slash - path + 1) : 0;
    const int length = strcmp(source, ".") == 0
                           ? snprintf(out, PATH_MAX, "%s", path)
                           : snprintf(out, PATH_MAX, "%.*s%s", folder, path, source);
    if (length >= PATH_MAX || access(out, R_OK) != 0)
        snprintf(out, PATH_MAX, "%s", source);
}

/* HDF5 writes '%' as "%%"; 0: "%b" is in it, the number of a file. */
static int plain_name(char *name)
{
    char *to = name;
    for (const char *at = name; *at; at++) {
        if (*at == '%' && at[1] == 'b') return 0;
        if (*at == '%' && at[1] == '%') at++;
        *to++ = *at;
    }
    *to = 0;
    return 1;
}

/* A source of a virtual dataset, as it is named there, and where its file is. */
typedef struct source_names {
    char file[PATH_MAX], dataset[256], path[PATH_MAX];
} source_names;

/* Mapping `index` of a virtual dataset of file `path`; 0: its names are a pattern. */
static int source_of(hid_t plist, size_t index, const char *path, source_names *out)
{
    out->file[0] = out->dataset[0] = 0;
    H5Pget_virtual_filename(plist, index, out->file, sizeof out->file);
    H5Pget_virtual_dsetname(plist, index, out->dataset, sizeof out->dataset);
    if (!plain_name(out->file) || !plain_name(out->dataset)) return 0;
    find_path(path, out->file, out->path);
    return 1;
}

/* A mapping of all of a source that has become smaller or larger cannot be read. */
static gn2_status check_size(const survey *s, const place *source, hid_t to, hid_t from)
{
    const hid_t space = H5Dget_space(source->dataset);
    const hssize_t has = H5Sget_simple_extent_npoints(space);
    const hssize_t wanted = H5Sget_select_npoints(to);
    H5Sclose(space);
    if (wanted < 0)
        return gn2_hdf5_fail(GN2_ERR_FORMAT,
                             "'%s': virtual dataset '%s' takes '%s' without an end: "
                             "give its number of rows",
                             s->table->file->path, s->table->name, source->path);
    if (H5Sget_select_type(from) != H5S_SEL_ALL || wanted == has) return GN2_OK;
    return gn2_hdf5_fail(GN2_ERR_FORMAT,
                         "'%s': virtual dataset '%s' takes %lld records of '%s', which "
                         "has %lld",
                         s->table->file->path, s->table->name, (long long)wanted,
                         source->path, (long long)has);
}

/* Rows that a source gives to the virtual dataset. */
static gn2_status look_at_source(survey *s, const place *source, hid_t plist,
                                 size_t index, gn2_hdf5_ranges *covered)
{
    gn2_hdf5_ranges gaps = {0};
    hsize_t dims[2];
    note_fields(s, source);
    gn2_status status = look_at(s, source, &gaps);
    const hid_t space = H5Dget_space(source->dataset);
    const hid_t to = H5Pget_virtual_vspace(plist, index);
    const hid_t from = H5Pget_virtual_srcspace(plist, index);
    gn2_hdf5_extent(space, dims);
    if (status == GN2_OK) status = check_size(s, source, to, from);
    if (status == GN2_OK)
        gn2_hdf5_mapping_rows(to, from, (int64_t)dims[0], &gaps, covered);
    H5Sclose(from);
    H5Sclose(to);
    H5Sclose(space);
    gn2_hdf5_ranges_free(&gaps);
    return status;
}

static gn2_status open_source(survey *s, const place *at, hid_t plist, size_t index,
                              gn2_hdf5_ranges *covered)
{
    source_names names;
    if (!source_of(plist, index, at->path, &names))
        return gn2_hdf5_fail(GN2_ERR_FORMAT,
                             "'%s': virtual dataset '%s' names its sources by a "
                             "pattern, '%s' of '%s': name them one by one",
                             at->path, at->name, names.dataset, names.file);
    gn2_h5_file *source = NULL;
    gn2_status status = gn2_hdf5_file_open(names.path, &source);
    if (status != GN2_OK)
        return gn2_hdf5_fail(status,
                             "'%s': virtual dataset '%s' needs '%s', which cannot be "
                             "opened",
                             at->path, at->name, names.file);
    const place there = {H5Dopen2(source->id, names.dataset, H5P_DEFAULT), names.path,
                         names.dataset};
    if (there.dataset < 0)
        status = gn2_hdf5_fail(GN2_ERR_NOT_FOUND,
                               "'%s': virtual dataset '%s' needs dataset '%s' of '%s'",
                               at->path, at->name, names.dataset, names.file);
    else
        status = look_at_source(s, &there, plist, index, covered);
    if (there.dataset >= 0) H5Dclose(there.dataset);
    gn2_hdf5_file_free(source);
    return status;
}

static gn2_status look_at_sources(survey *s, const place *at, hid_t plist,
                                  gn2_hdf5_ranges *gaps)
{
    gn2_hdf5_ranges covered = {0};
    gn2_status status = GN2_OK;
    size_t count = 0;
    hsize_t dims[2];
    const hid_t space = H5Dget_space(at->dataset);
    gn2_hdf5_extent(space, dims);
    H5Sclose(space);
    if (s->depth == MOST_DEPTH)
        return gn2_hdf5_fail(GN2_ERR_FORMAT,
                             "'%s': virtual dataset '%s' is its own source, or one of "
                             "more than %d levels",
                             at->path, at->name, MOST_DEPTH);
    s->depth++;
    H5Pget_virtual_count(plist, &count);
    for (size_t i = 0; i < count && status == GN2_OK; i++)
        status = open_source(s, at, plist, i, &covered);
    s->depth--;
    if (dims[1] > 0) gn2_hdf5_ranges_rest(&covered, (int64_t)dims[0], gaps);
    gn2_hdf5_ranges_free(&covered);
    return status;
}

/* Filters and gaps of a dataset, and of all that it is made of. */
static gn2_status look_at(survey *s, const place *at, gn2_hdf5_ranges *gaps)
{
    const hid_t plist = H5Dget_create_plist(at->dataset);
    gn2_status status = check_filters(s, at, plist);
    if (status == GN2_OK && H5Pget_layout(plist) == H5D_VIRTUAL)
        status = look_at_sources(s, at, plist, gaps);
    else if (status == GN2_OK)
        gn2_hdf5_gaps_of_storage(at->dataset, gaps);
    H5Pclose(plist);
    return status;
}

gn2_status gn2_hdf5_survey(gn2_h5_table *table)
{
    survey s = {.table = table};
    const place at = {table->dataset, table->file->path, table->name};
    const gn2_status status = look_at(&s, &at, &table->gaps);
    H5Eclear2(H5E_DEFAULT);
    if (status == GN2_OK && table->gaps.failed) return gn2_fail_memory();
    table->info.gap_count = table->gaps.count;
    table->info.gaps = table->gaps.range;
    return status;
}

/* ---- parts ---- */

static int read_places(hid_t plist, size_t i, gn2_hdf5_part *part)
{
    gn2_h5_range from = {0, 0};
    const hid_t here = H5Pget_virtual_vspace(plist, i);
    const hid_t there = H5Pget_virtual_srcspace(plist, i);
    const int fits = gn2_hdf5_is_run(here, &part->rows) &&
                     (H5Sget_select_type(there) == H5S_SEL_ALL ||
                      (gn2_hdf5_is_run(there, &from) &&
                       from.end - from.first == part->rows.end - part->rows.first));
    H5Sclose(here);
    H5Sclose(there);
    part->from = from.first;
    return fits;
}

/* Opens a part; its table stays NULL where it does not fit. */
static gn2_status open_part(const gn2_h5_table *table, hid_t plist, size_t i,
                            gn2_hdf5_part *part)
{
    source_names names;
    if (!source_of(plist, i, table->file->path, &names)) return GN2_OK;
    errno = 0;
    const gn2_status status = gn2_hdf5_file_open(names.path, &part->file);
    if (status != GN2_OK) return errno == EMFILE ? GN2_OK : status;
    gn2_h5_table *there;
    GN2_TRY(gn2_hdf5_table_open(part->file, names.dataset, &there));
    if (there->info.rank == table->info.rank &&
        there->info.slots == table->info.slots &&
        part->rows.end - part->rows.first <= there->info.rows - part->from &&
        H5Tequal(there->file_type, table->file_type) > 0)
        part->table = there;
    else
        gn2_hdf5_table_free(there);
    return GN2_OK;
}

/* Puts the parts in the order of the rows; are there no holes? */
static int are_joined(const gn2_h5_table *table)
{
    int64_t end = 0;
    qsort(table->parts, table->part_count, sizeof *table->parts, gn2_hdf5_by_first);
    for (size_t i = 0; i < table->part_count; i++) {
        const gn2_hdf5_part *part = &table->parts[i];
        if (!part->table || part->rows.first != end) return 0;
        end = part->rows.end;
    }
    return end == table->info.rows;
}

static gn2_status open_parts(gn2_h5_table *table, hid_t plist, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        gn2_hdf5_part *part = &table->parts[table->part_count++];
        if (!read_places(plist, i, part)) return GN2_OK;
        const gn2_status status = open_part(table, plist, i, part);
        if (status != GN2_OK || !part->table) return status;
    }
    return GN2_OK;
}

/* How deep they go, and that none is its own source, the survey has seen. */
static gn2_status find_parts(gn2_h5_table *table, hid_t plist)
{
    size_t count = 0;
    if (H5Pget_layout(plist) != H5D_VIRTUAL) return GN2_OK;
    if (H5Pget_virtual_count(plist, &count) < 0 || count == 0) return GN2_OK;
    table->parts = gn2_alloc(count, sizeof *table->parts);
    if (!table->parts) return gn2_fail_memory();
    const gn2_status status = open_parts(table, plist, count);
    if (status != GN2_OK || !are_joined(table)) gn2_hdf5_parts_free(table);
    return status;
}

void gn2_hdf5_parts_free(gn2_h5_table *table)
{
    for (size_t i = 0; i < table->part_count; i++) {
        gn2_hdf5_table_free(table->parts[i].table);
        gn2_hdf5_file_free(table->parts[i].file);
    }
    gn2_free(table->parts);
    table->parts = NULL;
    table->part_count = 0;
}

gn2_status gn2_hdf5_parts_find(gn2_h5_table *table)
{
    const hid_t plist = H5Dget_create_plist(table->dataset);
    const gn2_status status = find_parts(table, plist);
    H5Pclose(plist);
    if (status != GN2_OK || !table->unreadable || table->part_count) return status;
    return gn2_hdf5_fail(GN2_ERR_FORMAT,
                         "'%s': virtual dataset '%s' is not made of whole rows of like "
                         "tables, so that HDF5 has to read it, which cannot unpack "
                         "source '%s': pack that with gzip",
                         table->file->path, table->name, table->unreadable);
}
