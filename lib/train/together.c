/* SPDX-License-Identifier: Apache-2.0 */
/* What the ranks of a group tell one another: before a step, a run, at joining. */
#include "train/trainer.h"

#include <stdio.h>
#include <string.h>

#include "kernels/product_onednn.h"
#include "kernels/product_sample.h"
#include "net/backend.h"
#include "util/alloc.h"
#include "util/digest.h"

/* ---- the rule: which numbers of ranks may share so many shards ---- */

static int is_allowed(int32_t ranks, int32_t shards)
{
    const int32_t each = shards / ranks;
    return ranks == 1 || (shards % ranks == 0 && (each & (each - 1)) == 0);
}

static gn2_status check_ranks(int32_t ranks, int32_t shards)
{
    char list[200] = "";
    size_t used = 0;
    if (is_allowed(ranks, shards)) return GN2_OK;
    for (int32_t r = 1; r <= shards && used < sizeof list - 8; r++)
        if (is_allowed(r, shards))
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%d",
                                     used ? ", " : "", (int)r);
    return gn2_fail(GN2_ERR_INVALID_ARG,
                    "%d ranks cannot share train.shards = %d: take %s ranks, or other "
                    "shards, which is another training",
                    (int)ranks, (int)shards, list);
}

/* ---- before a step ---- */

/* Columns of an object that are read. */
static int64_t columns_of(const gn2_rows_f32 *rows, int64_t inputs)
{
    int64_t columns = rows->column ? 0 : inputs;
    for (int64_t i = 0; rows->column && i < inputs; i++)
        if (rows->column[i] >= columns) columns = rows->column[i] + 1;
    return columns;
}

static uint64_t digest_rows(uint64_t digest, const gn2_rows_f32 *rows, int64_t count,
                            int64_t inputs)
{
    const size_t bytes = (size_t)columns_of(rows, inputs) * sizeof(float);
    for (int64_t i = 0; i < count; i++)
        digest =
            gn2_digest(digest, rows->data + gn2_rows_at_f32(rows, i) * rows->ld, bytes);
    return digest;
}

static uint64_t digest_labels(uint64_t digest, const gn2_label_place_f32 *p)
{
    const gn2_task *task = &p->h->task[p->task];
    const gn2_task_labels *l = &p->labels->task[p->task];
    const int64_t rows = gn2_label_rows_f32(p, p->batch->jets);
    for (int64_t i = 0; i < rows; i++) {
        const int64_t at = gn2_label_row_f32(p, i);
        if (l->index) digest = gn2_digest(digest, l->index + at, sizeof *l->index);
        if (l->target)
            digest = gn2_digest(digest, l->target + at * task->targets,
                                (size_t)task->targets * sizeof *l->target);
        if (l->weight) digest = gn2_digest(digest, l->weight + at, sizeof *l->weight);
    }
    return digest;
}

/* Of all that a step reads; what lies between the rows is not the step's. */
static uint64_t digest_batch(const gn2_hparams *h, const gn2_batch_f32 *batch,
                             const gn2_batch_labels *labels)
{
    const size_t offsets = (size_t)(batch->jets + 1) * sizeof(int64_t);
    uint64_t digest = digest_rows(0, &batch->jet, batch->jets, h->jet_inputs);
    for (int s = 0; s < h->sequence_count; s++) {
        const gn2_rows_f32 *rows = &batch->sequence[s];
        digest = gn2_digest(digest, rows->offset, offsets);
        digest =
            digest_rows(digest, rows, rows->offset[batch->jets], h->sequence_inputs[s]);
    }
    for (int k = 0; k < h->task_count; k++) {
        const gn2_label_place_f32 p = {h, batch, labels, k};
        digest = digest_labels(digest, &p);
    }
    return digest;
}

/* ---- agreements ---- */

/* A call of all ranks that was refused here, while another one was under way, is told
 * of by that one. */
static gn2_status add_refused(gn2_trainer *t, gn2_status status)
{
    const char *function = atomic_exchange(&t->refused, NULL);
    return function && status == GN2_OK ? gn2_use_fail_busy(function) : status;
}

