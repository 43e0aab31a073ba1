/* SPDX-License-Identifier: Apache-2.0 */
/* A run over a toy dataset: ten batches of ten jets, four epochs, 40 steps. */
#ifndef GN2_TESTS_SESSION_H
#define GN2_TESTS_SESSION_H

#include "data/dataset.h"
#include "toy.h"

typedef struct session {
    gn2_config *config;
    gn2_trainer *trainer;
    toy *data;
    gn2_dataset *dataset;
} session;

session open_session(void);
void close_session(session *s);
/* Trains without validation. */
gn2_status fit(session *s, gn2_progress_fn fn, void *user);
/* The run nobody interrupts. */
session whole_run(void);
/* Weights, moments and position are the same, to the bit. */
void assert_same_state(const gn2_trainer *a, const gn2_trainer *b);

/* Two files in a folder of the test's own: set-up and tear-down of a group. */
extern char path[64], other[64];
int make_files(void **state);
int remove_files(void **state);

#endif
