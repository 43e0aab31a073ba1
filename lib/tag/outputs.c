/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs of a tagger: names, shapes, checks, and copying out of a pass. */
#include <stdio.h>
#include <string.h>

#include "tag/tagger.h"
#include "tag/vertex.h"
#include "util/error.h"
#include "util/str.h"

#define ID_STEP 32 /* an id is kind + ID_STEP·object */

/* Whose rows an output has. */
typedef enum rows_of { OF_JETS, OF_CONSTITUENTS, OF_PAIRS } rows_of;

typedef struct output_kind {
    const char *suffix; /* behind the object's name */
    rows_of rows;
    int task; /* head it needs, −1: none */
} output_kind;

static const output_kind kinds[GN2_OUT_COUNT] = {
    [GN2_OUT_PROBABILITIES] = {"probabilities", OF_JETS, GN2_TASK_JETS},
    [GN2_OUT_LOGITS] = {"logits", OF_JETS, GN2_TASK_JETS},
    [GN2_OUT_D_B] = {"D_b", OF_JETS, GN2_TASK_JETS},
    [GN2_OUT_D_C] = {"D_c", OF_JETS, GN2_TASK_JETS},
    [GN2_OUT_D_TAU] = {"D_tau", OF_JETS, GN2_TASK_JETS},
    [GN2_OUT_EMBEDDING] = {"embedding", OF_JETS, -1},
    [GN2_OUT_ORIGIN] = {"origin", OF_CONSTITUENTS, GN2_TASK_ORIGIN},
    [GN2_OUT_ORIGIN_LOGITS] = {"origin_logits", OF_CONSTITUENTS, GN2_TASK_ORIGIN},
    [GN2_OUT_TRACK_EMBEDDING] = {"embedding", OF_CONSTITUENTS, -1},
    [GN2_OUT_ATTENTION] = {"attention", OF_CONSTITUENTS, -1},
    [GN2_OUT_VERTEX] = {"vertex", OF_CONSTITUENTS, GN2_TASK_VERTEX},
    [GN2_OUT_PAIRS] = {"logits", OF_PAIRS, GN2_TASK_VERTEX},
};

/* Whether the model has output `kind` of `object` (0: jets, else a sequence). */
static int exists(const gn2_tagger *t, int kind, int object)
{
    const gn2_hparams *h = t->net->h;
    const int task = kinds[kind].task;
    if ((kinds[kind].rows == OF_JETS) != (object == 0)) return 0;
    if (kind >= GN2_OUT_D_B && kind <= GN2_OUT_D_TAU)
        return t->rule[kind - GN2_OUT_D_B].signal >= 0;
    if (task <= GN2_TASK_JETS) return 1;
    return h->task[task].on && h->task[task].sequence == object - 1;
}

static void name_of(const gn2_tagger *t, int kind, int object, char out_name[160])
{
    const char *prefix = kinds[kind].rows == OF_PAIRS
                             ? "pairs"
                             : gn2_model_object_name(t->model, object);
    snprintf(out_name, 160, "%s.%s", prefix, kinds[kind].suffix);
}

static gn2_status fail_unknown(const gn2_tagger *t, const char *name)
{
    char list[400] = "";
    for (int object = 0; object <= t->net->h->sequence_count; object++)
        for (int kind = 0; kind < GN2_OUT_COUNT; kind++) {
            char known[160];
            if (!exists(t, kind, object)) continue;
            name_of(t, kind, object, known);
            const size_t used = strlen(list);
            if (used + strlen(known) + 2 >= sizeof list) continue;
            snprintf(list + used, sizeof list - used, " %s", known);
        }
    return gn2_fail(GN2_ERR_NOT_FOUND, "no output '%s'; the model has%s", name, list);
}

gn2_status gn2_tag_output_id(const gn2_tagger *t, const char *name, int32_t *out_id)
{
    for (int object = 0; object <= t->net->h->sequence_count; object++)
        for (int kind = 0; kind < GN2_OUT_COUNT; kind++) {
            char known[160];
            if (!exists(t, kind, object)) continue;
            name_of(t, kind, object, known);
            if (strcmp(name, known) != 0) continue;
            *out_id = kind + ID_STEP * object;
            return GN2_OK;
        }
    return fail_unknown(t, name);
}

