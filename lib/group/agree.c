/* SPDX-License-Identifier: Apache-2.0 */
#include "group/agree.h"

#include <stdio.h>
#include <string.h>

/* What each rank sends. It is laid down for good: ranks of other versions must be able
 * to find out that they are. */
typedef struct word {
    int64_t status;
    gn2_place place;
} word;

/* The first rank's message becomes that of all; how many others failed is told. */
static gn2_status fail_together(gn2_group *group, const word *words, int32_t first)
{
    const gn2_status status = (gn2_status)words[first].status;
    char text[GN2_ERROR_SIZE] = "", also[40] = "";
    int more = 0;
    for (int32_t i = first + 1; i < gn2_group_ranks(group); i++)
        more += words[i].status != GN2_OK;
    if (more) snprintf(also, sizeof also, " (and %d more)", more);
    snprintf(text, sizeof text, "%s", gn2_error_text());
    GN2_TRY(gn2_group_spread(group, text, sizeof text, first));
    text[sizeof text - 1] = 0;
    return gn2_fail(status, "rank %d%s: %.440s", (int)first, also, text);
}

static const char *kind_name(int64_t kind)
{
    static const char *const names[] = {"joining the group", "beginning a run",
                                        "at a step", "ending a run"};
    return kind >= 0 && kind < 4 ? names[kind] : "elsewhere";
}

static gn2_status fail_place(const word *a, const word *b, int32_t rank)
{
    const gn2_place *p = &a->place, *q = &b->place;
    if (p->kind != q->kind)
        return gn2_fail(GN2_ERR_STATE, "rank %d is %s, rank 0 is %s", (int)rank,
                        kind_name(q->kind), kind_name(p->kind));
    if (p->step != q->step)
        return gn2_fail(GN2_ERR_STATE, "rank %d has done %lld steps, rank 0 %lld",
                        (int)rank, (long long)q->step, (long long)p->step);
    return gn2_fail(GN2_ERR_INVALID_ARG,
                    "rank %d has another batch than rank 0 for the step after %lld: "
                    "give all ranks the same jets and labels in the same order",
                    (int)rank, (long long)p->step);
}

static int same_place(const gn2_place *a, const gn2_place *b)
{
    return a->kind == b->kind && a->step == b->step && a->digest == b->digest;
}

static gn2_status judge(gn2_group *group, const word *words, int32_t *out_stop)
{
    const int32_t ranks = gn2_group_ranks(group);
    *out_stop = -1;
    for (int32_t i = 0; i < ranks; i++)
        if (words[i].status != GN2_OK) return fail_together(group, words, i);
    for (int32_t i = 1; i < ranks; i++)
        if (!same_place(&words[0].place, &words[i].place))
            return fail_place(&words[0], &words[i], i);
    for (int32_t i = ranks - 1; i >= 0; i--)
        if (words[i].place.stop) *out_stop = i;
    return GN2_OK;
}

gn2_status gn2_group_agree(gn2_group *group, gn2_status status, const gn2_place *place,
                           int32_t *out_stop)
{
    word words[GN2_MAX_RANKS];
    if (!group) return status;
    words[gn2_group_me(group)] = (word){status, *place};
    group->told = 1;
    if (group->dead && status != GN2_OK) return status;
    GN2_TRY(gn2_group_gather(group, words, sizeof *words));
    GN2_TRY(judge(group, words, out_stop));
    group->told = 0;
    return GN2_OK;
}

/* ---- text ---- */

static gn2_status compare_lines(const char *mine, const char *first)
{
    for (;;) {
        const size_t a = strcspn(mine, "\n"), b = strcspn(first, "\n");
        if (a != b || memcmp(mine, first, a) != 0)
            return gn2_fail(GN2_ERR_INVALID_ARG,
                            "%.*s, where rank 0 has %.*s: all ranks need the same",
                            (int)(a < 150 ? a : 150), a ? mine : "nothing",
                            (int)(b < 150 ? b : 150), b ? first : "nothing");
        if (mine[a] == 0 && first[b] == 0) return GN2_OK;
        mine += a + (mine[a] != 0);
        first += b + (first[b] != 0);
    }
}

gn2_status gn2_group_compare(gn2_group *group, gn2_status status, char *text)
{
    static const gn2_place place = {.kind = GN2_PLACE_JOIN};
    int32_t stop;
    GN2_TRY(gn2_group_agree(group, status, &place, &stop));
    char *first = text + GN2_COMPARE_SIZE;
    if (gn2_group_me(group) == 0) memcpy(first, text, GN2_COMPARE_SIZE);
    GN2_TRY(gn2_group_spread(group, first, GN2_COMPARE_SIZE, 0));
    return gn2_group_agree(group, compare_lines(text, first), &place, &stop);
}