gn2_status gn2_train_agree_batch(gn2_trainer *t, gn2_status status, gn2_place place,
                                 const gn2_batch_f32 *batch,
                                 const gn2_batch_labels *labels)
{
    const int is_step = place.kind == GN2_PLACE_STEP;
    int32_t stop;
    if (!t->group) return status;
    if (t->running || !is_step) place.stop = atomic_exchange(&t->stop, 0);
    status = add_refused(t, status);
    if (status == GN2_OK && batch->jets) {
        /* room is made before, so that nothing fails behind the agreement */
        status = gn2_engine_plan_f32(t->engine, batch);
        place.digest = digest_batch(&t->h, batch, labels);
    }
    GN2_TRY(gn2_group_agree(t->group, status, &place, &stop));
    if (stop < 0) return GN2_OK;
    t->group->told = 1;
    return gn2_fail(GN2_ERR_CANCELLED, "stopped on request of rank %d after %s%lld%s",
                    (int)stop, is_step ? "step " : "", (long long)place.count,
                    is_step ? "" : " jets of an evaluation");
}

gn2_status gn2_train_refused(gn2_trainer *t, gn2_status status)
{
    const gn2_place place = {.kind = GN2_PLACE_END, .count = gn2_train_steps(t)};
    int32_t stop;
    return gn2_group_agree(t->group, add_refused(t, status), &place, &stop);
}

gn2_status gn2_train_agree_end(gn2_trainer *t, gn2_status status)
{
    if (!t->group) return status;
    const int known = t->group->told || t->group->dead;
    return status != GN2_OK && known ? status : gn2_train_refused(t, status);
}

/* ---- what must be the same ---- */

/* Long values are told by their digest; what has no room counts in that of all. */
static void add_line(gn2_text *text, const char *key, const char *value)
{
    const size_t length = strlen(value);
    if (length <= 80)
        gn2_text_format(text, "%s = %s\n", key, value);
    else
        gn2_text_format(text, "%s = %.60s… (digest %016llx)\n", key, value,
                        (unsigned long long)gn2_digest(0, value, length));
}

static void add_digest(gn2_text *text, const char *what, const float *values,
                       int64_t count)
{
    const uint64_t digest = gn2_digest(0, values, (size_t)count * sizeof *values);
    gn2_text_format(text, "digest of the %s = %016llx\n", what,
                    (unsigned long long)digest);
}

static void add_options(gn2_text *text, const gn2_trainer *t)
{
    const char *key, *value;
    for (size_t i = 0; gn2_config_next(t->config, &i, &key, &value);)
        if (gn2_train_shapes_run(t->config, key)) add_line(text, key, value);
    for (size_t i = 0; gn2_config_next(t->model->config, &i, &key, &value);)
        if (gn2_model_is_option(key)) add_line(text, key, value);
}

/* The line of the instruction set: processors have others in common. */
#define ISA_LINE 1

/* What computes. Of the back ends only what was asked for counts: own kernels do all
 * the rest, or the reference. */
static gn2_status describe_compute(const gn2_engine_f32 *e, gn2_text *text)
{
    static const char *const backends[] = {"own or reference", "own", "onednn"};
    const gn2_product_options *p = &e->options.product;
    const gn2_isa isa = e->net->kernels->isa;
    add_line(text, "version of libgn2", GN2_VERSION_STRING);
    add_line(text, "instruction set (compute.isa)", gn2_isa_name(isa));
    add_line(text, "products (compute.gemm)", backends[p->backend]);
    add_line(text, "arithmetic (train.precision)", gn2_compute_arithmetic_name(p));
    if (p->backend == GN2_BACKEND_ONEDNN || isa == GN2_ISA_REFERENCE)
        add_line(text, "version of oneDNN", gn2_onednn_version());
    if (p->arithmetic != GN2_ARITHMETIC_BF16) return GN2_OK;
    /* processors may differ in what they make of bf16, and oneDNN in what it makes of
     * processors: the bits are compared */
    uint64_t digest;
    GN2_TRY(gn2_product_sample(p, &digest));
    gn2_text_format(text, "digest of a product in bf16 = %016llx\n",
                    (unsigned long long)digest);
    return GN2_OK;
}

static gn2_status describe(const gn2_trainer *t, const gn2_engine_f32 *e,
                           gn2_text *text)
{
    const gn2_optimizer_f32 *o = &e->optimizer;
    GN2_TRY(describe_compute(e, text));
    gn2_text_format(text, "train.shards = %d\ntrain.chunk_tokens = %lld\n",
                    (int)e->options.shards, (long long)e->options.chunk_tokens);
    gn2_text_format(text, "train.seed = %llu\n", (unsigned long long)e->options.seed);
    gn2_text_format(text, "steps done = %lld\n", (long long)o->steps);
    add_options(text, t);
    add_digest(text, "weights", e->weights, e->params->total);
    for (int k = 0; o->kind->moment[k]; k++)
        add_digest(text, o->kind->moment[k], o->moment[k], e->params->total);
    return GN2_OK;
}

