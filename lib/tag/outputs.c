/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs of a tagger: which there are, and checking those a call asks for. */
#include "tag/outputs.h"

#include <stdio.h>
#include <string.h>

#include "net/tasks.h"
#include "tag/tagger.h"
#include "util/alloc.h"
#include "util/error.h"

/* ---- the list ---- */

/* Adds an output; `like` has everything but the name, and is copied. */
static gn2_status add(gn2_tagger *t, const gn2_tag_output *like, const char *prefix,
                      const char *name, const char *suffix)
{
    gn2_tag_outputs *all = &t->outputs;
    if (all->count == all->capacity) {
        const size_t more = 2 * all->capacity + 16;
        if (!gn2_grow((void **)&all->item, all->count, more, sizeof *all->item))
            return gn2_fail_memory();
        all->capacity = more;
    }
    gn2_tag_output *output = &all->item[all->count++];
    *output = *like;
    if (!output->type) output->type = GN2_DATA_F32;
    snprintf(output->name, sizeof output->name, "%s.%s%s", prefix, name, suffix);
    return GN2_OK;
}

/* What every object has, whatever its tasks. */
static gn2_status add_object(gn2_tagger *t, int object)
{
    const char *prefix = gn2_model_object_name(t->model, object);
    gn2_tag_output like = {
        .object = object,
        .rows = object ? GN2_ROWS_CONSTITUENTS : GN2_ROWS_JETS,
        .columns = t->net->h->out_dim,
        .task = -1,
        .write = object ? gn2_write_tokens : gn2_write_pooled,
    };
    GN2_TRY(add(t, &like, prefix, "embedding", ""));
    if (object == 0) return GN2_OK;
    like.columns = 1;
    like.write = gn2_write_attention;
    return add(t, &like, prefix, "attention", "");
}

static gn2_status add_discriminants(gn2_tagger *t)
{
    gn2_tag_output like = {.rows = GN2_ROWS_JETS,
                           .task = t->net->h->flavour,
                           .columns = 1,
                           .write = gn2_write_discriminant};
    for (size_t i = 0; i < t->discriminants.count; i++) {
        like.item = (int)i;
        GN2_TRY(add(t, &like, "jets", t->discriminants.rule[i].name, ""));
    }
    return GN2_OK;
}

/* ---- of tasks ---- */

/* How a form of output is written. */
typedef struct form {
    int32_t type;
    gn2_tag_writer write;
} form;

static const form forms[] = {
    [GN2_OUT_LOGITS] = {GN2_DATA_F32, gn2_write_logits},
    [GN2_OUT_SOFTMAX] = {GN2_DATA_F32, gn2_write_softmax},
    [GN2_OUT_VALUES] = {GN2_DATA_F32, gn2_write_values},
    [GN2_OUT_VERTICES] = {GN2_DATA_I32, gn2_write_vertices},
};

/* Names that GN2's own tasks had before tasks had names. */
static const struct {
    const char *task, *suffix, *prefix, *name; /* prefix NULL: the object */
} short_names[] = {
    {"jets_classification", "", NULL, "probabilities"},
    {"jets_classification", "_logits", NULL, "logits"},
    {"track_origin", "", NULL, "origin"},
    {"track_origin", "_logits", NULL, "origin_logits"},
    {"track_vertexing", "", NULL, "vertex"},
    {"track_vertexing", "_logits", "pairs", "logits"},
};

static gn2_status add_short_name(gn2_tagger *t, const gn2_tag_output *like,
                                 const char *task, const char *suffix)
{
    for (size_t i = 0; i < sizeof short_names / sizeof *short_names; i++) {
        if (strcmp(short_names[i].task, task) || strcmp(short_names[i].suffix, suffix))
            continue;
        const char *prefix = short_names[i].prefix;
        if (!prefix) prefix = gn2_model_object_name(t->model, like->object);
        return add(t, like, prefix, short_names[i].name, "");
    }
    return GN2_OK;
}

static int32_t rows_of(const gn2_task *task, gn2_task_form which)
{
    if (task->rows == GN2_OVER_JETS) return GN2_ROWS_JETS;
    if (task->rows == GN2_OVER_PAIRS && which == GN2_OUT_LOGITS) return GN2_ROWS_PAIRS;
    return GN2_ROWS_CONSTITUENTS;
}

static int64_t columns_of(const gn2_task *task, const gn2_task_output *o)
{
    if (o->columns) return o->columns;
    return o->form == GN2_OUT_VALUES ? task->targets : gn2_task_columns(task);
}

static gn2_status add_task(gn2_tagger *t, int k)
{
    const gn2_task *task = &t->net->h->task[k];
    const gn2_task_output *o = gn2_task_kind_of_f32(task)->outputs;
    for (; o->suffix; o++) {
        const gn2_tag_output like = {
            .object = task->sequence + 1,
            .rows = rows_of(task, o->form),
            .type = forms[o->form].type,
            .columns = columns_of(task, o),
            .task = k,
            .item = o->item,
            .write = forms[o->form].write,
        };
        const char *prefix = like.rows == GN2_ROWS_PAIRS
                                 ? "pairs"
                                 : gn2_model_object_name(t->model, like.object);
        GN2_TRY(add_short_name(t, &like, task->name, o->suffix));
        GN2_TRY(add(t, &like, prefix, task->name, o->suffix));
    }
    return GN2_OK;
}

