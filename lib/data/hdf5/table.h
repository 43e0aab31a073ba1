/* SPDX-License-Identifier: Apache-2.0 */
/* A dataset of records, as the calls of the module hold it. */
#ifndef GN2_DATA_HDF5_TABLE_H
#define GN2_DATA_HDF5_TABLE_H

#include "data/hdf5/chunks.h"
#include "data/hdf5/file.h"
#include "data/hdf5/gaps.h"

/* Rows of a virtual table that are those of another. */
typedef struct gn2_hdf5_part {
    int64_t start, count; /* here */
    int64_t from;         /* the first there */
    gn2_h5_file *file;
    gn2_h5_table *table;
} gn2_hdf5_part;

struct gn2_h5_table {
    hid_t dataset;
    hid_t file_type;   /* compound as stored, for HDF5 */
    hid_t memory_type; /* compound as selected, or −1 */
    hid_t stored_type; /* compound as chunks have it, or −1: HDF5 reads */
    gn2_h5_file *file;
    char *path, *name; /* for messages */
    gn2_h5_info info;
    gn2_h5_field *fields;
    uint8_t *direct; /* field is stored as this machine keeps it */
    gn2_hdf5_chunks *chunks;
    int whole;    /* records are selected as they are stored */
    int64_t only; /* byte of a stored record that is 0 where it does not count; −1 */
    void *convert[2]; /* records that HDF5 converts, and its background */
    size_t convert_size;
    char *unreadable; /* a source that HDF5 itself cannot unpack; NULL: none */
    size_t part_count;
    gn2_hdf5_part *parts; /* (part_count) in the order of the rows */
    gn2_hdf5_ranges gaps;
    char **lacking; /* (fields): a source without it, or NULL */
    char *fill;     /* (record) */
};

/* An empty table object; NULL when memory is short. */
gn2_h5_table *gn2_hdf5_table_new(gn2_h5_file *file, const char *name, size_t fields);
/* Without a word; accepts NULL. */
void gn2_hdf5_table_free(gn2_h5_table *table);
/* Leaves it a table that HDF5 reads. */
void gn2_hdf5_parts_free(gn2_h5_table *table);
/* The call, see interface.h. */
gn2_status gn2_hdf5_table_close(gn2_h5_table *table);

#endif
