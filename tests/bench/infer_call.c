/* SPDX-License-Identifier: Apache-2.0 */
/* See infer_call.h. Only functions of the public interface are timed. */
#include "infer_call.h"

#include "net/model.h"
#include "peak.h"
#include "util/alloc.h"
#include "util/error.h"

const char *const infer_task_names[INFER_TASK_COUNT] = {"flavour", "all"};

static const struct {
    const char *name;
    int of_tracks;
} kinds[3] = {{"jets.probabilities", 0}, {"tracks.origin", 1}, {"tracks.vertex", 1}};

unsigned infer_heads(infer_tasks tasks)
{
    return tasks == INFER_ALL ? ~0u : 1u << 0 /* the jets */;
}

static gn2_status make_output(infer_run *r, size_t i, int64_t rows)
{
    int32_t id;
    GN2_TRY(gn2_tagger_output(r->tagger, kinds[i].name, &id));
    const int64_t columns = gn2_tagger_output_columns(r->tagger, id);
    r->data[i] = gn2_alloc((size_t)(rows * columns), sizeof(float));
    if (!r->data[i]) return gn2_fail_memory();
    r->outputs[i] = (gn2_output){.struct_size = sizeof(gn2_output),
                                 .id = id,
                                 .data = r->data[i],
                                 .capacity = rows};
    return GN2_OK;
}

gn2_status infer_open(gn2_model *model, const gn2_config *config, int64_t rows,
                      infer_run *out)
{
    *out =
        (infer_run){.model = gn2_model_share(model), .h = &model->h, .count = {1, 3}};
    GN2_TRY(gn2_tagger_create(model, config, &out->tagger));
    for (size_t i = 0; i < 3; i++) GN2_TRY(make_output(out, i, rows));
    return GN2_OK;
}

void infer_close(infer_run *r)
{
    gn2_tagger_free(r->tagger);
    gn2_model_unref(r->model);
    for (size_t i = 0; i < 3; i++) gn2_free(r->data[i]);
    *r = (infer_run){0};
}

gn2_status infer_call(const infer_run *r, const gn2_jets *jets, infer_tasks tasks)
{
    return gn2_tagger_run(r->tagger, jets, r->outputs, r->count[tasks]);
}

gn2_status infer_time(const infer_run *r, const bench_view *v, infer_tasks tasks,
                      double *out_seconds)
{
    const double start = gn2_bench_now();
    const gn2_status status = infer_call(r, &v->jets, tasks);
    *out_seconds = gn2_bench_now() - start;
    return status;
}
