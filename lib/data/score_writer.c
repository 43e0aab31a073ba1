/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Score files as salt writes them (fields of the input, then scores), under a
 * temporary name until closed. Datasets are made at the first rows, when it is
 * known which scores there are.
 */
#define _GNU_SOURCE /* strerror_r that returns the text */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/alias.h"
#include "data/dataset.h"
#include "data/score_table.h"
#include "util/alloc.h"
#include "util/error.h"
#include "util/str.h"

#define SCORE_NAME_SIZE 256
#define TEMPORARY_NAMES 1000

struct gn2_score_writer {
    gn2_config *model, *config;
    char *path, *temporary;
    gn2_h5_file *in, *out;
    gn2_score_table jets, tracks;
    int32_t with_tracks, made;
    int32_t with_d_b, with_origin, with_vertex; /* as at the first rows */
    size_t classes, origins;
    int64_t rows;
    float *slot_origin; /* a slab's packed rows, unpacked */
    int32_t *slot_vertex;
    int64_t slot_capacity;
};

static const char *dataset_of(const gn2_config *config, const char *object)
{
    char key[128];
    const char *name =
        gn2_config_str(config, gn2_config_key_of(key, "data.dataset.%s", object));
    return name[0] ? name : object;
}

static const char *track_object(const gn2_score_writer *w)
{
    return gn2_config_str(w->model, "task.track_origin.object");
}

static int is_yes(const gn2_config *config, const char *key)
{
    return strcmp(gn2_config_str(config, key), "yes") == 0;
}

static gn2_status fail_io(const char *action, const char *path)
{
    char reason[128] = "unknown error";
    const char *text = strerror_r(errno, reason, sizeof reason);
    return gn2_fail(GN2_ERR_IO, "cannot %s '%s': %s", action, path, text);
}

/* ---- creating ---- */

static gn2_status copy_fields(const gn2_score_writer *w, gn2_score_table *table,
                              const char *key)
{
    const size_t count = gn2_config_list_count(w->config, key);
    const char **names = gn2_alloc(count, sizeof *names);
    if (!names) return gn2_fail_memory();
    for (size_t i = 0; i < count; i++)
        names[i] = gn2_config_list_item(w->config, key, i);
    const gn2_status status = gn2_score_table_copy(table, names, count);
    gn2_free(names);
    return status;
}

static gn2_status open_tracks(gn2_score_writer *w, int32_t real_size)
{
    const char *dataset = dataset_of(w->config, track_object(w));
    GN2_TRY(gn2_score_table_open(&w->tracks, w->in, dataset, real_size));
    if (w->tracks.info->rank != 2 || w->tracks.info->rows != w->jets.info->rows)
        return gn2_fail(GN2_ERR_FORMAT, "dataset '%s' does not fit the jets", dataset);
    if (w->tracks.valid < 0)
        return gn2_fail(GN2_ERR_NOT_FOUND, "dataset '%s' has no field 'valid'",
                        dataset);
    return copy_fields(w, &w->tracks, "scores.track_fields");
}

