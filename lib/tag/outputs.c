/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs of a tagger: which there are, and checking those a call asks for. */
#include "tag/outputs.h"

#include <stdio.h>
#include <string.h>

#include "util/alloc.h"
#include "util/error.h"
#include "util/str.h"

/* ---- the list ---- */

/* Index of the output that has the name, or alias; the count if none has. */
static size_t find(const gn2_tag_outputs *all, const char *name)
{
    size_t i = name[0] ? 0 : all->count; /* most aliases are empty */
    while (i < all->count && strcmp(name, all->item[i].name) != 0 &&
           strcmp(name, all->item[i].alias) != 0)
        i++;
    return i;
}

/* Adds an output; `like` has everything but the name, and is copied. */
static gn2_status add(gn2_tag_outputs *all, const gn2_tag_output *like,
                      const char *prefix, const char *name, const char *suffix)
{
    if (!gn2_reserve(&all->item, &all->capacity, all->count, all->count + 1,
                     sizeof *all->item))
        return gn2_fail_memory();
    gn2_tag_output *output = &all->item[all->count];
    *output = *like;
    output->type = like->write == gn2_write_vertices ? GN2_DATA_I32 : GN2_DATA_F32;
    snprintf(output->name, sizeof output->name, "%s.%s%s", prefix, name, suffix);
    const char *const names[] = {output->name, output->alias};
    for (int i = 0; i < 2; i++)
        if (find(all, names[i]) < all->count)
            return gn2_fail(GN2_ERR_INVALID_ARG, "two outputs would be called '%s'",
                            names[i]);
    all->count++;
    return GN2_OK;
}

/* An output with a row for each jet, or each constituent of a type. */
static gn2_tag_output of_object(int object, gn2_tag_writer write, int64_t columns)
{
    return (gn2_tag_output){.object = object,
                            .rows = object ? GN2_ROWS_CONSTITUENTS : GN2_ROWS_JETS,
                            .columns = columns,
                            .task = -1,
                            .write = write};
}

/* What every object has, whatever its tasks. */
static gn2_status add_object(gn2_tag_outputs *all, int object)
{
    const char *prefix = gn2_model_object_name(all->model, object);
    const gn2_tag_output embedding = of_object(
        object, object ? gn2_write_tokens : gn2_write_pooled, all->model->h.out_dim);
    const gn2_tag_output attention = of_object(object, gn2_write_attention, 1);
    GN2_TRY(add(all, &embedding, prefix, "embedding", ""));
    return object ? add(all, &attention, prefix, "attention", "") : GN2_OK;
}

/* OBJECT.D_b_gradient by the inputs; that of the first one is OBJECT.gradient too. */
static gn2_status add_gradients(gn2_tag_outputs *all, int object)
{
    const char *prefix = gn2_model_object_name(all->model, object);
    gn2_tag_output like = of_object(object, gn2_write_gradient,
                                    gn2_model_object_inputs(all->model, object));
    like.task = all->model->h.flavour;
    snprintf(like.alias, sizeof like.alias, "%s.gradient", prefix);
    for (size_t i = 0; i < all->rules->count; i++) {
        like.item = (int)i;
        GN2_TRY(add(all, &like, prefix, all->rules->rule[i].name, "_gradient"));
        like.alias[0] = 0;
    }
    return GN2_OK;
}

/* MODEL_Db for D_b. */
static void name_discriminant(const gn2_tag_outputs *all, const gn2_tag_output *output,
                              int64_t column, gn2_text *out_name)
{
    (void)column;
    gn2_text_format(out_name, "%s_D%s",
                    gn2_config_str(all->model->config, "model.name"),
                    all->rules->rule[output->item].name + strlen("D_"));
}

static gn2_status add_discriminants(gn2_tag_outputs *all)
{
    gn2_tag_output like = of_object(0, gn2_write_discriminant, 1);
    like.task = all->model->h.flavour;
    like.field = name_discriminant;
    for (size_t i = 0; i < all->rules->count; i++) {
        like.item = (int)i;
        GN2_TRY(add(all, &like, "jets", all->rules->rule[i].name, ""));
    }
    return GN2_OK;
}

/* ---- of tasks ---- */

static const gn2_tag_writer writers[] = {
    [GN2_OUT_LOGITS] = gn2_write_logits,
    [GN2_OUT_SOFTMAX] = gn2_write_softmax,
    [GN2_OUT_VALUES] = gn2_write_values,
    [GN2_OUT_VERTICES] = gn2_write_vertices,
};