/* ---- comparing ---- */

/* Lines as far as they are compared, where all has no room; the digest of all stands in
 * for those that have none either. */
static void fill_compared(char *text, size_t room, const char *lines)
{
    uint64_t digest = 0;
    size_t used = 0;
    int whole = 1;
    for (size_t length; *lines; lines += length + (lines[length] != 0)) {
        const size_t count = gn2_group_compared(lines);
        length = strcspn(lines, "\n");
        digest = gn2_digest(gn2_digest(digest, lines, count), "\n", 1);
        whole = whole && used + count + 1 < room;
        if (!whole) continue;
        memcpy(text + used, lines, count);
        used += count;
        text[used++] = '\n';
    }
    if (!whole)
        snprintf(text + used, 64, "digest of more options = %016llx",
                 (unsigned long long)digest);
}

static void fill(char *text, const char *lines)
{
    const size_t room = GN2_COMPARE_SIZE - 64;
    if (strlen(lines) < room)
        snprintf(text, room, "%s", lines);
    else
        fill_compared(text, room, lines);
}

static gn2_status compare(gn2_trainer *t, gn2_status status, const gn2_text *lines,
                          gn2_comparison *c)
{
    status = add_refused(t, status);
    if (status == GN2_OK && !lines->failed) c->text = gn2_alloc(2, GN2_COMPARE_SIZE);
    if (status == GN2_OK && !c->text) status = gn2_fail_memory();
    if (c->text) fill(c->text, lines->data);
    status = gn2_group_compare(t->group, status, c);
    gn2_free(c->text);
    return status;
}

gn2_status gn2_train_agree_run(gn2_trainer *t, gn2_status status, const gn2_text *lines)
{
    gn2_comparison c = {.kind = GN2_PLACE_BEGIN};
    return t->group ? compare(t, status, lines, &c) : status;
}

static gn2_status make_share(gn2_group *group, gn2_engine_f32 *engine)
{
    gn2_share_f32 share;
    GN2_TRY(check_ranks(gn2_group_ranks(group), engine->options.shards));
    GN2_TRY(gn2_share_create_f32(engine, group, &share));
    gn2_share_set_f32(engine, &share);
    return GN2_OK;
}

gn2_status gn2_train_agree_engine(gn2_trainer *t, gn2_status status,
                                  gn2_engine_f32 *engine)
{
    gn2_comparison c = {.kind = GN2_PLACE_JOIN, .level = gn2_isa_detect()};
    gn2_text text = {0};
    if (!t->group) return status;
    if (status == GN2_OK) status = make_share(t->group, engine);
    if (status == GN2_OK) status = describe(t, engine, &text);
    status = compare(t, status, &text, &c);
    gn2_free(text.data);
    if (status != GN2_ERR_INVALID_ARG || c.line != ISA_LINE) return status;
    return gn2_fail(status, "%s. All have compute.isa = %s: set it on all",
                    gn2_error_text(), gn2_isa_name((gn2_isa)c.level));
}

/* ---- joining ---- */

/* Its exchanges are those of the trainer's options. */
static gn2_status set_timeout(const gn2_trainer *t, const gn2_group *group)
{
    const double seconds = gn2_config_f64(t->config, "group.timeout");
    if (seconds == 0) return GN2_OK;
    return gn2_group_set_timeout(group, seconds);
}

/* Until all have agreed, what the trainer had alone is kept. */
gn2_status gn2_train_join(gn2_trainer *t, gn2_group *group)
{
    gn2_share_f32 before = t->engine->share;
    if (t->group)
        return gn2_group_refuse(
            group, gn2_fail(GN2_ERR_STATE, "the trainer has joined a group already"));
    t->engine->share = (gn2_share_f32){.first = before.first, .count = before.count};
    t->group = group;
    const gn2_status status =
        gn2_train_agree_engine(t, set_timeout(t, group), t->engine);
    if (status != GN2_OK) {
        gn2_share_set_f32(t->engine, &before);
        t->group = NULL;
    } else if (gn2_group_ranks(group) > 1)
        gn2_train_note_idle(t, t->engine->share.count);
    atomic_store(&t->joined, status == GN2_OK);
    gn2_share_clear_f32(&before);
    return status;
}
