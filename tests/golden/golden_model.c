/* SPDX-License-Identifier: Apache-2.0 */
#include "golden_model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/need.h"
#include "util/alloc.h"
#include "util/rng.h"

/* ---- configuration ---- */

static void line_number(golden_id file, gn2_text *text, const char *key,
                        const char *attr)
{
    char number[32];
    gn2_format_f64(golden_number(file, "/", attr), number);
    gn2_text_format(text, "%s = %s\n", key, number);
}

static void line_list(gn2_text *text, const char *key, const golden_array *list)
{
    gn2_text_format(text, "%s = ", key);
    for (int64_t i = 0; i < list->count; i++) {
        char number[32];
        gn2_format_f64(list->x[i], number);
        gn2_text_format(text, "%s%s", i ? "," : "", number);
    }
    gn2_text_add(text, "\n");
}

/* Names prefix0, prefix1, … */
static void line_names(gn2_text *text, const char *key, const char *prefix,
                       int64_t count)
{
    gn2_text_format(text, "%s = ", key);
    for (int64_t i = 0; i < count; i++)
        gn2_text_format(text, "%s%s%d", i ? "," : "", prefix, (int)i);
    gn2_text_add(text, "\n");
}

static void lines_sizes(golden_id file, const golden_form *form, gn2_text *text)
{
    static const char *const keys[][2] = {
        {"model.num_layers", "num_layers"},
        {"model.num_heads", "num_heads"},
        {"model.out_dim", "out_dim"},
        {"model.norm_eps", "norm_eps"},
        {"model.num_registers", "num_registers"},
        {"model.init_hidden", "init_hidden"},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        line_number(file, text, keys[i][0], keys[i][1]);
    if (form->embed_dim)
        gn2_text_format(text, "model.embed_dim = %d\n", (int)form->embed_dim);
    else
        line_number(file, text, "model.embed_dim", "embed_dim");
    if (!form->embed_dim) line_number(file, text, "model.ffn_hidden", "ffn_hidden");
    line_names(text, "inputs.jets", "jet",
               (int64_t)golden_number(file, "/", "n_jet_vars"));
    line_names(text, "inputs.tracks", "track",
               (int64_t)golden_number(file, "/", "n_track_vars"));
    line_names(text, "model.classes", "class",
               (int64_t)golden_number(file, "/", "n_classes"));
    line_names(text, "task.track_origin.classes", "origin",
               (int64_t)golden_number(file, "/", "n_origin_classes"));
}

static void lines_form(golden_id file, const golden_form *form, gn2_text *text)
{
    char word[64];
    golden_string(file, "/", "final_norm_pos", word);
    gn2_text_format(text, "model.final_norm_pos = %s\n", word);
    const int legacy = golden_number(file, "/", "ln_affine") != 0;
    gn2_text_format(text, "model.encoder = %s\n", legacy ? "legacy" : "current");
    gn2_text_format(text, "model.parametrization = %s\n", form->parametrization);
    gn2_text_format(text, "optim.name = %s\n", form->optimiser);
    if (strcmp(form->parametrization, "mup") == 0)
        line_number(file, text, "model.base_width", "base_width");
}

static void lines_tasks(golden_id file, gn2_text *text)
{
    static const char *const names[] = {"jets_classification", "track_origin",
                                        "track_vertexing"};
    golden_array hidden = golden_read_attr(file, "/", "head_hidden");
    golden_array weights = golden_read_attr(file, "/", "loss_weights");
    for (int i = 0; i < TASK_COUNT; i++) {
        char key[128], number[32];
        gn2_format_f64(weights.x[i], number);
        gn2_text_format(text, "task.%s.weight = %s\n", names[i], number);
        snprintf(key, sizeof key, "task.%s.hidden", names[i]);
        line_list(text, key, &hidden);
    }
    golden_array_free(&hidden);
    golden_array_free(&weights);
}

static void line_array(golden_id file, gn2_text *text, const char *key,
                       const char *path, const char *attr)
{
    const int there = attr ? golden_has_attr(file, path, attr) : golden_has(file, path);
    if (!there) return;
    golden_array list = golden_read_attr(file, path, attr);
    if (list.count) line_list(text, key, &list);
    golden_array_free(&list);
}

testmodel *golden_model_create(golden_id file, const golden_form *form)
{
    gn2_text text = {0};
    lines_sizes(file, form, &text);
    lines_form(file, form, &text);
    lines_tasks(file, &text);
    line_array(file, &text, "task.jets_classification.class_weights", "/",
               "jet_class_weights");
    line_array(file, &text, "task.track_origin.class_weights", "/",
               "origin_class_weights");
    line_array(file, &text, "norm.jets.mean", "norm/jets_means", NULL);
    line_array(file, &text, "norm.jets.std", "norm/jets_stds", NULL);
    line_array(file, &text, "norm.tracks.mean", "norm/tracks_means", NULL);
    line_array(file, &text, "norm.tracks.std", "norm/tracks_stds", NULL);
    need_true(!text.failed, "memory");
    testmodel *model = testmodel_create(text.data);
    gn2_free(text.data);
    return model;
}

/* ---- weights ---- */

void golden_weights_replace(golden_id file, const char *group, testmodel *model)
{
    golden_text members = golden_members(file, group);
    for (int64_t k = 0; k < members.count; k++) {
        const gn2_tensor *t = gn2_params_find(model->params, members.item[k]);
        char path[192];
        snprintf(path, sizeof path, "%s/%s", group, members.item[k]);
        need_true(t != NULL, path);
        golden_array a = golden_read(file, path);
        const int64_t cols = t->shape[1] ? t->shape[1] : 1;
        need_true(a.dim[0] == t->shape[0] && a.dim[1] == cols, path);
        memcpy(model->weights + t->offset, a.x, (size_t)a.count * sizeof *a.x);
        golden_array_free(&a);
    }
    golden_text_free(&members);
}

void golden_weights_read(golden_id file, const char *group, testmodel *model)
{
    golden_text members = golden_members(file, group);
    need_true(members.count == (int64_t)model->params->count,
              "as many tensors in the file as in the table");
    golden_text_free(&members);
    golden_weights_replace(file, group, model);
}

/* Element i of tensor t of a closed form. */
static double sine_value(int64_t t, int64_t i)
{
    return sin((1.0 + 0.7 * (double)t) + 1.7 * (double)i);
}

static double hash_value(int64_t t, int64_t i)
{
    const uint64_t z = ((uint64_t)t << 40) + (uint64_t)i + 0x9E3779B97F4A7C15u;
    return (double)(gn2_mix64(z) >> 40) / 0x1p23 - 1;
}

/* Check values of a closed-form file. */
typedef struct check_values {
    golden_array first8, sum, sum_abs;
} check_values;

static double relative(double value, double wanted, double scale)
{
    return fabs(value - wanted) / scale;
}

static double check_tensor(const check_values *c, int64_t row, const double *x,
                           int64_t count)
{
    double sum = 0, sum_abs = 0, most = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += x[i];
        sum_abs += fabs(x[i]);
    }
    for (int64_t i = 0; i < 8; i++)
        most = fmax(most, relative(x[i % count], c->first8.x[row * 8 + i], 1));
    most = fmax(most, relative(sum, c->sum.x[row], c->sum_abs.x[row]));
    return fmax(most, relative(sum_abs, c->sum_abs.x[row], c->sum_abs.x[row]));
}

