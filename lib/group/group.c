/* SPDX-License-Identifier: Apache-2.0 */
#include "group/group.h"

#include <stdio.h>

#include "util/alloc.h"

static gn2_status check(const gn2_transport *t)
{
    if (!t->exchange)
        return gn2_fail(GN2_ERR_INVALID_ARG, "gn2_transport: exchange is NULL");
    if (t->size < 1 || t->size > GN2_MAX_RANKS)
        return gn2_fail(GN2_ERR_INVALID_ARG, "gn2_transport: size = %d: 1 to %d ranks",
                        (int)t->size, GN2_MAX_RANKS);
    if (t->rank >= 0 && t->rank < t->size) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG, "gn2_transport: rank = %d of %d ranks",
                    (int)t->rank, (int)t->size);
}

gn2_status gn2_group_new(const gn2_transport *transport, gn2_group **out_group)
{
    GN2_TRY(check(transport));
    gn2_group *group = gn2_alloc(1, sizeof *group);
    if (!group) return gn2_fail_memory();
    group->transport = *transport;
    *out_group = group;
    return GN2_OK;
}

void gn2_group_delete(gn2_group *group)
{
    if (!group) return;
    if (group->transport.close) group->transport.close(group->transport.user);
    gn2_free(group);
}

gn2_status gn2_group_set_timeout(const gn2_group *group, double seconds)
{
    const gn2_transport *t = &group->transport;
    if (!t->set_timeout)
        return gn2_fail(GN2_ERR_UNSUPPORTED,
                        "group.timeout = %g: the transport of this group has no "
                        "deadline to set: leave the option out",
                        seconds);
    t->set_timeout(t->user, seconds);
    return GN2_OK;
}

/* The others would wait for what this rank will not send any more. */
static gn2_status die(gn2_group *group, gn2_status status, int32_t peer,
                      const gn2_parcel *p)
{
    const gn2_transport *t = &group->transport;
    group->dead = 1;
    snprintf(group->why, sizeof group->why,
             "rank %d of %d: exchange with rank %d failed (status %d; %zu bytes to it, "
             "%zu from it)",
             (int)t->rank, (int)t->size, (int)peer, (int)status, p->send_size,
             p->receive_size);
    if (t->abort) t->abort(t->user, group->why);
    return gn2_fail(status < 0 ? status : GN2_ERR_INTERNAL, "%s", group->why);
}

static gn2_status carry(const gn2_transport *t, int32_t peer, const gn2_parcel *p,
                        const gn2_taker *taker)
{
    if (taker && t->exchange_parts)
        return t->exchange_parts(t->user, peer, p->send, p->send_size, p->receive,
                                 p->receive_size, taker->arrived, taker->context);
    return t->exchange(t->user, peer, p->send, p->send_size, p->receive,
                       p->receive_size);
}

gn2_status gn2_group_exchange(gn2_group *group, int32_t peer, const gn2_parcel *p,
                              const gn2_taker *taker)
{
    if (p->send_size == 0 && p->receive_size == 0) return GN2_OK;
    if (group->dead)
        return gn2_fail(GN2_ERR_STATE, "the group is dead: %.400s", group->why);
    const gn2_status status = carry(&group->transport, peer, p, taker);
    if (status != GN2_OK) return die(group, status, peer, p);
    if (taker && p->receive_size) taker->arrived(taker->context, p->receive_size);
    return GN2_OK;
}

/* Ranks are counted from the root on. In round d those below d have the data. */
gn2_status gn2_group_spread(gn2_group *group, void *data, size_t size, int32_t root)
{
    const int32_t ranks = gn2_group_ranks(group);
    const int32_t mine = (gn2_group_me(group) - root + ranks) % ranks;
    if (size == 0) return GN2_OK;
    for (int32_t d = 1; d < ranks; d *= 2) {
        const int32_t to = mine + d, from = mine - d;
        const gn2_parcel send = {.send = data, .send_size = size};
        const gn2_parcel receive = {.receive = data, .receive_size = size};
        if (mine < d && to < ranks)
            GN2_TRY(gn2_group_exchange(group, (to + root) % ranks, &send, NULL));
        else if (mine >= d && mine < 2 * d)
            GN2_TRY(gn2_group_exchange(group, (from + root) % ranks, &receive, NULL));
    }
    return GN2_OK;
}

/* Rank 0 has all blocks at the end: in round d a rank hands its d blocks down. */
static gn2_status collect(gn2_group *group, char *blocks, const size_t *at)
{
    const int32_t ranks = gn2_group_ranks(group), me = gn2_group_me(group);
    for (int32_t d = 1; d < ranks; d *= 2) {
        const int32_t end = me + d < ranks ? me + d : ranks;
        if (me % (2 * d) == d) {
            const gn2_parcel send = {.send = blocks + at[me],
                                     .send_size = at[end] - at[me]};
            return gn2_group_exchange(group, me - d, &send, NULL);
        }
        if (end == ranks) continue;
        const int32_t theirs = end + d < ranks ? end + d : ranks;
        const gn2_parcel receive = {.receive = blocks + at[end],
                                    .receive_size = at[theirs] - at[end]};
        GN2_TRY(gn2_group_exchange(group, me + d, &receive, NULL));
    }
    return GN2_OK;
}

/* Ranks a power of two: in round d each has the d blocks of its d neighbours. */
static gn2_status swap_all(gn2_group *group, char *blocks, const size_t *at)
{
    const int32_t ranks = gn2_group_ranks(group), me = gn2_group_me(group);
    for (int32_t d = 1; d < ranks; d *= 2) {
        const int32_t mine = me & ~(d - 1), theirs = mine ^ d;
        const gn2_parcel p = {blocks + at[mine], at[mine + d] - at[mine],
                              blocks + at[theirs], at[theirs + d] - at[theirs]};
        GN2_TRY(gn2_group_exchange(group, me ^ d, &p, NULL));
    }
    return GN2_OK;
}

gn2_status gn2_group_gather_parts(gn2_group *group, void *blocks, const size_t *at)
{
    const int32_t ranks = gn2_group_ranks(group);
    if ((ranks & (ranks - 1)) == 0) return swap_all(group, blocks, at);
    GN2_TRY(collect(group, blocks, at));
    return gn2_group_spread(group, blocks, at[ranks], 0);
}

gn2_status gn2_group_gather(gn2_group *group, void *blocks, size_t size)
{
    size_t at[GN2_MAX_RANKS + 1];
    for (int32_t i = 0; i <= gn2_group_ranks(group); i++) at[i] = (size_t)i * size;
    return gn2_group_gather_parts(group, blocks, at);
}
