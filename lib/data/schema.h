/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wanted of the data, read from a config: objects with their variables,
 * classes, labels, and what to do with NaN. Knows names, not files.
 */
#ifndef GN2_DATA_SCHEMA_H
#define GN2_DATA_SCHEMA_H

#include "config/config.h"
#include "data/rows.h"
#include "data/selection.h"
#include "net/hparams.h"

/* What happens to a number that is not finite. */
typedef enum gn2_non_finite {
    GN2_NON_FINITE_ERROR,
    GN2_NON_FINITE_DEFAULT, /* input.defaults */
    GN2_NON_FINITE_KEEP     /* for statistics, which leave it out */
} gn2_non_finite;

/* Jets (object 0) or a constituent type; strings belong to the config. */
typedef struct gn2_object {
    const char *name;
    const char *dataset;
    size_t input_count;
    const char *const *inputs;
    float *defaults; /* (inputs) */
} gn2_object;

#define GN2_LABEL_FIELDS 16
#define GN2_LABEL_NAME_SIZE (GN2_MAX_TASK_NAME + 16)

/* Labels of a task, or the weights of its rows: which object has them, their fields,
 * and what they may be. */
typedef struct gn2_label_column {
    char name[GN2_LABEL_NAME_SIZE]; /* "TASK", "TASK.sample_weight" */
    int task;
    int32_t object;                      /* 0: jets */
    int weight;                          /* weights: finite, not negative */
    int real;                            /* targets, or weights: float */
    int64_t least, most;                 /* whole numbers: what they may be */
    char classes_key[128];               /* names of the classes, empty: none */
    int32_t columns;                     /* 0: not wanted */
    const char *field[GN2_LABEL_FIELDS]; /* (columns) */
} gn2_label_column;

typedef struct gn2_schema {
    int32_t object_count;
    gn2_object object[1 + GN2_MAX_PARTS];
    const gn2_config *config;
    gn2_hparams h; /* tasks and inputs of it only */
    int32_t label_count;
    gn2_label_column label[GN2_MAX_LABELS];
    gn2_selection selection;
    gn2_non_finite non_finite;
    int keeps_unwritten; /* rows that no writer has filled are taken as they read */
} gn2_schema;

/* Name of an object's dataset. */
const char *gn2_schema_dataset(const gn2_config *config, const char *object);

/* Reads a schema, to be cleared whatever comes; `config` must outlive it. */
gn2_status gn2_schema_read(const gn2_config *config, gn2_schema *out_schema);
void gn2_schema_clear(gn2_schema *schema);

/* Table shape of a schema, with all labels it wants. */
gn2_rows_shape gn2_schema_shape(const gn2_schema *schema);

/* Replaces what is not finite in one row of an object if the policy says so;
 * returns the number of the first input that may not stay, else −1. */
int64_t gn2_schema_check(const gn2_schema *schema, gn2_non_finite policy,
                         int32_t object, float *row);

/* How values of a jet label become class indices. */
#define GN2_LABEL_MAP_MAX 64
#define GN2_LABEL_UNKNOWN -2
typedef struct gn2_label_map {
    size_t count;
    int64_t value[GN2_LABEL_MAP_MAX];
    int32_t class_index[GN2_LABEL_MAP_MAX]; /* −2: a class the model lacks */
    char name[GN2_LABEL_MAP_MAX][40];
} gn2_label_map;

/* Number of the labels of a task, −1 if none are wanted. */
int32_t gn2_schema_label(const gn2_schema *schema, int task);
/* Adds a value that stands for the class of a name; there is room. */
void gn2_label_map_add(gn2_label_map *map, const gn2_schema *schema,
                       const gn2_label_column *label, int64_t value, const char *name);
/* Map of a label without names in the file: particle codes are translated, other
 * values index the classes. */
void gn2_label_map_default(const gn2_schema *schema, const gn2_label_column *label,
                           gn2_label_map *out_map);
/* Class of a value; −1 for −1 (not labelled), −2 if it may not occur. */
int32_t gn2_label_map_find(const gn2_label_map *map, int64_t value);
/* Name of a value's class in the file, NULL if the value is unknown. */
const char *gn2_label_map_name(const gn2_label_map *map, int64_t value);

#endif
