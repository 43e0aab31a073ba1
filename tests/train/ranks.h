/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks that are threads of the test: a transport that keeps messages in queues, and
 * can be told to fail. */
#ifndef GN2_TESTS_RANKS_H
#define GN2_TESTS_RANKS_H

#include <gn2/group.h>

#include "toy.h"

#define MOST_RANKS 8

typedef enum fault { FAULT_NONE, FAULT_FAIL, FAULT_TRUNCATE, FAULT_DELAY } fault;

typedef struct world {
    fault fault;
    int32_t at_rank;   /* whose exchange */
    int64_t at;        /* number `at` has the fault; FAULT_DELAY: every one of all */
    int64_t exchanges; /* of at_rank, counted */
    struct queues *queues;
} world;

/* One rank: what it works with, and what came of it. */
typedef struct rank {
    int32_t number, size;
    gn2_config *config;
    gn2_trainer *trainer;
    toy *data, *val;
    gn2_dataset *train_set, *val_set;
    const char *load;  /* checkpoint to go on with, or NULL */
    int64_t stop_at;   /* it asks to stop behind this step; 0: does not */
    int64_t cancel_at; /* its callback does */
    double loss, norm, val_loss, auc; /* the last ones told */
    gn2_group *group;
    gn2_status status;
    char message[GN2_ERROR_SIZE];
} rank;

typedef gn2_status (*rank_fn)(rank *r);

/* `size` ranks with a trainer and data of their own, all alike. */
void make_ranks(rank *ranks, int32_t size, const char *const *options);
void free_ranks(rank *ranks, int32_t size);
/* Every rank in a thread of its own; waits for all. */
void run_ranks(rank *ranks, int32_t size, world *w, rank_fn fn);

/* Joins and trains; alone it only trains. */
gn2_status join_and_fit(rank *r);
/* Joins and makes two steps on the same batch. */
gn2_status join_and_step(rank *r);

#endif