/* Names that GN2's own tasks had before tasks had names. */
static const struct short_name {
    const char *task;
    gn2_task_rows rows;
    gn2_task_form form;
    const char *name;
} short_names[] = {
    {"jets_classification", GN2_OVER_JETS, GN2_OUT_SOFTMAX, "probabilities"},
    {"jets_classification", GN2_OVER_JETS, GN2_OUT_LOGITS, "logits"},
    {"track_origin", GN2_OVER_CONSTITUENTS, GN2_OUT_SOFTMAX, "origin"},
    {"track_origin", GN2_OVER_CONSTITUENTS, GN2_OUT_LOGITS, "origin_logits"},
    {"track_vertexing", GN2_OVER_PAIRS, GN2_OUT_VERTICES, "vertex"},
    {"track_vertexing", GN2_OVER_PAIRS, GN2_OUT_LOGITS, "logits"},
};

/* NULL: the task has another name, or is of another kind than GN2's. */
static const char *short_name_of(const gn2_task *task, gn2_task_form form)
{
    for (size_t i = 0; i < sizeof short_names / sizeof *short_names; i++) {
        const struct short_name *s = &short_names[i];
        if (!strcmp(s->task, task->name) && s->rows == task->rows && s->form == form)
            return s->name;
    }
    return NULL;
}

static void name_task_field(const gn2_tag_outputs *all, const gn2_tag_output *output,
                            int64_t column, gn2_text *out_name)
{
    const gn2_task_column c = {all->model->config, &all->model->h, output->task, column,
                               output->alias[0] != 0};
    output->of_task->field(&c, out_name);
}

/* The short name is shown where there is one; the long one is known as well. */
static gn2_status add_named(gn2_tag_outputs *all, gn2_tag_output *like)
{
    const gn2_task *task = &all->model->h.task[like->task];
    const char *suffix = like->of_task->suffix;
    const char *brief = short_name_of(task, like->of_task->form);
    const char *prefix = like->rows == GN2_ROWS_PAIRS
                             ? "pairs"
                             : gn2_model_object_name(all->model, like->object);
    if (!brief) return add(all, like, prefix, task->name, suffix);
    snprintf(like->alias, sizeof like->alias, "%s.%s%s", prefix, task->name, suffix);
    return add(all, like, prefix, brief, "");
}

static int32_t rows_of(const gn2_task *task, gn2_task_form which)
{
    if (task->rows == GN2_OVER_JETS) return GN2_ROWS_JETS;
    if (task->rows == GN2_OVER_PAIRS && which == GN2_OUT_LOGITS) return GN2_ROWS_PAIRS;
    return GN2_ROWS_CONSTITUENTS;
}

static int64_t columns_of(const gn2_task *task, const gn2_task_output_f32 *o)
{
    return o->form == GN2_OUT_VALUES ? task->targets : gn2_task_columns(task);
}

static gn2_status add_task(gn2_tag_outputs *all, int k)
{
    const gn2_task *task = &all->model->h.task[k];
    const gn2_task_output_f32 *o = gn2_task_kind_of_f32(task)->outputs;
    for (; o->suffix; o++) {
        gn2_tag_output like = {
            .object = task->sequence + 1,
            .rows = rows_of(task, o->form),
            .columns = columns_of(task, o),
            .task = k,
            .write = writers[o->form],
            .of_task = o,
            .field = o->field ? name_task_field : NULL,
        };
        GN2_TRY(add_named(all, &like));
    }
    return GN2_OK;
}

/* ---- names in score files ---- */

/* The probabilities that logits are of, NULL for other outputs. */
static const gn2_tag_output *softmax_of(const gn2_tag_outputs *all,
                                        const gn2_tag_output *output)
{
    if (output->write != gn2_write_logits) return NULL;
    for (size_t i = 0; i < all->count; i++)
        if (all->item[i].task == output->task &&
            all->item[i].write == gn2_write_softmax)
            return &all->item[i];
    return NULL;
}

void gn2_tag_name_field(const gn2_tag_outputs *all, const gn2_tag_output *output,
                        int64_t column, gn2_text *out_name)
{
    const gn2_tag_output *softmax = softmax_of(all, output);
    const char *model = gn2_config_str(all->model->config, "model.name");
    if (output->field) {
        output->field(all, output, column, out_name);
    } else if (softmax) {
        softmax->field(all, softmax, column, out_name);
        gn2_text_format(out_name, "_logit");
    } else if (output->write == gn2_write_gradient) {
        gn2_text_format(
            out_name, "%s_D%s_gradient_%s", model,
            all->rules->rule[output->item].name + strlen("D_"),
            gn2_model_object_input(all->model, output->object, (size_t)column));
    } else {
        gn2_text_format(out_name, "%s_%s", model, strchr(output->name, '.') + 1);
        if (output->columns > 1) gn2_text_format(out_name, "_%lld", (long long)column);
    }
}

