/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the HDF5 files of golden vectors (README.md). Every number becomes a
 * double; a missing or odd object ends the program, for then nothing is shown.
 */
#ifndef GN2_TESTS_GOLDEN_FILE_H
#define GN2_TESTS_GOLDEN_FILE_H

#include <stdint.h>

#define GOLDEN_RANK 3

/* A dataset or attribute; dims beyond its rank are 1. */
typedef struct golden_array {
    int rank;
    int64_t dim[GOLDEN_RANK];
    int64_t count;
    double *x;
} golden_array;

typedef struct golden_text {
    int64_t count;
    char **item;
} golden_text;

/* An HDF5 handle. */
typedef int64_t golden_id;

golden_id golden_open(const char *path);
void golden_close(golden_id file);
int golden_has(golden_id file, const char *path);
int golden_has_attr(golden_id file, const char *path, const char *name);
/* Links of a group, in order of their names; freed by golden_text_free(). */
golden_text golden_members(golden_id file, const char *path);

golden_array golden_read(golden_id file, const char *path);
golden_array golden_read_attr(golden_id file, const char *path, const char *name);
golden_text golden_read_text(golden_id file, const char *path);
golden_text golden_read_attr_text(golden_id file, const char *path, const char *name);
void golden_array_free(golden_array *array);
void golden_text_free(golden_text *text);

/* Scalars. */
double golden_number(golden_id file, const char *path, const char *attr);
void golden_string(golden_id file, const char *path, const char *attr, char out[64]);

#endif
