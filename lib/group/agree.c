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

/* What the first rank that failed spreads. */
typedef struct reason {
    char text[GN2_ERROR_SIZE - 1];
    char of_network; /* it has no last character of a message: that is cut */
} reason;

/* The first rank's message becomes that of all; how many others failed is told. */
static gn2_status fail_together(gn2_group *group, const word *words, int32_t first)
{
    const gn2_status status = (gn2_status)words[first].status;
    reason why = {.of_network = (char)gn2_error_of_network()};
    char also[40] = "";
    int more = 0;
    for (int32_t i = first + 1; i < gn2_group_ranks(group); i++)
        more += words[i].status != GN2_OK;
    if (more) snprintf(also, sizeof also, " (and %d more)", more);
    snprintf(why.text, sizeof why.text, "%s", gn2_error_text());
    GN2_TRY(gn2_group_spread(group, &why, sizeof why, first));
    why.text[sizeof why.text - 1] = 0;
    if (status == GN2_ERR_NUMERIC && why.of_network)
        return gn2_fail_network("rank %d%s: %.440s", (int)first, also, why.text);
    return gn2_fail(status, "rank %d%s: %.440s", (int)first, also, why.text);
}

/* By kind: where a rank is, and what is counted there. */
static const struct {
    const char *is, *counts;
} kinds[] = {
    [GN2_PLACE_JOIN] = {"joining the group", "steps done"},
    [GN2_PLACE_BEGIN] = {"beginning a run", "steps done"},
    [GN2_PLACE_STEP] = {"at a step", "steps done"},
    [GN2_PLACE_END] = {"ending a call", "steps done"},
    [GN2_PLACE_EVALUATION] = {"evaluating", "jets evaluated"},
    [GN2_PLACE_BROADCAST] = {"broadcasting", "bytes to broadcast"},
};

static int is_known(int64_t kind)
{
    return kind >= 0 && kind < (int64_t)(sizeof kinds / sizeof kinds[0]);
}

static const char *kind_name(int64_t kind)
{
    return is_known(kind) ? kinds[kind].is : "elsewhere";
}

static gn2_status fail_place(const gn2_place *p, const gn2_place *q, int32_t rank)
{
    const long long here = (long long)p->count, there = (long long)q->count;
    if (p->kind != q->kind || !is_known(p->kind))
        return gn2_fail(GN2_ERR_STATE, "rank %d is %s, rank 0 is %s", (int)rank,
                        kind_name(q->kind), kind_name(p->kind));
    if (p->count != q->count)
        return gn2_fail(GN2_ERR_STATE, "rank %d has %lld %s, rank 0 %lld", (int)rank,
                        there, kinds[p->kind].counts, here);
    if (p->kind == GN2_PLACE_BROADCAST)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "rank %d expects the bytes of another rank than rank 0: give "
                        "all ranks the same root",
                        (int)rank);
    return gn2_fail(GN2_ERR_INVALID_ARG,
                    "rank %d has another batch than rank 0 after %lld %s: give all "
                    "ranks the same jets and labels in the same order",
                    (int)rank, here, kinds[p->kind].counts);
}

static int same_place(const gn2_place *a, const gn2_place *b)
{
    return a->kind == b->kind && a->count == b->count && a->digest == b->digest;
}