double golden_weights_generate(golden_id file, testmodel *model)
{
    char form[64];
    golden_string(file, "/", "param_form", form);
    const int64_t t0 = (int64_t)golden_number(file, "/", "tensor_index_offset");
    double (*const value)(int64_t, int64_t) =
        strcmp(form, "sine") == 0 ? sine_value : hash_value;
    golden_text order = golden_read_text(file, "tensor_order");
    golden_array scale = golden_read(file, "tensor_scale");
    check_values c = {golden_read(file, "tensor_first8"),
                      golden_read(file, "tensor_sum"),
                      golden_read(file, "tensor_sum_abs")};
    need_true(order.count == (int64_t)model->params->count, "as many tensors");
    double most = 0;
    for (int64_t k = 0; k < order.count; k++) {
        const gn2_tensor *t = gn2_params_find(model->params, order.item[k]);
        need_true(t != NULL, order.item[k]);
        double *x = model->weights + t->offset;
        for (int64_t i = 0; i < t->count; i++) x[i] = scale.x[k] * value(k + t0, i);
        most = fmax(most, check_tensor(&c, k, x, t->count));
    }
    golden_text_free(&order);
    golden_array_free(&scale);
    golden_array_free(&c.first8);
    golden_array_free(&c.sum);
    golden_array_free(&c.sum_abs);
    return most;
}

