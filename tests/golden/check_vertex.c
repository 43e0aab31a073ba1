/* SPDX-License-Identifier: Apache-2.0 */
/* Vertices from pair logits against the reference's, exactly. */
#include <stdio.h>

#include "checks.h"
#include "common/need.h"
#include "net/tasks.h"
#include "util/alloc.h"

int64_t golden_vertex_differences(const double *logits, const golden_array *offsets,
                                  const golden_array *wanted)
{
    const int64_t jets = offsets->count - 1;
    int64_t pair = 0, wrong = 0;
    for (int64_t b = 0; b < jets; b++) {
        const int64_t first = (int64_t)offsets->x[b];
        const int64_t n = (int64_t)offsets->x[b + 1] - first;
        float *x = need_memory((size_t)(n * (n - 1)), sizeof *x);
        int32_t *label = need_memory((size_t)n, sizeof *label);
        for (int64_t i = 0; i < n * (n - 1); i++) x[i] = (float)logits[pair + i];
        gn2_vertex_assign_f32(label, x, n);
        for (int64_t i = 0; i < n; i++)
            wrong += (double)label[i] != wanted->x[first + i];
        pair += n * (n - 1);
        gn2_free(x);
        gn2_free(label);
    }
    return wrong;
}

void golden_check_vertex(golden_report *r)
{
    golden_array logits = golden_read(r->file, "pair_logits");
    golden_array offsets = golden_read(r->file, "offsets");
    golden_array wanted = golden_read(r->file, "vertex_index");
    need_true(wanted.count > 0, "tracks");
    const int64_t wrong = golden_vertex_differences(logits.x, &offsets, &wanted);
    golden_line(r, "f32", "vertex_index, tracks that differ", (double)wrong, 0);
    golden_array_free(&logits);
    golden_array_free(&offsets);
    golden_array_free(&wanted);
}