static gn2_status judge(gn2_group *group, const word *words, int32_t *out_stop)
{
    const int32_t ranks = gn2_group_ranks(group);
    *out_stop = -1;
    for (int32_t i = 0; i < ranks; i++)
        if (words[i].status != GN2_OK) return fail_together(group, words, i);
    for (int32_t i = 1; i < ranks; i++)
        if (!same_place(&words[0].place, &words[i].place))
            return fail_place(&words[0].place, &words[i].place, i);
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

gn2_status gn2_group_refuse(gn2_group *group, gn2_status status)
{
    static const gn2_place place = {.kind = GN2_PLACE_JOIN};
    int32_t stop;
    return gn2_group_agree(group, status, &place, &stop);
}

/* ---- text ---- */

#define SAME INT64_MAX

/* What a rank found. */
typedef struct finding {
    int64_t line; /* first that is not rank 0's, or SAME */
    int64_t level;
} finding;

size_t gn2_group_compared(const char *line)
{
    return strcspn(line, "\t\n");
}

static const char *next(const char *line)
{
    line += strcspn(line, "\n");
    return line + (*line != 0);
}

static int64_t first_difference(const char *mine, const char *first)
{
    for (int64_t i = 0; *mine || *first; i++) {
        const size_t a = gn2_group_compared(mine);
        if (a != gn2_group_compared(first) || memcmp(mine, first, a) != 0) return i;
        mine = next(mine);
        first = next(first);
    }
    return SAME;
}

/* Line number `index` with what is shown of it. */
static void show(const char *text, int64_t index, char out[200])
{
    while (index-- > 0) text = next(text);
    const size_t length = strcspn(text, "\n");
    snprintf(out, 200, "%.*s", (int)(length < 199 ? length : 199),
             length ? text : "nothing");
    for (char *tab = strchr(out, '\t'); tab; tab = strchr(tab, '\t')) *tab = ' ';
}

/* Other ranks whose line is not rank 0's either. */
static void list_others(const finding *found, int32_t ranks, int32_t rank,
                        char out[100])
{
    size_t used = 0;
    out[0] = 0;
    for (int32_t i = rank + 1; i < ranks && used < 80; i++)
        if (found[i].line == found[rank].line)
            used += (size_t)snprintf(out + used, 100 - used, "%s%d",
                                     used ? ", " : " (another one too: ", (int)i);
    if (used) snprintf(out + used, 100 - used, "%s)", used >= 80 ? " …" : "");
}

static gn2_status fail_line(gn2_group *group, gn2_comparison *c, const finding *found,
                            int32_t rank)
{
    char mine[200] = "", theirs[200], others[100];
    if (gn2_group_me(group) == rank) show(c->text, c->line, mine);
    GN2_TRY(gn2_group_spread(group, mine, sizeof mine, rank));
    mine[sizeof mine - 1] = 0;
    show(c->text + GN2_COMPARE_SIZE, c->line, theirs);
    list_others(found, gn2_group_ranks(group), rank, others);
    return gn2_fail(GN2_ERR_INVALID_ARG,
                    "rank %d: %s, where rank 0 has %s%s: all ranks need the same",
                    (int)rank, mine, theirs, others);
}

static gn2_status compare(gn2_group *group, gn2_comparison *c)
{
    finding found[GN2_MAX_RANKS];
    const int32_t ranks = gn2_group_ranks(group), me = gn2_group_me(group);
    char *first = c->text + GN2_COMPARE_SIZE;
    int32_t rank = 0;
    if (me == 0) memcpy(first, c->text, GN2_COMPARE_SIZE);
    GN2_TRY(gn2_group_spread(group, first, GN2_COMPARE_SIZE, 0));
    first[GN2_COMPARE_SIZE - 1] = 0;
    found[me] = (finding){first_difference(c->text, first), c->level};
    GN2_TRY(gn2_group_gather(group, found, sizeof *found));
    for (int32_t i = 0; i < ranks; i++) {
        if (found[i].level < c->level) c->level = found[i].level;
        if (found[i].line < found[rank].line) rank = i;
    }
    if (found[rank].line == SAME) return GN2_OK;
    c->line = found[rank].line;
    return fail_line(group, c, found, rank);
}

gn2_status gn2_group_compare(gn2_group *group, gn2_status status,
                             gn2_comparison *comparison)
{
    const gn2_place place = {.kind = comparison->kind};
    int32_t stop;
    comparison->line = -1;
    GN2_TRY(gn2_group_agree(group, status, &place, &stop));
    group->told = 1;
    GN2_TRY(compare(group, comparison));
    group->told = 0;
    return GN2_OK;
}
