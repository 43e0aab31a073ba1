/* SPDX-License-Identifier: Apache-2.0 */
/* One dataset of a score file: fields of the input, then scores. */
#ifndef GN2_DATA_SCORE_TABLE_H
#define GN2_DATA_SCORE_TABLE_H

#include "data/field.h"
#include "data/module.h"

/* A field of the output. */
typedef struct gn2_score_field {
    char *name;
    int32_t kind, size;
    int64_t from;   /* field of the input that is copied; −1: a score */
    int32_t output; /* of the model, whose column the score is; −1: the mask */
    int64_t column;
    int64_t offset; /* in a record, when the dataset is made */
} gn2_score_field;

typedef struct gn2_score_table {
    gn2_h5_table *in, *out;
    const char *dataset;     /* its name, borrowed */
    const gn2_h5_info *info; /* of the input */
    const char **names;      /* (fields of the input) */
    int keeps_unwritten;     /* rows nobody has filled are taken as they read */
    int64_t valid;           /* field number in the input; −1: none */
    size_t field_count, field_capacity;
    gn2_score_field *field;
    size_t copied;            /* the first fields, copied; scores follow */
    int half;                 /* reals get 16 bits where these hold them */
    int64_t record;           /* bytes of an output record */
    char *in_data, *out_data; /* records of the rows at hand */
    int64_t *row;             /* packed row of each slot, over the call; −1: none */
    int64_t capacity;         /* input rows these have room for */
} gn2_score_table;

/* Opens the input's dataset, whose name must outlive the table; how reals and unwritten
 * rows are taken has been set. */
gn2_status gn2_score_table_open(gn2_score_table *table, gn2_h5_file *file,
                                const char *dataset);
/* Takes a field of the input, if it is there; all of fixed size, the others are logged.
 */
gn2_status gn2_score_table_copy(gn2_score_table *table, const char *name,
                                int *out_found);
gn2_status gn2_score_table_copy_all(gn2_score_table *table);
/* Adds a field for a score; a copied one of that name gives way, a score not. */
gn2_status gn2_score_table_add(gn2_score_table *table, const char *name,
                               gn2_score_field field);
/* Selects what is copied, when all fields are known, and makes the output's dataset.
 * Copied reals that 16 bits do not hold are looked for, and logged. */
gn2_status gn2_score_table_make(gn2_score_table *table, gn2_h5_file *out);
/* Reads rows of the input and fills the copied fields of the output's records. */
gn2_status gn2_score_table_begin(gn2_score_table *table, int64_t start, int64_t count);
/* Where a field of a slot of those rows goes. */
static inline char *gn2_score_table_at(const gn2_score_table *table,
                                       const gn2_score_field *field, int64_t slot)
{
    return table->out_data + slot * table->record + field->offset;
}
/* A real of 2 or 4 bytes. */
void gn2_score_put_real(char *at, float value, int32_t size);
/* Whether a slot of those rows is valid. */
int gn2_score_table_valid(const gn2_score_table *table, int64_t slot);
/* Rows that are worth doing at once. */
int64_t gn2_score_table_slab(const gn2_score_table *table);
gn2_status gn2_score_table_close(gn2_score_table *table);

#endif
