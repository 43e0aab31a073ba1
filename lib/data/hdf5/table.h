/* SPDX-License-Identifier: Apache-2.0 */
/* A dataset of records, and the calls of the module (interface.h) that take one. */
#ifndef GN2_DATA_HDF5_TABLE_H
#define GN2_DATA_HDF5_TABLE_H

#include "data/hdf5/chunks.h"
#include "data/hdf5/file.h"
#include "data/hdf5/gaps.h"

/* Rows of a virtual table that are those of another. */
typedef struct gn2_hdf5_part {
    gn2_h5_range rows; /* here; first, so that parts sort as ranges do */
    int64_t from;      /* the first there */
    gn2_h5_file *file;
    gn2_h5_table *table;
} gn2_hdf5_part;

struct gn2_h5_table {
    hid_t dataset;
    hid_t file_type;   /* compound as stored, for HDF5 */
    hid_t memory_type; /* compound as selected, or −1 */
    hid_t stored_type; /* compound as chunks have it, or −1: HDF5 reads */
    gn2_h5_file *file; /* outlives the table */
    gn2_h5_info info;
    gn2_h5_field *fields; /* (info.field_count) */
    gn2_hdf5_chunks *chunks;
    int whole;     /* records are selected as they are stored */
    int64_t only;  /* byte of a stored record that is 0 where it does not count; −1 */
    char *convert; /* records that HDF5 converts, then its background */
    size_t convert_size; /* of each */
    char *unreadable;    /* a source that HDF5 itself cannot unpack; NULL: none */
    size_t part_count;
    gn2_hdf5_part *parts; /* (part_count) in the order of the rows */
    gn2_hdf5_ranges gaps;
    char *fill;  /* (record) */
    char name[]; /* for messages */
};

/* ---- table.c ---- */

/* An empty table object; NULL when memory is short. */
gn2_h5_table *gn2_hdf5_table_new(gn2_h5_file *file, const char *name);
/* Without a word; accepts NULL. */
void gn2_hdf5_table_free(gn2_h5_table *table);
/* gn2_hdf5_fail() with what follows the names of file and dataset. */
gn2_status gn2_hdf5_table_fail(const gn2_h5_table *table, gn2_status status,
                               const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Selects rows in the file, out_space[0], and as many in memory, [1]; the caller closes
 * both, whatever is returned. */
herr_t gn2_hdf5_table_rows(const gn2_h5_table *table, int64_t start, int64_t count,
                           hid_t out_space[2]);
gn2_status gn2_hdf5_table_close(gn2_h5_table *table);

/* ---- sources.c: what a table's storage can give ---- */

/* Refuses a dataset whose filters cannot be undone, or a virtual one whose sources
 * are not there (HDF5 would read those as zeros). Fills the table's gaps, and notes
 * for each field the first source that lacks it. */
gn2_status gn2_hdf5_survey(gn2_h5_table *table);
/* Opens what a virtual dataset is made of, if that is whole tables one behind the
 * other; parts stay away where it is not, and HDF5 has to read it. */
gn2_status gn2_hdf5_parts_find(gn2_h5_table *table);
void gn2_hdf5_parts_free(gn2_h5_table *table);

/* ---- the other calls: table.c, table_read.c, table_write.c, strings.c ---- */

gn2_status gn2_hdf5_table_open(gn2_h5_file *file, const char *name, gn2_h5_table **out);

gn2_status gn2_hdf5_table_select(gn2_h5_table *table, const uint8_t *wanted,
                                 int64_t only);
gn2_status gn2_hdf5_table_read(gn2_h5_table *table, const gn2_h5_read *read,
                               void *records);
gn2_status gn2_hdf5_table_is_fill(gn2_h5_table *table, int64_t row, int *out_fill);

gn2_status gn2_hdf5_table_create(gn2_h5_file *file, const char *name,
                                 const gn2_h5_layout *layout, gn2_h5_table **out);
gn2_status gn2_hdf5_table_append(gn2_h5_table *table, int64_t count,
                                 const void *records);

gn2_status gn2_hdf5_strings_read(gn2_h5_table *table, const char *attribute,
                                 gn2_h5_text_fn each, void *context);
gn2_status gn2_hdf5_strings_write(gn2_h5_file *file, gn2_h5_table *table,
                                  const char *attribute, const char *const *items,
                                  size_t count);

#endif
