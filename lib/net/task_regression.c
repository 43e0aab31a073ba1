/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regression of values of jets or of constituents (salt's RegressionTask).
 *   L = λ Σ_r w_r Σ_t ℓ(x_rt − s_rt) / n   over the n targets that are there
 *   s = (t − mean) / std  or  t / denominator;  w: weight of the row, 1 without
 *   ℓ(e) = e² (mse), |e| (l1), e²/2 up to |e| = 1 and |e| − 1/2 beyond (huber)
 * A target that is NaN, or whose denominator is 0, is not there.
 * outputs: x in the target's own units
 */
#include <math.h>
#include <string.h>

#include "net/head.h"
#include "net/tasks.h"

/* ---- losses: torch's MSELoss, L1Loss, HuberLoss with δ = 1 ---- */

typedef struct error_rule {
    const char *name;
    double (*loss)(double e);
    double (*slope)(double e);
} error_rule;

static double mse(double e)
{
    return e * e;
}

static double mse_slope(double e)
{
    return 2 * e;
}

static double l1_slope(double e)
{
    return (e > 0) - (e < 0);
}

static double huber(double e)
{
    return fabs(e) <= 1 ? e * e / 2 : fabs(e) - 0.5;
}

static double huber_slope(double e)
{
    return fabs(e) <= 1 ? e : l1_slope(e);
}

/* gn2_task.option: row of it */
static const error_rule rules[] = {
    {"mse", mse, mse_slope},
    {"l1", fabs, l1_slope},
    {"huber", huber, huber_slope},
};

/* ---- options ---- */

static gn2_status fail_input(const gn2_task_reader *r, const char *key,
                             const char *inputs, const char *name)
{
    char list[400] = "";
    for (size_t i = 0; i < gn2_config_list_count(r->config, inputs); i++) {
        const char *known = gn2_config_list_item(r->config, inputs, i);
        if (strlen(list) + strlen(known) + 2 >= sizeof list) continue;
        strcat(strcat(list, " "), known);
    }
    return gn2_fail(GN2_ERR_INVALID_ARG, "%s: '%s' is none of %s:%s", key, name, inputs,
                    list);
}

static gn2_status read_denominators(const gn2_task_reader *r, const char *key,
                                    gn2_task *task)
{
    char inputs[128], object[128];
    gn2_task_key(r, "object", object);
    gn2_config_key_of(inputs, "inputs.%s", gn2_config_str(r->config, object));
    const size_t count = gn2_config_list_count(r->config, inputs);
    for (int64_t t = 0; t < task->targets; t++) {
        const char *name = gn2_config_list_item(r->config, key, (size_t)t);
        size_t i = 0;
        while (i < count && strcmp(gn2_config_list_item(r->config, inputs, i), name))
            i++;
        if (i == count) return fail_input(r, key, inputs, name);
        task->target[t].denominator = (int)i;
    }
    return GN2_OK;
}

/* Items of a list of the scaling, which has one a target or none. */
static gn2_status count_scaling(const gn2_task_reader *r, const char *option,
                                char key[128], size_t *out_count)
{
    *out_count = gn2_config_list_count(r->config, gn2_task_key(r, option, key));
    if (*out_count == 0 || (int64_t)*out_count == r->task->targets) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG, "%s: %zu for %lld targets", key, *out_count,
                    (long long)r->task->targets);
}

static gn2_status read_scaling(const gn2_task_reader *r, gn2_task *task)
{
    char mean[128], std[128], key[128];
    size_t means, stds, denominators;
    GN2_TRY(count_scaling(r, "target_mean", mean, &means));
    GN2_TRY(count_scaling(r, "target_std", std, &stds));
    GN2_TRY(count_scaling(r, "target_denominators", key, &denominators));
    if (denominators && (means || stds))
        return gn2_fail(GN2_ERR_INVALID_ARG,
                        "%s: %s is set too, one kind of scaling is possible", key,
                        means ? mean : std);
    for (size_t t = 0; t < (size_t)task->targets; t++)
        task->target[t] = (gn2_target){
            .mean = means ? gn2_config_f64_item(r->config, mean, t) : 0,
            .std = stds ? gn2_config_f64_item(r->config, std, t) : 1,
            .denominator = -1,
        };
    return denominators ? read_denominators(r, key, task) : GN2_OK;
}

