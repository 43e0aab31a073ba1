/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Score files as salt writes them (fields of the input, then scores): made under a
 * temporary name, renamed when closed. Rows are written in score_rows.c.
 */
#define _GNU_SOURCE /* strerror_r that returns the text */
#include "data/score_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/dataset.h"
#include "data/schema.h"
#include "util/alloc.h"
#include "util/error.h"
#include "util/file.h"

#define TEMPORARY_NAMES 1000

static gn2_status fail_io(const char *action, const char *path)
{
    char reason[128] = "unknown error";
    const char *text = strerror_r(errno, reason, sizeof reason);
    return gn2_fail(GN2_ERR_IO, "cannot %s '%s': %s", action, path, text);
}

/* ---- creating ---- */

/* Takes a field for the objects first … end−1 that are open and have it. */
static gn2_status copy_field(gn2_score_writer *w, const char *name, int first, int end)
{
    int found = 0;
    for (int i = first; i < end; i++) {
        int here = 0;
        if (w->table[i].in) GN2_TRY(gn2_score_table_copy(&w->table[i], name, &here));
        found |= here;
    }
    if (found) return GN2_OK;
    return gn2_fail(GN2_ERR_NOT_FOUND,
                    "the input has no field '%s' to copy to the scores", name);
}

static gn2_status copy_fields(gn2_score_writer *w, const char *key, int first, int end)
{
    const size_t count = gn2_config_list_count(w->config, key);
    if (count == 1 && strcmp(gn2_config_list_item(w->config, key, 0), "*") == 0) {
        for (int i = first; i < end; i++)
            if (w->table[i].in) GN2_TRY(gn2_score_table_copy_all(&w->table[i]));
        return GN2_OK;
    }
    for (size_t i = 0; i < count; i++)
        GN2_TRY(copy_field(w, gn2_config_list_item(w->config, key, i), first, end));
    return GN2_OK;
}

static gn2_status open_object(gn2_score_writer *w, int object)
{
    gn2_score_table *table = &w->table[object];
    table->half = gn2_config_says(w->config, "scores.half_precision", "yes");
    table->keeps_unwritten = gn2_config_says(w->config, "data.unwritten", "keep");
    const char *name = gn2_model_object_name(w->model, object);
    return gn2_score_table_open(table, w->in, gn2_schema_dataset(w->config, name));
}

static gn2_status open_constituents(gn2_score_writer *w, int object)
{
    const gn2_score_table *t = &w->table[object];
    GN2_TRY(open_object(w, object));
    if (t->info->rank != 2 || t->info->rows != w->table[0].info->rows)
        return gn2_fail(GN2_ERR_FORMAT, "dataset '%s' does not fit the jets",
                        t->dataset);
    if (t->valid < 0)
        return gn2_fail(GN2_ERR_NOT_FOUND, "dataset '%s' has no field 'valid'",
                        t->dataset);
    return GN2_OK;
}

int gn2_score_wanted(const gn2_score_writer *w, size_t output)
{
    const gn2_tag_output *o = &w->outputs.item[output];
    if (w->output[output].asked) return 1;
    return o->field &&
           (o->object == 0 || gn2_config_says(w->config, "scores.write_tracks", "yes"));
}

static int has_scores(const gn2_score_writer *w, int object)
{
    for (size_t i = 0; i < w->outputs.count; i++)
        if (w->outputs.item[i].object == object && gn2_score_wanted(w, i)) return 1;
    return 0;
}

/* No constituents are written: what is said of them has to go with that. */
static gn2_status check_without(const gn2_score_writer *w)
{
    if (gn2_config_says(w->config, "scores.write_tracks", "yes"))
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "scores.write_tracks = yes: the model has no task that gives "
                        "scores of constituents; scores.outputs takes other outputs");
    const size_t count = gn2_config_list_count(w->config, "scores.track_fields");
    if (count)
        return gn2_fail(
            GN2_ERR_INVALID_ARG,
            "scores.track_fields = %s%s has no effect: constituents are not "
            "written, as scores.write_tracks is not 'yes' and "
            "scores.outputs names none of theirs",
            gn2_config_list_item(w->config, "scores.track_fields", 0),
            count > 1 ? ", …" : "");
    return GN2_OK;
}

