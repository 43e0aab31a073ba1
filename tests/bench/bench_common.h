/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the benchmarks of whole networks: jets of a file held in memory, views
 * into them, the useful work of a jet, and options of the command line. */
#ifndef GN2_BENCH_COMMON_H
#define GN2_BENCH_COMMON_H

#include "data/dataset.h"
#include "net/hparams.h"

/* The first jets of a file, in the order of data.sampling. */
typedef struct bench_jets {
    gn2_dataset *dataset;
    gn2_jets jets;
    gn2_labels labels;
} bench_jets;

/* Reads `count` jets (fewer if the file has fewer); fills norm.* and class weights
 * of the config from the file. */
gn2_status bench_jets_read(const char *file, int64_t count, gn2_config *config,
                           bench_jets *out);
void bench_jets_free(bench_jets *j);

/* Some of the jets as a call of their own; their values stay where they are. Not to
 * be copied: it points into itself. */
#define BENCH_LABELS 3 /* of the default tasks */

typedef struct bench_view {
    gn2_jets jets;
    gn2_labels labels;
    gn2_label label[BENCH_LABELS];
    gn2_sequence tracks;
    int64_t *offsets; /* owned */
} bench_view;

gn2_status bench_view_make(const bench_jets *from, int64_t first, int64_t count,
                           bench_view *out);
void bench_view_free(bench_view *v);
/* Tracks of jet b of a view. */
int64_t bench_view_tracks(const bench_view *v, int64_t b);

/* Useful work of the forward pass of a jet with n tracks, in flop (a multiply-add
 * counts 2): packed tokens, split pair head. tasks: bit set of gn2_task_id. */
double bench_jet_flop(const gn2_hparams *h, double n, unsigned tasks);
/* The same summed over the jets of a view. */
double bench_view_flop(const gn2_hparams *h, const bench_view *v, unsigned tasks);

/* key=value of the command line into the config. */
gn2_status bench_set_option(gn2_config *config, const char *option);
/* $GN2_SHARED/data/`name` into path; 0 if there is no such file. */
int bench_find_file(const char *name, char *path, size_t capacity);
/* Prints the library's last error; returns 1. */
int bench_complain(const char *what);

#endif