static gn2_status read(const gn2_task_reader *r, gn2_task *task, int64_t *out_columns)
{
    char key[128];
    const size_t count =
        gn2_config_list_count(r->config, gn2_task_key(r, "targets", key));
    if (count < 1 || count > GN2_MAX_TARGETS)
        return gn2_fail(GN2_ERR_INVALID_ARG, "%s: %zu, must be 1 to %d", key, count,
                        GN2_MAX_TARGETS);
    *out_columns = task->targets = (int64_t)count;
    const char *loss = gn2_config_str(r->config, gn2_task_key(r, "loss", key));
    for (int i = 0; i < (int)(sizeof rules / sizeof *rules); i++)
        if (strcmp(rules[i].name, loss) == 0) task->option = i;
    return read_scaling(r, task);
}

/* ---- scaling ---- */

/* A row of the task: of jets, or of the data of its constituents. */
typedef struct place {
    const R(gn2_net) *net;
    const R(gn2_batch) *batch;
    int k;
    int64_t row;
} place;

static place place_of(const R(gn2_pass) *pass, int k, int64_t r)
{
    return (place){pass->net, pass->batch, k, R(gn2_head_label_row)(pass, k, r)};
}

/* Raw input of a row; by the defaults where the network replaces it too. */
static double raw_input(const place *p, int input)
{
    const int s = p->net->h->task[p->k].sequence;
    const R(gn2_rows) *rows = s < 0 ? &p->batch->jet : &p->batch->sequence[s];
    const int32_t column = rows->column ? rows->column[input] : input;
    const real x = rows->data[p->row * rows->ld + column];
    if (isfinite(x)) return (double)x;
    const int64_t behind = s < 0 ? 0 : p->net->h->jet_inputs;
    return (double)p->net->fallback[s < 0 ? 0 : s][behind + input];
}

/* A target = unit.size · what the network gives + unit.shift. */
typedef struct unit {
    double size, shift;
} unit;

static unit unit_of(const place *p, int64_t t)
{
    const gn2_target *target = &p->net->h->task[p->k].target[t];
    if (target->denominator < 0) return (unit){target->std, target->mean};
    return (unit){raw_input(p, target->denominator), 0};
}

/* Target t as the network should give it; NaN or Inf: it is not there. */
static double scaled(const place *p, const float *target, int64_t t)
{
    const unit u = unit_of(p, t);
    return ((double)target[t] - u.shift) / u.size;
}

/* ---- loss ---- */

static double row_loss(R(gn2_pass) *pass, int k, int64_t r, real *d)
{
    const gn2_task_labels *labels = &pass->labels->task[k];
    const int64_t targets = pass->net->h->task[k].targets;
    const error_rule *rule = &rules[pass->net->h->task[k].option];
    const place p = place_of(pass, k, r);
    const real *x = pass->space->head[k].logits + r * targets;
    const double weight = labels->weight ? (double)labels->weight[p.row] : 1;
    const double factor = weight * (double)R(gn2_head_factor)(pass, k);
    double sum = 0;
    for (int64_t t = 0; t < targets; t++) {
        const double s = scaled(&p, labels->target + p.row * targets, t);
        const double e = isfinite(s) ? (double)x[t] - s : 0;
        sum += factor * rule->loss(e);
        if (d) d[r * targets + t] = (real)(factor * rule->slope(e));
    }
    return sum;
}

static void run(R(gn2_pass) *pass, int k)
{
    const int64_t rows = R(gn2_head_rows)(pass, k);
    R(gn2_head_fwd)(pass, k);
    if (!pass->labels || !pass->labels->task[k].target) return;
    real *d = R(gn2_head_d_logits)(pass, k);
    for (int64_t r = 0; r < rows; r++) pass->losses.value[k] += row_loss(pass, k, r, d);
    if (pass->ctx.grads) R(gn2_head_bwd)(pass, k);
}

/* ---- labels of a batch ---- */

static gn2_status check_row(const R(gn2_label_place) *p, int64_t row, int64_t jet)
{
    const gn2_task_labels *labels = &p->labels->task[p->task];
    const gn2_task *task = &p->h->task[p->task];
    const float *target = labels->target + row * task->targets;
    for (int64_t t = 0; t < task->targets; t++)
        if (isinf(target[t]))
            return gn2_fail(GN2_ERR_INVALID_ARG,
                            "%s: target %lld of jet %lld is infinite: must be a "
                            "number, or NaN (none)",
                            task->name, (long long)t, (long long)jet);
    const float weight = labels->weight ? labels->weight[row] : 1;
    if (weight >= 0 && isfinite(weight)) return GN2_OK;
    return gn2_fail(GN2_ERR_INVALID_ARG, "%s: weight %g of jet %lld: must be 0 or more",
                    task->name, (double)weight, (long long)jet);
}

