/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "common/need.h"
#include "common/testnet.h"
#include "net/tasks.h"
#include "util/alloc.h"
#include "util/rng.h"

/* What pads hold: large, and easy to see when it leaks. */
#define JUNK 1e4

static void create_rows(testrows *rows, int64_t inputs, const int64_t *tracks,
                        int64_t jets)
{
    rows->inputs = inputs;
    rows->offset = need_memory((size_t)jets + 1, sizeof *rows->offset);
    for (int64_t b = 0; b < jets; b++)
        rows->offset[b + 1] = rows->offset[b] + tracks[b];
    rows->rows = rows->slots = rows->offset[jets];
    rows->data = need_memory((size_t)(rows->slots * inputs), sizeof *rows->data);
}

int test_task(const gn2_hparams *h, int task)
{
    static const char *const names[TASK_COUNT] = {"jets_classification", "track_origin",
                                                  "track_vertexing"};
    return gn2_hparams_task(h, names[task]);
}

int64_t test_origins(const gn2_hparams *h)
{
    const int task = test_task(h, TASK_ORIGIN);
    return task < 0 ? 0 : gn2_task_columns(&h->task[task]);
}

static int labelled_sequence(const gn2_hparams *h)
{
    const int task = h->pairs >= 0 ? h->pairs : test_task(h, TASK_ORIGIN);
    return task < 0 ? 0 : h->task[task].sequence;
}

/* ---- labels of more tasks ---- */

static int is_one_of_three(const gn2_hparams *h, int k)
{
    for (int id = 0; id < TASK_COUNT; id++)
        if (test_task(h, id) == k) return 1;
    return 0;
}

static void create_more(const gn2_hparams *h, testbatch *batch)
{
    for (int k = 0; k < h->task_count; k++) {
        const gn2_task *task = &h->task[k];
        testlabels *more = &batch->more[k];
        const int s = more->sequence = task->sequence;
        more->rows = s < 0 ? batch->jets : batch->sequence[s].slots;
        more->targets = task->targets;
        if (is_one_of_three(h, k)) continue;
        const size_t count = (size_t)(more->rows * more->targets);
        if (gn2_task_kind_of_f32(task)->label == GN2_LABEL_INDEX)
            more->index = need_memory(count, sizeof *more->index);
        else
            more->target = need_memory(count, sizeof *more->target);
    }
}

static void free_more(testbatch *batch)
{
    for (int k = 0; k < GN2_MAX_TASKS; k++) {
        gn2_free(batch->more[k].index);
        gn2_free(batch->more[k].target);
        gn2_free(batch->more[k].weight);
    }
}

void testbatch_weigh(const gn2_hparams *h, testbatch *batch, uint64_t key)
{
    for (int k = 0; k < h->task_count; k++) {
        testlabels *more = &batch->more[k];
        if (h->task[k].rows == GN2_OVER_PAIRS) continue;
        more->weight = need_memory((size_t)more->rows, sizeof *more->weight);
        const uint64_t own = gn2_rng_key(key, (uint64_t)k);
        for (int64_t r = 0; r < more->rows; r++)
            more->weight[r] = (float)gn2_rng_below(own, (uint64_t)r, 9) / 4;
    }
}

/* Row `from` of b to row `to` of a. */
static void copy_row(testlabels *a, int64_t to, const testlabels *b, int64_t from)
{
    if (b->index) a->index[to] = b->index[from];
    for (int64_t t = 0; b->target && t < b->targets; t++)
        a->target[to * a->targets + t] = b->target[from * b->targets + t];
    if (b->weight && !a->weight)
        a->weight = need_memory((size_t)a->rows, sizeof *a->weight);
    if (b->weight) a->weight[to] = b->weight[from];
}

/* The same of all tasks about a sequence, −1: the jets. */
static void copy_more(testbatch *a, int64_t to, const testbatch *b, int64_t from,
                      int sequence)
{
    for (int k = 0; k < GN2_MAX_TASKS; k++)
        if (b->more[k].rows && b->more[k].sequence == sequence)
            copy_row(&a->more[k], to, &b->more[k], from);
}

/* Room for the labels of b, what is not valid filled with junk. */
static void pad_more(testbatch *a, const testbatch *b)
{
    for (int k = 0; k < GN2_MAX_TASKS; k++) {
        const testlabels *from = &b->more[k];
        testlabels *to = &a->more[k];
        *to = (testlabels){.sequence = from->sequence, .targets = from->targets};
        to->rows = from->sequence < 0 ? a->jets : a->sequence[from->sequence].slots;
        const int64_t count = to->rows * to->targets;
        if (from->index) to->index = need_memory((size_t)count, sizeof *to->index);
        if (from->target) to->target = need_memory((size_t)count, sizeof *to->target);
        for (int64_t i = 0; to->target && i < count; i++) to->target[i] = (float)JUNK;
    }
}

