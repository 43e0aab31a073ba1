/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small message before anything large: does every rank go on, to the same place?
 * A failure of one becomes that of all, with its message. Whoever fails between two
 * agreements says so in its next one, which meets that of the others.
 */
#ifndef GN2_GROUP_AGREE_H
#define GN2_GROUP_AGREE_H

#include "group/group.h"

/* What a rank is about to do. Numbers are for good, as is the message. */
typedef enum gn2_place_kind {
    GN2_PLACE_JOIN,
    GN2_PLACE_BEGIN, /* of a run */
    GN2_PLACE_STEP,
    GN2_PLACE_END, /* of a call */
    GN2_PLACE_EVALUATION,
    GN2_PLACE_BROADCAST
} gn2_place_kind;

typedef struct gn2_place {
    int64_t kind;    /* gn2_place_kind */
    int64_t count;   /* steps done, jets evaluated, bytes to come */
    uint64_t digest; /* of what it works on */
    int64_t stop;    /* asked to stop */
} gn2_place;

/*
 * `status` is what happened here so far; a failure's message is the thread's. Fails on
 * all ranks if one failed or stands elsewhere. *out_stop: rank that was asked to stop,
 * −1: none. A group of NULL agrees.
 */
gn2_status gn2_group_agree(gn2_group *group, gn2_status status, const gn2_place *place,
                           int32_t *out_stop);

/* The other ranks, which are joining, hear of a failure here; returns it. */
gn2_status gn2_group_refuse(gn2_group *group, gn2_status status);

/* Bytes of a text that is compared. */
#define GN2_COMPARE_SIZE 65536

/* Lines that must be the same on all ranks, up to a tab: what follows it is only shown.
 */
typedef struct gn2_comparison {
    gn2_place_kind kind;
    char *text; /* room for two, zeroed, the first filled; NULL: there is a failure */
    int64_t level; /* this rank's; then the least of all */
    int64_t line;  /* then: the first that differs, −1: none */
} gn2_comparison;

/* Bytes of a line up to its tab or end. */
size_t gn2_group_compared(const char *line);

/* Names the first line that differs from rank 0's, with the ranks. `status` as above.
 */
gn2_status gn2_group_compare(gn2_group *group, gn2_status status,
                             gn2_comparison *comparison);

#endif
