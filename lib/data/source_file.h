/* SPDX-License-Identifier: Apache-2.0 */
/* One file as the schema sees it: tables with the columns that were asked for. */
#ifndef GN2_DATA_SOURCE_FILE_H
#define GN2_DATA_SOURCE_FILE_H

#include "data/field.h"
#include "data/module.h"
#include "data/opening.h"
#include "data/row_set.h"
#include "data/schema.h"
#include "util/threads.h"

/* A field that is read. */
typedef struct gn2_column {
    gn2_h5_field field;
    gn2_field_reader read; /* to_float NULL: it is not there */
} gn2_column;

/* The fields of a label of the schema. */
typedef struct gn2_file_label {
    gn2_column column[GN2_LABEL_FIELDS]; /* the first is not there: none is */
    gn2_label_map map;                   /* classes of jets */
    int named;                           /* the map is the file's own */
} gn2_file_label;

typedef struct gn2_data_table {
    gn2_h5_table *table;
    const gn2_h5_info *info;
    size_t input_count;
    gn2_column *input; /* (inputs), in config order */
    int wide;          /* some are of 64 bits */
    gn2_column valid;
} gn2_data_table;

typedef struct gn2_data_file {
    char *path;
    gn2_h5_file *file;
    gn2_row_set jets; /* of its rows, those that data.selection chooses */
    gn2_column compared[GN2_SELECTION_TERMS]; /* by term of the selection */
    gn2_data_table table[1 + GN2_MAX_PARTS];  /* by object of the schema */
    gn2_file_label *label;                    /* (labels) */
    gn2_trouble trouble;                      /* with labels */
} gn2_data_file;

/* *out_file, zero, is to be closed whatever comes. */
gn2_status gn2_data_file_open(const char *path, const gn2_schema *schema,
                              gn2_data_file *out_file);
void gn2_data_file_close(gn2_data_file *file);

/* Rows of a slab that one thread decodes. */
typedef struct gn2_share {
    int64_t row, count;  /* from the first of the slab */
    int64_t jet, at;     /* of `rows`: the first jet, and row, they become */
    gn2_trouble failed;  /* why they cannot be used */
    gn2_trouble trouble; /* with their labels */
} gn2_share;

/* What files are read into, and by whom. */
typedef struct gn2_read_buffer {
    char *data;
    size_t size;
    _Atomic int64_t *memory;
    gn2_pool *pool;    /* NULL: the caller alone */
    gn2_h5_crew *crew; /* of the pool */
    int32_t share_count;
    gn2_share *shares;
} gn2_read_buffer;

/* A buffer for `threads` of them, the caller among them. */
gn2_status gn2_read_buffer_make(gn2_read_buffer *buffer, int32_t threads,
                                _Atomic int64_t *memory);
void gn2_read_buffer_free(gn2_read_buffer *buffer);

/* Reads slabs of a table's records, one after another, of rows start … end−1; with a
 * selection, not those in which no jet is selected. */
typedef struct gn2_slabs {
    gn2_data_file *file;
    const gn2_data_table *table;
    gn2_read_buffer *buffer; /* has them; grows as needed */
    int64_t first, count;    /* rows of the present one */
    int64_t next, end;       /* rows to come */
} gn2_slabs;
/* count 0: no more. */
gn2_status gn2_slabs_next(gn2_slabs *slabs);

/* What the schema's selection is made with. */
typedef struct gn2_choosing {
    const gn2_schema *schema;
    gn2_read_buffer *buffer;
    gn2_opening_watch *watch;
} gn2_choosing;

/* Finds out which jets it chooses; *nan += those with NaN in a field of it. */
gn2_status gn2_data_file_choose(gn2_data_file *file, const gn2_choosing *choosing,
                                int64_t *nan);
/* Appends jets start … start+count−1 of those that are used. */
gn2_status gn2_data_file_load(gn2_data_file *file, const gn2_schema *schema,
                              gn2_non_finite policy, int64_t start, int64_t count,
                              gn2_read_buffer *buffer, gn2_rows *rows);

#endif