gn2_status gn2_tag_list_outputs(gn2_tag_outputs *all, const gn2_model *model,
                                const gn2_discriminants *rules)
{
    const gn2_hparams *h = &model->h;
    all->model = model;
    all->rules = rules;
    for (int k = 0; k < h->task_count; k++) GN2_TRY(add_task(all, k));
    if (h->flavour >= 0) GN2_TRY(add_discriminants(all));
    for (int object = 0; object <= h->sequence_count; object++)
        GN2_TRY(add_object(all, object));
    for (int object = 0; h->flavour >= 0 && object <= h->sequence_count; object++)
        GN2_TRY(add_gradients(all, object));
    return GN2_OK;
}

void gn2_tag_clear_outputs(gn2_tag_outputs *all)
{
    gn2_free(all->item);
    *all = (gn2_tag_outputs){0};
}

static gn2_status fail_unknown(const gn2_tag_outputs *all, const char *name)
{
    char list[GN2_NAME_LIST_SIZE] = "";
    for (size_t i = 0; i < all->count; i++) gn2_name_list_add(list, all->item[i].name);
    return gn2_fail(GN2_ERR_NOT_FOUND, "no output '%s'; the model has%s", name, list);
}

gn2_status gn2_tag_find_output(const gn2_tag_outputs *all, const char *name,
                               int32_t *out_id)
{
    const size_t i = find(all, name);
    if (i == all->count) return fail_unknown(all, name);
    *out_id = (int32_t)i;
    return GN2_OK;
}

static void name_spread(const gn2_tag_outputs *all, const gn2_tag_output *output,
                        int64_t column, gn2_text *out_name)
{
    (void)output;
    gn2_tag_name_field(all, &all->item[gn2_tag_probabilities(all)], column, out_name);
    gn2_text_format(out_name, "_spread");
}

gn2_status gn2_tag_add_spread(gn2_tag_outputs *all)
{
    const int32_t source = gn2_tag_probabilities(all);
    if (source < 0)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "scores.models: an ensemble has probabilities of jets, and the "
                        "model does not classify jets");
    gn2_tag_output like = all->item[source];
    like.write = NULL;
    like.field = name_spread;
    like.alias[0] = 0;
    return add(all, &like, "jets", strchr(like.name, '.') + 1, "_spread");
}

const gn2_discriminant_rule *gn2_tag_rule_of(const gn2_tag_outputs *all, int32_t id)
{
    const gn2_tag_output *output = &all->item[id];
    if (output->write != gn2_write_discriminant) return NULL;
    return &all->rules->rule[output->item];
}

int32_t gn2_tag_probabilities(const gn2_tag_outputs *all)
{
    const int flavour = all->model->h.flavour;
    for (size_t i = 0; flavour >= 0 && i < all->count; i++)
        if (all->item[i].task == flavour && all->item[i].write == gn2_write_softmax)
            return (int32_t)i;
    return -1;
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
    const gn2_tag_outputs *all = call->all;
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
    return gn2_rows_check_size(
        output->name, out->row_stride ? out->row_stride : output->columns, rows);
}

gn2_status gn2_tag_check_outputs(gn2_tag_call *call)
{
    for (size_t i = 0; i < call->count; i++) {
        GN2_TRY(check_output(call, &call->outputs[i]));
        const gn2_tag_output *output = &call->all->item[call->outputs[i].id];
        if (output->task >= 0) call->tasks |= 1u << output->task;
        if (output->write == gn2_write_gradient) call->gradients |= 1u << output->item;
    }
    return GN2_OK;
}

/* ---- filling ---- */

static gn2_tag_writing writing_of(const gn2_tag_call *call, size_t index)
{
    const gn2_output *out = &call->outputs[index];
    const gn2_tag_output *output = &call->all->item[out->id];
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

void gn2_tag_write_outputs(const gn2_tag_call *call, const gn2_pass_f32 *pass,
                           float *const *d_x, int rule)
{
    for (size_t i = 0; i < call->count; i++) {
        gn2_tag_writing w = writing_of(call, i);
        const int is_gradient = w.output->write == gn2_write_gradient;
        w.pass = pass;
        w.d_x = d_x;
        if (is_gradient ? d_x && w.output->item == rule : !d_x) w.output->write(&w);
    }
}
