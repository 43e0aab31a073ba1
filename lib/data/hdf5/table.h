/* SPDX-License-Identifier: Apache-2.0 */
/* A dataset of records, as the calls of the module hold it. */
#ifndef GN2_DATA_HDF5_TABLE_H
#define GN2_DATA_HDF5_TABLE_H

#include "data/hdf5/chunks.h"
#include "data/hdf5/gaps.h"

struct gn2_h5_table {
    hid_t dataset;
    hid_t file_type;   /* compound as stored */
    hid_t memory_type; /* compound as selected, or −1 */
    char *path, *name; /* for messages */
    gn2_h5_info info;
    gn2_h5_field *fields;
    uint8_t *direct; /* field is stored as this machine keeps it */
    gn2_hdf5_chunks *chunks;
    gn2_hdf5_ranges gaps;
    char **lacking; /* (fields): a source without it, or NULL */
    char *fill;     /* (record) */
    int64_t only;   /* byte of a record that is 0 where it does not count; −1: none */
};

/* An empty table object; NULL when memory is short. */
gn2_h5_table *gn2_hdf5_table_new(const char *path, const char *name, size_t fields);
/* The call, see interface.h. */
gn2_status gn2_hdf5_table_close(gn2_h5_table *table, char *error);

#endif
