/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where jets come from: files or the caller's arrays, read by contiguous ranges.
 * Knows nothing of batches and order.
 */
#ifndef GN2_DATA_SOURCE_H
#define GN2_DATA_SOURCE_H

#include <gn2/dataset.h>
#include <stdatomic.h>

#include "data/opening.h"
#include "data/schema.h"
#include "util/str.h"

typedef struct gn2_source gn2_source;

struct gn2_source {
    const gn2_schema *schema;
    gn2_rows_shape shape; /* labels that are really there */
    gn2_trouble trouble; /* with the labels of all of it, told before a value is read */
    int64_t count;       /* jets */
    int64_t max_slots;   /* largest number of constituents of a jet */
    _Atomic int64_t *memory;
    gn2_pool *threads; /* that may help with its jets; NULL: there are none */
    /* Makes them as many, the caller among them, while nobody reads; NULL: it cannot.
     */
    gn2_status (*set_threads)(gn2_source *source, int32_t threads);
    /* Appends jets start … start+count−1 to `rows`. */
    gn2_status (*load)(gn2_source *source, int64_t start, int64_t count,
                       gn2_non_finite policy, gn2_rows *rows);
    /* Refuses what was never written among the first `jets`, INT64_MAX: among all that
     * was read to choose them; NULL: that cannot be. */
    gn2_status (*check)(const gn2_source *source, int64_t jets);
    /* Jets among the first `jets` that were never written; NULL: none. */
    int64_t (*unwritten)(const gn2_source *source, int64_t jets);
    /* Which rows of all files, one after another, the first `jets` are; NULL: all. */
    void (*rows)(const gn2_source *source, int64_t jets, int64_t *out_rows);
    /* Adds lines that tell this data from other data. */
    void (*describe)(const gn2_source *source, gn2_text *text);
    /* Adds a line a file, of `what` data, that tells its contents from others'; the
     * path follows a tab. GN2_ERR_CANCELLED once *stop is not 0. */
    gn2_status (*identify)(const gn2_source *source, const char *what,
                           const atomic_int *stop, gn2_text *text);
    /* One line for provenance: file names or "arrays". */
    void (*title)(const gn2_source *source, gn2_text *text);
    /* Classes of the labels in the order of their values in the first file, as
     * salt's class_dict lists them; NULL: values index the schema's classes. */
    const gn2_label_map *(*labels)(const gn2_source *source, int32_t label);
    /* Frees what it holds; NULL: nothing. */
    void (*clear)(gn2_source *source);
};

/* Files to be opened, and who watches it. */
typedef struct gn2_file_names {
    const char *const *paths;
    size_t count;
    gn2_opening_watch *watch;
} gn2_file_names;

/* *out_source is to be freed whatever comes. */
gn2_status gn2_source_files(const gn2_file_names *names, const gn2_schema *schema,
                            _Atomic int64_t *memory, gn2_source **out_source);
gn2_status gn2_source_arrays(const gn2_jets *jets, const gn2_labels *labels,
                             const gn2_schema *schema, _Atomic int64_t *memory,
                             gn2_source **out_source);
/* NULL is allowed. */
void gn2_source_free(gn2_source *source);

#endif
