/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics of every module's output on a batch and of every tensor: the coordinate
 * check of a parametrisation looks at them over widths and steps. Each chunk goes
 * through the network twice, with the present weights and with those of the start, so
 * that changes are known without keeping the activations of the batch.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "net/backend.h"
#include "train/trainer.h"
#include "util/alloc.h"

typedef struct tally {
    int64_t count;
    double sum_abs, sum_squares, max_abs;
    double change_abs, change_squares;
} tally;

typedef struct probe {
    const gn2_trainer *trainer;
    gn2_probe_fn fn;
    void *user;
    gn2_net_f32 *net;     /* of the start */
    gn2_space_f32 *space; /* of the start */
    size_t parts;
    gn2_shown_f32 *part;  /* (2, parts): now, at the start; of the last chunk */
    tally *tally;         /* (parts) */
    unsigned char *alive; /* (units before a ReLU) above 0 in some row */
} probe;

static void add_value(tally *t, double now, double start)
{
    const double size = fabs(now), change = now - start;
    t->count++;
    t->sum_abs += size;
    t->sum_squares += now * now;
    if (size > t->max_abs || isnan(size)) t->max_abs = size;
    t->change_abs += fabs(change);
    t->change_squares += change * change;
}

/* ---- modules ---- */

static double value_of(const gn2_shown_f32 *p, int64_t i)
{
    return (double)p->x[i] - (p->minus ? (double)p->minus[i] : 0);
}

static void add_part(const probe *p, size_t index)
{
    const gn2_shown_f32 *now = &p->part[index], *start = now + p->parts;
    for (int64_t i = 0; i < now->rows * now->cols; i++) {
        const double x = value_of(now, i);
        add_value(&p->tally[index], x, value_of(start, i));
        if (now->unit >= 0 && !(x <= 0)) p->alive[now->unit + i % now->cols] = 1;
    }
}

static gn2_context_f32 context_of_start(const probe *p)
{
    return (gn2_context_f32){.kernels = p->net->kernels,
                             .lane = p->space->lane,
                             .weights = p->trainer->model->weights};
}

static void list_parts(const probe *p, const gn2_pass_f32 *pass, gn2_shown_f32 *part)
{
    gn2_show_f32 show = {.part = part, .capacity = p->parts};
    gn2_pass_show_f32(pass, &show);
}

static void visit(void *user, const gn2_pass_f32 *pass)
{
    const probe *p = user;
    gn2_pass_f32 start = *pass;
    start.net = p->net;
    start.space = p->space;
    start.ctx = context_of_start(p);
    gn2_pass_trunk_f32(&start);
    gn2_pass_heads_f32(&start, GN2_ALL_TASKS);
    list_parts(p, pass, p->part);
    list_parts(p, &start, p->part + p->parts);
    for (size_t i = 0; i < p->parts; i++) add_part(p, i);
}

static gn2_status create_start(probe *p)
{
    const gn2_trainer *t = p->trainer;
    gn2_net_options options = {.product = t->engine->options.product, .keep = 1};
    options.product.max_rows = t->engine->options.chunk_tokens;
    GN2_TRY(gn2_net_create_f32(&t->h, &options, &p->net));
    gn2_net_configure_f32(p->net, t->model->config);
    gn2_net_pack_f32(p->net, t->model->weights);
    return gn2_space_create_f32(p->net, &t->engine->capacity, &p->space);
}

/* How many parts there are tells a pass over no jets. */
static gn2_status create_tallies(probe *p, const gn2_batch_f32 *batch)
{
    gn2_show_f32 counted = {0};
    gn2_pass_f32 empty = {
        .net = p->net, .space = p->space, .ctx = context_of_start(p), .batch = batch};
    gn2_pass_trunk_f32(&empty);
    gn2_pass_show_f32(&empty, &counted);
    p->parts = counted.count;
    p->part = gn2_alloc(2 * p->parts, sizeof *p->part);
    p->tally = gn2_alloc(p->parts, sizeof *p->tally);
    p->alive = gn2_alloc((size_t)counted.units, 1);
    return p->part && p->tally && p->alive ? GN2_OK : gn2_fail_memory();
}

static void destroy(probe *p)
{
    gn2_space_free_f32(p->space);
    gn2_net_free_f32(p->net);
    gn2_free(p->part);
    gn2_free(p->tally);
    gn2_free(p->alive);
}

/* The space of the start is as large as the engine's, which the batch decides. */
static gn2_status run(probe *p, const gn2_batch_f32 *batch)
{
    gn2_engine_f32 *engine = p->trainer->engine;
    const gn2_visitor_f32 visitor = {.fn = visit, .user = p, .ordered = 1};
    GN2_TRY(gn2_engine_plan_f32(engine, batch));
    GN2_TRY(create_start(p));
    GN2_TRY(create_tallies(p, batch));
    return gn2_engine_forward_f32(engine, batch, NULL, &visitor);
}

