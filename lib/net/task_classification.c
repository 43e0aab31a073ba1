/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Classification of jets or of constituents (salt's ClassificationTask).
 *   L = λ Σ_r w_r c[y_r] CE_r / Σ_r c[y_r]  over rows with a label y_r ≥ 0
 *   c: class weights;  w: weight of the row, which the divisor leaves out
 * outputs: softmax of the logits
 */
#include <string.h>

#include "config/alias.h"
#include "net/head.h"
#include "net/tasks.h"

/* ---- options ---- */

static gn2_status check_class_weights(const gn2_task_reader *r, int64_t classes)
{
    char key[128];
    gn2_task_key(r, "class_weights", key);
    const size_t count = gn2_config_list_count(r->config, key);
    if (count == 0 || (int64_t)count == classes) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG, "%s: %zu weights for %lld classes", key, count,
                    (long long)classes);
}

/* bjets and b would be one field of a score file. */
static gn2_status check_scores(const gn2_task_reader *r, const char *key, size_t k)
{
    char own[256], other[256];
    const char *name = gn2_config_list_item(r->config, key, k);
    gn2_class_score_name(name, own, sizeof own);
    for (size_t i = 0; i < k; i++) {
        const char *earlier = gn2_config_list_item(r->config, key, i);
        gn2_class_score_name(earlier, other, sizeof other);
        if (strcmp(own, other) == 0)
            return gn2_fail(GN2_ERR_INVALID_ARG,
                            "%s: the scores of '%s' and '%s' would both be %s", key,
                            earlier, name, own);
    }
    return GN2_OK;
}

/* The first task over jets classifies into model.classes, others into their own. */
static const char *classes_key(const gn2_task_reader *r, char key[128])
{
    const int first = r->task->rows == GN2_OVER_JETS && r->h->flavour < 0;
    return first ? "model.classes" : gn2_task_key(r, "classes", key);
}

static gn2_status read(const gn2_task_reader *r, gn2_task *task, int64_t *out_columns)
{
    char buffer[128];
    const char *key = classes_key(r, buffer);
    const int64_t classes = (int64_t)gn2_config_list_count(r->config, key);
    (void)task;
    if (classes < 2 || classes > GN2_MAX_CLASSES)
        return gn2_fail(GN2_ERR_INVALID_ARG, "%s: %lld, must be 2 to %d", key,
                        (long long)classes, GN2_MAX_CLASSES);
    for (size_t k = 0; k < (size_t)classes; k++) GN2_TRY(check_scores(r, key, k));
    *out_columns = classes;
    return check_class_weights(r, classes);
}

/* ---- loss ---- */

/* Labels of the chunk, one after the other, in space->label. */
static void gather_labels(R(gn2_pass) *pass, int k, int64_t rows)
{
    const int32_t *index = pass->labels->task[k].index;
    int32_t *label = pass->space->label;
    for (int64_t r = 0; r < rows; r++)
        label[r] = index[R(gn2_head_label_row)(pass, k, r)];
}

/* Loss of `rows` rows from row r on, which weigh the same. */
static double rows_loss(const R(gn2_pass) *pass, int k, int64_t r, int64_t rows,
                        real weight)
{
    const int64_t classes = gn2_task_columns(&pass->net->h->task[k]);
    const R(gn2_head) *head = &pass->net->head[k];
    real *d = R(gn2_head_d_logits)(pass, k);
    return pass->ctx.kernels->cross_entropy(
        d ? d + r * classes : NULL, pass->space->head[k].logits + r * classes,
        pass->space->label + r, head->weighted ? head->class_weight : NULL,
        weight * R(gn2_head_factor)(pass, k), rows, classes);
}

static void run(R(gn2_pass) *pass, int k)
{
    const int64_t rows = R(gn2_head_rows)(pass, k);
    R(gn2_head_fwd)(pass, k);
    if (!pass->labels || !pass->labels->task[k].index) return;
    const float *weight = pass->labels->task[k].weight;
    gather_labels(pass, k, rows);
    if (!weight) pass->losses.value[k] += rows_loss(pass, k, 0, rows, 1);
    for (int64_t r = 0; weight && r < rows; r++)
        pass->losses.value[k] +=
            rows_loss(pass, k, r, 1, (real)weight[R(gn2_head_label_row)(pass, k, r)]);
    if (pass->ctx.grads) R(gn2_head_bwd)(pass, k);
}

