/* SPDX-License-Identifier: Apache-2.0 */
#include "net/vertex.h"

/* Union–find in place: label[i] is the parent, never larger than i. */
static int32_t root(int32_t *label, int32_t i)
{
    while (label[i] != i) {
        label[i] = label[label[i]];
        i = label[i];
    }
    return i;
}

static void join(int32_t *label, int32_t a, int32_t b)
{
    a = root(label, a);
    b = root(label, b);
    if (a < b) label[b] = a;
    if (b < a) label[a] = b;
}

void gn2_vertex_assign(int32_t *label, const float *logits, int64_t n)
{
    for (int64_t i = 0; i < n; i++) label[i] = (int32_t)i;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i + 1; j < n; j++) {
            const float mean =
                (logits[gn2_pair_index(i, j, n)] + logits[gn2_pair_index(j, i, n)]) / 2;
            if (mean >= 0) join(label, (int32_t)i, (int32_t)j);
        }
    for (int64_t i = 0; i < n; i++) label[i] = root(label, (int32_t)i);
}