int64_t gn2_tag_output_columns(const gn2_tagger *t, int32_t id)
{
    const gn2_hparams *h = t->net->h;
    const int kind = id % ID_STEP, object = id / ID_STEP;
    if (id < 0 || kind >= GN2_OUT_COUNT || object > h->sequence_count ||
        !exists(t, kind, object))
        return 0;
    switch ((gn2_output_kind)kind) {
    case GN2_OUT_PROBABILITIES:
    case GN2_OUT_LOGITS:
        return h->classes;
    case GN2_OUT_ORIGIN:
    case GN2_OUT_ORIGIN_LOGITS:
        return h->origins;
    case GN2_OUT_EMBEDDING:
    case GN2_OUT_TRACK_EMBEDDING:
        return h->out_dim;
    default:
        return 1;
    }
}

/* Ordered pairs of the vertex task's constituents in the call. */
static int64_t count_pairs(const gn2_tag_call *call)
{
    const int sequence = call->tagger->net->h->task[GN2_TASK_VERTEX].sequence;
    const int64_t *offset = call->batch.sequence[sequence].offset;
    int64_t pairs = 0;
    for (int64_t b = 0; b < call->batch.jets; b++) {
        const int64_t n = offset[b + 1] - offset[b];
        pairs += n * (n - 1);
    }
    return pairs;
}

static int64_t rows_needed(const gn2_tag_call *call, int32_t id)
{
    const rows_of rows = kinds[id % ID_STEP].rows;
    if (rows == OF_JETS) return call->batch.jets;
    if (rows == OF_PAIRS) return count_pairs(call);
    return gn2_sequence_rows(call->jets, id / ID_STEP - 1);
}

static gn2_status check_output(const gn2_tag_call *call, const gn2_output *out)
{
    const int64_t columns = gn2_tag_output_columns(call->tagger, out->id);
    char name[160];
    if (columns == 0)
        return gn2_fail(GN2_ERR_INVALID_ARG, "output id %d is not from this model",
                        out->id);
    name_of(call->tagger, out->id % ID_STEP, out->id / ID_STEP, name);
    const int64_t rows = rows_needed(call, out->id);
    if (out->capacity < rows)
        return gn2_fail(GN2_ERR_SHAPE,
                        "output '%s': room for %lld rows, %lld are needed", name,
                        (long long)out->capacity, (long long)rows);
    if (rows > 0 && !out->data)
        return gn2_fail(GN2_ERR_INVALID_ARG, "output '%s': data is NULL", name);
    if (out->row_stride != 0 && out->row_stride < columns)
        return gn2_fail(GN2_ERR_SHAPE, "output '%s': row_stride %lld for %lld columns",
                        name, (long long)out->row_stride, (long long)columns);
    return GN2_OK;
}

gn2_status gn2_tag_check_outputs(gn2_tag_call *call)
{
    for (size_t i = 0; i < call->count; i++) {
        GN2_TRY(check_output(call, &call->outputs[i]));
        const int task = kinds[call->outputs[i].id % ID_STEP].task;
        if (task >= 0) call->tasks |= 1u << task;
    }
    return GN2_OK;
}

static int64_t stride_of(const gn2_tag_call *call, const gn2_output *out)
{
    if (out->row_stride) return out->row_stride;
    return gn2_tag_output_columns(call->tagger, out->id);
}

void gn2_tag_blank_outputs(const gn2_tag_call *call)
{
    for (size_t i = 0; i < call->count; i++) {
        const gn2_output *out = &call->outputs[i];
        const int kind = out->id % ID_STEP, sequence = out->id / ID_STEP - 1;
        if (kinds[kind].rows != OF_CONSTITUENTS) continue;
        if (!call->batch.sequence[sequence].row) continue; /* ragged: no gaps */
        const int64_t rows = gn2_sequence_rows(call->jets, sequence);
        const int64_t columns = gn2_tag_output_columns(call->tagger, out->id);
        for (int64_t r = 0; r < rows; r++) {
            char *row = (char *)out->data + r * stride_of(call, out) * 4;
            if (kind == GN2_OUT_VERTEX)
                *(int32_t *)(void *)row = INT32_MIN; /* salt's padding */
            else
                memset(row, 0, (size_t)columns * sizeof(float));
        }
    }
}

/* ---- writing ---- */

typedef struct writer {
    const gn2_tag_call *call;
    const gn2_pass_f32 *pass;
    const gn2_output *out;
    int64_t columns, stride;
} writer;

static void softmax_row(const writer *w, float *row, const float *logits)
{
    w->pass->ctx.kernels->softmax(row, logits, 1, w->columns);
}

static const float *logits_of(const gn2_pass_f32 *pass, gn2_task_id id)
{
    return pass->space->head[id].act[pass->net->h->task[id].net.depth - 1];
}

