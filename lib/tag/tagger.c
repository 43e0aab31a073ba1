/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tagging: cut the jets of a call into chunks, run each through the network in one
 * lane, write its outputs. A jet's results do not depend on how the call is cut.
 */
#include "tag/tagger.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "net/backend.h"
#include "net/tasks.h"
#include "util/alloc.h"
#include "util/error.h"

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* ---- making and freeing ---- */

static void free_spaces(gn2_tagger *t)
{
    for (int32_t i = 0; t->space && i < t->workers; i++)
        gn2_space_free_f32(t->space[i]);
    gn2_free(t->space);
    t->space = NULL;
    t->capacity = (gn2_capacity){0};
    gn2_tag_gradients_clear(&t->gradients);
}

static gn2_status set_workers(gn2_tagger *t, int32_t workers)
{
    gn2_pool *pool = NULL;
    GN2_TRY(gn2_pool_create(workers, &pool));
    gn2_space_f32 **space = gn2_alloc((size_t)workers, sizeof *space);
    if (!space) {
        gn2_pool_free(pool);
        return gn2_fail_memory();
    }
    free_spaces(t);
    gn2_pool_free(t->pool);
    t->pool = pool;
    t->workers = workers;
    t->space = space;
    return GN2_OK;
}

static int read_unit_check(const gn2_model *model)
{
    const char *text = gn2_config_str(model->config, "input.unit_check");
    if (strcmp(text, "off") == 0) return 0;
    return strcmp(text, "error") == 0 ? 2 : 1;
}

static gn2_status check_fixed(const gn2_model *model, const gn2_config *config)
{
    const char *key, *text, *own;
    for (size_t i = 0; gn2_config_next(config, &i, &key, &text);) {
        GN2_TRY(gn2_model_differs(model, config, key, &own));
        if (own)
            return gn2_fail(GN2_ERR_INVALID_ARG,
                            "%s = '%.80s': a tagger takes it from the model, which "
                            "says '%.80s'",
                            key, text, own);
    }
    return GN2_OK;
}

static gn2_status set_up(gn2_tagger *t, const gn2_config *config)
{
    const int64_t threads = gn2_config_i64(config, "tagger.threads");
    GN2_TRY(check_fixed(t->model, config));
    GN2_TRY(gn2_compute_read(config, "tagger.precision", t->model->h.embed_dim,
                             &t->product));
    t->chunk_tokens = gn2_config_i64(config, "tagger.chunk_tokens");
    t->unit_check = read_unit_check(t->model);
    GN2_TRY(gn2_discriminants_read(t->model->config, config, &t->discriminants));
    GN2_TRY(gn2_model_net(t->model, &t->product, &t->net));
    GN2_TRY(gn2_tag_list_outputs(&t->outputs, t->model, &t->discriminants));
    return set_workers(t, threads ? (int32_t)threads : gn2_cpu_available());
}

gn2_status gn2_tag_new(const gn2_model *model, const gn2_config *config,
                       gn2_tagger **out_tagger)
{
    gn2_tagger *t = gn2_alloc(1, sizeof *t);
    if (!t) return gn2_fail_memory();
    t->model = gn2_model_share(model);
    const gn2_status status = set_up(t, config);
    if (status) {
        gn2_tag_delete(t);
        return status;
    }
    *out_tagger = t;
    return GN2_OK;
}

void gn2_tag_delete(gn2_tagger *t)
{
    if (!t) return;
    free_spaces(t);
    gn2_pool_free(t->pool);
    gn2_binding_clear(&t->binding);
    gn2_input_clear(&t->input);
    gn2_free(t->chunks);
    gn2_tag_clear_outputs(&t->outputs);
    gn2_model_unref(t->model);
    gn2_free(t);
}

gn2_status gn2_tag_set_parallel(gn2_tagger *t, gn2_pool_foreign fn, void *user,
                                int32_t workers)
{
    if (workers != t->workers) GN2_TRY(set_workers(t, workers));
    gn2_pool_set_foreign(t->pool, fn, user);
    return GN2_OK;
}

/* ---- memory ---- */

/* What one lane needs for calls of at most so many jets of so many tokens. */
static gn2_capacity capacity_for(const gn2_tagger *t, int64_t jets, int64_t longest)
{
    gn2_capacity c = {.longest = max64(longest, 1)};
    const int64_t all = min64(jets, t->chunk_tokens) * c.longest;
    c.tokens = max64(min64(all, t->chunk_tokens), c.longest);
    c.jets = min64(max64(jets, 1), c.tokens);
    return c;
}

size_t gn2_tag_plan(const gn2_tagger *t, int64_t max_jets, int64_t max_tracks)
{
    const gn2_capacity c =
        capacity_for(t, max_jets, max_tracks + t->net->h->num_registers);
    size_t bytes = gn2_space_plan_f32(t->net, &c);
    if (bytes == SIZE_MAX || !gn2_mul_size(bytes, (size_t)t->workers, &bytes)) return 0;
    return bytes;
}

