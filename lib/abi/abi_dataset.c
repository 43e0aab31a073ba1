/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of dataset.h: checks, then data/dataset.h does the work. */
#include <gn2/dataset.h>
#include <string.h>

#include "abi/jets.h"
#include "data/dataset.h"
#include "net/model.h"

/* Largest number of files of a dataset and of jets of a call. */
#define MAX_FILES ((size_t)1 << 20)
#define MAX_COUNT (INT64_C(1) << 40)
/* Most scores of a call. */
#define MAX_SCORES 64

static gn2_status check_paths(const char *call, const char *const *paths, size_t count)
{
    GN2_CHECK(paths, "%s: paths is NULL", call);
    GN2_CHECK(count > 0 && count <= MAX_FILES, "%s: count = %zu", call, count);
    for (size_t i = 0; i < count; i++)
        GN2_CHECK(paths[i], "%s: paths[%zu] is NULL", call, i);
    return GN2_OK;
}

gn2_status gn2_dataset_open(const char *const *paths, size_t count,
                            const gn2_config *config, gn2_dataset **out_dataset)
{
    GN2_REQUIRE_OUT(out_dataset);
    GN2_TRY(check_paths(__func__, paths, count));
    return gn2_dataset_open_impl(paths, count, config, out_dataset);
}

gn2_status gn2_dataset_open_watched(const char *const *paths, size_t count,
                                    const gn2_config *config, gn2_opening_fn fn,
                                    void *user, gn2_dataset **out_dataset)
{
    gn2_opening_watch watch = {.fn = fn, .user = user};
    GN2_REQUIRE_OUT(out_dataset);
    GN2_TRY(check_paths(__func__, paths, count));
    return gn2_dataset_watched_impl(paths, count, config, &watch, out_dataset);
}

gn2_status gn2_dataset_from_arrays(const gn2_jets *jets, const gn2_labels *labels,
                                   const gn2_config *config, gn2_dataset **out_dataset)
{
    gn2_jets_view view;
    gn2_labels_view mine;
    GN2_REQUIRE_OUT(out_dataset);
    GN2_REQUIRE(jets);
    GN2_TRY(gn2_jets_read(&view, jets));
    if (labels) GN2_TRY(gn2_labels_read(&mine, labels));
    return gn2_dataset_arrays_impl(&view.jets, labels ? &mine.labels : NULL, config,
                                   out_dataset);
}

void gn2_dataset_free(gn2_dataset *dataset)
{
    gn2_dataset_free_impl(dataset);
}

gn2_status gn2_dataset_info_get(const gn2_dataset *dataset, gn2_dataset_info *out_info)
{
    gn2_dataset_info mine = {.struct_size = sizeof mine};
    GN2_REQUIRE(dataset, out_info);
    gn2_dataset_info_impl(dataset, &mine);
    return gn2_guard_out(GN2_GUARD_OUT(gn2_dataset_info, unwritten), out_info, &mine);
}

gn2_status gn2_dataset_rows(const gn2_dataset *dataset, int64_t *out_rows,
                            int64_t count)
{
    GN2_REQUIRE(dataset, out_rows);
    return gn2_dataset_rows_impl(dataset, out_rows, count);
}

gn2_status gn2_dataset_setup(gn2_dataset *dataset, gn2_config *config)
{
    GN2_REQUIRE(dataset, config);
    GN2_TRY_HELD(gn2_dataset_use(dataset), gn2_dataset_setup_impl(dataset, config));
    return GN2_OK;
}

void gn2_dataset_request_stop(gn2_dataset *dataset)
{
    if (dataset) gn2_dataset_request_stop_impl(dataset);
}

gn2_status gn2_dataset_next(gn2_dataset *dataset, gn2_jets *out_jets,
                            gn2_labels *out_labels)
{
    gn2_jets jets;
    gn2_labels labels;
    GN2_REQUIRE(dataset, out_jets);
    GN2_TRY(gn2_guard_out_check(GN2_GUARD(gn2_jets), out_jets));
    if (out_labels) GN2_TRY(gn2_guard_out_check(GN2_GUARD(gn2_labels), out_labels));
    GN2_TRY_HELD(gn2_dataset_use(dataset),
                 gn2_dataset_next_impl(dataset, &jets, out_labels ? &labels : NULL));
    GN2_TRY(gn2_guard_out(GN2_GUARD(gn2_jets), out_jets, &jets));
    return out_labels ? gn2_guard_out(GN2_GUARD(gn2_labels), out_labels, &labels)
                      : GN2_OK;
}