static void write_jets(const writer *w)
{
    const gn2_pass_f32 *pass = w->pass;
    const gn2_hparams *h = pass->net->h;
    const int kind = w->out->id % ID_STEP;
    const float *logits = logits_of(pass, GN2_TASK_JETS);
    for (int64_t b = 0; b < pass->chunk.jets; b++) {
        float *row = (float *)w->out->data + (pass->chunk.first + b) * w->stride;
        const float *mine = logits + b * h->classes;
        const size_t bytes = (size_t)w->columns * sizeof(float);
        if (kind == GN2_OUT_EMBEDDING) {
            memcpy(row, pass->space->pooled + b * h->out_dim, bytes);
        } else if (kind == GN2_OUT_LOGITS) {
            memcpy(row, mine, bytes);
        } else if (kind == GN2_OUT_PROBABILITIES) {
            softmax_row(w, row, mine);
        } else {
            const gn2_discriminant_rule *rule =
                &w->call->tagger->rule[kind - GN2_OUT_D_B];
            float p[GN2_MAX_CLASSES];
            pass->ctx.kernels->softmax(p, mine, 1, h->classes);
            *row = gn2_discriminant_value(p, h->classes, rule->signal, rule->fraction,
                                          rule->form);
        }
    }
}

static void write_constituents(const writer *w)
{
    const gn2_pass_f32 *pass = w->pass;
    const gn2_hparams *h = pass->net->h;
    const gn2_space_f32 *s = pass->space;
    const int kind = w->out->id % ID_STEP, k = w->out->id / ID_STEP - 1;
    const size_t bytes = (size_t)w->columns * sizeof(float);
    for (int64_t r = 0; r < gn2_pass_rows_f32(pass, k); r++) {
        float *row = (float *)w->out->data + gn2_pass_row_f32(pass, k, r) * w->stride;
        const int64_t token = s->row_token[k][r];
        if (kind == GN2_OUT_TRACK_EMBEDDING)
            memcpy(row, s->z + token * h->out_dim, bytes);
        else if (kind == GN2_OUT_ATTENTION)
            *row = s->pool.alpha[token];
        else if (kind == GN2_OUT_ORIGIN)
            softmax_row(w, row, logits_of(pass, GN2_TASK_ORIGIN) + r * h->origins);
        else
            memcpy(row, logits_of(pass, GN2_TASK_ORIGIN) + r * h->origins, bytes);
    }
}

/* Slot of a valid constituent within its jet. */
static int32_t slot_of(const writer *w, int k, int64_t b, int64_t i)
{
    const gn2_rows_f32 *rows = &w->call->batch.sequence[k];
    const int64_t jet = w->pass->chunk.first + b;
    if (!rows->row) return (int32_t)i;
    return (int32_t)(rows->row[rows->offset[jet] + i] -
                     jet * w->call->jets->sequences[k].slots);
}

static void write_vertices(const writer *w)
{
    const gn2_pass_f32 *pass = w->pass;
    const int k = w->out->id / ID_STEP - 1;
    const int64_t *offset = pass->space->row_offset[k];
    int32_t *label = pass->space->label;
    for (int64_t b = 0; b < pass->chunk.jets; b++) {
        const int64_t n = offset[b + 1] - offset[b];
        gn2_vertex_assign(label, pass->space->pair_logits + pass->space->pair_offset[b],
                          n);
        for (int64_t i = 0; i < n; i++) {
            const int64_t row = gn2_pass_row_f32(pass, k, offset[b] + i);
            ((int32_t *)w->out->data)[row * w->stride] = slot_of(w, k, b, label[i]);
        }
    }
}

static void write_pairs(const writer *w)
{
    float *data = w->out->data;
    for (int64_t e = 0; e < w->pass->chunk.pairs; e++)
        data[(w->pass->chunk.first_pair + e) * w->stride] =
            w->pass->space->pair_logits[e];
}

void gn2_tag_write_outputs(const gn2_tag_call *call, const gn2_pass_f32 *pass)
{
    for (size_t i = 0; i < call->count; i++) {
        const gn2_output *out = &call->outputs[i];
        const writer w = {.call = call,
                          .pass = pass,
                          .out = out,
                          .columns = gn2_tag_output_columns(call->tagger, out->id),
                          .stride = stride_of(call, out)};
        const int kind = out->id % ID_STEP;
        if (kind == GN2_OUT_VERTEX)
            write_vertices(&w);
        else if (kinds[kind].rows == OF_JETS)
            write_jets(&w);
        else if (kinds[kind].rows == OF_PAIRS)
            write_pairs(&w);
        else
            write_constituents(&w);
    }
}