size_t gn2_tag_memory(const gn2_tagger *t)
{
    size_t bytes = gn2_tag_gradients_memory(&t->gradients);
    for (int32_t i = 0; i < t->workers; i++)
        if (t->space[i]) bytes += t->space[i]->bytes;
    return bytes;
}

static int covers(const gn2_capacity *have, const gn2_capacity *need)
{
    return have->jets >= need->jets && have->tokens >= need->tokens &&
           have->longest >= need->longest;
}

/* Grows the lanes' spaces; on failure the tagger goes on with none. */
static gn2_status ensure_spaces(gn2_tagger *t, int64_t jets, int64_t longest)
{
    gn2_capacity need = capacity_for(t, jets, longest);
    if (covers(&t->capacity, &need)) return GN2_OK;
    need.jets = max64(need.jets, t->capacity.jets);
    need.tokens = max64(need.tokens, t->capacity.tokens);
    need.longest = max64(need.longest, t->capacity.longest);
    t->capacity = (gn2_capacity){0};
    for (int32_t i = 0; i < t->workers; i++) {
        gn2_space_free_f32(t->space[i]);
        t->space[i] = NULL;
        GN2_TRY(gn2_space_create_f32(t->net, &need, &t->space[i]));
    }
    gn2_space_use_f32(t->space[0]); /* the caller's, whose first call is not to wait */
    t->capacity = need;
    return GN2_OK;
}

/* A chunk has at least one jet, so that a later call of as many jets finds room. */
static gn2_status ensure_chunks(gn2_tagger *t, int64_t jets)
{
    if ((size_t)jets <= t->chunk_capacity) return GN2_OK;
    if (!gn2_grow(&t->chunks, 0, (size_t)jets, sizeof *t->chunks))
        return gn2_fail_memory();
    t->chunk_capacity = (size_t)jets;
    return GN2_OK;
}

/* ---- checks ---- */

/* Over the finite values; others are refused or replaced elsewhere. */
static double mean_of(const gn2_batch_f32 *batch, int64_t column)
{
    double sum = 0;
    int64_t count = 0;
    for (int64_t b = 0; b < batch->jets; b++) {
        const float value = batch->jet.data[b * batch->jet.ld + column];
        if (!isfinite(value)) continue;
        sum += (double)value;
        count++;
    }
    return count ? sum / (double)count : 0;
}

/* Mean of the jet pt of the call against the stored mean: GeV for MeV? */
static gn2_status check_units(gn2_tagger *t, const gn2_batch_f32 *batch)
{
    const float *stored = t->model->object[0].mean;
    if (!t->unit_check || batch->jets == 0) return GN2_OK;
    for (int64_t i = 0; i < t->model->h.jet_inputs; i++) {
        const char *name = gn2_model_object_input(t->model, 0, (size_t)i);
        if (strncmp(name, "pt", 2) != 0 || !(stored[i] > 0)) continue;
        const int64_t column = batch->jet.column ? batch->jet.column[i] : i;
        const double mean = mean_of(batch, column), usual = (double)stored[i];
        if (mean > usual / 300 && mean < usual * 300) continue;
        char text[GN2_ERROR_SIZE];
        snprintf(text, sizeof text,
                 "mean %s of the jets is %g, the model's is %g: MeV and GeV mixed up?",
                 name, mean, usual);
        if (t->unit_check == 2) return gn2_fail(GN2_ERR_INVALID_ARG, "%s", text);
        if (!t->unit_warned) gn2_log_line(GN2_LOG_WARNING, "%s", text);
        t->unit_warned = 1;
    }
    return GN2_OK;
}

/* ---- is what a pass has found finite? ---- */

/* Numbers of a pass, jet after jet. */
typedef struct numbers {
    const float *x;
    const int64_t *offset; /* (B+1) rows before a jet; NULL: one row a jet */
    int64_t columns;
} numbers;

static numbers logits_of(const gn2_pass_f32 *pass, int task)
{
    const gn2_task *t = &pass->net->h->task[task];
    numbers n = {.x = pass->space->head[task].logits, .columns = gn2_task_columns(t)};
    if (t->rows == GN2_OVER_CONSTITUENTS)
        n.offset = pass->space->row_offset[t->sequence];
    if (t->rows == GN2_OVER_PAIRS) n.offset = pass->space->pair_offset;
    return n;
}

static int64_t rows_before(const numbers *n, int64_t jet)
{
    return n->offset ? n->offset[jet] : jet;
}

/* First jet that has NaN or Inf among its numbers; the jets' count if none has. */
static int64_t first_bad(const gn2_pass_f32 *pass, numbers n)
{
    const gn2_kernels_f32 *k = pass->ctx.kernels;
    const int64_t jets = pass->chunk.jets;
    if (k->all_finite(n.x, rows_before(&n, jets) * n.columns)) return jets;
    for (int64_t b = 0; b < jets; b++) {
        const int64_t first = rows_before(&n, b);
        const int64_t rows = rows_before(&n, b + 1) - first;
        if (!k->all_finite(n.x + first * n.columns, rows * n.columns)) return b;
    }
    return jets;
}

