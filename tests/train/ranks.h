/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks that are threads of the test, with a trainer and data of their own each. */
#ifndef GN2_TESTS_RANKS_H
#define GN2_TESTS_RANKS_H

#include "link.h"
#include "toy.h"

/* One rank: what it works with, and what came of it. */
typedef struct rank {
    int32_t number, size;
    gn2_config *config;
    gn2_trainer *trainer;
    toy *data, *val;
    gn2_dataset *train_set, *val_set;
    const char *load;  /* checkpoint to go on with, or NULL */
    int64_t steps;     /* of join_and_step() */
    int64_t stop_at;   /* it asks to stop behind this step; 0: does not */
    int64_t cancel_at; /* its callback does */
    double loss, norm, val_loss, auc; /* the last ones told */
    gn2_metrics figures;              /* of join_and_evaluate() */
    gn2_group *group;
    gn2_status status;
    char message[GN2_ERROR_SIZE];
} rank;

#define RUN(...)                                                                 \
    OPTIONS("model.dropout_ffn=0.1", "model.dropout_init=0.1", "train.epochs=3", \
            "data.batch_size=20", "schedule.steps=0", "optim.clip_norm=1",       \
            "train.validate_steps=2", "data.prefetch=0", __VA_ARGS__)
/* Steps without a run need the schedule's length. */
#define STEPS(...) RUN("schedule.steps=60", __VA_ARGS__)

typedef gn2_status (*rank_fn)(rank *r);

/* `size` ranks with a trainer and data of their own, all alike. */
void make_ranks(rank *ranks, int32_t size, const char *const *options);
void free_ranks(rank *ranks, int32_t size);
/* Every rank in a thread of its own; waits for all. */
void run_ranks(rank *ranks, int32_t size, world *w, rank_fn fn);

void assert_all_ok(const rank *ranks, int32_t size);
void assert_all_say(const rank *ranks, int32_t size, gn2_status status,
                    const char *words);
/* All have done so many steps. */
void assert_all_at(const rank *ranks, int32_t size, int64_t steps);

/* Joins and trains; alone it only trains. */
gn2_status join_and_fit(rank *r);
/* The same on all ranks, which do not arrive together. */
void fit_ranks(rank *ranks, int32_t size);
/* Joins and makes steps on the same batch, two unless it is told otherwise. */
gn2_status join_and_step(rank *r);
/* Joins and evaluates the validation data. */
gn2_status join_and_evaluate(rank *r);

#endif
