/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads of tasks beside salt's modules. Outputs in units of the network are compared
 * as they are; where salt's mean and ours differ, its loss and gradients are ours by
 *   L_salt = (n L + λ Σ_missing w ℓ₀) / N      g_salt = (n / N) g
 * n: what our loss is divided by, counted here from the file's labels;  N: all entries
 * of salt's array, with those that have no target or label and, of tracks, the empty
 * slots;  ℓ₀: what salt adds for each of them, ½ log 1e-6 in the Gaussian loss, else 0.
 * Without any, n = N.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "checks.h"
#include "common/need.h"
#include "golden_head.h"
#include "util/alloc.h"
#include "util/str.h"

/* Tolerances of README.md. */
#define F64_SHARE 1e-11
#define F32_OUTPUT_SHARE 2e-5
#define F32_LOSS_SHARE 2e-6
#define F32_GRAD_SHARE 2e-4
#define F32_GRAD_FLOOR 1e-7

#define LEAST_VARIANCE 1e-6 /* eps of torch.nn.GaussianNLLLoss */
#define JET_INPUTS "a,b"
#define TRACK_INPUTS "c,d,e"
#define PATH_SIZE 192

/* One group of the file. */
typedef struct head_case {
    golden_report *report;
    const char *name;
    int over_jets, gaussian, classifies;
    testmodel *model;
    testbatch *batch;
    golden_array pooled, z;
} head_case;

/* One precision of it. */
typedef struct comparison {
    const head_case *c;
    const golden_head *head;
    const golden_head_result *t;
    double divisor, share; /* n, n / N */
} comparison;

static const char *path_in(const head_case *c, const char *name, char path[PATH_SIZE])
{
    snprintf(path, PATH_SIZE, "%s/%s", c->name, name);
    return path;
}

static int has(const head_case *c, const char *name)
{
    char path[PATH_SIZE];
    return golden_has(c->report->file, path_in(c, name, path));
}

static golden_array read_in(const head_case *c, const char *name)
{
    char path[PATH_SIZE];
    return golden_read(c->report->file, path_in(c, name, path));
}

/* ---- the model ---- */

static void line_list(const head_case *c, gn2_text *text, const char *option,
                      const char *attr)
{
    if (!golden_has_attr(c->report->file, c->name, attr)) return;
    golden_array list = golden_read_attr(c->report->file, c->name, attr);
    gn2_text_format(text, "task.head.%s = ", option);
    for (int64_t i = 0; i < list.count; i++) {
        char number[32];
        gn2_format_f64(list.x[i], number);
        gn2_text_format(text, "%s%s", i ? "," : "", number);
    }
    gn2_text_add(text, "\n");
    golden_array_free(&list);
}

/* The file numbers the inputs; their names are one letter each. */
static void line_denominators(const head_case *c, gn2_text *text)
{
    const char *inputs = c->over_jets ? JET_INPUTS : TRACK_INPUTS;
    if (!golden_has_attr(c->report->file, c->name, "denominators")) return;
    golden_array list = golden_read_attr(c->report->file, c->name, "denominators");
    gn2_text_add(text, "task.head.target_denominators = ");
    for (int64_t i = 0; i < list.count; i++)
        gn2_text_format(text, "%s%c", i ? "," : "", inputs[2 * (int)list.x[i]]);
    gn2_text_add(text, "\n");
    golden_array_free(&list);
}

static void line_names(const head_case *c, gn2_text *text)
{
    const int count = (int)golden_number(c->report->file, c->name, "targets");
    const char *option = c->classifies ? "classes" : "targets";
    gn2_text_format(text, "task.head.%s = ", option);
    for (int i = 0; i < count; i++) gn2_text_format(text, "%sx%d", i ? "," : "", i);
    gn2_text_add(text, "\n");
    if (c->classifies && c->over_jets) {
        gn2_text_add(text, "model.classes = ");
        for (int i = 0; i < count; i++) gn2_text_format(text, "%sx%d", i ? "," : "", i);
        gn2_text_add(text, "\n");
    }
}

