/* SPDX-License-Identifier: Apache-2.0 */
#include "tag/finite.h"

#include "net/tasks.h"

/* Numbers of a pass, jet after jet. */
typedef struct numbers {
    const float *x;
    const int64_t *offset; /* (B+1) rows before a jet; NULL: one row a jet */
    int64_t columns;
} numbers;

static numbers numbers_of(const gn2_pass_f32 *pass, int task)
{
    const gn2_task *t = &pass->net->h->task[task];
    numbers n = {.x = pass->space->head[task].logits, .columns = gn2_task_columns(t)};
    if (t->rows == GN2_OVER_CONSTITUENTS)
        n.offset = pass->space->row_offset[t->sequence];
    if (t->rows == GN2_OVER_PAIRS) n.offset = pass->space->pair_offset;
    return n;
}

static int64_t rows_before(const numbers *n, int64_t jet)
{
    return n->offset ? n->offset[jet] : jet;
}

static int64_t first_jet(const gn2_pass_f32 *pass, numbers n)
{
    const gn2_kernels_f32 *k = pass->ctx.kernels;
    const int64_t jets = pass->chunk.jets;
    if (k->all_finite(n.x, rows_before(&n, jets) * n.columns)) return -1;
    for (int64_t b = 0; b < jets; b++) {
        const int64_t first = rows_before(&n, b);
        const int64_t rows = rows_before(&n, b + 1) - first;
        if (!k->all_finite(n.x + first * n.columns, rows * n.columns)) return b;
    }
    return -1;
}

/* Are the values of a row numbers? Finite logits may give others, by their scaling. */
static int row_is_finite(const gn2_pass_f32 *pass, int task, int64_t r)
{
    const gn2_task_kind_f32 *kind = gn2_task_kind_of_f32(&pass->net->h->task[task]);
    for (const gn2_task_output_f32 *o = kind->outputs; o->suffix; o++) {
        float x[GN2_MAX_TARGETS];
        if (o->form != GN2_OUT_VALUES) continue;
        gn2_task_values_f32(pass, task, r, o, x);
        if (!pass->ctx.kernels->all_finite(x, pass->net->h->task[task].targets))
            return 0;
    }
    return 1;
}

static int64_t first_jet_of_values(const gn2_pass_f32 *pass, int task)
{
    const numbers n = numbers_of(pass, task);
    if (gn2_task_kind_of_f32(&pass->net->h->task[task])->label != GN2_LABEL_TARGETS)
        return -1;
    for (int64_t b = 0; b < pass->chunk.jets; b++)
        for (int64_t r = rows_before(&n, b); r < rows_before(&n, b + 1); r++)
            if (!row_is_finite(pass, task, r)) return b;
    return -1;
}

int64_t gn2_first_not_finite(const gn2_pass_f32 *pass, unsigned tasks)
{
    const numbers pooled = {.x = pass->space->pool.pooled,
                            .columns = pass->net->h->out_dim};
    int64_t first = first_jet(pass, pooled);
    for (int task = 0; task < pass->net->h->task_count; task++) {
        if (!(tasks >> task & 1)) continue;
        int64_t jet = first_jet(pass, numbers_of(pass, task));
        if (jet < 0) jet = first_jet_of_values(pass, task);
        if (jet >= 0 && (first < 0 || jet < first)) first = jet;
    }
    return first;
}
