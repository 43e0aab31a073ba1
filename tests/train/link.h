/* SPDX-License-Identifier: Apache-2.0 */
/* A transport between threads of a test: messages are kept in queues, and it can be
 * told to do wrong. */
#ifndef GN2_TESTS_LINK_H
#define GN2_TESTS_LINK_H

#include <gn2/group.h>

#define MOST_RANKS 8

typedef enum fault {
    FAULT_NONE,
    FAULT_FAIL,     /* one exchange of a rank */
    FAULT_TRUNCATE, /* the first message that a rank sends from one on, by a byte */
    FAULT_DELAY,    /* all exchanges, a little */
    FAULT_ORDER,    /* ranks arrive in another order at each exchange */
    FAULT_SWAP      /* rank 0 takes long messages of ranks 1 and 2 for each other's */
} fault;

/* Posts of the ranks, and what goes wrong. */
typedef struct world {
    fault fault;
    int32_t at_rank; /* FAULT_FAIL, FAULT_TRUNCATE: whose exchange */
    int64_t at;      /* and which, from 0 */
    int whole;       /* it cannot tell of parts of a message */
    int64_t exchanges[MOST_RANKS];
    int64_t in_parts[MOST_RANKS]; /* of them, those that told of parts */
    struct queues *queues;
} world;

/* To be closed when all groups are freed. */
void open_world(world *w, int32_t size);
void close_world(world *w);
/* What rank `rank` makes its group of. Its deadline is 20 s unless it is set. */
gn2_transport link_of(world *w, int32_t rank);

#endif