testbatch *testbatch_create(const gn2_hparams *h, const int64_t *tracks, int64_t jets)
{
    testbatch *batch = need_memory(1, sizeof *batch);
    batch->jets = jets;
    batch->jet_inputs = h->jet_inputs;
    batch->count = h->sequence_count;
    batch->jet = need_memory((size_t)(jets * h->jet_inputs), sizeof *batch->jet);
    for (int s = 0; s < h->sequence_count; s++)
        create_rows(&batch->sequence[s], h->sequence_inputs[s],
                    tracks ? tracks + s * jets : NULL, jets);
    const size_t slots = (size_t)batch->sequence[labelled_sequence(h)].slots;
    batch->flavour = need_memory((size_t)jets, sizeof(int32_t));
    batch->origin = need_memory(slots, sizeof(int32_t));
    batch->vertex = need_memory(slots, sizeof(int32_t));
    create_more(h, batch);
    return batch;
}

static void fill_normal(double *x, int64_t count, uint64_t key)
{
    for (int64_t i = 0; i < count; i++)
        x[i] = (double)(float)gn2_rng_normal(key, (uint64_t)i);
}

/* Integers least … least + many − 1. */
static void fill_labels(int32_t *x, int64_t count, int32_t least, int64_t many,
                        uint64_t key)
{
    for (int64_t i = 0; i < count; i++)
        x[i] = least + (int32_t)gn2_rng_below(key, (uint64_t)i, (uint64_t)many);
}

static void fill_more(const gn2_hparams *h, testbatch *batch, uint64_t key)
{
    for (int k = 0; k < h->task_count; k++) {
        testlabels *more = &batch->more[k];
        const uint64_t own = gn2_rng_key(key, (uint64_t)k);
        const int64_t classes = gn2_task_columns(&h->task[k]);
        if (more->index) fill_labels(more->index, more->rows, -1, classes + 1, own);
        for (int64_t i = 0; more->target && i < more->rows * more->targets; i++)
            more->target[i] = gn2_rng_below(own, (uint64_t)i, 5) == 0
                                  ? NAN
                                  : (float)gn2_rng_normal(own, (uint64_t)i);
    }
}

testbatch *testbatch_random(const gn2_hparams *h, const int64_t *tracks, int64_t jets,
                            uint64_t key)
{
    testbatch *batch = testbatch_create(h, tracks, jets);
    fill_normal(batch->jet, jets * h->jet_inputs, gn2_rng_key(key, 1));
    for (int s = 0; s < h->sequence_count; s++)
        fill_normal(batch->sequence[s].data,
                    batch->sequence[s].slots * h->sequence_inputs[s],
                    gn2_rng_key(key, 2 + (uint64_t)s));
    const int64_t slots = batch->sequence[labelled_sequence(h)].slots;
    fill_labels(batch->flavour, jets, 0, h->classes, gn2_rng_key(key, 100));
    if (jets > 3) batch->flavour[3] = -1; /* ignored */
    /* −2 and −1 are ignored, −1 … 1 are vertices */
    const int64_t origins = test_origins(h) > 0 ? test_origins(h) : 8;
    fill_labels(batch->origin, slots, -2, origins + 2, gn2_rng_key(key, 101));
    fill_labels(batch->vertex, slots, -1, 3, gn2_rng_key(key, 102));
    fill_more(h, batch, gn2_rng_key(key, 103));
    return batch;
}

void testbatch_free(testbatch *batch)
{
    if (!batch) return;
    for (int s = 0; s < batch->count; s++) {
        gn2_free(batch->sequence[s].offset);
        gn2_free(batch->sequence[s].row);
        gn2_free(batch->sequence[s].data);
    }
    gn2_free(batch->jet);
    gn2_free(batch->flavour);
    gn2_free(batch->origin);
    gn2_free(batch->vertex);
    free_more(batch);
    gn2_free(batch);
}

/* Slot `to` of a becomes slot `from` of b. */
static void copy_slot(testrows *a, int64_t to, const testrows *b, int64_t from)
{
    memcpy(a->data + to * a->inputs, b->data + from * b->inputs,
           (size_t)a->inputs * sizeof *a->data);
}

static void copy_labels(testbatch *a, int64_t to, const testbatch *b, int64_t from)
{
    a->origin[to] = b->origin[from];
    a->vertex[to] = b->vertex[from];
}