gn2_status gn2_tag_list_outputs(gn2_tagger *t)
{
    for (int k = 0; k < t->net->h->task_count; k++) GN2_TRY(add_task(t, k));
    if (t->net->h->flavour >= 0) GN2_TRY(add_discriminants(t));
    for (int object = 0; object <= t->net->h->sequence_count; object++)
        GN2_TRY(add_object(t, object));
    return GN2_OK;
}

static gn2_status fail_unknown(const gn2_tagger *t, const char *name)
{
    char list[400] = "";
    for (size_t i = 0; i < t->outputs.count; i++) {
        const char *known = t->outputs.item[i].name;
        if (strlen(list) + strlen(known) + 2 >= sizeof list) continue;
        strcat(strcat(list, " "), known);
    }
    return gn2_fail(GN2_ERR_NOT_FOUND, "no output '%s'; the model has%s", name, list);
}

gn2_status gn2_tag_find_output(const gn2_tagger *t, const char *name, int32_t *out_id)
{
    for (size_t i = 0; i < t->outputs.count; i++)
        if (strcmp(name, t->outputs.item[i].name) == 0) {
            *out_id = (int32_t)i;
            return GN2_OK;
        }
    return fail_unknown(t, name);
}

/* ---- checks ---- */

/* Ordered pairs of a sequence's constituents in the call. */
static int64_t count_pairs(const gn2_tag_call *call, int sequence)
{
    const int64_t *offset = call->batch.sequence[sequence].offset;
    int64_t pairs = 0;
    for (int64_t b = 0; b < call->batch.jets; b++) {
        const int64_t n = offset[b + 1] - offset[b];
        pairs += n * (n - 1);
    }
    return pairs;
}

static int64_t rows_needed(const gn2_tag_call *call, const gn2_tag_output *output)
{
    if (output->rows == GN2_ROWS_JETS) return call->batch.jets;
    if (output->rows == GN2_ROWS_PAIRS) return count_pairs(call, output->object - 1);
    return gn2_sequence_rows(call->jets, output->object - 1);
}

static const char *type_name(int32_t type)
{
    return type == GN2_DATA_F32 ? "float" : type == GN2_DATA_I32 ? "int32_t" : "?";
}

static gn2_status check_output(const gn2_tag_call *call, const gn2_output *out)
{
    const gn2_tag_outputs *all = &call->tagger->outputs;
    if (out->id < 0 || (size_t)out->id >= all->count)
        return gn2_fail(GN2_ERR_INVALID_ARG, "output id %d is not from this model",
                        out->id);
    const gn2_tag_output *output = &all->item[out->id];
    const int64_t rows = rows_needed(call, output);
    if (out->type && out->type != output->type)
        return gn2_fail(GN2_ERR_INVALID_ARG, "output '%s' is %s: type = %d (%s)",
                        output->name, type_name(output->type), out->type,
                        type_name(out->type));
    if (out->capacity < rows)
        return gn2_fail(GN2_ERR_SHAPE,
                        "output '%s': room for %lld rows, %lld are needed",
                        output->name, (long long)out->capacity, (long long)rows);
    if (rows > 0 && !out->data)
        return gn2_fail(GN2_ERR_INVALID_ARG, "output '%s': data is NULL", output->name);
    if (out->row_stride != 0 && out->row_stride < output->columns)
        return gn2_fail(GN2_ERR_SHAPE, "output '%s': row_stride %lld for %lld columns",
                        output->name, (long long)out->row_stride,
                        (long long)output->columns);
    return GN2_OK;
}

gn2_status gn2_tag_check_outputs(gn2_tag_call *call)
{
    for (size_t i = 0; i < call->count; i++) {
        GN2_TRY(check_output(call, &call->outputs[i]));
        const int task = call->tagger->outputs.item[call->outputs[i].id].task;
        if (task >= 0) call->tasks |= 1u << task;
    }
    return GN2_OK;
}

/* ---- filling ---- */

static gn2_tag_writing writing_of(const gn2_tag_call *call, size_t index)
{
    const gn2_output *out = &call->outputs[index];
    const gn2_tag_output *output = &call->tagger->outputs.item[out->id];
    return (gn2_tag_writing){.call = call,
                             .output = output,
                             .data = out->data,
                             .stride =
                                 out->row_stride ? out->row_stride : output->columns};
}

static void blank_row(const gn2_tag_writing *w, int64_t r)
{
    if (w->output->type == GN2_DATA_F32)
        memset((float *)w->data + r * w->stride, 0,
               (size_t)w->output->columns * sizeof(float));
    else
        ((int32_t *)w->data)[r * w->stride] = INT32_MIN; /* salt's padding */
}

void gn2_tag_blank_outputs(const gn2_tag_call *call)
{
    for (size_t i = 0; i < call->count; i++) {
        const gn2_tag_writing w = writing_of(call, i);
        const int sequence = w.output->object - 1;
        if (w.output->rows != GN2_ROWS_CONSTITUENTS) continue;
        if (!call->batch.sequence[sequence].row) continue; /* ragged: no gaps */
        const int64_t rows = gn2_sequence_rows(call->jets, sequence);
        for (int64_t r = 0; r < rows; r++) blank_row(&w, r);
    }
}

void gn2_tag_write_outputs(const gn2_tag_call *call, const gn2_pass_f32 *pass)
{
    for (size_t i = 0; i < call->count; i++) {
        gn2_tag_writing w = writing_of(call, i);
        w.pass = pass;
        w.output->write(&w);
    }
}