/* ---- batches ---- */

static golden_array read_in(golden_id file, const char *group, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s%s", group, name);
    return golden_read(file, path);
}

static void copy_numbers(golden_id file, const char *group, const char *name,
                         double *to)
{
    golden_array a = read_in(file, group, name);
    memcpy(to, a.x, (size_t)a.count * sizeof *to);
    golden_array_free(&a);
}

static void copy_integers(golden_id file, const char *group, const char *name,
                          int32_t *to)
{
    golden_array a = read_in(file, group, name);
    for (int64_t i = 0; i < a.count; i++) to[i] = (int32_t)a.x[i];
    golden_array_free(&a);
}

testbatch *golden_batch_packed(golden_id file, const char *group, const testmodel *m)
{
    golden_array offsets = read_in(file, group, "inputs/offsets");
    const int64_t jets = offsets.count - 1;
    int64_t *tracks = need_memory((size_t)jets, sizeof *tracks);
    for (int64_t b = 0; b < jets; b++)
        tracks[b] = (int64_t)(offsets.x[b + 1] - offsets.x[b]);
    testbatch *batch = testbatch_create(&m->h, tracks, jets);
    copy_numbers(file, group, "inputs/jets", batch->jet);
    copy_numbers(file, group, "inputs/tracks", batch->sequence[0].data);
    copy_integers(file, group, "labels/flavour", batch->flavour);
    copy_integers(file, group, "labels/origin", batch->origin);
    copy_integers(file, group, "labels/vertex", batch->vertex);
    gn2_free(tracks);
    golden_array_free(&offsets);
    return batch;
}

/* The packed batch with its track rows in the slots of the padded one. */
testbatch *golden_batch_padded(golden_id file, const char *group, const testmodel *m)
{
    testbatch *batch = golden_batch_packed(file, group, m);
    testrows *rows = &batch->sequence[0];
    golden_array valid = read_in(file, group, "inputs/valid");
    golden_array padded = read_in(file, group, "inputs/tracks_padded");
    int32_t *origin = need_memory((size_t)valid.count, sizeof *origin);
    int32_t *vertex = need_memory((size_t)valid.count, sizeof *vertex);
    int64_t r = 0;
    rows->row = need_memory((size_t)rows->rows, sizeof *rows->row);
    for (int64_t i = 0; i < valid.count; i++) {
        if (valid.x[i] == 0) continue;
        need_true(r < rows->rows, "as many valid slots as packed tracks");
        origin[i] = batch->origin[r];
        vertex[i] = batch->vertex[r];
        rows->row[r++] = i;
    }
    gn2_free(rows->data);
    gn2_free(batch->origin);
    gn2_free(batch->vertex);
    rows->data = padded.x;
    rows->slots = valid.count;
    batch->origin = origin;
    batch->vertex = vertex;
    golden_array_free(&valid);
    return batch;
}
