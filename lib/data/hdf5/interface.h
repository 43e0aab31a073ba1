/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libgn2 asks of its HDF5 module (gn2-hdf5.so): tables of records, read and
 * appended. No type of HDF5 shows here. The module converts nothing it can avoid
 * and knows nothing of jets.
 *
 * A call has one name: `table_read` below is gn2_h5_table_read() for the library
 * (data/module.h) and gn2_hdf5_table_read() in the module.
 *
 * Calls are not thread-safe: module.c takes a lock around each. `error` has room
 * for GN2_H5_ERROR_SIZE bytes and is filled when the status is not GN2_OK.
 */
#ifndef GN2_DATA_HDF5_INTERFACE_H
#define GN2_DATA_HDF5_INTERFACE_H

#include <gn2/base.h>

/* Changes with anything below; a module of another number is refused. */
#define GN2_H5_VERSION 6
#define GN2_H5_ERROR_SIZE 480

/* Kinds of a field; sizes are 2, 4, 8 for reals, 1, 2, 4, 8 for integers. */
#define GN2_H5_FLOAT 1 /* IEEE */
#define GN2_H5_INT 2
#define GN2_H5_UINT 3
#define GN2_H5_BOOL 4  /* h5py's enum over int8 */
#define GN2_H5_OTHER 5 /* text, arrays, …; size 0: of any length */

/* How a field is selected: as a number, or, whatever of fixed size it is, as the file
 * has it. */
#define GN2_H5_AS_NUMBER 1
#define GN2_H5_AS_STORED 2

typedef struct gn2_h5_file gn2_h5_file;
typedef struct gn2_h5_table gn2_h5_table;
typedef struct gn2_h5_crew gn2_h5_crew;

typedef struct gn2_h5_field {
    const char *name;
    int32_t kind;
    int32_t size;   /* bytes in a record */
    int64_t offset; /* in a record; −1 if not selected */
    /* not used where a dataset is made: */
    int32_t stored;      /* bytes in the file */
    int32_t direct;      /* it is stored as it will be in memory */
    const char *lacking; /* a source of a virtual dataset without it, or NULL */
} gn2_h5_field;

/* Rows first … end−1. */
typedef struct gn2_h5_range {
    int64_t first, end;
} gn2_h5_range;

/* A dataset of records: (rows) or (rows, slots). */
typedef struct gn2_h5_info {
    int32_t rank;     /* 1 or 2 */
    int32_t unpacked; /* chunks are unpacked by the module, as selected, not by HDF5 */
    int64_t rows, slots;
    int64_t chunk_rows; /* 0 = not chunked */
    int64_t record;     /* bytes of a record as selected */
    size_t field_count;
    const gn2_h5_field *fields;
    size_t gap_count;
    const gn2_h5_range *gaps; /* rows that no writer has filled, rising */
    const char *fill;         /* a record as selected, of what such rows read as; NULL:
                                 of some as this, of some as that */
} gn2_h5_info;

/* A dataset to be made: records packed, fields in order. One of kind GN2_H5_OTHER is of
 * the type of field `offset` of the table `like`; else `offset` is ignored. */
typedef struct gn2_h5_layout {
    const gn2_h5_table *like; /* NULL: no such field */
    int32_t rank;
    int64_t slots, chunk_rows;
    size_t field_count;
    const gn2_h5_field *fields;
} gn2_h5_layout;

/* Threads that work together: run() does task(context, i, hand) for i in 0 … count−1,
 * rising, hand in 0 … (their number)−1, and waits, as gn2_pool_run() of `pool` does. */
typedef void (*gn2_h5_task)(void *context, int64_t index, int32_t hand);
typedef struct gn2_h5_hands {
    int32_t count;
    void (*run)(void *pool, int64_t count, gn2_h5_task task, void *context);
    void *pool;
} gn2_h5_hands;

/* What is read: rows start … start+count−1. Where the module itself unpacks chunks, the
 * crew does, what is read staying the same; NULL: the caller alone. */
typedef struct gn2_h5_read {
    int64_t start, count;
    gn2_h5_crew *crew;
} gn2_h5_read;

typedef void (*gn2_h5_text_fn)(void *context, size_t index, const char *text);

typedef struct gn2_h5_module {
    uint32_t version;
    /* Reading. Rows of a record are in the machine's byte order. */
    gn2_status (*file_open)(const char *path, gn2_h5_file **out, char *error);
    gn2_status (*table_open)(gn2_h5_file *file, const char *name, gn2_h5_table **out,
                             char *error);
    const gn2_h5_info *(*table_info)(const gn2_h5_table *table);
    /* Chooses the fields with wanted[i] ≠ 0, GN2_H5_AS_…; records may hold others as
     * well. `only` is −1 or the number of a one-byte field among them: where it is 0,
     * the rest of the record need not be filled. */
    gn2_status (*table_select)(gn2_h5_table *table, const uint8_t *wanted, int64_t only,
                               char *error);
    /* A crew, which does one read at a time; the hands' pool lives as long. */
    gn2_status (*crew_new)(const gn2_h5_hands *hands, gn2_h5_crew **out, char *error);
    void (*crew_free)(gn2_h5_crew *crew);
    gn2_status (*table_read)(gn2_h5_table *table, const gn2_h5_read *read,
                             void *records, char *error);
    /* Whether every field of a row of rank 1, selected or not, is its fill value. */
    gn2_status (*table_is_fill)(gn2_h5_table *table, int64_t row, int *out_fill,
                                char *error);
    /* Items of an attribute of strings; GN2_ERR_NOT_FOUND without it. */
    gn2_status (*strings_read)(gn2_h5_table *table, const char *attribute,
                               gn2_h5_text_fn each, void *context, char *error);
    /* Writing. */
    gn2_status (*file_create)(const char *path, gn2_h5_file **out, char *error);
    gn2_status (*table_create)(gn2_h5_file *file, const char *name,
                               const gn2_h5_layout *layout, gn2_h5_table **out,
                               char *error);
    gn2_status (*table_append)(gn2_h5_table *table, int64_t count, const void *records,
                               char *error);
    /* A list of strings as attribute of a table, or of the file if table is NULL. */
    gn2_status (*strings_write)(gn2_h5_file *file, gn2_h5_table *table,
                                const char *attribute, const char *const *items,
                                size_t count, char *error);
    /* Both free the object whatever they return; a file comes after its tables. */
    gn2_status (*table_close)(gn2_h5_table *table, char *error);
    gn2_status (*file_close)(gn2_h5_file *file, char *error);
} gn2_h5_module;

/* The one symbol of the module, `const gn2_h5_module *symbol(void)`. */
#define GN2_HDF5_MODULE_SYMBOL "gn2_hdf5_module"

#endif
