/* SPDX-License-Identifier: Apache-2.0 */
/* One file as the schema sees it: tables with the columns that were asked for. */
#ifndef GN2_DATA_SOURCE_FILE_H
#define GN2_DATA_SOURCE_FILE_H

#include "data/field.h"
#include "data/module.h"
#include "data/schema.h"

/* A field in a record. */
typedef struct gn2_column {
    const char *name; /* in the file */
    int32_t kind, size;
    int64_t offset;
    gn2_field_float to_float;
    gn2_field_int to_int;
} gn2_column;

static inline int gn2_column_is_double(const gn2_column *column)
{
    return column->kind == GN2_H5_FLOAT && column->size == 8;
}

typedef struct gn2_data_table {
    gn2_h5_table *table;
    const gn2_h5_info *info;
    int64_t slab_rows; /* rows read at once */
    size_t input_count;
    gn2_column *input; /* (inputs), in config order */
    int wide;          /* some are of 64 bits */
    gn2_column valid;
} gn2_data_table;

typedef struct gn2_data_file {
    char *path;
    gn2_h5_file *file;
    int64_t rows;
    gn2_data_table table[1 + GN2_MAX_PARTS]; /* by object of the schema */
    /* of label k of the schema, (GN2_LABEL_FIELDS) each; to_float NULL: not there */
    gn2_column (*label)[GN2_LABEL_FIELDS];
    gn2_label_map *map;  /* (labels): classes of jets */
    uint8_t *named;      /* (labels): the map is the file's own */
    gn2_trouble trouble; /* with labels */
} gn2_data_file;

gn2_status gn2_data_file_open(const char *path, const gn2_schema *schema,
                              gn2_data_file *out_file);
void gn2_data_file_close(gn2_data_file *file);

/* Appends rows start … start+count−1 of the file; `buffer` grows as needed. */
typedef struct gn2_read_buffer {
    char *data;
    size_t size;
    _Atomic int64_t *memory;
} gn2_read_buffer;
gn2_status gn2_data_file_load(gn2_data_file *file, const gn2_schema *schema,
                              gn2_non_finite policy, int64_t start, int64_t count,
                              gn2_read_buffer *buffer, gn2_rows *rows);

#endif
