/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the data room: places, configs, small files of any content. */
#ifndef GN2_TESTS_DATA_CASE_H
#define GN2_TESTS_DATA_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/dataset.h"
#include "data/module.h"
#include "util/error.h"

#define CASE_JET_INPUTS 2
#define CASE_TRACK_INPUTS 2
#define CASE_MOST_SLOTS 60

/* Fails the test with the library's message. */
#define MUST(expr) case_must((expr), #expr, __FILE__, __LINE__)
void case_must(gn2_status status, const char *what, const char *file, int line);

/* Expects a status and every one of the words in the message. */
#define FAILS(expr, status, ...) \
    case_fails((expr), (status), (const char *const[]){__VA_ARGS__, NULL})
void case_fails(gn2_status found, gn2_status wanted, const char *const *words);

/* A file of the sample, or of the shared data; skips the test without the latter.
 * The text lives until the 64th next call. */
const char *case_sample(const char *name);
const char *case_shared(const char *name);
int case_has_shared(void);
/* A file in a folder of this process, removed by case_clean(), a group's teardown. */
const char *case_file(const char *name);
int case_clean(void **state);
void case_write_text(const char *path, const char *text);

/* A default config with `key = value` pairs on top, ended by NULL. */
gn2_config *case_config(const char *const *pairs);
#define CONFIG(...) case_config((const char *const[]){__VA_ARGS__, NULL})
/* Inputs pt_btagJes, eta_btagJes and d0, z0SinTheta: what case_jets holds. */
#define SMALL_INPUTS                                                           \
    "inputs.tracks", "d0,z0SinTheta", "inputs.jets", "pt_btagJes,eta_btagJes", \
        "data.batch_size", "4"

gn2_dataset *case_open(const char *path, const gn2_config *config);

/* Jets whose content tells where they come from: pt of jet j is 1000 + j, d0 of
 * slot s of jet j is j + s/100. */
typedef struct case_jets {
    int64_t rows, slots;
    int32_t real_size;           /* bytes of the real fields: 2, 4 or 8 */
    int32_t label_size;          /* bytes of the integers */
    const char *const *flavours; /* attribute flavour_label, or NULL */
    size_t flavour_count;
    const char *label;       /* name of the jet label */
    const char *without;     /* a field to leave out, or NULL */
    const char *twin;        /* another dataset with the constituents, or NULL */
    int32_t padding_columns; /* further real fields before the others */
    double *pt;              /* (rows) */
    int64_t *flavour;        /* (rows) */
    double *d0;              /* (rows, slots) */
    uint8_t *valid;
    int64_t *origin, *vertex;
} case_jets;

/* All slots s < j mod (slots + 1) valid, labels 0. */
case_jets case_jets_make(int64_t rows, int64_t slots);
void case_jets_write(const case_jets *jets, const char *path);
void case_jets_free(case_jets *jets);

#endif
