/* SPDX-License-Identifier: Apache-2.0 */
/* Wires schema, source, sampler and reader together; hands out views. */
#include <string.h>

#include "data/dataset.h"
#include "data/dataset_object.h"
#include "util/alloc.h"
#include "util/error.h"

/* *out_dataset is to be freed whatever comes. */
static gn2_status begin(const gn2_config *config, gn2_dataset **out_dataset)
{
    gn2_dataset *d = gn2_alloc(1, sizeof *d);
    *out_dataset = d;
    if (!d) return gn2_fail_memory();
    GN2_TRY(gn2_config_clone(config, &d->config));
    return gn2_schema_read(d->config, &d->schema);
}

static gn2_status set_up(gn2_dataset *d)
{
    const gn2_rows_shape *shape = &d->source->shape;
    const int64_t most = gn2_config_i64(d->config, "data.max_jets");
    const int64_t ahead = gn2_config_i64(d->config, "data.prefetch");
    GN2_TRY(gn2_sampler_create(d->source, d->config, &d->sampler));
    if (d->source->check && !d->schema.keeps_unwritten)
        GN2_TRY(d->source->check(d->source, most < 0 ? INT64_MAX : most));
    GN2_TRY(gn2_rows_init(&d->rows, shape, &d->memory));
    if (ahead == 0) return GN2_OK;
    return gn2_reader_create(d->sampler, shape, ahead, &d->memory, &d->reader);
}

static gn2_status finish(gn2_dataset *d, gn2_status status, gn2_dataset **out_dataset)
{
    if (status == GN2_OK) status = set_up(d);
    if (status == GN2_OK)
        *out_dataset = d;
    else
        gn2_dataset_free_impl(d);
    return status;
}

gn2_status gn2_dataset_watched_impl(const char *const *paths, size_t count,
                                    const gn2_config *config, gn2_opening_watch *watch,
                                    gn2_dataset **out_dataset)
{
    gn2_dataset *d = NULL;
    const gn2_file_names files = {paths, count, watch};
    gn2_status status = begin(config, &d);
    if (status == GN2_OK)
        status = gn2_source_files(&files, &d->schema, &d->memory, &d->source);
    return finish(d, status, out_dataset);
}

gn2_status gn2_dataset_open_impl(const char *const *paths, size_t count,
                                 const gn2_config *config, gn2_dataset **out_dataset)
{
    gn2_opening_watch nobody = {0};
    return gn2_dataset_watched_impl(paths, count, config, &nobody, out_dataset);
}

gn2_status gn2_dataset_arrays_impl(const gn2_jets *jets, const gn2_labels *labels,
                                   const gn2_config *config, gn2_dataset **out_dataset)
{
    gn2_dataset *d = NULL;
    gn2_status status = begin(config, &d);
    if (status == GN2_OK)
        status = gn2_source_arrays(jets, labels, &d->schema, &d->memory, &d->source);
    return finish(d, status, out_dataset);
}

gn2_use *gn2_dataset_use(gn2_dataset *d)
{
    return &d->use;
}

void gn2_dataset_free_impl(gn2_dataset *d)
{
    if (!d) return;
    gn2_reader_free(d->reader);
    gn2_rows_free(&d->rows);
    gn2_sampler_free(d->sampler);
    gn2_source_free(d->source);
    gn2_schema_clear(&d->schema);
    gn2_config_delete(d->config);
    gn2_free(d);
}

const gn2_schema *gn2_dataset_schema(const gn2_dataset *d)
{
    return &d->schema;
}

int gn2_dataset_has_label(const gn2_dataset *d, int32_t label)
{
    return d->source->shape.label[label].columns != 0;
}

void gn2_dataset_title(const gn2_dataset *d, gn2_text *text)
{
    d->source->title(d->source, text);
}

gn2_status gn2_dataset_identify(const gn2_dataset *d, const char *what,
                                const atomic_int *stop, gn2_text *text)
{
    return d->source->identify(d->source, what, stop, text);
}

/* Of the task into model.classes; without one, of every task. */
static int has_labels(const gn2_dataset *d)
{
    for (int k = 0; k < d->schema.h.task_count; k++) {
        const int32_t label = gn2_schema_label(&d->schema, k);
        const int wanted = d->schema.h.flavour < 0 || d->schema.h.flavour == k;
        if (wanted && !gn2_dataset_has_label(d, label)) return 0;
    }
    return 1;
}

void gn2_dataset_info_impl(const gn2_dataset *d, gn2_dataset_info *out_info)
{
    out_info->has_labels = has_labels(d) ? 1 : 0;
    out_info->jet_count = gn2_sampler_jet_count(d->sampler);
    out_info->batch_count = gn2_sampler_batch_count(d->sampler);
    out_info->batch_size = gn2_sampler_batch_size(d->sampler);
    out_info->max_slots = d->source->max_slots;
    out_info->memory = atomic_load(&d->memory);
    out_info->unwritten =
        d->source->unwritten
            ? d->source->unwritten(d->source, gn2_sampler_jet_count(d->sampler))
            : 0;
}

