/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of score files: scores of some jets, and files read back. */
#ifndef GN2_TESTS_SCORE_CASE_H
#define GN2_TESTS_SCORE_CASE_H

#include "data_case.h"
#include "net/model.h"

#define JETS 250
#define SLOTS 7
#define ORIGINS 8

/* Filled by make_input(). */
extern float probabilities[JETS * 4], d_b[JETS], origin[JETS * SLOTS * ORIGINS];
extern int32_t vertex[JETS * SLOTS];

/* Jets in input.h5, and their scores. */
case_jets make_input(void);

/* A model with `key = value` pairs on top of the defaults. */
gn2_model *model_of(gn2_config *config);
#define MODEL(...) model_of(CONFIG(__VA_ARGS__))

gn2_score score(const char *output, const void *data, int64_t rows);
/* Adds the outputs of today's GN2 that are not NULL; `rows` of constituents. */
gn2_status add(gn2_score_writer *w, int64_t count, int64_t rows, const float *p,
               const float *d, const float *o, const int32_t *v);

/* A dataset read whole: its fields by name. */
typedef struct table {
    gn2_h5_file *file;
    gn2_h5_table *table;
    const gn2_h5_info *info;
    char *records;
} table;

table open_table(const char *path, const char *name);
void close_table(table *t);
const gn2_h5_field *field_of(const table *t, const char *name);
double value(const table *t, const char *name, int64_t slot);
/* These fields, ended by NULL, and no others; reals of that size. */
void check_fields(const table *t, const char *const *names, int32_t real_size);

#endif
