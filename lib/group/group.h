/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks and the collectives that are made of exchanges with one peer: what every rank
 * calls in the same order. Knows bytes, not numbers. After a failed exchange the group
 * is dead: each later call says why.
 */
#ifndef GN2_GROUP_GROUP_H
#define GN2_GROUP_GROUP_H

#include <gn2/group.h>

#include "util/error.h"
#include "util/use.h"

#define GN2_MAX_RANKS 1024

struct gn2_group {
    gn2_use use;
    gn2_transport transport;
    int dead;
    int told; /* what failed last is known to all ranks */
    char why[GN2_ERROR_SIZE];
};

/* Bytes to a peer and from it; either part may be empty. */
typedef struct gn2_parcel {
    const void *send;
    size_t send_size;
    void *receive;
    size_t receive_size;
} gn2_parcel;

gn2_status gn2_group_new(const gn2_transport *transport, gn2_group **out_group);
void gn2_group_delete(gn2_group *group);

static inline int32_t gn2_group_ranks(const gn2_group *group)
{
    return group ? group->transport.size : 1;
}

static inline int32_t gn2_group_me(const gn2_group *group)
{
    return group ? group->transport.rank : 0;
}

/* GN2_ERR_UNSUPPORTED where the transport has no deadline to set. */
gn2_status gn2_group_set_timeout(const gn2_group *group, double seconds);

/* Takes in what a peer sends, on the calling thread. */
typedef struct gn2_taker {
    gn2_arrived_fn arrived;
    void *context;
} gn2_taker;

/* The taker, if there is one, is told of bytes while more are on their way, where the
 * transport can do that; in the end, but for a failure, of all. A message has one on
 * both sides, or on neither. */
gn2_status gn2_group_exchange(gn2_group *group, int32_t peer, const gn2_parcel *parcel,
                              const gn2_taker *taker);

/* `size` bytes of root to all, by a binomial tree. */
gn2_status gn2_group_spread(gn2_group *group, void *data, size_t size, int32_t root);

/* A block of `size` bytes of every rank to all: blocks (ranks, size), one's own in its
 * place. */
gn2_status gn2_group_gather(gn2_group *group, void *blocks, size_t size);
/* The same of blocks at offsets at[0] = 0 … at[ranks], in bytes. */
gn2_status gn2_group_gather_parts(gn2_group *group, void *blocks, const size_t *at);

#endif
