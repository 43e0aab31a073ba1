/* SPDX-License-Identifier: Apache-2.0 */
#include "config/alias.h"

#include <stdio.h>
#include <string.h>

#include "util/str.h"

/* Names in a row are the same variable. Significances: training-dataset-dumper
 * before and after the open-data spelling; jet kinematics: as calibrated for
 * b-tagging in training files, bare in Athena. */
static const char *const alias[][2] = {
    {"IP3D_signed_d0_significance", "lifetimeSignedD0Significance"},
    {"IP3D_signed_z0_significance", "lifetimeSignedZ0SinThetaSignificance"},
    {"pt_btagJes", "pt"},
    {"eta_btagJes", "eta"},
};

static int is_pair(const char *const pair[2], const char *a, const char *b)
{
    return strcmp(pair[0], a) == 0 && strcmp(pair[1], b) == 0;
}

int gn2_alias_match(const char *a, const char *b)
{
    if (strcmp(a, b) == 0) return 1;
    for (size_t i = 0; i < sizeof alias / sizeof alias[0]; i++)
        if (is_pair(alias[i], a, b) || is_pair(alias[i], b, a)) return 1;
    return 0;
}

size_t gn2_alias_find(const char *const *names, size_t count, const char *wanted)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], wanted) == 0) return i;
    for (size_t i = 0; i < count; i++)
        if (gn2_alias_match(names[i], wanted)) return i;
    return count;
}

const char *gn2_alias_nearest(const char *const *names, size_t count,
                              const char *wanted)
{
    const char *best = NULL;
    size_t least = strlen(wanted) / 3 + 1; /* more edits are another word */
    for (size_t i = 0; i < count; i++) {
        const size_t edits = gn2_edit_distance(names[i], wanted);
        if (edits > least) continue;
        if (best && edits == least) continue;
        least = edits;
        best = names[i];
    }
    return best;
}

void gn2_class_score_name(const char *class_name, char *out_name, size_t size)
{
    static const char *const known[] = {"bjets", "cjets", "ujets", "taujets"};
    size_t length = strlen(class_name);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(class_name, known[i]) == 0) length -= strlen("jets");
    snprintf(out_name, size, "p%.*s", (int)length, class_name);
}
