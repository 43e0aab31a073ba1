/* SPDX-License-Identifier: Apache-2.0 */
/* Several files as one row of jets. */
#include <stdio.h>
#include <string.h>

#include "data/fork.h"
#include "data/source.h"
#include "data/source_file.h"
#include "util/alloc.h"
#include "util/error.h"
#include "util/file.h"

typedef struct file_source {
    gn2_source base;
    size_t count;
    gn2_data_file *file;
    gn2_read_buffer buffer;
} file_source;

static gn2_status load_range(gn2_source *source, int64_t start, int64_t count,
                             gn2_non_finite policy, gn2_rows *rows)
{
    file_source *s = (file_source *)source;
    for (size_t i = 0; i < s->count && count > 0; i++) {
        gn2_data_file *file = &s->file[i];
        const int64_t jets = file->jets.count;
        if (start < jets) {
            const int64_t left = jets - start;
            const int64_t take = left < count ? left : count;
            GN2_TRY(gn2_data_file_load(file, source->schema, policy, start, take,
                                       &s->buffer, rows));
            count -= take;
            start += take;
        }
        start -= jets;
    }
    return GN2_OK;
}

static gn2_status load(gn2_source *source, int64_t start, int64_t count,
                       gn2_non_finite policy, gn2_rows *rows)
{
    gn2_fork_enter();
    const gn2_status status = load_range(source, start, count, policy, rows);
    gn2_fork_leave();
    return status;
}

static gn2_status set_threads(gn2_source *source, int32_t threads)
{
    file_source *s = (file_source *)source;
    gn2_read_buffer buffer;
    if (threads == gn2_pool_workers(source->threads)) return GN2_OK;
    GN2_TRY(gn2_read_buffer_make(&buffer, threads, source->memory));
    gn2_read_buffer_free(&s->buffer);
    s->buffer = buffer;
    source->threads = buffer.pool;
    return GN2_OK;
}

/* ---- rows that were never written ---- */

/* First range of a table that ends behind `row`, NULL if there is none. */
static const gn2_h5_range *gap_behind(const gn2_h5_info *info, int64_t row)
{
    size_t low = 0, high = info->gap_count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (info->gaps[middle].end > row)
            high = middle;
        else
            low = middle + 1;
    }
    return low < info->gap_count ? &info->gaps[low] : NULL;
}

/* The first of all tables of a file, and whose it is. */
static gn2_h5_range next_gap(const gn2_data_file *file, int32_t objects, int64_t row,
                             int32_t *out_object)
{
    gn2_h5_range first = {INT64_MAX, INT64_MAX};
    for (int32_t o = 0; o < objects; o++) {
        const gn2_h5_range *gap = gap_behind(file->table[o].info, row);
        if (!gap || gap->first >= first.first) continue;
        first = *gap;
        *out_object = o;
    }
    if (first.first < row) first.first = row;
    return first;
}

static gn2_status fail_unwritten(const gn2_source *source, const gn2_data_file *file,
                                 int32_t object, gn2_h5_range rows, int64_t before)
{
    char stop[80] = "";
    if (before > 0)
        snprintf(stop, sizeof stop, "data.max_jets = %lld stops before them, ",
                 (long long)before);
    return gn2_fail(GN2_ERR_FORMAT,
                    "'%s': dataset '%s': rows %lld to %lld of %lld were never written; "
                    "%sdata.unwritten = keep takes HDF5's fill values for them",
                    file->path, source->schema->object[object].dataset,
                    (long long)rows.first, (long long)rows.end - 1,
                    (long long)file->jets.rows, stop);
}

/* Rows of a file among which its first jets are; the selection looks at all of them. */
static int64_t rows_of(const gn2_data_file *file, int64_t jets)
{
    if (jets > file->jets.count) return file->jets.rows;
    return gn2_row_set_at(&file->jets, jets - 1) + 1;
}

static gn2_status check(const gn2_source *source, int64_t jets)
{
    const file_source *s = (const file_source *)source;
    int64_t before = 0;
    for (size_t i = 0; i < s->count && before < jets; i++) {
        const gn2_data_file *file = &s->file[i];
        int32_t object = 0;
        const gn2_h5_range gap =
            next_gap(file, source->schema->object_count, 0, &object);
        if (gap.first < rows_of(file, jets - before))
            return fail_unwritten(source, file, object, gap,
                                  before + gn2_row_set_before(&file->jets, gap.first));
        before += file->jets.count;
    }
    return GN2_OK;
}

static int64_t count_unwritten(const gn2_source *source, const gn2_data_file *file,
                               int64_t rows)
{
    int64_t count = 0;
    int32_t object;
    for (int64_t at = 0; at < rows;) {
        const gn2_h5_range gap =
            next_gap(file, source->schema->object_count, at, &object);
        if (gap.first >= rows) break;
        at = gap.end < rows ? gap.end : rows;
        count += gn2_row_set_before(&file->jets, at) -
                 gn2_row_set_before(&file->jets, gap.first);
    }
    return count;
}

