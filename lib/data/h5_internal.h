/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of the HDF5 module only. Nothing of libgn2 is linked here. */
#ifndef GN2_DATA_H5_INTERNAL_H
#define GN2_DATA_H5_INTERNAL_H

#include <hdf5.h>

#include "data/h5module.h"

struct gn2_h5_file {
    hid_t id;
    char *path;
};

/* Chunks unpacked without HDF5; NULL where the storage is not the usual one. */
typedef struct gn2_h5_chunks gn2_h5_chunks;

struct gn2_h5_table {
    hid_t dataset;
    hid_t file_type;   /* compound as stored */
    hid_t memory_type; /* compound as selected, or −1 */
    char *path, *name; /* for messages */
    gn2_h5_info info;
    gn2_h5_field *fields;
    uint8_t *direct; /* field is stored as this machine keeps it */
    gn2_h5_chunks *chunks;
    int64_t only; /* byte of a record that is 0 where it does not count; −1: none */
};

/* Silences HDF5's own printing for the length of a call. */
typedef struct gn2_h5_guard {
    H5E_auto2_t print;
    void *context;
} gn2_h5_guard;

void gn2_h5_enter(gn2_h5_guard *guard);
void gn2_h5_leave(const gn2_h5_guard *guard);

/* Fills `error`, HDF5's innermost reason appended if it has one. */
gn2_status gn2_h5_fail(char *error, gn2_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
gn2_status gn2_h5_no_memory(char *error);

/* Half-precision type of this machine's byte order; the caller closes it. */
hid_t gn2_h5_half(void);
/* Type of a field kept as this machine keeps it; −1 if there is none. */
hid_t gn2_h5_native(int32_t kind, int32_t size);

/* Makes LZF and LZ4 readable in this process. */
void gn2_h5_register_filters(void);
/* Refuses a dataset whose filters cannot be undone, or a virtual one whose
 * sources are not there (HDF5 would read those as zeros). */
gn2_status gn2_h5_check_storage(hid_t dataset, const char *path, const char *name,
                                char *error);

/* Chunks of a table whose memory type is its file type, NULL if not possible. */
gn2_h5_chunks *gn2_h5_chunks_new(const gn2_h5_table *table);
void gn2_h5_chunks_free(gn2_h5_chunks *chunks);
/* Reads rows; 0 if HDF5 has to. */
int gn2_h5_chunks_read(const gn2_h5_table *table, int64_t start, int64_t count,
                       void *records);

/* reading */
gn2_status gn2_h5_file_open(const char *path, gn2_h5_file **out, char *error);
gn2_status gn2_h5_table_open(gn2_h5_file *file, const char *name, gn2_h5_table **out,
                             char *error);
gn2_status gn2_h5_table_select(gn2_h5_table *table, const uint8_t *wanted, int64_t only,
                               char *error);
gn2_status gn2_h5_table_read(gn2_h5_table *table, int64_t start, int64_t count,
                             void *records, char *error);
gn2_status gn2_h5_table_strings(gn2_h5_table *table, const char *attribute,
                                gn2_h5_text_fn each, void *context, char *error);
/* writing */
gn2_status gn2_h5_file_create(const char *path, gn2_h5_file **out, char *error);
gn2_status gn2_h5_table_create(gn2_h5_file *file, const char *name,
                               const gn2_h5_layout *layout, gn2_h5_table **out,
                               char *error);
gn2_status gn2_h5_table_append(gn2_h5_table *table, int64_t count, const void *records,
                               char *error);
gn2_status gn2_h5_strings_set(gn2_h5_file *file, gn2_h5_table *table,
                              const char *attribute, const char *const *items,
                              size_t count, char *error);
/* both */
gn2_status gn2_h5_table_close(gn2_h5_table *table, char *error);
gn2_status gn2_h5_file_close(gn2_h5_file *file, char *error);
/* A file object around an open HDF5 file, which it takes over. */
gn2_status gn2_h5_file_wrap(hid_t id, const char *path, gn2_h5_file **out, char *error);
/* An empty table object; NULL when memory is short. */
gn2_h5_table *gn2_h5_table_new(const char *path, const char *name, size_t fields);

#endif