/* ---- what is told ---- */

static gn2_probe_stats stats_of(const tally *t, int32_t kind, const char *name)
{
    const double n = t->count ? (double)t->count : 1;
    return (gn2_probe_stats){
        .struct_size = (uint32_t)sizeof(gn2_probe_stats),
        .kind = kind,
        .name = name,
        .count = t->count,
        .mean_abs = t->sum_abs / n,
        .rms = sqrt(t->sum_squares / n),
        .max_abs = t->max_abs,
        .change_mean_abs = t->change_abs / n,
        .change_rms = sqrt(t->change_squares / n),
        .dead_share = (double)NAN,
        .gradient_rms = (double)NAN,
        .update_rms = (double)NAN,
    };
}

static void add_tally(tally *to, const tally *t)
{
    to->count += t->count;
    to->sum_abs += t->sum_abs;
    to->sum_squares += t->sum_squares;
    if (t->max_abs > to->max_abs || isnan(t->max_abs)) to->max_abs = t->max_abs;
    to->change_abs += t->change_abs;
    to->change_squares += t->change_squares;
}

static int same_module(const gn2_shown_f32 *a, const gn2_shown_f32 *b)
{
    return a->layer == b->layer && strcmp(a->module, b->module) == 0;
}

/* Units of types without a constituent in the batch do not count. */
static double dead_share(const probe *p, size_t first, size_t end)
{
    int64_t units = 0, alive = 0;
    for (size_t i = first; i < end; i++) {
        const gn2_shown_f32 *part = &p->part[i];
        if (part->unit < 0 || p->tally[i].count == 0) continue;
        units += part->cols;
        for (int64_t k = 0; k < part->cols; k++) alive += p->alive[part->unit + k];
    }
    return units ? (double)(units - alive) / (double)units : (double)NAN;
}

/* Parts first … end−1 are one module. */
static void tell_module(const probe *p, size_t first, size_t end)
{
    const gn2_shown_f32 *part = &p->part[first];
    tally all = {0};
    char name[48];
    for (size_t i = first; i < end; i++) add_tally(&all, &p->tally[i]);
    if (part->layer < 0)
        snprintf(name, sizeof name, "%s", part->module);
    else
        snprintf(name, sizeof name, "%s%lld", part->module, (long long)part->layer);
    gn2_probe_stats stats = stats_of(&all, GN2_PROBE_MODULE, name);
    stats.dead_share = dead_share(p, first, end);
    p->fn(p->user, &stats);
}

static void tell_modules(const probe *p)
{
    for (size_t first = 0, end; first < p->parts; first = end) {
        end = first + 1;
        while (end < p->parts && same_module(&p->part[first], &p->part[end])) end++;
        tell_module(p, first, end);
    }
}

/* Of x − minus, minus NULL: of x. */
static double rms(const float *x, const float *minus, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        const double d = (double)x[i] - (minus ? (double)minus[i] : 0);
        sum += d * d;
    }
    return sqrt(sum / (double)count);
}

static void tell_tensor(const probe *p, const gn2_tensor *tensor)
{
    const gn2_engine_f32 *engine = p->trainer->engine;
    const int64_t at = tensor->offset, count = tensor->count;
    const float *now = engine->weights + at, *start = p->trainer->model->weights + at;
    tally all = {0};
    for (int64_t i = 0; i < count; i++)
        add_value(&all, (double)now[i], (double)start[i]);
    gn2_probe_stats stats = stats_of(&all, GN2_PROBE_TENSOR, tensor->name);
    if (engine->updated)
        stats.gradient_rms = rms(engine->share.grads + at, NULL, count);
    if (engine->updated && engine->previous)
        stats.update_rms = rms(now, engine->previous + at, count);
    p->fn(p->user, &stats);
}

gn2_status gn2_train_probe(gn2_trainer *t, const gn2_jets *jets, gn2_probe_fn fn,
                           void *user)
{
    gn2_batch_f32 batch;
    probe p = {.trainer = t, .fn = fn, .user = user};
    if (jets->count == 0)
        return gn2_fail(GN2_ERR_INVALID_ARG, "a probe needs jets: count = 0");
    GN2_TRY(gn2_input_read(&t->input, t->model, NULL, jets, &batch));
    const gn2_status status = run(&p, &batch);
    if (status == GN2_OK) {
        tell_modules(&p);
        for (size_t i = 0; i < t->params->count; i++)
            tell_tensor(&p, &t->params->tensor[i]);
    }
    destroy(&p);
    return status;
}
