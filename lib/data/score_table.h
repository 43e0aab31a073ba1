/* SPDX-License-Identifier: Apache-2.0 */
/* One dataset of a score file: fields of the input, then scores. */
#ifndef GN2_DATA_SCORE_TABLE_H
#define GN2_DATA_SCORE_TABLE_H

#include "data/field.h"
#include "data/module.h"

/* A field of the output; `from` ≥ 0: copied from that field of the input. */
typedef struct gn2_score_field {
    char *name;
    int32_t kind, size;
    int64_t from;
} gn2_score_field;

typedef struct gn2_score_table {
    gn2_h5_table *in, *out;
    const char *dataset;     /* its name, borrowed */
    const gn2_h5_info *info; /* of the input */
    int keeps_unwritten;     /* rows nobody has filled are taken as they read */
    int64_t valid;           /* field number in the input; −1: none */
    size_t field_count, field_capacity;
    gn2_score_field *field;
    size_t copied;  /* the first fields, copied; scores follow */
    int half;       /* reals get 16 bits where these hold them */
    int64_t record; /* bytes of an output record */
    char *in_data, *out_data;
    int64_t capacity; /* input rows the two have room for */
} gn2_score_table;

/* Opens the input's dataset, whose name must outlive the table. */
gn2_status gn2_score_table_open(gn2_score_table *table, gn2_h5_file *file,
                                const char *dataset, int half);
/* Takes a field of the input, if it is there; all of fixed size, the others are logged.
 */
gn2_status gn2_score_table_copy(gn2_score_table *table, const char *name,
                                int *out_found);
gn2_status gn2_score_table_copy_all(gn2_score_table *table);
/* Adds a field for a score; a copied one of that name gives way, a score not. */
gn2_status gn2_score_table_add(gn2_score_table *table, const char *name, int32_t kind,
                               int32_t size);
/* Selects what is copied, when all fields are known; then makes the output's dataset.
 */
gn2_status gn2_score_table_select(gn2_score_table *table);
gn2_status gn2_score_table_make(gn2_score_table *table, gn2_h5_file *out);
/* Reads rows of the input and fills the copied fields of the output's records. */
gn2_status gn2_score_table_begin(gn2_score_table *table, int64_t start, int64_t count);
/* Fills one score of those rows: values[0], values[1], … in the record's bytes from
 * `offset`. The first slot whose finite value would become infinite, −1: none. */
int64_t gn2_score_table_put(const gn2_score_table *table, size_t index, int64_t offset,
                            const float *values, int64_t slots);
/* The same of a field of 8-byte integers. */
void gn2_score_table_put_whole(const gn2_score_table *table, int64_t offset,
                               const int64_t *values, int64_t slots);
/* Bytes of the copied fields in an output record: the scores follow. */
int64_t gn2_score_table_copied(const gn2_score_table *table);
/* Whether a slot of those rows is valid. */
int gn2_score_table_valid(const gn2_score_table *table, int64_t slot);
/* Rows that are worth doing at once. */
int64_t gn2_score_table_slab(const gn2_score_table *table);
gn2_status gn2_score_table_close(gn2_score_table *table);

#endif