gn2_status gn2_dataset_rows_impl(const gn2_dataset *d, int64_t *out_rows, int64_t count)
{
    const int64_t jets = gn2_sampler_jet_count(d->sampler);
    if (count != jets)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "gn2_dataset_rows: count = %lld, the dataset has %lld jets",
                        (long long)count, (long long)jets);
    if (d->source->rows)
        d->source->rows(d->source, jets, out_rows);
    else
        for (int64_t k = 0; k < jets; k++) out_rows[k] = k;
    return GN2_OK;
}

static void view_sequences(gn2_dataset *d, const gn2_rows *rows)
{
    memset(d->sequence, 0, sizeof d->sequence);
    for (int32_t o = 1; o < rows->shape.object_count; o++)
        d->sequence[o - 1] =
            (gn2_sequence){.struct_size = (uint32_t)sizeof d->sequence[0],
                           .data = rows->object[o].data,
                           .row_stride = rows->shape.columns[o],
                           .offsets = rows->object[o].offsets};
}

static void view_labels(gn2_dataset *d, const gn2_rows *rows, gn2_labels *out_labels)
{
    uint32_t count = 0;
    memset(d->label, 0, sizeof d->label);
    for (int32_t k = 0; k < rows->shape.label_count; k++) {
        const gn2_label_column *label = &d->schema.label[k];
        if (!rows->shape.label[k].columns) continue;
        d->label[count++] =
            (gn2_label){.struct_size = (uint32_t)sizeof d->label[0],
                        .name = label->name,
                        .data = rows->label[k],
                        .type = label->real ? GN2_DATA_F32 : GN2_DATA_I32,
                        .columns = label->columns};
    }
    *out_labels = (gn2_labels){.struct_size = (uint32_t)sizeof *out_labels,
                               .label_count = count,
                               .labels = d->label,
                               .label_stride = (int64_t)sizeof d->label[0]};
}

static void view(gn2_dataset *d, const gn2_rows *rows, gn2_jets *out_jets,
                 gn2_labels *out_labels)
{
    view_sequences(d, rows);
    *out_jets = (gn2_jets){.struct_size = (uint32_t)sizeof *out_jets,
                           .sequence_count = (uint32_t)rows->shape.object_count - 1,
                           .count = gn2_rows_jets(rows),
                           .features = rows->object[0].data,
                           .row_stride = rows->shape.columns[0],
                           .sequences = d->sequence,
                           .sequence_stride = (int64_t)sizeof d->sequence[0]};
    if (out_labels) view_labels(d, rows, out_labels);
}

static gn2_status fetch(gn2_dataset *d, const gn2_rows **out_rows)
{
    *out_rows = &d->rows;
    if (d->batch >= gn2_sampler_batch_count(d->sampler)) {
        gn2_rows_clear(&d->rows);
        return GN2_OK;
    }
    if (!d->reader) return gn2_sampler_batch(d->sampler, d->epoch, d->batch, &d->rows);
    if (!gn2_reader_running(d->reader))
        GN2_TRY(gn2_reader_start(d->reader, d->epoch, d->batch));
    return gn2_reader_take(d->reader, out_rows);
}

/* The next call shall come to the same batch: the reader, which is ahead, stops. */
static gn2_status refuse(gn2_dataset *d, const gn2_rows *rows)
{
    if (d->reader) gn2_reader_stop(d->reader);
    return gn2_trouble_raise(&rows->trouble);
}

gn2_status gn2_dataset_next_impl(gn2_dataset *d, gn2_jets *out_jets,
                                 gn2_labels *out_labels)
{
    const gn2_rows *rows;
    if (out_labels) GN2_TRY(gn2_trouble_raise(&d->source->trouble));
    GN2_TRY(fetch(d, &rows));
    if (out_labels && rows->trouble.status) return refuse(d, rows);
    if (gn2_rows_jets(rows) > 0) d->batch++;
    view(d, rows, out_jets, out_labels);
    return GN2_OK;
}

gn2_status gn2_dataset_reset_impl(gn2_dataset *d, int64_t epoch, int64_t batch)
{
    const int64_t batches = gn2_sampler_batch_count(d->sampler);
    if (epoch < 0 || batch < 0 || batch > batches)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "epoch %lld, batch %lld: an epoch has %lld batches",
                        (long long)epoch, (long long)batch, (long long)batches);
    if (d->reader) gn2_reader_stop(d->reader);
    d->epoch = epoch;
    d->batch = batch;
    return GN2_OK;
}

/* Threads that one reading thread serves: at width 64 it reads what 26 of them train
 * (doc/performance.md), and networks that are narrower or have fewer tasks take more.
 */
#define SERVED 8

gn2_status gn2_dataset_serve_impl(gn2_dataset *d, int32_t threads)
{
    const int32_t wanted = threads > SERVED ? threads / SERVED : 1;
    if (gn2_config_i64(d->config, "data.read_threads") || !d->source->set_threads ||
        wanted == gn2_pool_workers(d->source->threads))
        return GN2_OK;
    if (d->reader) gn2_reader_stop(d->reader); /* next() starts it again */
    return d->source->set_threads(d->source, wanted);
}