static void lines_kind(const head_case *c, gn2_text *text)
{
    static const char *const losses[][2] = {
        {"MSELoss", "mse"}, {"L1Loss", "l1"}, {"HuberLoss", "huber"}};
    char loss[64], number[32];
    golden_string(c->report->file, c->name, "loss", loss);
    gn2_text_format(text, "task.head.kind = %s\n",
                    c->classifies ? "classification"
                    : c->gaussian ? "gaussian_regression"
                                  : "regression");
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
        if (strcmp(losses[i][0], loss) == 0)
            gn2_text_format(text, "task.head.loss = %s\n", losses[i][1]);
    gn2_format_f64(golden_number(c->report->file, c->name, "task_weight"), number);
    gn2_text_format(text, "task.head.weight = %s\n", number);
    gn2_text_format(text, "task.head.object = %s\n", c->over_jets ? "jets" : "tracks");
}

/* Sizes of the head are those of its weights; there is no encoder layer. */
static void lines_sizes(const head_case *c, gn2_text *text)
{
    golden_array first = read_in(c, "params/net.net.0.weight");
    gn2_text_format(text,
                    "model.tasks = head\nmodel.num_layers = 0\nmodel.out_dim = %d\n"
                    "model.embed_dim = 8\nmodel.num_heads = 2\nmodel.init_hidden = 4\n"
                    "task.head.hidden = %d\n"
                    "inputs.jets = " JET_INPUTS "\ninputs.tracks = " TRACK_INPUTS "\n",
                    (int)c->pooled.dim[1], (int)first.dim[0]);
    golden_array_free(&first);
}

static void read_weights(const head_case *c)
{
    char group[PATH_SIZE], name[128];
    golden_text members = golden_members(c->report->file, path_in(c, "params", group));
    for (int64_t k = 0; k < members.count; k++) {
        snprintf(name, sizeof name, "tasks.0.%s", members.item[k]);
        const gn2_tensor *t = gn2_params_find(c->model->params, name);
        need_true(t != NULL, name);
        snprintf(name, sizeof name, "params/%s", members.item[k]);
        golden_array a = read_in(c, name);
        need_true(a.count == t->count && a.dim[0] == t->shape[0], name);
        memcpy(c->model->weights + t->offset, a.x, (size_t)a.count * sizeof *a.x);
        golden_array_free(&a);
    }
    golden_text_free(&members);
}

static void make_model(head_case *c)
{
    gn2_text text = {0};
    lines_sizes(c, &text);
    lines_kind(c, &text);
    line_names(c, &text);
    line_list(c, &text, "target_mean", "mean");
    line_list(c, &text, "target_std", "std");
    line_list(c, &text, "class_weights", "class_weights");
    line_denominators(c, &text);
    need_true(!text.failed, "memory");
    c->model = testmodel_create(text.data);
    gn2_free(text.data);
    read_weights(c);
}

/* ---- the batch ---- */

static void make_batch(head_case *c)
{
    const int64_t jets = c->pooled.dim[0];
    int64_t *tracks = need_memory((size_t)jets, sizeof *tracks);
    if (!c->over_jets) {
        golden_array offsets = read_in(c, "inputs/offsets");
        for (int64_t b = 0; b < jets; b++)
            tracks[b] = (int64_t)(offsets.x[b + 1] - offsets.x[b]);
        golden_array_free(&offsets);
    }
    c->batch = testbatch_create(&c->model->h, tracks, jets);
    gn2_free(tracks);
    golden_array raw = read_in(c, "inputs/raw");
    memcpy(c->over_jets ? c->batch->jet : c->batch->sequence[0].data, raw.x,
           (size_t)raw.count * sizeof *raw.x);
    golden_array_free(&raw);
}

static void read_labels(const head_case *c)
{
    testlabels *to = &c->batch->more[0];
    golden_array a = read_in(c, c->classifies ? "labels/index" : "labels/targets");
    need_true(a.count == to->rows * to->targets, "a label for each row");
    for (int64_t i = 0; i < a.count; i++)
        if (c->classifies)
            to->index[i] = (int32_t)a.x[i];
        else
            to->target[i] = (float)a.x[i];
    golden_array_free(&a);
    if (!has(c, "labels/weight")) return;
    a = read_in(c, "labels/weight");
    to->weight = need_memory((size_t)a.count, sizeof *to->weight);
    for (int64_t i = 0; i < a.count; i++) to->weight[i] = (float)a.x[i];
    golden_array_free(&a);
}

/* What our loss is to be divided by: targets that are there, one less where a
 * denominator is 0 (the file has one such case), or class weights of labelled rows. */