/* Rows before jet b. */
static int64_t rows_before(const gn2_task *task, const R(gn2_batch) *batch, int64_t b)
{
    return task->rows == GN2_OVER_JETS ? b : batch->sequence[task->sequence].offset[b];
}

/* Where row i lies: number of a jet, or of a row of data. */
static int64_t row_at(const gn2_task *task, const R(gn2_batch) *batch, int64_t i)
{
    if (task->rows == GN2_OVER_JETS) return i;
    return R(gn2_rows_at)(&batch->sequence[task->sequence], i);
}

static gn2_status check(const R(gn2_label_place) *p)
{
    const gn2_task *task = &p->h->task[p->task];
    if (!p->labels->task[p->task].target)
        return gn2_fail(GN2_ERR_INVALID_ARG, "%s: classes are given, not targets",
                        task->name);
    for (int64_t b = 0; b < p->batch->jets; b++) {
        const int64_t end = rows_before(task, p->batch, b + 1);
        for (int64_t i = rows_before(task, p->batch, b); i < end; i++)
            GN2_TRY(check_row(p, row_at(task, p->batch, i), b));
    }
    return GN2_OK;
}

static double total(const R(gn2_net) *net, const R(gn2_label_place) *p)
{
    const gn2_task *task = &p->h->task[p->task];
    const float *target = p->labels->task[p->task].target;
    int64_t there = 0;
    for (int64_t i = 0; i < rows_before(task, p->batch, p->batch->jets); i++) {
        const place at = {net, p->batch, p->task, row_at(task, p->batch, i)};
        for (int64_t t = 0; t < task->targets; t++)
            there += isfinite(scaled(&at, target + at.row * task->targets, t)) != 0;
    }
    return (double)there;
}

/* ---- outputs ---- */

static void values(const R(gn2_pass) *pass, int k, int64_t r, int item, real *out)
{
    const int64_t targets = pass->net->h->task[k].targets;
    const real *x = pass->space->head[k].logits + r * targets;
    const place p = place_of(pass, k, r);
    (void)item;
    for (int64_t t = 0; t < targets; t++) {
        const unit u = unit_of(&p, t);
        out[t] = (real)((double)x[t] * u.size + u.shift);
    }
}

static const gn2_task_output outputs[] = {
    {"", GN2_OUT_VALUES, 0, 0, gn2_task_target_field},
    {0},
};

/* ---- metrics, in the targets' units ---- */

enum { COUNT, ABSOLUTE, SQUARE, SIGNED, SUM_COUNT };

static void observe_row(const R(gn2_pass) *pass, int k, int64_t r, double *sums)
{
    const place p = place_of(pass, k, r);
    const int64_t targets = pass->net->h->task[k].targets;
    const float *target = pass->labels->task[k].target + p.row * targets;
    real x[GN2_MAX_TARGETS];
    values(pass, k, r, 0, x);
    for (int64_t t = 0; t < targets; t++) {
        if (!isfinite(scaled(&p, target, t))) continue;
        const double e = (double)x[t] - (double)target[t];
        sums[COUNT]++;
        sums[ABSOLUTE] += fabs(e);
        sums[SQUARE] += e * e;
        sums[SIGNED] += e;
    }
}

static void observe(const R(gn2_pass) *pass, int k, int64_t b, double *sums)
{
    const gn2_task *task = &pass->net->h->task[k];
    const int jets = task->rows == GN2_OVER_JETS;
    const int64_t *offset = jets ? NULL : pass->space->row_offset[task->sequence];
    const int64_t end = jets ? b + 1 : offset[b + 1];
    for (int64_t r = jets ? b : offset[b]; r < end; r++) observe_row(pass, k, r, sums);
}

static void conclude(const double *sums, double *out_values)
{
    out_values[0] = sums[ABSOLUTE] / sums[COUNT]; /* NaN: there was no target */
    out_values[1] = sqrt(sums[SQUARE] / sums[COUNT]);
    out_values[2] = sums[SIGNED] / sums[COUNT];
}

static const char *const metrics[] = {"mae", "rmse", "bias", NULL};

const R(gn2_task_kind) R(gn2_kind_regression) = {
    .name = "regression",
    .label = GN2_LABEL_TARGETS,
    .read = read,
    .run = run,
    .check = check,
    .total = total,
    .outputs = outputs,
    .values = values,
    .sum_count = SUM_COUNT,
    .metrics = metrics,
    .observe = observe,
    .conclude = conclude,
};