/* ---- labels of a batch ---- */

/* −1: not labelled; constituents: any negative number, as truth matching gives up. */
static gn2_status check(const R(gn2_label_place) *p, int64_t b, int64_t i)
{
    const gn2_task *task = &p->h->task[p->task];
    const int of_jets = task->rows == GN2_OVER_JETS;
    const int32_t label = p->labels->task[p->task].index[R(gn2_label_row)(p, i)];
    const long long most = (long long)gn2_task_columns(task) - 1;
    if (label <= most && (label >= -1 || !of_jets)) return GN2_OK;
    if (of_jets)
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "%s: label %d of jet %lld: must be -1 (none) to %lld",
                        task->name, label, (long long)b, most);
    return gn2_fail(GN2_ERR_INVALID_ARG,
                    "%s: label %d of jet %lld, constituent %lld: must be at most %lld",
                    task->name, label, (long long)b,
                    (long long)(i - R(gn2_label_rows)(p, b)), most);
}

static double total(const R(gn2_net) *net, const R(gn2_label_place) *p)
{
    const R(gn2_head) *head = &net->head[p->task];
    const int32_t *index = p->labels->task[p->task].index;
    double sum = 0;
    for (int64_t i = 0; i < R(gn2_label_rows)(p, p->batch->jets); i++) {
        const int32_t label = index[R(gn2_label_row)(p, i)];
        if (label < 0) continue;
        sum += head->weighted ? (double)head->class_weight[label] : 1;
    }
    return sum;
}

/* ---- metrics ---- */

enum { LABELLED, RIGHT };

static int64_t largest(const real *x, int64_t count)
{
    int64_t best = 0;
    for (int64_t i = 1; i < count; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

static void observe(const R(gn2_pass) *pass, int k, int64_t b, double *sums)
{
    const int64_t classes = gn2_task_columns(&pass->net->h->task[k]);
    const int64_t end = R(gn2_head_rows_before)(pass, k, b + 1);
    for (int64_t r = R(gn2_head_rows_before)(pass, k, b); r < end; r++) {
        const int32_t label =
            pass->labels->task[k].index[R(gn2_head_label_row)(pass, k, r)];
        const real *logits = pass->space->head[k].logits + r * classes;
        sums[LABELLED] += label >= 0;
        sums[RIGHT] += label >= 0 && largest(logits, classes) == label;
    }
}

static void conclude(const double *sums, double *out_values)
{
    out_values[0] = sums[RIGHT] / sums[LABELLED]; /* NaN: nothing was labelled */
}

/* ---- outputs ---- */

/* MODEL_pCLASS for the model's classes and GN2's own tasks, else MODEL_TASK_pCLASS. */
static void name_field(const gn2_task_column *c, gn2_text *out_name)
{
    char buffer[128], score[256];
    const gn2_task *task = &c->h->task[c->task];
    const gn2_task_reader r = {c->config, c->h, task};
    const int of_model = c->task == c->h->flavour;
    const char *key = of_model ? "model.classes" : gn2_task_key(&r, "classes", buffer);
    gn2_class_score_name(gn2_config_list_item(c->config, key, (size_t)c->column), score,
                         sizeof score);
    gn2_text_format(out_name, "%s_", gn2_config_str(c->config, "model.name"));
    if (!of_model && !c->known) gn2_text_format(out_name, "%s_", task->name);
    gn2_text_add(out_name, score);
}

static const R(gn2_task_output) outputs[] = {
    {"", GN2_OUT_SOFTMAX, name_field, NULL},
    {"_logits", GN2_OUT_LOGITS, NULL, NULL},
    {0},
};

const R(gn2_task_kind) R(gn2_kind_classification) = {
    .name = "classification",
    .options = (const char *const[]){"label", "classes", "class_weights",
                                     "sample_weight", NULL},
    .classifies = 1,
    .read = read,
    .run = run,
    .check = check,
    .total = total,
    .outputs = outputs,
    .metrics = (const char *const[]){"accuracy", NULL},
    .observe = observe,
    .conclude = conclude,
};