/* The same of values made of logits: finite ones may give others, by their scaling. */
static int64_t first_bad_value(const gn2_pass_f32 *pass, const gn2_tag_output *o)
{
    const numbers n = logits_of(pass, o->task);
    for (int64_t b = 0; b < pass->chunk.jets; b++)
        for (int64_t r = rows_before(&n, b); r < rows_before(&n, b + 1); r++) {
            float x[GN2_MAX_TARGETS];
            gn2_task_values_f32(pass, o->task, r, o->of_task, x);
            if (!pass->ctx.kernels->all_finite(x, o->columns)) return b;
        }
    return pass->chunk.jets;
}

static int has_values(const gn2_task *task)
{
    return gn2_task_kind_of_f32(task)->label == GN2_LABEL_TARGETS;
}

static int64_t first_bad_of_task(const gn2_tag_call *call, const gn2_pass_f32 *pass,
                                 int task)
{
    int64_t first = first_bad(pass, logits_of(pass, task));
    if (!has_values(&pass->net->h->task[task])) return first;
    for (size_t i = 0; i < call->all->count; i++) {
        const gn2_tag_output *o = &call->all->item[i];
        if (o->task == task && o->write == gn2_write_values)
            first = min64(first, first_bad_value(pass, o));
    }
    return first;
}

/* Over the pooled vectors, and the tasks that are needed. A token that is not finite
 * makes its jet's pooled vector so. */
static int64_t first_not_finite(const gn2_tag_call *call, const gn2_pass_f32 *pass)
{
    const gn2_hparams *h = pass->net->h;
    const numbers pooled = {.x = pass->space->pool.pooled, .columns = h->out_dim};
    int64_t first = first_bad(pass, pooled);
    for (int k = 0; k < h->task_count; k++)
        if (call->tasks >> k & 1)
            first = min64(first, first_bad_of_task(call, pass, k));
    return first;
}

/* ---- running ---- */

static void note_bad_jet(gn2_tag_call *call, int64_t jet)
{
    int64_t first = atomic_load(&call->bad_jet);
    while (jet < first && !atomic_compare_exchange_weak(&call->bad_jet, &first, jet))
        ;
}

static void run_chunk(void *context, int64_t index, int32_t worker)
{
    gn2_tag_call *call = context;
    gn2_tagger *t = call->tagger;
    gn2_pass_f32 pass = {
        .net = t->net,
        .space = t->space[worker],
        .ctx = {.kernels = t->net->kernels,
                .lane = t->space[worker]->lane,
                .weights = t->model->weights},
        .batch = &call->batch,
        .chunk = t->chunks[index],
    };
    if (atomic_load_explicit(&t->cancelled, memory_order_relaxed)) return;
    gn2_pass_trunk_f32(&pass);
    gn2_pass_heads_f32(&pass, call->tasks);
    const int64_t bad = first_not_finite(call, &pass);
    if (bad < pass.chunk.jets) note_bad_jet(call, pass.chunk.first + bad);
    gn2_tag_write_outputs(call, &pass, NULL, 0);
    if (call->gradients) gn2_tag_run_gradients(&t->gradients, call, &pass, worker);
}

/* Tokens of a chunk: all lanes get work, none more than fits. */
static int64_t chunk_size(const gn2_tagger *t, int64_t tokens)
{
    const int64_t share = (tokens + t->workers - 1) / t->workers;
    return min64(t->chunk_tokens, max64(share, 16));
}

static gn2_status check_end(gn2_tag_call *call)
{
    const int64_t bad = atomic_load(&call->bad_jet);
    if (atomic_load(&call->tagger->cancelled))
        return gn2_fail(GN2_ERR_CANCELLED, "cancelled on request");
    if (bad >= call->batch.jets) return GN2_OK;
    return gn2_fail_network("jet %lld: what the network makes of it is not finite",
                            (long long)bad);
}

gn2_status gn2_tag_run(gn2_tagger *t, const gn2_jets *jets, const gn2_output *outputs,
                       size_t count)
{
    gn2_tag_call call = {.tagger = t,
                         .all = &t->outputs,
                         .jets = jets,
                         .outputs = outputs,
                         .count = count};
    const gn2_chunk start = {0};
    int64_t longest, tokens;
    atomic_init(&call.bad_jet, INT64_MAX);
    atomic_store(&t->cancelled, 0);
    GN2_TRY(gn2_input_read(&t->input, t->model, &t->binding, jets, &call.batch));
    GN2_TRY(gn2_tag_check_outputs(&call));
    GN2_TRY(check_units(t, &call.batch));
    gn2_batch_measure_f32(t->net->h, &call.batch, &longest, &tokens);
    GN2_TRY(ensure_spaces(t, jets->count, longest));
    GN2_TRY(ensure_chunks(t, jets->count));
    if (call.gradients)
        GN2_TRY(gn2_tag_gradients_prepare(&t->gradients, t->model, &t->product,
                                          &t->capacity, t->workers));
    const int64_t chunks =
        gn2_batch_cut_f32(t->net->h, &call.batch, &start, jets->count,
                          chunk_size(t, tokens), t->chunks, jets->count);
    gn2_tag_blank_outputs(&call);
    gn2_pool_run(t->pool, chunks, run_chunk, &call);
    return check_end(&call);
}