static int64_t slot_of(const testrows *rows, int64_t r)
{
    return rows->row ? rows->row[r] : r;
}

static void copy_jet(testbatch *a, int64_t to, const testbatch *b, int64_t from)
{
    memcpy(a->jet + to * a->jet_inputs, b->jet + from * b->jet_inputs,
           (size_t)a->jet_inputs * sizeof *a->jet);
    a->flavour[to] = b->flavour[from];
    copy_more(a, to, b, from, -1);
}

testbatch *testbatch_pick(const gn2_hparams *h, const testbatch *batch,
                          const int64_t *which, int64_t count)
{
    const int labelled = labelled_sequence(h);
    int64_t *tracks = need_memory((size_t)(batch->count * count), sizeof *tracks);
    for (int s = 0; s < batch->count; s++)
        for (int64_t b = 0; b < count; b++) {
            const int64_t *offset = batch->sequence[s].offset + which[b];
            tracks[s * count + b] = offset[1] - offset[0];
        }
    testbatch *out = testbatch_create(h, tracks, count);
    gn2_free(tracks);
    for (int64_t b = 0; b < count; b++) copy_jet(out, b, batch, which[b]);
    for (int s = 0; s < batch->count; s++) {
        testrows *to = &out->sequence[s];
        const testrows *from = &batch->sequence[s];
        for (int64_t b = 0; b < count; b++)
            for (int64_t i = to->offset[b]; i < to->offset[b + 1]; i++) {
                const int64_t r = from->offset[which[b]] + i - to->offset[b];
                copy_slot(to, i, from, slot_of(from, r));
                if (s == labelled) copy_labels(out, i, batch, slot_of(from, r));
                copy_more(out, i, batch, slot_of(from, r), s);
            }
    }
    return out;
}

static void copy_offsets(testrows *to, const testrows *from, int64_t jets)
{
    const size_t bytes = (size_t)(jets + 1) * sizeof *to->offset;
    to->offset = need_memory((size_t)jets + 1, sizeof *to->offset);
    memcpy(to->offset, from->offset, bytes);
}

/* Rows of jet b to ascending random slots of its n + extra. */
static void place_jet(testrows *rows, int64_t b, int64_t extra, uint64_t key)
{
    const int64_t first = rows->offset[b], n = rows->offset[b + 1] - first;
    int64_t left = n;
    for (int64_t slot = 0; slot < n + extra && left; slot++) {
        const uint64_t rest = (uint64_t)(n + extra - slot);
        const int64_t at = first + b * extra + slot;
        if (gn2_rng_below(key, (uint64_t)at, rest) < (uint64_t)left)
            rows->row[first + n - left--] = at;
    }
}

static void pad_rows(testrows *to, const testrows *from, int64_t jets, int64_t extra,
                     uint64_t key)
{
    copy_offsets(to, from, jets);
    to->inputs = from->inputs;
    to->rows = from->rows;
    to->slots = from->rows + jets * extra;
    to->row = need_memory((size_t)to->rows, sizeof *to->row);
    to->data = need_memory((size_t)(to->slots * to->inputs), sizeof *to->data);
    for (int64_t i = 0; i < to->slots * to->inputs; i++) to->data[i] = JUNK;
    for (int64_t b = 0; b < jets; b++) place_jet(to, b, extra, key);
    for (int64_t r = 0; r < to->rows; r++)
        copy_slot(to, to->row[r], from, slot_of(from, r));
}

testbatch *testbatch_pad(const testbatch *batch, int64_t extra, uint64_t key)
{
    testbatch *out = need_memory(1, sizeof *out);
    out->jets = batch->jets;
    out->jet_inputs = batch->jet_inputs;
    out->count = batch->count;
    out->jet = need_memory((size_t)(out->jets * out->jet_inputs), sizeof *out->jet);
    out->flavour = need_memory((size_t)out->jets, sizeof(int32_t));
    for (int s = 0; s < out->count; s++)
        pad_rows(&out->sequence[s], &batch->sequence[s], out->jets, extra, key);
    pad_more(out, batch);
    for (int64_t b = 0; b < out->jets; b++) copy_jet(out, b, batch, b);
    for (int s = 0; s < out->count; s++)
        for (int64_t r = 0; r < out->sequence[s].rows; r++)
            copy_more(out, out->sequence[s].row[r], batch,
                      slot_of(&batch->sequence[s], r), s);
    const testrows *to = &out->sequence[0], *from = &batch->sequence[0];
    out->origin = need_memory((size_t)to->slots, sizeof(int32_t));
    out->vertex = need_memory((size_t)to->slots, sizeof(int32_t));
    for (int64_t i = 0; i < to->slots; i++) out->origin[i] = out->vertex[i] = 3;
    for (int64_t r = 0; r < to->rows; r++)
        copy_labels(out, to->row[r], batch, slot_of(from, r));
    return out;
}