/* The types of constituents that the model has scores of, or that are asked for. */
static gn2_status open_all_constituents(gn2_score_writer *w)
{
    const int end = 1 + w->model->h.sequence_count;
    int found = 0;
    for (int i = 1; i < end; i++) {
        if (!has_scores(w, i)) continue;
        GN2_TRY(open_constituents(w, i));
        found = 1;
    }
    return found ? copy_fields(w, "scores.track_fields", 1, end) : check_without(w);
}

static gn2_status open_input(gn2_score_writer *w, const char *input)
{
    const gn2_score_table *jets = &w->table[0];
    GN2_TRY(gn2_h5_file_open(input, &w->in));
    GN2_TRY(open_object(w, 0));
    if (jets->info->rank != 1)
        return gn2_fail(GN2_ERR_FORMAT, "'%s': dataset '%s' has %d dimensions, not 1",
                        input, jets->dataset, jets->info->rank);
    GN2_TRY(copy_fields(w, "scores.jet_fields", 0, 1));
    return open_all_constituents(w);
}

/* The output may not be the input, by whatever name, nor what is no file. */
static gn2_status check_path(const char *path, const char *input)
{
    struct stat out, in;
    GN2_TRY(gn2_file_check_target(path));
    if (stat(path, &out) != 0) return GN2_OK; /* new */
    if (stat(input, &in) == 0 && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "scores are not written over their input: '%s' is '%s'", path,
                        input);
    return GN2_OK;
}

/* A name beside `path` that nobody else uses. */
static gn2_status make_temporary(gn2_score_writer *w)
{
    for (int i = 0; i < TEMPORARY_NAMES; i++) {
        gn2_text name = {0};
        gn2_text_format(&name, "%s.tmp%ld-%d", w->path, (long)getpid(), i);
        if (name.failed) return gn2_fail_memory();
        const int fd = open(name.data, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
        if (fd >= 0) {
            close(fd);
            w->temporary = name.data;
            return GN2_OK;
        }
        gn2_free(name.data);
        if (errno != EEXIST) break;
    }
    return fail_io("create", w->path);
}

/* The models of an ensemble, as the options name them. */
static gn2_status write_models(gn2_score_writer *w)
{
    const size_t count = gn2_config_list_count(w->config, "scores.models");
    if (count == 0) return GN2_OK;
    return gn2_h5_strings_write(w->out, NULL, "ensemble",
                                gn2_config_str_list(w->config, "scores.models"), count);
}

static gn2_status create_output(gn2_score_writer *w, const char *path)
{
    static const char *const version[] = {"libgn2 " GN2_VERSION_STRING};
    w->path = gn2_strdup(path);
    if (!w->path) return gn2_fail_memory();
    GN2_TRY(make_temporary(w));
    GN2_TRY(gn2_h5_file_create(w->temporary, &w->out));
    GN2_TRY(gn2_h5_strings_write(w->out, NULL, "writer_version", version, 1));
    return write_models(w);
}

gn2_status gn2_score_check_place(const gn2_tag_output *o)
{
    if (o->rows != GN2_ROWS_PAIRS) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG,
                    "output '%s' has no place in score files: it has a row for each "
                    "ordered pair of a jet's constituents, and the datasets have one "
                    "for each jet or constituent",
                    o->name);
}

/* scores.outputs. */
static gn2_status read_asked(gn2_score_writer *w)
{
    for (size_t i = 0; i < gn2_config_list_count(w->config, "scores.outputs"); i++) {
        const char *name = gn2_config_list_item(w->config, "scores.outputs", i);
        int32_t id;
        GN2_TRY(gn2_tag_find_output(&w->outputs, name, &id));
        GN2_TRY(gn2_score_check_place(&w->outputs.item[id]));
        w->output[id].asked = 1;
    }
    return GN2_OK;
}