static int64_t unwritten(const gn2_source *source, int64_t jets)
{
    const file_source *s = (const file_source *)source;
    int64_t count = 0;
    for (size_t i = 0; i < s->count && jets > 0; i++) {
        count += count_unwritten(source, &s->file[i], rows_of(&s->file[i], jets));
        jets -= s->file[i].jets.count;
    }
    return count;
}

/* ---- jets that are selected ---- */

static gn2_status tell_selected(const file_source *s, const char *files, int64_t nan)
{
    const char *selection = gn2_config_str(s->base.schema->config, "data.selection");
    int64_t rows = 0;
    for (size_t i = 0; i < s->count; i++) rows += s->file[i].jets.rows;
    if (s->base.count == 0 && rows > 0)
        return gn2_fail(GN2_ERR_NOT_FOUND,
                        "data.selection = %.160s chooses none of the %lld jets of "
                        "%.160s (%lld of them have NaN in a field of it): look at its "
                        "units, as MeV, and values",
                        selection, (long long)rows, files, (long long)nan);
    gn2_log_line(nan ? GN2_LOG_WARNING : GN2_LOG_INFO,
                 "data.selection = %s chooses %lld of the %lld jets of %s; %lld have "
                 "NaN in a field of it and are left out",
                 selection, (long long)s->base.count, (long long)rows, files,
                 (long long)nan);
    return GN2_OK;
}

static gn2_status select_jets(file_source *s, gn2_opening_watch *watch)
{
    const gn2_choosing choosing = {s->base.schema, &s->buffer, watch};
    gn2_text files = {0};
    int64_t nan = 0;
    if (s->base.schema->selection.count == 0) return GN2_OK;
    watch->seen.jet_count = s->base.count;
    s->base.count = 0;
    for (size_t i = 0; i < s->count; i++) {
        gn2_data_file *file = &s->file[i];
        GN2_TRY(gn2_data_file_choose(file, &choosing, &nan));
        s->base.count += file->jets.count;
    }
    gn2_text_format(&files, "'%s'", s->file[0].path); /* 'a.h5' and 2 more */
    if (s->count > 1) gn2_text_format(&files, " and %zu more", s->count - 1);
    const gn2_status status =
        files.failed ? gn2_fail_memory() : tell_selected(s, files.data, nan);
    gn2_free(files.data);
    return status;
}

