/* SPDX-License-Identifier: Apache-2.0 */
/* Labels of a batch: are they in range, and what the losses are divided by. */
#include "train/core.h"

static const char *const tasks[GN2_TASK_COUNT] = {"jets_classification", "track_origin",
                                                  "track_vertexing"};

/* Row of data of constituent i (counted over the batch). */
static int64_t row_of(const R(gn2_rows) *rows, int64_t i)
{
    return rows->row ? rows->row[i] : i;
}

gn2_status R(gn2_truth_complete)(const gn2_hparams *h, const gn2_truth *truth)
{
    const int32_t *const labels[GN2_TASK_COUNT] = {truth->flavour, truth->origin,
                                                   truth->vertex};
    for (int id = 0; id < GN2_TASK_COUNT; id++)
        if (h->task[id].on && !labels[id])
            return gn2_fail(GN2_ERR_INVALID_ARG,
                            "no labels for task %s: switch it off in model.tasks, or "
                            "give them",
                            tasks[id]);
    return GN2_OK;
}

static gn2_status check_origin(const gn2_hparams *h, const R(gn2_batch) *batch,
                               const gn2_truth *truth, int64_t b)
{
    const R(gn2_rows) *rows = &batch->sequence[h->task[GN2_TASK_ORIGIN].sequence];
    for (int64_t i = rows->offset[b]; i < rows->offset[b + 1]; i++) {
        const int32_t label = truth->origin[row_of(rows, i)];
        if (label < h->origins) continue;
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "origin %d of jet %lld, constituent %lld: must be below %lld",
                        label, (long long)b, (long long)(i - rows->offset[b]),
                        (long long)h->origins);
    }
    return GN2_OK;
}

gn2_status R(gn2_truth_check)(const gn2_hparams *h, const R(gn2_batch) *batch,
                              const gn2_truth *truth)
{
    for (int64_t b = 0; b < batch->jets; b++) {
        const int32_t flavour = truth->flavour[b];
        if (flavour < -1 || flavour >= h->classes)
            return gn2_fail(GN2_ERR_INVALID_ARG,
                            "flavour %d of jet %lld: must be −1 (none) to %lld",
                            flavour, (long long)b, (long long)h->classes - 1);
        if (h->task[GN2_TASK_ORIGIN].on) GN2_TRY(check_origin(h, batch, truth, b));
    }
    return GN2_OK;
}

/* ---- totals ---- */

static double weight_of(const real *weights, int32_t label)
{
    if (label < 0) return 0;
    return weights ? (double)weights[label] : 1;
}

static double jet_total(const R(gn2_net) *net, const R(gn2_batch) *batch,
                        const gn2_truth *truth)
{
    const real *weights = net->head[GN2_TASK_JETS].class_weights;
    double sum = 0;
    for (int64_t b = 0; b < batch->jets; b++)
        sum += weight_of(weights, truth->flavour[b]);
    return sum;
}

static double origin_total(const R(gn2_net) *net, const R(gn2_batch) *batch,
                           const gn2_truth *truth)
{
    const real *weights = net->head[GN2_TASK_ORIGIN].class_weights;
    const R(gn2_rows) *rows = &batch->sequence[net->h->task[GN2_TASK_ORIGIN].sequence];
    double sum = 0;
    for (int64_t i = 0; i < rows->offset[batch->jets]; i++)
        sum += weight_of(weights, truth->origin[row_of(rows, i)]);
    return sum;
}

/* Constituents of the jet of rows first … end−1 that share the vertex of i. */
static int64_t partners(const R(gn2_rows) *rows, const int32_t *vertex, int64_t i,
                        int64_t end)
{
    const int32_t v = vertex[row_of(rows, i)];
    int64_t count = 0;
    if (v < 0) return 0;
    for (int64_t j = i + 1; j < end; j++) count += vertex[row_of(rows, j)] == v;
    return count;
}

static double vertex_total(const R(gn2_net) *net, const R(gn2_batch) *batch,
                           const gn2_truth *truth)
{
    const R(gn2_rows) *rows = &batch->sequence[net->h->task[GN2_TASK_VERTEX].sequence];
    int64_t pairs = 0;
    for (int64_t b = 0; b < batch->jets; b++)
        for (int64_t i = rows->offset[b]; i < rows->offset[b + 1]; i++)
            pairs += partners(rows, truth->vertex, i, rows->offset[b + 1]);
    return 2 * (double)pairs; /* ordered */
}

void R(gn2_truth_totals)(const R(gn2_net) *net, const R(gn2_batch) *batch,
                         const gn2_truth *truth, gn2_totals *out_totals)
{
    static double (*const total[GN2_TASK_COUNT])(
        const R(gn2_net) *, const R(gn2_batch) *,
        const gn2_truth *) = {jet_total, origin_total, vertex_total};
    const int32_t *const labels[GN2_TASK_COUNT] = {truth->flavour, truth->origin,
                                                   truth->vertex};
    for (int id = 0; id < GN2_TASK_COUNT; id++)
        out_totals->value[id] =
            net->h->task[id].on && labels[id] ? total[id](net, batch, truth) : 0;
}