const gn2_label *gn2_labels_find(const gn2_labels *labels, const char *name)
{
    if (!labels || !name || !labels->labels) return NULL;
    const char *at = (const char *)labels->labels;
    const int64_t own = labels->labels->struct_size;
    for (uint32_t i = 0; i < labels->label_count; i++) {
        const gn2_label *label = (const void *)at;
        if (label->name && strcmp(label->name, name) == 0) return label;
        at += labels->label_stride ? labels->label_stride : own;
    }
    return NULL;
}

gn2_status gn2_dataset_reset(gn2_dataset *dataset, int64_t epoch, int64_t batch)
{
    GN2_REQUIRE(dataset);
    GN2_TRY_HELD(gn2_dataset_use(dataset),
                 gn2_dataset_reset_impl(dataset, epoch, batch));
    return GN2_OK;
}

gn2_status gn2_score_writer_create(const char *path, const char *input,
                                   const gn2_model *model, const gn2_config *config,
                                   gn2_score_writer **out_writer)
{
    GN2_REQUIRE_OUT(out_writer);
    GN2_REQUIRE(path, input, model);
    return gn2_score_writer_create_impl(path, input, model, config, out_writer);
}

static gn2_status check_count(const char *call, int64_t count)
{
    GN2_CHECK(count >= 0 && count < MAX_COUNT, "%s: count = %lld", call,
              (long long)count);
    return GN2_OK;
}

gn2_status gn2_score_writer_add_outputs(gn2_score_writer *writer, int64_t count,
                                        const gn2_score *scores, size_t score_count)
{
    gn2_score mine[MAX_SCORES];
    GN2_REQUIRE(writer);
    GN2_TRY(check_count(__func__, count));
    GN2_CHECK(scores && score_count > 0, "%s: no scores", __func__);
    GN2_CHECK(score_count <= MAX_SCORES, "%s: %zu scores, at most %d", __func__,
              score_count, MAX_SCORES);
    for (size_t i = 0; i < score_count; i++) {
        GN2_TRY(gn2_guard_in_at(GN2_GUARD_IN(gn2_score, reserved), &mine[i], scores, 0,
                                (int64_t)i));
        GN2_CHECK(mine[i].output, "%s: output of scores[%zu] is NULL", __func__, i);
    }
    if (count == 0) return GN2_OK;
    GN2_TRY_HELD(gn2_score_writer_use(writer),
                 gn2_score_writer_add_impl(writer, count, mine, score_count));
    return GN2_OK;
}

gn2_status gn2_score_writer_add(gn2_score_writer *writer, int64_t count,
                                const float *probabilities, const float *d_b,
                                const float *origin, const int32_t *vertex)
{
    const struct {
        const char *output;
        const void *data;
    } given[] = {{"jets.probabilities", probabilities},
                 {"jets.D_b", d_b},
                 {"tracks.origin", origin},
                 {"tracks.vertex", vertex}};
    gn2_score scores[sizeof given / sizeof *given];
    size_t used = 0;
    GN2_REQUIRE(writer);
    GN2_TRY(check_count(__func__, count));
    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        if (given[i].data)
            scores[used++] = (gn2_score){
                .struct_size = sizeof *scores,
                .output = given[i].output,
                .data = given[i].data,
                .rows = gn2_score_writer_rows(writer, given[i].output, count)};
    return gn2_score_writer_add_outputs(writer, count, scores, used);
}

gn2_status gn2_score_writer_close(gn2_score_writer *writer)
{
    GN2_REQUIRE(writer);
    GN2_TRY_HELD(gn2_score_writer_use(writer), gn2_score_writer_close_impl(writer));
    return GN2_OK;
}

void gn2_score_writer_free(gn2_score_writer *writer)
{
    gn2_score_writer_free_impl(writer);
}