static void list_rows(const gn2_source *source, int64_t jets, int64_t *out_rows)
{
    const file_source *s = (const file_source *)source;
    int64_t first = 0;
    for (size_t i = 0; i < s->count; i++) {
        const gn2_data_file *file = &s->file[i];
        const int64_t own = file->jets.count;
        const int64_t take = own < jets ? own : jets;
        for (int64_t k = 0; k < take; k++)
            *out_rows++ = first + gn2_row_set_at(&file->jets, k);
        first += file->jets.rows;
        jets -= take;
    }
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void describe(const gn2_source *source, gn2_text *text)
{
    const file_source *s = (const file_source *)source;
    if (source->schema->selection.count)
        gn2_text_format(text, "%s\n",
                        gn2_config_str(source->schema->config, "data.selection"));
    for (size_t i = 0; i < s->count; i++) {
        const gn2_data_file *file = &s->file[i];
        gn2_text_format(text, "%s %lld\n", base_name(file->path),
                        (long long)file->jets.rows);
        for (int32_t t = 0; t < source->schema->object_count; t++) {
            const gn2_h5_info *info = file->table[t].info;
            gn2_text_format(text, "%s %lld\n", source->schema->object[t].dataset,
                            (long long)info->slots);
            for (size_t f = 0; f < info->field_count; f++)
                gn2_text_format(text, "%s %d %d\n", info->fields[f].name,
                                info->fields[f].kind, info->fields[f].size);
        }
    }
}

static gn2_status identify(const gn2_source *source, const char *what,
                           const atomic_int *stop, gn2_text *text)
{
    const file_source *s = (const file_source *)source;
    for (size_t i = 0; i < s->count; i++) {
        int64_t size;
        uint64_t digest;
        if (atomic_load(stop))
            return gn2_fail(GN2_ERR_CANCELLED,
                            "stopped on request after %zu of %zu files of the %s data "
                            "were compared",
                            i, s->count, what);
        GN2_TRY(gn2_file_sample(s->file[i].path, &size, &digest));
        gn2_text_format(text, "file %zu of the %s data = %lld bytes, digest %016llx",
                        i + 1, what, (long long)size, (unsigned long long)digest);
        gn2_text_format(text, "\t('%s')\n", s->file[i].path);
    }
    return GN2_OK;
}

static void title(const gn2_source *source, gn2_text *text)
{
    const file_source *s = (const file_source *)source;
    for (size_t i = 0; i < s->count; i++)
        gn2_text_format(text, "%s%s", i ? "+" : "", base_name(s->file[i].path));
}

static const gn2_label_map *labels(const gn2_source *source, int32_t label)
{
    return &((const file_source *)source)->file[0].label[label].map;
}

static void clear(gn2_source *source)
{
    file_source *s = (file_source *)source;
    for (size_t i = 0; i < s->count; i++) gn2_data_file_close(&s->file[i]);
    gn2_read_buffer_free(&s->buffer);
    gn2_free(s->file);
}

static int has(const gn2_data_file *file, int32_t label)
{
    return file->label[label].column[0].read.to_float != NULL;
}

/* Does file i agree with the first one about label k? What one has of it all have; and
 * one number has one meaning: all name the classes of a label, or none does. */
static gn2_status compare(const file_source *s, size_t i, int32_t k)
{
    const gn2_data_file *a = &s->file[0], *b = &s->file[i];
    const gn2_label_column *label = &s->base.schema->label[k];
    const char *dataset = s->base.schema->object[label->object].dataset;
    const int lacks = has(a, k) != has(b, k);
    if (!lacks && a->label[k].named == b->label[k].named) return GN2_OK;
    const int of_first = lacks ? has(a, k) : a->label[k].named;
    const char *with = of_first ? a->path : b->path,
               *without = of_first ? b->path : a->path;
    if (lacks)
        return gn2_fail(GN2_ERR_NOT_FOUND,
                        "'%s': dataset '%s' has no field '%s' (%s), which '%s' has",
                        without, dataset, label->field[0], label->name, with);
    return gn2_fail(GN2_ERR_FORMAT,
                    "'%s': dataset '%s' has no attribute '%s' that names the classes, "
                    "'%s' has: give it to all files, or to none",
                    without, dataset, label->field[0], with);
}

/* Weights that were asked for belong to the labels beside them. */
static gn2_status check_weights(const file_source *s, const gn2_data_file *file,
                                int32_t k)
{
    const gn2_label_column *label = &s->base.schema->label[k];
    if (!label->weight || has(file, k) ||
        !has(file, gn2_schema_label(s->base.schema, label->task)))
        return GN2_OK;
    return gn2_fail(GN2_ERR_NOT_FOUND, "'%s': dataset '%s' has no field '%s' (task.%s)",
                    file->path, s->base.schema->object[label->object].dataset,
                    label->field[0], label->name);
}

/* A label counts as there when every file has it. */
static void join_labels(file_source *s)
{
    gn2_trouble *trouble = &s->base.trouble;
    for (size_t i = 0; i < s->count; i++) {
        gn2_trouble_pass(trouble, &s->file[i].trouble);
        for (int32_t k = 0; k < s->base.shape.label_count; k++) {
            gn2_trouble_note(trouble, compare(s, i, k));
            gn2_trouble_note(trouble, check_weights(s, &s->file[i], k));
            if (!has(&s->file[i], k)) s->base.shape.label[k].columns = 0;
        }
    }
}

static void add_file(file_source *s, const gn2_data_file *file)
{
    s->base.count += file->jets.rows;
    for (int32_t p = 1; p < s->base.schema->object_count; p++)
        if (file->table[p].info->slots > s->base.max_slots)
            s->base.max_slots = file->table[p].info->slots;
}

static gn2_status open_files(file_source *s, const gn2_file_names *names)
{
    gn2_opening_watch *watch = names->watch;
    watch->seen.file_count = (int64_t)names->count;
    s->file = gn2_alloc(names->count, sizeof *s->file);
    if (!s->file) return gn2_fail_memory();
    for (size_t i = 0; i < names->count; i++) {
        GN2_TRY(gn2_opening_tell(watch));
        s->count = i + 1;
        GN2_TRY(gn2_data_file_open(names->paths[i], s->base.schema, &s->file[i]));
        watch->seen.files = (int64_t)s->count;
        add_file(s, &s->file[i]);
    }
    return gn2_opening_tell(watch);
}

/* 0: who uses the dataset may say it later. */
static int32_t asked_threads(const gn2_schema *schema)
{
    const int64_t asked = gn2_config_i64(schema->config, "data.read_threads");
    return asked ? (int32_t)asked : 1;
}

gn2_status gn2_source_files(const gn2_file_names *names, const gn2_schema *schema,
                            _Atomic int64_t *memory, gn2_source **out_source)
{
    file_source *s = gn2_alloc(1, sizeof *s);
    *out_source = s ? &s->base : NULL;
    if (!s) return gn2_fail_memory();
    s->base = (gn2_source){.schema = schema,
                           .shape = gn2_schema_shape(schema),
                           .memory = memory,
                           .set_threads = set_threads,
                           .load = load,
                           .check = check,
                           .unwritten = unwritten,
                           .rows = list_rows,
                           .describe = describe,
                           .identify = identify,
                           .title = title,
                           .labels = labels,
                           .clear = clear};
    GN2_TRY(gn2_read_buffer_make(&s->buffer, asked_threads(schema), memory));
    s->base.threads = s->buffer.pool;
    GN2_TRY(open_files(s, names));
    GN2_TRY(select_jets(s, names->watch));
    join_labels(s);
    return GN2_OK;
}

void gn2_source_free(gn2_source *source)
{
    if (source && source->clear) source->clear(source);
    gn2_free(source);
}