static gn2_status check_options(const gn2_config *config)
{
    if (gn2_config_says(config, "data.selection", "")) return GN2_OK;
    return gn2_fail(
        GN2_ERR_INVALID_ARG,
        "data.selection cannot be set for a score file, which has a row for "
        "every jet of its input: tag all jets, then choose rows of both");
}

static gn2_status list_outputs(gn2_score_writer *w)
{
    GN2_TRY(gn2_discriminants_read(w->model->config, w->config, &w->rules));
    GN2_TRY(gn2_tag_list_outputs(&w->outputs, w->model, &w->rules));
    if (gn2_config_list_count(w->config, "scores.models"))
        GN2_TRY(gn2_tag_add_spread(&w->outputs));
    w->output = gn2_alloc(w->outputs.count, sizeof *w->output);
    return w->output ? read_asked(w) : gn2_fail_memory();
}

gn2_status gn2_score_writer_create_impl(const char *path, const char *input,
                                        const gn2_model *model,
                                        const gn2_config *config,
                                        gn2_score_writer **out_writer)
{
    gn2_score_writer *w = gn2_alloc(1, sizeof *w);
    gn2_status status;
    if (!w) return gn2_fail_memory();
    w->process = getpid();
    w->model = gn2_model_share(model);
    GN2_TRY_GOTO(gn2_config_clone(config, &w->config));
    GN2_TRY_GOTO(check_options(w->config));
    GN2_TRY_GOTO(check_path(path, input));
    GN2_TRY_GOTO(list_outputs(w));
    GN2_TRY_GOTO(open_input(w, input));
    GN2_TRY_GOTO(create_output(w, path));
    *out_writer = w;
    return GN2_OK;
fail:
    gn2_score_writer_free_impl(w);
    return status;
}

/* ---- closing ---- */

static gn2_status sync_file(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail_io("write", path);
    const gn2_status status = fsync(fd) == 0 ? GN2_OK : fail_io("write", path);
    close(fd);
    return status;
}

static gn2_status close_output(gn2_score_writer *w)
{
    gn2_status status = w->made ? GN2_OK : gn2_score_make_empty(w);
    for (int i = 0; i <= GN2_MAX_SEQUENCES; i++) {
        const gn2_status closed = gn2_score_table_close(&w->table[i]);
        if (!status) status = closed;
    }
    const gn2_status file = gn2_h5_file_close(w->out);
    w->out = NULL;
    return status ? status : file;
}

gn2_status gn2_score_check_process(const gn2_score_writer *w)
{
    if (w->process == getpid()) return GN2_OK;
    return gn2_fail(GN2_ERR_STATE,
                    "'%s': the writer is process %ld's, this is its child", w->path,
                    (long)w->process);
}

gn2_status gn2_score_writer_close_impl(gn2_score_writer *w)
{
    GN2_TRY(gn2_score_check_process(w));
    if (!w->out) return gn2_fail(GN2_ERR_STATE, "'%s' is closed already", w->path);
    if (w->failed)
        return gn2_fail(GN2_ERR_STATE, "'%s': scores are missing after an error",
                        w->path);
    GN2_TRY(close_output(w));
    GN2_TRY(sync_file(w->temporary));
    if (rename(w->temporary, w->path) != 0) return fail_io("replace", w->path);
    gn2_free(w->temporary);
    w->temporary = NULL;
    return GN2_OK;
}

gn2_use *gn2_score_writer_use(gn2_score_writer *w)
{
    return &w->use;
}

void gn2_score_writer_free_impl(gn2_score_writer *w)
{
    if (!w) return;
    for (int i = 0; i <= GN2_MAX_SEQUENCES; i++) {
        (void)gn2_score_table_close(&w->table[i]);
    }
    (void)gn2_h5_file_close(w->out);
    (void)gn2_h5_file_close(w->in);
    if (w->temporary && w->process == getpid()) unlink(w->temporary);
    gn2_tag_clear_outputs(&w->outputs);
    gn2_free(w->output);
    gn2_free(w->temporary);
    gn2_free(w->path);
    gn2_config_delete(w->config);
    gn2_model_unref(w->model);
    gn2_free(w);
}