testbatch *testbatch_permute(const gn2_hparams *h, const testbatch *batch,
                             const int64_t *order)
{
    int64_t *all = need_memory((size_t)batch->jets, sizeof *all);
    for (int64_t b = 0; b < batch->jets; b++) all[b] = b;
    testbatch *out = testbatch_pick(h, batch, all, batch->jets);
    gn2_free(all);
    for (int64_t r = 0; r < out->sequence[0].rows; r++) {
        copy_slot(&out->sequence[0], r, &batch->sequence[0], order[r]);
        copy_labels(out, r, batch, order[r]);
        copy_more(out, r, batch, order[r], 0);
    }
    return out;
}

/* ---- what the losses are divided by ---- */

static double class_weight(const gn2_config *config, const char *key, int32_t label)
{
    if (label < 0) return 0;
    if (gn2_config_list_count(config, key) == 0) return 1;
    return gn2_config_f64_item(config, key, (size_t)label);
}

/* Class weights of a task over its rows, those with a label. */
static double class_weight_sum(const testmodel *model, const testbatch *batch, int k)
{
    const testlabels *more = &batch->more[k];
    const testrows *rows = more->sequence < 0 ? NULL : &batch->sequence[more->sequence];
    char key[128];
    double sum = 0;
    gn2_config_key_of(key, "task.%s.class_weights", model->h.task[k].name);
    for (int64_t r = 0; r < (rows ? rows->rows : batch->jets); r++)
        sum +=
            class_weight(model->config, key, more->index[rows ? slot_of(rows, r) : r]);
    return sum;
}

/* Targets that are there; denominators of tests are not 0. */
static double target_count(const testbatch *batch, int k)
{
    const testlabels *more = &batch->more[k];
    const testrows *rows = more->sequence < 0 ? NULL : &batch->sequence[more->sequence];
    double count = 0;
    for (int64_t r = 0; r < (rows ? rows->rows : batch->jets); r++)
        for (int64_t t = 0; t < more->targets; t++)
            count +=
                !isnan(more->target[(rows ? slot_of(rows, r) : r) * more->targets + t]);
    return count;
}

static int64_t positive_pairs(const testrows *rows, const int32_t *vertex, int64_t b)
{
    int64_t count = 0;
    for (int64_t i = rows->offset[b]; i < rows->offset[b + 1]; i++)
        for (int64_t j = rows->offset[b]; j < rows->offset[b + 1]; j++) {
            const int32_t v = vertex[slot_of(rows, i)];
            count += i != j && v >= 0 && v == vertex[slot_of(rows, j)];
        }
    return count;
}

gn2_batch_labels testbatch_labels(const gn2_hparams *h, const testbatch *batch)
{
    const int32_t *const all[TASK_COUNT] = {batch->flavour, batch->origin,
                                            batch->vertex};
    gn2_batch_labels labels = {0};
    for (int k = 0; k < h->task_count; k++)
        labels.task[k] = (gn2_task_labels){.index = batch->more[k].index,
                                           .target = batch->more[k].target,
                                           .weight = batch->more[k].weight};
    for (int id = 0; id < TASK_COUNT; id++)
        if (test_task(h, id) >= 0) labels.task[test_task(h, id)].index = all[id];
    return labels;
}

gn2_totals testbatch_totals(const testmodel *model, const testbatch *batch)
{
    const gn2_config *c = model->config;
    const testrows *rows = &batch->sequence[labelled_sequence(&model->h)];
    double sum[TASK_COUNT] = {0};
    gn2_totals t = {{0}};
    for (int64_t b = 0; b < batch->jets; b++) {
        sum[TASK_JETS] += class_weight(c, "task.jets_classification.class_weights",
                                       batch->flavour[b]);
        sum[TASK_VERTEX] += (double)positive_pairs(rows, batch->vertex, b);
    }
    for (int64_t r = 0; r < rows->rows; r++)
        sum[TASK_ORIGIN] += class_weight(c, "task.track_origin.class_weights",
                                         batch->origin[slot_of(rows, r)]);
    for (int id = 0; id < TASK_COUNT; id++)
        if (test_task(&model->h, id) >= 0) t.value[test_task(&model->h, id)] = sum[id];
    for (int k = 0; k < model->h.task_count; k++) {
        if (batch->more[k].index) t.value[k] = class_weight_sum(model, batch, k);
        if (batch->more[k].target) t.value[k] = target_count(batch, k);
    }
    return t;
}
