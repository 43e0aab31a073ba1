/* SPDX-License-Identifier: Apache-2.0 */
/* What the ranks of a group tell one another: before a step, a run, at joining. */
#include "train/together.h"

#include <stdio.h>
#include <string.h>

#include "kernels/product_onednn.h"
#include "util/alloc.h"
#include "util/digest.h"

/* ---- the rule ---- */

static int is_allowed(int32_t ranks, int32_t shards)
{
    const int32_t each = shards / ranks;
    return ranks == 1 || (shards % ranks == 0 && (each & (each - 1)) == 0);
}

gn2_status gn2_train_check_ranks(int32_t ranks, int32_t shards)
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

/* Room is made before, so that nothing fails behind the agreement. */
gn2_status gn2_train_agree_step(gn2_trainer *t, gn2_status status,
                                const gn2_batch_f32 *batch,
                                const gn2_batch_labels *labels)
{
    gn2_place place = {.kind = GN2_PLACE_STEP, .step = gn2_train_steps(t)};
    int32_t stop;
    if (!t->group) return status;
    if (status == GN2_OK) status = gn2_engine_plan_f32(t->engine, batch);
    if (status == GN2_OK) place.digest = digest_batch(&t->h, batch, labels);
    place.stop = t->running && atomic_exchange(&t->stop, 0);
    GN2_TRY(gn2_group_agree(t->group, status, &place, &stop));
    if (stop < 0) return GN2_OK;
    t->group->told = 1;
    return gn2_fail(GN2_ERR_CANCELLED, "stopped on request of rank %d after step %lld",
                    (int)stop, (long long)place.step);
}

gn2_status gn2_train_agree_end(gn2_trainer *t, gn2_status status)
{
    const gn2_place place = {.kind = GN2_PLACE_END, .step = gn2_train_steps(t)};
    int32_t stop;
    if (!t->group || (status != GN2_OK && gn2_group_knows(t->group))) return status;
    return gn2_group_agree(t->group, status, &place, &stop);
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

static int shapes_model(const gn2_config *config, const char *key)
{
    static const char *const prefixes[] = {"model.", "inputs.", "norm.", "task.",
                                           "input."};
    (void)config;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (strncmp(key, prefixes[i], strlen(prefixes[i])) == 0) return 1;
    return 0;
}

static void add_options(gn2_text *text, const gn2_config *config,
                        int (*wanted)(const gn2_config *config, const char *key))
{
    for (size_t i = 0; i < gn2_config_slot_count(config); i++) {
        const char *key, *value;
        gn2_config_slot_at(config, i, &key, &value);
        if (!strchr(key, '*') && wanted(config, key)) add_line(text, key, value);
    }
}

static void describe(const gn2_trainer *t, const gn2_engine_f32 *e, gn2_text *text)
{
    const gn2_optimizer_f32 *o = &e->optimizer;
    const gn2_product_options *p = &e->options.product;
    const int bf16 = p->arithmetic == GN2_ARITHMETIC_BF16;
    const gn2_isa isa = e->net->kernels->isa;
    add_line(text, "version of libgn2", GN2_VERSION_STRING);
    add_line(text, "instruction set (compute.isa)", gn2_isa_name(isa));
    add_line(text, "arithmetic (train.precision)", bf16 ? "bf16" : "f32");
    if (bf16 || p->backend == GN2_BACKEND_ONEDNN || isa == GN2_ISA_REFERENCE)
        add_line(text, "version of oneDNN", gn2_onednn_version());
    gn2_text_format(text, "train.shards = %d\ntrain.chunk_tokens = %lld\n",
                    (int)e->options.shards, (long long)e->options.chunk_tokens);
    gn2_text_format(text, "train.seed = %llu\n", (unsigned long long)e->options.seed);
    gn2_text_format(text, "steps done = %lld\n", (long long)o->steps);
    add_options(text, t->config, gn2_train_shapes_run);
    add_options(text, t->model->config, shapes_model);
    add_digest(text, "weights", e->weights, e->params->total);
    for (int k = 0; o->kind->moment[k]; k++)
        add_digest(text, o->kind->moment[k], o->moment[k], e->params->total);
}

/* ---- comparing ---- */

/* What does not fit is compared by its digest. */
static void fill(char *text, const char *lines)
{
    const size_t room = GN2_COMPARE_SIZE - 64, length = strlen(lines);
    snprintf(text, room, "%s", lines);
    if (length >= room)
        snprintf(text + room - 1, 64, "\ndigest of more options = %016llx",
                 (unsigned long long)gn2_digest(0, lines, length));
}

gn2_status gn2_train_agree_run(gn2_trainer *t, gn2_status status, const char *lines)
{
    if (!t->group) return status;
    char *text = status == GN2_OK ? gn2_alloc(2, GN2_COMPARE_SIZE) : NULL;
    if (status == GN2_OK && !text) status = gn2_fail_memory();
    if (text) fill(text, lines);
    status = gn2_group_compare(t->group, status, text);
    gn2_free(text);
    return status;
}

static gn2_status make_share(gn2_group *group, gn2_engine_f32 *engine)
{
    gn2_share_f32 share;
    GN2_TRY(gn2_train_check_ranks(gn2_group_ranks(group), engine->options.shards));
    GN2_TRY(gn2_share_create_f32(engine, group, &share));
    gn2_share_set_f32(engine, &share);
    return GN2_OK;
}

gn2_status gn2_train_agree_engine(gn2_trainer *t, gn2_status status,
                                  gn2_engine_f32 *engine)
{
    gn2_text text = {0};
    if (!t->group) return status;
    if (status == GN2_OK) status = make_share(t->group, engine);
    if (status == GN2_OK) describe(t, engine, &text);
    if (status == GN2_OK && text.failed) status = gn2_fail_memory();
    status = gn2_train_agree_run(t, status, text.data);
    gn2_free(text.data);
    return status;
}

/* ---- joining ---- */

/* Until all have agreed, what the trainer had alone is kept. */
gn2_status gn2_train_join(gn2_trainer *t, gn2_group *group)
{
    gn2_share_f32 before = t->engine->share;
    if (t->group)
        return gn2_fail(GN2_ERR_STATE, "the trainer has joined a group already");
    t->engine->share = (gn2_share_f32){.first = before.first, .count = before.count};
    t->group = group;
    const gn2_status status = gn2_train_agree_engine(t, GN2_OK, t->engine);
    if (status != GN2_OK) {
        gn2_share_set_f32(t->engine, &before);
        t->group = NULL;
    }
    gn2_share_clear_f32(&before);
    return status;
}
