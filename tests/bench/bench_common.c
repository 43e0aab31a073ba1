/* SPDX-License-Identifier: Apache-2.0 */
/* See bench_common.h. */
#include "bench_common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "util/alloc.h"
#include "util/error.h"

/* ---- jets ---- */

gn2_status bench_jets_read(const char *file, int64_t count, gn2_config *config,
                           bench_jets *out)
{
    GN2_TRY(gn2_config_put_i64(config, "data.batch_size", count));
    GN2_TRY(gn2_config_put_i64(config, "data.prefetch", 0));
    GN2_TRY(gn2_config_put_i64(config, "data.norm_jets", 20000));
    GN2_TRY(gn2_dataset_open_impl(&file, 1, config, &out->dataset));
    GN2_TRY(gn2_dataset_setup_impl(out->dataset, config));
    GN2_TRY(gn2_dataset_reset_impl(out->dataset, 0, 0));
    return gn2_dataset_next_impl(out->dataset, &out->jets, &out->labels);
}

void bench_jets_free(bench_jets *j)
{
    if (j->dataset) gn2_dataset_free_impl(j->dataset);
    j->dataset = NULL;
}

gn2_status bench_view_make(const bench_jets *from, int64_t first, int64_t count,
                           bench_view *out)
{
    const gn2_jets *all = &from->jets;
    const gn2_labels *labels = &from->labels;
    const int64_t row = all->sequences->offsets[first];
    *out = (bench_view){.jets = *all, .labels = *labels, .tracks = *all->sequences};
    out->offsets = gn2_alloc((size_t)count + 1, sizeof(int64_t));
    if (!out->offsets) return gn2_fail_memory();
    for (int64_t b = 0; b <= count; b++)
        out->offsets[b] = all->sequences->offsets[first + b] - row;
    out->tracks.data += row * out->tracks.row_stride;
    out->tracks.offsets = out->offsets;
    out->jets.count = count;
    out->jets.features += first * all->row_stride;
    for (uint32_t i = 0; i < labels->label_count && i < BENCH_LABELS; i++) {
        out->label[i] = labels->labels[i];
        /* the first is the jets' */
        out->label[i].data =
            (const int32_t *)out->label[i].data + (i == 0 ? first : row);
    }
    out->labels.labels = out->label;
    out->jets.sequences = &out->tracks;
    return GN2_OK;
}

void bench_view_free(bench_view *v)
{
    gn2_free(v->offsets);
    v->offsets = NULL;
}

int64_t bench_view_tracks(const bench_view *v, int64_t b)
{
    return v->offsets[b + 1] - v->offsets[b];
}

/* ---- useful work ---- */

static double dense_flop(const gn2_dense *d, int from)
{
    double sum = 0;
    for (int k = from; k < d->depth; k++)
        sum += 2 * (double)(d->size[k] * d->size[k + 1]);
    return sum;
}

/* The first layer of a head is multiplied part by part: G, z_i, z_j. */
static double head_flop(const gn2_hparams *h, const gn2_task *task, double n)
{
    const double part = 2 * (double)(h->out_dim * task->net.size[1]);
    const double rest = dense_flop(&task->net, 1);
    if (task->rows == GN2_OVER_JETS) return dense_flop(&task->net, 0);
    if (task->rows == GN2_OVER_CONSTITUENTS) return (1 + n) * part + n * rest;
    return (1 + 2 * n) * part + n * (n - 1) * rest;
}

double bench_jet_flop(const gn2_hparams *h, double n, unsigned tasks)
{
    const double w = (double)h->embed_dim, f = (double)h->block.hidden;
    const double t = n + (double)h->num_registers, layers = (double)h->num_layers;
    double sum = n * dense_flop(&h->init[0], 0);
    sum += layers * (t * (8 * w * w + 4 * w * f) + 4 * w * t * t);
    sum += t * 2 * w * (double)h->out_dim;
    for (int k = 0; k < h->task_count; k++)
        if (k == h->flavour || tasks >> k & 1) sum += head_flop(h, &h->task[k], n);
    return sum;
}

double bench_view_flop(const gn2_hparams *h, const bench_view *v, unsigned tasks)
{
    double sum = 0;
    for (int64_t b = 0; b < v->jets.count; b++)
        sum += bench_jet_flop(h, (double)bench_view_tracks(v, b), tasks);
    return sum;
}

/* ---- the command line ---- */

gn2_status bench_set_option(gn2_config *config, const char *option)
{
    char key[128];
    const char *equals = strchr(option, '=');
    if (!equals || equals - option >= (long)sizeof key)
        return gn2_fail(GN2_ERR_INVALID_ARG, "'%s' is not key=value", option);
    snprintf(key, sizeof key, "%.*s", (int)(equals - option), option);
    return gn2_config_put_text(config, key, equals + 1);
}

int bench_find_file(const char *name, char *path, size_t capacity)
{
    const char *shared = getenv("GN2_SHARED");
    snprintf(path, capacity, "%s/data/%s", shared ? shared : ".", name);
    FILE *f = fopen(path, "rb");
    if (f) fclose(f);
    return f != NULL;
}

int bench_complain(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, gn2_error_text());
    return 1;
}
