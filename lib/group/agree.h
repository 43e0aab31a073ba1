/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small message before anything large: does every rank go on, to the same place?
 * A failure of one becomes that of all, with its message. Whoever fails between two
 * agreements says so in its next one, which meets that of the others.
 */
#ifndef GN2_GROUP_AGREE_H
#define GN2_GROUP_AGREE_H

#include "group/group.h"

/* What a rank is about to do. */
typedef enum gn2_place_kind {
    GN2_PLACE_JOIN,
    GN2_PLACE_BEGIN, /* of a run */
    GN2_PLACE_STEP,
    GN2_PLACE_END /* of a run */
} gn2_place_kind;

typedef struct gn2_place {
    int64_t kind; /* gn2_place_kind */
    int64_t step;
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

/* After a failure: do the others know of it, or need to be told by an agreement? */
static inline int gn2_group_knows(const gn2_group *group)
{
    return !group || group->told || group->dead;
}

/* Bytes of a text that is compared. */
#define GN2_COMPARE_SIZE 65536

/* Lines that must be the same on all ranks: the first that differs from rank 0's is
 * named. text: room for two, zeroed, the first filled; may be NULL with a `status`. */
gn2_status gn2_group_compare(gn2_group *group, gn2_status status, char *text);

#endif