static double divisor_of(const head_case *c)
{
    golden_id file = c->report->file;
    golden_array weights = {0};
    const testlabels *labels = &c->batch->more[0];
    double sum = golden_has_attr(file, c->name, "salt_loss") ? -1 : 0;
    if (golden_has_attr(file, c->name, "class_weights"))
        weights = golden_read_attr(file, c->name, "class_weights");
    for (int64_t i = 0; i < labels->rows * labels->targets; i++)
        if (!c->classifies)
            sum += !isnan(labels->target[i]);
        else if (labels->index[i] >= 0)
            sum += weights.x ? weights.x[labels->index[i]] : 1;
    golden_array_free(&weights);
    return sum;
}

/* ---- comparisons ---- */

static double largest(const golden_array *a)
{
    double most = 0;
    for (int64_t i = 0; i < a->count; i++) most = fmax(most, fabs(a->x[i]));
    return most;
}

static void line(const comparison *m, const char *what, double dev, double tolerance)
{
    char path[PATH_SIZE];
    golden_line(m->c->report, m->head->precision, path_in(m->c, what, path), dev,
                tolerance);
}

static void compare_array(const comparison *m, const char *what,
                          const golden_array *wanted, const double *x)
{
    const double most = largest(wanted);
    need_true(x != NULL, what);
    line(m, what, test_max_diff(wanted->x, x, wanted->count),
         m->head->is_double ? F64_SHARE * fmax(1, most) : F32_OUTPUT_SHARE * most);
}

static void compare_output(const comparison *m, const char *what, const double *x)
{
    if (!has(m->c, what)) return;
    golden_array wanted = read_in(m->c, what);
    compare_array(m, what, &wanted, x);
    golden_array_free(&wanted);
}

/* salt bounds the variance in the loss alone, we bound what is given out too. */
static void compare_stddev(const comparison *m)
{
    const gn2_task *task = &m->c->model->h.task[0];
    if (!has(m->c, "outputs/stddev")) return;
    golden_array wanted = read_in(m->c, "outputs/stddev");
    for (int64_t i = 0; i < wanted.count; i++)
        wanted.x[i] = fmax(wanted.x[i],
                           sqrt(LEAST_VARIANCE) * task->target[i % task->targets].std);
    compare_array(m, "outputs/stddev", &wanted, m->t->values[1]);
    golden_array_free(&wanted);
}

/* What salt's mean has of entries without a target: they are 0 with variance 0. */
static double missing_share(const comparison *m, double entries)
{
    const testlabels *labels = &m->c->batch->more[0];
    const double each = 0.5 * log(LEAST_VARIANCE) / entries;
    double sum = 0;
    if (!m->c->gaussian) return 0;
    if (!labels->weight) return each * (entries - m->divisor);
    for (int64_t i = 0; i < labels->rows * labels->targets; i++)
        if (isnan(labels->target[i]))
            sum += (double)labels->weight[i / labels->targets];
    return each * sum;
}

static void compare_loss(const comparison *m)
{
    golden_id file = m->c->report->file;
    char path[PATH_SIZE];
    const double entries = golden_number(file, m->c->name, "entries");
    const double wanted = golden_number(file, path_in(m->c, "loss", path), NULL);
    const double missing = m->c->model->h.task[0].weight * missing_share(m, entries);
    const double loss = m->share * m->t->loss + missing;
    line(m, "loss", fabs(loss - wanted),
         m->head->is_double ? F64_SHARE * fmax(1, fabs(wanted))
                            : F32_LOSS_SHARE * fmax(fabs(wanted), fabs(missing)));
    if (!golden_has_attr(file, m->c->name, "salt_loss")) return;
    /* a target over a denominator of 0: salt's loss has it, ours leaves it out */
    const double own = golden_number(file, m->c->name, "salt_loss");
    need_true(!isfinite(own), "salt's loss of a division by 0");
}

static void compare_gradient(const comparison *m, const char *what, const double *x)
{
    golden_array wanted = read_in(m->c, what);
    double dev = 0, squares = 0;
    for (int64_t i = 0; i < wanted.count; i++) {
        const double d = fabs(m->share * x[i] - wanted.x[i]);
        if (!(d <= dev)) dev = d;
        squares += wanted.x[i] * wanted.x[i];
    }
    const double most = fmax(1, largest(&wanted));
    line(m, what, dev,
         m->head->is_double ? F64_SHARE * most
                            : F32_GRAD_SHARE * sqrt(squares) + F32_GRAD_FLOOR);
    golden_array_free(&wanted);
}

