/* SPDX-License-Identifier: Apache-2.0 */
/* The writers of outputs: rows of a pass to where the caller wants them. */
#include <math.h>
#include <string.h>

#include "net/tasks.h"
#include "tag/outputs.h"

/* ---- rows ---- */

static int64_t row_count(const gn2_tag_writing *w)
{
    if (w->output->rows == GN2_ROWS_JETS) return w->pass->chunk.jets;
    if (w->output->rows == GN2_ROWS_PAIRS) return w->pass->chunk.pairs;
    return gn2_pass_rows_f32(w->pass, w->output->object - 1);
}

/* Where row r of the chunk goes. */
static float *row_at(const gn2_tag_writing *w, int64_t r)
{
    const gn2_chunk *chunk = &w->pass->chunk;
    int64_t row = 0;
    if (w->output->rows == GN2_ROWS_JETS)
        row = chunk->first + r;
    else if (w->output->rows == GN2_ROWS_PAIRS)
        row = chunk->first_pair + r;
    else
        row = gn2_pass_row_f32(w->pass, w->output->object - 1, r);
    return (float *)w->data + row * w->stride;
}

/* Values lie as rows of `columns`, one after the other. */
static void copy_rows(const gn2_tag_writing *w, const float *values)
{
    const int64_t rows = row_count(w), columns = w->output->columns;
    const int packed = w->stride == columns && w->output->rows != GN2_ROWS_CONSTITUENTS;
    const int64_t step = packed ? rows : 1; /* jets and pairs follow each other */
    for (int64_t r = 0; r < rows; r += step)
        memcpy(row_at(w, r), values + r * columns,
               (size_t)(step * columns) * sizeof *values);
}

/* ---- of a task ---- */

static const float *logits_of(const gn2_tag_writing *w)
{
    return w->pass->space->head[w->output->task].logits;
}

void gn2_write_logits(const gn2_tag_writing *w)
{
    copy_rows(w, logits_of(w));
}

void gn2_write_softmax(const gn2_tag_writing *w)
{
    const float *logits = logits_of(w);
    const int64_t columns = w->output->columns;
    for (int64_t r = 0; r < row_count(w); r++)
        w->pass->ctx.kernels->softmax(row_at(w, r), logits + r * columns, 1, columns);
}

void gn2_write_values(const gn2_tag_writing *w)
{
    for (int64_t r = 0; r < row_count(w); r++)
        gn2_task_values_f32(w->pass, w->output->task, r, w->output->of_task,
                            row_at(w, r));
}

void gn2_write_discriminant(const gn2_tag_writing *w)
{
    const int64_t classes = w->pass->net->h->classes;
    const float *logits = logits_of(w);
    const gn2_discriminant_rule *rule = &w->call->all->rules->rule[w->output->item];
    for (int64_t b = 0; b < w->pass->chunk.jets; b++) {
        float p[GN2_MAX_CLASSES];
        w->pass->ctx.kernels->softmax(p, logits + b * classes, 1, classes);
        *row_at(w, b) = gn2_discriminant_value(p, classes, rule->signal, rule->fraction,
                                               rule->form);
    }
}

/* ---- of the trunk ---- */

void gn2_write_pooled(const gn2_tag_writing *w)
{
    copy_rows(w, w->pass->space->pool.pooled);
}

void gn2_write_tokens(const gn2_tag_writing *w)
{
    const gn2_space_f32 *s = w->pass->space;
    const int64_t *token = s->row_token[w->output->object - 1];
    const int64_t columns = w->output->columns;
    for (int64_t r = 0; r < row_count(w); r++)
        memcpy(row_at(w, r), s->readout.z + token[r] * columns,
               (size_t)columns * sizeof(float));
}

void gn2_write_attention(const gn2_tag_writing *w)
{
    const gn2_space_f32 *s = w->pass->space;
    const int64_t *token = s->row_token[w->output->object - 1];
    for (int64_t r = 0; r < row_count(w); r++) *row_at(w, r) = s->pool.alpha[token[r]];
}

/* ---- gradients by the inputs ---- */

/* Input `column` of an object as the caller gave it; row of its data. */
static float raw_input(const gn2_rows_f32 *rows, int64_t row, int64_t column)
{
    return rows->data[row * rows->ld + (rows->column ? rows->column[column] : column)];
}

static void write_jet_gradient(const gn2_tag_writing *w, int64_t b)
{
    const gn2_pass_f32 *pass = w->pass;
    const gn2_hparams *h = pass->net->h;
    float *out = row_at(w, b);
    for (int64_t i = 0; i < w->output->columns; i++) {
        double sum = 0;
        for (int k = 0; k < h->sequence_count; k++) {
            const int64_t *offset = pass->space->row_offset[k];
            for (int64_t r = offset[b]; r < offset[b + 1]; r++)
                sum += (double)w->d_x[k][r * h->init[k].size[0] + i];
        }
        const float x = raw_input(&pass->batch->jet, pass->chunk.first + b, i);
        out[i] = isfinite(x) ? (float)(sum / (double)pass->net->std[0][i]) : 0;
    }
}

static void write_own_gradient(const gn2_tag_writing *w, int k, int64_t r)
{
    const gn2_pass_f32 *pass = w->pass;
    const int64_t first = pass->net->h->jet_inputs, columns = w->output->columns;
    const float *d = w->d_x[k] + r * (first + columns) + first;
    const float *std = pass->net->std[k] + first;
    const int64_t row = gn2_pass_row_f32(pass, k, r);
    float *out = row_at(w, r);
    for (int64_t i = 0; i < columns; i++) {
        const float x = raw_input(&pass->batch->sequence[k], row, i);
        out[i] = isfinite(x) ? d[i] / std[i] : 0;
    }
}

void gn2_write_gradient(const gn2_tag_writing *w)
{
    const int object = w->output->object;
    for (int64_t r = 0; r < row_count(w); r++)
        if (object == 0)
            write_jet_gradient(w, r);
        else
            write_own_gradient(w, object - 1, r);
}

/* ---- vertices ---- */

/* Slot of a valid constituent within its jet. */
static int32_t slot_of(const gn2_tag_writing *w, int k, int64_t b, int64_t i)
{
    const gn2_rows_f32 *rows = &w->call->batch.sequence[k];
    const int64_t jet = w->pass->chunk.first + b;
    if (!rows->row) return (int32_t)i;
    return (int32_t)(rows->row[rows->offset[jet] + i] -
                     jet * w->call->jets->sequences[k].slots);
}

void gn2_write_vertices(const gn2_tag_writing *w)
{
    const gn2_pass_f32 *pass = w->pass;
    const int k = w->output->object - 1;
    const int64_t *offset = pass->space->row_offset[k];
    int32_t *label = pass->space->label;
    for (int64_t b = 0; b < pass->chunk.jets; b++) {
        const int64_t n = offset[b + 1] - offset[b];
        gn2_vertex_assign_f32(label, logits_of(w) + pass->space->pair_offset[b], n);
        for (int64_t i = 0; i < n; i++) {
            const int64_t row = gn2_pass_row_f32(pass, k, offset[b] + i);
            ((int32_t *)w->data)[row * w->stride] = slot_of(w, k, b, label[i]);
        }
    }
}
