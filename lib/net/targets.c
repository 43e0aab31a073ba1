/* SPDX-License-Identifier: Apache-2.0 */
#include "net/targets.h"

#include <math.h>
#include <string.h>

#include "net/head.h"

#ifndef GN2_REAL_DOUBLE
/* ---- options ---- */

static gn2_status fail_input(const gn2_task_reader *r, const char *key,
                             const char *inputs, const char *name)
{
    char list[GN2_NAME_LIST_SIZE] = "";
    for (size_t i = 0; i < gn2_config_list_count(r->config, inputs); i++)
        gn2_name_list_add(list, gn2_config_list_item(r->config, inputs, i));
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
        while (i < count &&
               strcmp(gn2_config_list_item(r->config, inputs, i), name) != 0)
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

gn2_status gn2_targets_read(const gn2_task_reader *r, gn2_task *task)
{
    char key[128];
    const size_t count =
        gn2_config_list_count(r->config, gn2_task_key(r, "targets", key));
    if (count < 1 || count > GN2_MAX_TARGETS)
        return gn2_fail(GN2_ERR_INVALID_ARG, "%s: %zu, must be 1 to %d", key, count,
                        GN2_MAX_TARGETS);
    task->targets = (int64_t)count;
    return read_scaling(r, task);
}
#endif

/* ---- scaling ---- */

/* labels NULL: not wanted. */
static R(gn2_target_row) row_of(const R(gn2_pass) *pass, int k, int64_t r,
                                const gn2_task_labels *labels)
{
    return (R(gn2_target_row)){
        .net = pass->net,
        .batch = pass->batch,
        .task = &pass->net->h->task[k],
        .labels = labels,
        .row = R(gn2_head_label_row)(pass, k, r),
        .x = pass->space->head[k].logits + r * gn2_task_columns(&pass->net->h->task[k]),
    };
}

/* Raw input of a row; by the defaults where the network replaces it too. */
static double raw_input(const R(gn2_target_row) *p, int input)
{
    const int s = p->task->sequence;
    const R(gn2_rows) *rows = s < 0 ? &p->batch->jet : &p->batch->sequence[s];
    const int32_t column = rows->column ? rows->column[input] : input;
    const real x = rows->data[p->row * rows->ld + column];
    if (isfinite(x)) return (double)x;
    const int64_t behind = s < 0 ? 0 : p->net->h->jet_inputs;
    return (double)p->net->fallback[s < 0 ? 0 : s][behind + input];
}

gn2_target_unit R(gn2_target_unit_of)(const R(gn2_target_row) *p, int64_t t)
{
    const gn2_target *target = &p->task->target[t];
    if (target->denominator < 0) return (gn2_target_unit){target->std, target->mean};
    return (gn2_target_unit){raw_input(p, target->denominator), 0};
}

real R(gn2_target_prediction)(const R(gn2_target_row) *p, int64_t t)
{
    const gn2_target_unit u = R(gn2_target_unit_of)(p, t);
    return (real)((double)p->x[t] * u.size + u.shift);
}

static double target_of(const R(gn2_target_row) *p, int64_t t)
{
    return (double)p->labels->target[p->row * p->task->targets + t];
}

int R(gn2_target_scaled)(const R(gn2_target_row) *p, int64_t t, double *out)
{
    const gn2_target_unit u = R(gn2_target_unit_of)(p, t);
    *out = (target_of(p, t) - u.shift) / u.size;
    return isfinite(*out) != 0;
}

void R(gn2_targets_run)(R(gn2_pass) *pass, int k)
{
    const gn2_task *task = &pass->net->h->task[k];
    const R(gn2_task_kind) *kind = R(gn2_task_kind_of)(task);
    R(gn2_head_fwd)(pass, k);
    if (!pass->labels || !pass->labels->task[k].target) return;
    const float *weight = pass->labels->task[k].weight;
    const double factor = (double)R(gn2_head_factor)(pass, k);
    real *d = R(gn2_head_d_logits)(pass, k);
    for (int64_t r = 0; r < R(gn2_head_rows)(pass, k); r++) {
        const R(gn2_target_row) row = row_of(pass, k, r, &pass->labels->task[k]);
        const double own = weight ? (double)weight[row.row] * factor : factor;
        pass->losses.value[k] +=
            kind->row_loss(&row, own, d ? d + r * gn2_task_columns(task) : NULL);
    }
    if (pass->ctx.grads) R(gn2_head_bwd)(pass, k);
}

void R(gn2_task_values)(const R(gn2_pass) *pass, int k, int64_t r,
                        const R(gn2_task_output) *output, real *out)
{
    const R(gn2_target_row) row = row_of(pass, k, r, NULL);
    for (int64_t t = 0; t < row.task->targets; t++) out[t] = output->value(&row, t);
}

/* ---- metrics ---- */

enum { COUNT, ABSOLUTE, SQUARE, SIGNED, PULL, SUM_COUNT };
_Static_assert(SUM_COUNT <= GN2_MAX_SUMS, "no room for the sums");

static void observe_row(const R(gn2_target_row) *row, const R(gn2_task_output) *of,
                        double *sums)
{
    double s;
    for (int64_t t = 0; t < row->task->targets; t++) {
        if (!R(gn2_target_scaled)(row, t, &s)) continue;
        const double e = (double)of[0].value(row, t) - target_of(row, t);
        const double pull = of[1].suffix ? e / (double)of[1].value(row, t) : 0;
        sums[COUNT]++;
        sums[ABSOLUTE] += fabs(e);
        sums[SQUARE] += e * e;
        sums[SIGNED] += e;
        sums[PULL] += pull * pull;
    }
}

void R(gn2_targets_observe)(const R(gn2_pass) *pass, int k, int64_t b, double *sums)
{
    const R(gn2_task_output) *of = R(gn2_task_kind_of)(&pass->net->h->task[k])->outputs;
    const int64_t end = R(gn2_head_rows_before)(pass, k, b + 1);
    for (int64_t r = R(gn2_head_rows_before)(pass, k, b); r < end; r++) {
        const R(gn2_target_row) row = row_of(pass, k, r, &pass->labels->task[k]);
        observe_row(&row, of, sums);
    }
}

void R(gn2_targets_conclude)(const double *sums, double *out_values)
{
    out_values[0] = sums[ABSOLUTE] / sums[COUNT]; /* NaN: there was no target */
    out_values[1] = sqrt(sums[SQUARE] / sums[COUNT]);
    out_values[2] = sums[SIGNED] / sums[COUNT];
    out_values[3] = sqrt(sums[PULL] / sums[COUNT]);
}

/* ---- labels of a batch ---- */

gn2_status R(gn2_targets_check)(const R(gn2_label_place) *p, int64_t b, int64_t i)
{
    const gn2_task *task = &p->h->task[p->task];
    const float *target =
        p->labels->task[p->task].target + R(gn2_label_row)(p, i) * task->targets;
    for (int64_t t = 0; t < task->targets; t++)
        if (isinf(target[t]))
            return gn2_fail(GN2_ERR_INVALID_ARG,
                            "%s: target %lld of jet %lld is infinite: must be a "
                            "number, or NaN (none)",
                            task->name, (long long)t, (long long)b);
    return GN2_OK;
}

double R(gn2_targets_total)(const R(gn2_net) *net, const R(gn2_label_place) *p)
{
    const gn2_task *task = &p->h->task[p->task];
    int64_t there = 0;
    double s;
    for (int64_t i = 0; i < R(gn2_label_rows)(p, p->batch->jets); i++) {
        const R(gn2_target_row) row = {
            .net = net,
            .batch = p->batch,
            .task = task,
            .labels = &p->labels->task[p->task],
            .row = R(gn2_label_row)(p, i),
        };
        for (int64_t t = 0; t < task->targets; t++)
            there += R(gn2_target_scaled)(&row, t, &s);
    }
    return (double)there;
}