static void compare_gradients(const comparison *m)
{
    char group[PATH_SIZE], name[128];
    golden_text members =
        golden_members(m->c->report->file, path_in(m->c, "params", group));
    for (int64_t k = 0; k < members.count; k++) {
        snprintf(name, sizeof name, "tasks.0.%s", members.item[k]);
        const gn2_tensor *t = gn2_params_find(m->c->model->params, name);
        snprintf(name, sizeof name, "grads/%s", members.item[k]);
        compare_gradient(m, name, m->t->grads + t->offset);
    }
    golden_text_free(&members);
    compare_gradient(m, "grads/pooled", m->t->d_pooled);
    if (!m->c->over_jets) compare_gradient(m, "grads/z", m->t->d_z);
}

/* ---- salt's own values, where they are others ---- */

/* What salt makes of logit x: it goes by the number of the column, of tracks by that
 * of the slot, where the target's is meant, and takes column i + 1 for the variance of
 * target i, of a ratio without making a deviation of it. */
static double salts_value(const head_case *c, double x, int64_t place, int64_t row)
{
    const gn2_task *task = &c->model->h.task[0];
    for (int64_t i = 0; i < task->targets; i++) {
        const gn2_target *u = &task->target[i];
        const int ratio = u->denominator >= 0;
        const double size =
            ratio ? c->batch->jet[row * c->batch->jet_inputs + u->denominator] : u->std;
        if (place == i) x = x * size + (ratio ? 0 : u->mean);
        if (c->gaussian && place == i + 1)
            x = ratio ? x * size : sqrt(log1p(exp(x))) * size;
    }
    return x;
}

/* Number of a row among those of its jet. */
static int64_t slot_of(const head_case *c, int64_t row)
{
    const int64_t *offset = c->batch->sequence[0].offset;
    int64_t b = 0;
    while (offset[b + 1] <= row) b++;
    return row - offset[b];
}

/* Columns first … first + targets − 1 of the logits. */
static void compare_salts(const comparison *m, const char *what, int64_t first)
{
    if (!m->head->is_double || !has(m->c, what)) return;
    const int64_t targets = m->c->model->h.task[0].targets;
    double *x = need_memory((size_t)(m->t->rows * targets), sizeof *x);
    for (int64_t r = 0; r < m->t->rows; r++)
        for (int64_t t = 0; t < targets; t++) {
            const int64_t column = first + t;
            const int64_t place = m->c->over_jets ? column : slot_of(m->c, r);
            x[r * targets + t] =
                salts_value(m->c, m->t->logits[r * m->t->columns + column], place, r);
        }
    compare_output(m, what, x);
    gn2_free(x);
}

/* ---- a case ---- */

static void compare(const head_case *c, const golden_head *head)
{
    const golden_head_input input = {c->model, c->batch, c->pooled.x, c->z.x};
    golden_head_result *t = head->run(&input);
    comparison m = {.c = c, .head = head, .t = t};
    m.divisor = divisor_of(c);
    m.share = m.divisor / golden_number(c->report->file, c->name, "entries");
    line(&m, "divisor", fabs(t->total - m.divisor), 0);
    compare_output(&m, "outputs/logits", t->logits);
    compare_output(&m, "outputs/values", t->values[0]);
    compare_stddev(&m);
    compare_salts(&m, "outputs/salt_values", 0);
    compare_salts(&m, "outputs/salt_stddev", c->model->h.task[0].targets);
    compare_loss(&m);
    compare_gradients(&m);
    golden_head_result_free(t);
}

static void check_case(golden_report *report, const char *name)
{
    char word[64];
    head_case c = {.report = report, .name = name};
    golden_string(report->file, name, "object", word);
    c.over_jets = strcmp(word, "jets") == 0;
    golden_string(report->file, name, "task", word);
    c.gaussian = strcmp(word, "GaussianRegressionTask") == 0;
    c.classifies = strcmp(word, "ClassificationTask") == 0;
    c.pooled = read_in(&c, "inputs/pooled");
    if (!c.over_jets) c.z = read_in(&c, "inputs/z");
    make_model(&c);
    make_batch(&c);
    read_labels(&c);
    compare(&c, &golden_head_f64);
    compare(&c, &golden_head_f32);
    testbatch_free(c.batch);
    testmodel_free(c.model);
    golden_array_free(&c.pooled);
    golden_array_free(&c.z);
}

void golden_check_heads(golden_report *report)
{
    golden_text cases = golden_members(report->file, "/");
    for (int64_t i = 0; i < cases.count; i++) check_case(report, cases.item[i]);
    golden_text_free(&cases);
}
