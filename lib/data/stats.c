/* SPDX-License-Identifier: Apache-2.0 */
#include "data/stats.h"

#include <math.h>
#include <string.h>

#include "util/alloc.h"
#include "util/error.h"

/* Jets read at once. */
#define STATS_BLOCK 10000

/* Of values that are `stride` floats apart; NaN and Inf are left out. */
static gn2_moments moments_of(const float *values, int64_t count, int64_t stride)
{
    gn2_moments m = {0};
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(values[i * stride])) continue;
        m.count++;
        sum += (double)values[i * stride];
    }
    if (m.count > 0) m.mean = sum / m.count;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(values[i * stride])) continue;
        const double off = (double)values[i * stride] - m.mean;
        m.squares += off * off;
    }
    return m;
}

/* Joins two sets: Chan, Golub, LeVeque 1979. */
static void add_moments(gn2_moments *moments, gn2_moments more)
{
    if (more.count <= 0) return;
    const double total = moments->count + more.count;
    const double off = more.mean - moments->mean;
    moments->squares +=
        more.squares + off * off * (moments->count * more.count / total);
    moments->mean += off * (more.count / total);
    moments->count = total;
}

double gn2_moments_std(const gn2_moments *moments)
{
    return moments->count > 0 ? sqrt(moments->squares / moments->count) : 0;
}

static gn2_status make(const gn2_schema *schema, gn2_stats *stats)
{
    for (int32_t o = 0; o < schema->object_count; o++) {
        stats->input[o] =
            gn2_alloc(schema->object[o].input_count, sizeof *stats->input[o]);
        if (!stats->input[o]) return gn2_fail_memory();
    }
    for (int32_t k = 0; k < schema->label_count; k++) {
        if (!schema->label[k].classes_key[0]) continue;
        const size_t count = (size_t)schema->label[k].most + 1;
        stats->classes[k] = gn2_alloc(count, sizeof *stats->classes[k]);
        if (!stats->classes[k]) return gn2_fail_memory();
    }
    return GN2_OK;
}

static void add_labels(gn2_stats *stats, const gn2_rows *rows)
{
    for (int32_t k = 0; k < rows->shape.label_count; k++) {
        const int32_t *labels = rows->label[k];
        const int64_t count = rows->object[rows->shape.label[k].object].count;
        for (int64_t i = 0; stats->classes[k] && labels && i < count; i++)
            if (labels[i] >= 0) stats->classes[k][labels[i]]++;
    }
}

static void add_block(gn2_stats *stats, const gn2_rows *rows)
{
    add_labels(stats, rows);
    for (int32_t o = 0; o < rows->shape.object_count; o++) {
        const gn2_rows_object *object = &rows->object[o];
        const int64_t columns = rows->shape.columns[o];
        if (o > 0) stats->constituents += object->count;
        for (int64_t i = 0; i < columns; i++)
            add_moments(&stats->input[o][i],
                        moments_of(object->data + i, object->count, columns));
    }
}

static gn2_status stop_if_asked(atomic_int *stop, int64_t done, int64_t jets)
{
    if (!atomic_exchange(stop, 0)) return GN2_OK;
    return gn2_fail(GN2_ERR_CANCELLED,
                    "stopped on request after %lld of %lld jets that normalisation and "
                    "class weights are made of",
                    (long long)done, (long long)jets);
}

static gn2_status collect(gn2_source *source, int64_t jets, atomic_int *stop,
                          gn2_rows *rows, gn2_stats *stats)
{
    GN2_TRY(make(source->schema, stats));
    GN2_TRY(gn2_rows_init(rows, &source->shape, source->memory));
    for (int64_t first = 0; first < jets; first += STATS_BLOCK) {
        const int64_t left = jets - first;
        GN2_TRY(stop_if_asked(stop, first, jets));
        gn2_rows_clear(rows);
        GN2_TRY(source->load(source, first, left < STATS_BLOCK ? left : STATS_BLOCK,
                             GN2_NON_FINITE_KEEP, rows));
        GN2_TRY(gn2_trouble_raise(&rows->trouble));
        add_block(stats, rows);
    }
    return GN2_OK;
}

gn2_status gn2_stats_collect(gn2_source *source, int64_t jets, atomic_int *stop,
                             gn2_stats *out_stats)
{
    gn2_rows rows = {0};
    memset(out_stats, 0, sizeof *out_stats);
    const gn2_status status = collect(source, jets, stop, &rows, out_stats);
    gn2_rows_free(&rows);
    if (status != GN2_OK) gn2_stats_clear(out_stats);
    return status;
}

void gn2_stats_clear(gn2_stats *stats)
{
    for (int32_t o = 0; o <= GN2_MAX_PARTS; o++) gn2_free(stats->input[o]);
    for (int32_t k = 0; k < GN2_MAX_LABELS; k++) gn2_free(stats->classes[k]);
    memset(stats, 0, sizeof *stats);
}