static gn2_status open_input(gn2_score_writer *w, const char *input)
{
    const int32_t real_size = is_yes(w->config, "scores.half_precision") ? 2 : 4;
    const char *dataset = dataset_of(w->config, "jets");
    GN2_TRY(gn2_h5_open(input, &w->in));
    GN2_TRY(gn2_score_table_open(&w->jets, w->in, dataset, real_size));
    if (w->jets.info->rank != 1)
        return gn2_fail(GN2_ERR_FORMAT, "'%s': dataset '%s' has %d dimensions, not 1",
                        input, dataset, w->jets.info->rank);
    GN2_TRY(copy_fields(w, &w->jets, "scores.jet_fields"));
    w->with_tracks = is_yes(w->config, "scores.write_tracks");
    return w->with_tracks ? open_tracks(w, real_size) : GN2_OK;
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

static gn2_status create_output(gn2_score_writer *w, const char *path)
{
    static const char *const version[] = {"libgn2 " GN2_VERSION_STRING};
    w->path = gn2_strdup(path);
    if (!w->path) return gn2_fail_memory();
    GN2_TRY(make_temporary(w));
    GN2_TRY(gn2_h5_create(w->temporary, &w->out));
    return gn2_h5_texts_set(w->out, NULL, "writer_version", version, 1);
}

gn2_status gn2_score_writer_create_impl(const char *path, const char *input,
                                        const gn2_config *model,
                                        const gn2_config *config,
                                        gn2_score_writer **out_writer)
{
    gn2_score_writer *w = gn2_alloc(1, sizeof *w);
    gn2_status status;
    if (!w) return gn2_fail_memory();
    GN2_TRY_GOTO(gn2_config_copy(model, &w->model));
    GN2_TRY_GOTO(config ? gn2_config_copy(config, &w->config)
                        : gn2_config_new(&w->config));
    w->classes = gn2_config_list_count(model, "model.classes");
    w->origins = gn2_config_list_count(model, "task.track_origin.classes");
    GN2_TRY_GOTO(open_input(w, input));
    GN2_TRY_GOTO(create_output(w, path));
    *out_writer = w;
    return GN2_OK;
fail:
    gn2_score_writer_free_impl(w);
    return status;
}

/* ---- fields ---- */

static gn2_status add_real(const gn2_score_writer *w, gn2_score_table *table,
                           const char *suffix)
{
    char name[SCORE_NAME_SIZE];
    const char *model = gn2_config_str(w->model, "model.name");
    if (snprintf(name, sizeof name, "%s_%s", model, suffix) >= SCORE_NAME_SIZE)
        return gn2_fail(GN2_ERR_INVALID_ARG, "the name of score '%s' is too long",
                        suffix);
    return gn2_score_table_add(table, name, GN2_H5_FLOAT, table->real_size);
}

static gn2_status add_jet_fields(gn2_score_writer *w)
{
    for (size_t i = 0; i < w->classes; i++) {
        char suffix[SCORE_NAME_SIZE];
        gn2_class_score_name(gn2_config_list_item(w->model, "model.classes", i), suffix,
                             sizeof suffix);
        GN2_TRY(add_real(w, &w->jets, suffix));
    }
    return w->with_d_b ? add_real(w, &w->jets, "Db") : GN2_OK;
}

static gn2_status add_track_fields(gn2_score_writer *w)
{
    for (size_t i = 0; w->with_origin && i < w->origins; i++) {
        char suffix[SCORE_NAME_SIZE];
        snprintf(suffix, sizeof suffix, "p%s",
                 gn2_config_list_item(w->model, "task.track_origin.classes", i));
        GN2_TRY(add_real(w, &w->tracks, suffix));
    }
    if (w->with_vertex)
        GN2_TRY(gn2_score_table_add(&w->tracks, "VertexIndex", GN2_H5_INT, 8));
    return gn2_score_table_add(&w->tracks, "mask", GN2_H5_BOOL, 1);
}

static gn2_status make_tables(gn2_score_writer *w)
{
    GN2_TRY(add_jet_fields(w));
    GN2_TRY(gn2_score_table_make(&w->jets, w->out, dataset_of(w->config, "jets")));
    if (w->with_tracks) {
        GN2_TRY(add_track_fields(w));
        GN2_TRY(gn2_score_table_make(&w->tracks, w->out,
                                     dataset_of(w->config, track_object(w))));
    }
    w->made = 1;
    return GN2_OK;
}

/* ---- rows ---- */

/* What one call brings; `row` is the first of the slab within it. Track scores are
 * by slot, or packed: then `used` of `packed` rows lie before the slab. */
typedef struct scores {
    const float *probabilities, *d_b, *origin;
    const int32_t *vertex;
    int64_t row, count;
    int64_t packed, used; /* packed −1: by slot */
} scores;

static int64_t bytes_copied(const gn2_score_table *table)
{
    int64_t offset = 0;
    for (size_t i = 0; i < table->copied; i++) offset += table->field[i].size;
    return offset;
}

static gn2_status write_jets(gn2_score_writer *w, scores *s)
{
    gn2_score_table *t = &w->jets;
    const int64_t classes = (int64_t)w->classes;
    const float *values = s->probabilities + s->row * classes;
    GN2_TRY(gn2_score_table_begin(t, w->rows + s->row, s->count));
    int64_t offset = bytes_copied(t);
    size_t field = t->copied;
    for (int64_t c = 0; c < classes; c++, offset += t->real_size)
        gn2_score_table_put(t, field++, offset, values + c, classes, s->count);
    if (s->d_b) gn2_score_table_put(t, field, offset, s->d_b + s->row, 1, s->count);
    return gn2_h5_table_add(t->out, s->count, t->out_data);
}

static void put_marks(const gn2_score_writer *w, const scores *s, int64_t offset)
{
    const gn2_score_table *t = &w->tracks;
    const int64_t first = s->row * t->info->slots;
    for (int64_t i = 0; i < s->count * t->info->slots; i++) {
        char *at = t->out_data + i * t->record + offset;
        if (s->vertex) {
            const int64_t vertex = s->vertex[first + i];
            memcpy(at, &vertex, sizeof vertex);
            at += sizeof vertex;
        }
        *at = gn2_score_table_valid(t, i) ? 0 : 1; /* mask: padded */
    }
}

static gn2_status reserve_slots(gn2_score_writer *w, int64_t slots)
{
    if (slots <= w->slot_capacity) return GN2_OK;
    w->slot_capacity = 0;
    if (!gn2_grow((void **)&w->slot_origin, 0, (size_t)slots * w->origins,
                  sizeof *w->slot_origin) ||
        !gn2_grow((void **)&w->slot_vertex, 0, (size_t)slots, sizeof *w->slot_vertex))
        return gn2_fail_memory();
    w->slot_capacity = slots;
    return GN2_OK;
}

/* Slot of valid constituent number `member` of the jet whose slots start at `first`. */
static int32_t slot_of(const gn2_score_table *t, int64_t first, int32_t member)
{
    int32_t slot = 0;
    for (int32_t seen = -1; slot < t->info->slots; slot++) {
        seen += gn2_score_table_valid(t, first + slot) != 0;
        if (seen == member) break;
    }
    return slot;
}

/* Packed rows of a slab that was begun → rows by slot, in the writer's buffers. */
static gn2_status unpack(gn2_score_writer *w, scores *s, scores *by_slot)
{
    const gn2_score_table *t = &w->tracks;
    const int64_t slots = s->count * t->info->slots, origins = (int64_t)w->origins;
    GN2_TRY(reserve_slots(w, slots));
    for (int64_t i = 0; i < slots; i++) {
        const int valid = gn2_score_table_valid(t, i);
        if (valid && s->used == s->packed)
            return gn2_fail(GN2_ERR_SHAPE,
                            "'%s': %lld constituents for jets that have more", w->path,
                            (long long)s->packed);
        if (s->origin && valid)
            memcpy(w->slot_origin + i * origins, s->origin + s->used * origins,
                   w->origins * sizeof *w->slot_origin);
        else
            memset(w->slot_origin + i * origins, 0,
                   w->origins * sizeof *w->slot_origin);
        w->slot_vertex[i] = INT32_MIN; /* salt's padding */
        if (s->vertex && valid)
            w->slot_vertex[i] = slot_of(t, i - i % t->info->slots, s->vertex[s->used]);
        s->used += valid != 0;
    }
    *by_slot = *s;
    by_slot->row = 0;
    if (s->origin) by_slot->origin = w->slot_origin;
    if (s->vertex) by_slot->vertex = w->slot_vertex;
    return GN2_OK;
}

static gn2_status write_tracks(gn2_score_writer *w, scores *given)
{
    gn2_score_table *t = &w->tracks;
    scores slab = *given;
    const int64_t slots = given->count * t->info->slots, origins = (int64_t)w->origins;
    GN2_TRY(gn2_score_table_begin(t, w->rows + given->row, given->count));
    if (given->packed >= 0) GN2_TRY(unpack(w, given, &slab));
    int64_t offset = bytes_copied(t);
    size_t field = t->copied;
    for (int64_t k = 0; slab.origin && k < origins; k++, offset += t->real_size)
        gn2_score_table_put(t, field++, offset,
                            slab.origin + slab.row * t->info->slots * origins + k,
                            origins, slots);
    put_marks(w, &slab, offset);
    return gn2_h5_table_add(t->out, slab.count, t->out_data);
}

static gn2_status write_slabs(gn2_score_table *table, int64_t count, scores *s,
                              gn2_score_writer *w,
                              gn2_status (*write)(gn2_score_writer *, scores *))
{
    const int64_t slab = gn2_score_table_slab(table);
    for (s->row = 0; s->row < count; s->row += slab) {
        s->count = count - s->row < slab ? count - s->row : slab;
        GN2_TRY(write(w, s));
    }
    return GN2_OK;
}

static gn2_status add_tracks(gn2_score_writer *w, int64_t count, scores *s)
{
    if (!w->with_tracks) return GN2_OK;
    GN2_TRY(write_slabs(&w->tracks, count, s, w, write_tracks));
    if (s->packed < 0 || s->used == s->packed) return GN2_OK;
    return gn2_fail(GN2_ERR_SHAPE, "'%s': %lld constituents for jets that have %lld",
                    w->path, (long long)s->packed, (long long)s->used);
}

static gn2_status check_add(gn2_score_writer *w, int64_t count, const scores *s)
{
    if (!w->out) return gn2_fail(GN2_ERR_STATE, "'%s': scores after close", w->path);
    if (w->rows + count > w->jets.info->rows)
        return gn2_fail(GN2_ERR_SHAPE, "'%s': scores for %lld jets, the input has %lld",
                        w->path, (long long)w->rows + count,
                        (long long)w->jets.info->rows);
    const int same = w->with_d_b == (s->d_b != NULL) &&
                     w->with_origin == (s->origin != NULL) &&
                     w->with_vertex == (s->vertex != NULL);
    if (w->made && !same)
        return gn2_fail(GN2_ERR_STATE, "'%s': other scores than in the first call",
                        w->path);
    return GN2_OK;
}

static gn2_status add_scores(gn2_score_writer *w, int64_t count, scores *s)
{
    GN2_TRY(check_add(w, count, s));
    if (!w->made) {
        w->with_d_b = s->d_b != NULL;
        w->with_origin = s->origin != NULL;
        w->with_vertex = s->vertex != NULL;
        GN2_TRY(make_tables(w));
    }
    GN2_TRY(write_slabs(&w->jets, count, s, w, write_jets));
    GN2_TRY(add_tracks(w, count, s));
    w->rows += count;
    return GN2_OK;
}

gn2_status gn2_score_writer_add_impl(gn2_score_writer *w, int64_t count,
                                     const float *probabilities, const float *d_b,
                                     const float *origin, const int32_t *vertex)
{
    scores s = {probabilities, d_b, origin, vertex, .packed = -1};
    return add_scores(w, count, &s);
}

gn2_status gn2_score_writer_add_packed_impl(gn2_score_writer *w, int64_t count,
                                            int64_t rows, const float *probabilities,
                                            const float *d_b, const float *origin,
                                            const int32_t *vertex)
{
    scores s = {probabilities, d_b, origin, vertex, .packed = rows};
    return add_scores(w, count, &s);
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
    gn2_status status = GN2_OK;
    if (!w->made) status = make_tables(w);
    const gn2_status jets = gn2_score_table_close(&w->jets);
    const gn2_status tracks = gn2_score_table_close(&w->tracks);
    const gn2_status file = gn2_h5_close(w->out);
    w->out = NULL;
    GN2_TRY(status);
    GN2_TRY(jets);
    GN2_TRY(tracks);
    return file;
}

gn2_status gn2_score_writer_close_impl(gn2_score_writer *w)
{
    if (!w->out) return gn2_fail(GN2_ERR_STATE, "'%s' is closed already", w->path);
    GN2_TRY(close_output(w));
    GN2_TRY(sync_file(w->temporary));
    if (rename(w->temporary, w->path) != 0) return fail_io("replace", w->path);
    gn2_free(w->temporary);
    w->temporary = NULL;
    return GN2_OK;
}

void gn2_score_writer_free_impl(gn2_score_writer *w)
{
    if (!w) return;
    (void)gn2_score_table_close(&w->jets);
    (void)gn2_score_table_close(&w->tracks);
    (void)gn2_h5_close(w->out);
    (void)gn2_h5_close(w->in);
    if (w->temporary) unlink(w->temporary);
    gn2_free(w->slot_origin);
    gn2_free(w->slot_vertex);
    gn2_free(w->temporary);
    gn2_free(w->path);
    gn2_config_delete(w->model);
    gn2_config_delete(w->config);
    gn2_free(w);
}
