/* SPDX-License-Identifier: Apache-2.0 */
/* The table of optimisers, and what they have in common. */
#include "optim/optimizer.h"

#include <string.h>

#include "util/alloc.h"
#include "util/error.h"

const R(gn2_optimizer_kind) *const R(gn2_optimizer_kinds)[] = {&R(gn2_adamw),
                                                               &R(gn2_sgd), NULL};

const R(gn2_optimizer_kind) *R(gn2_optimizer_find)(const char *name)
{
    const R(gn2_optimizer_kind) *const *kind = R(gn2_optimizer_kinds);
    while (name && *kind && strcmp((*kind)->name, name) != 0) kind++;
    return *kind;
}

void R(gn2_optim_options_read)(const gn2_config *config, gn2_optim_options *out)
{
    const R(gn2_optimizer_kind) *kind =
        R(gn2_optimizer_find)(gn2_config_str(config, "optim.name"));
    *out = (gn2_optim_options){
        .name = kind->name,
        .clip_norm = gn2_config_f64(config, "optim.clip_norm"),
    };
    kind->read(config, out);
}

gn2_status R(gn2_optimizer_create)(R(gn2_optimizer) *o)
{
    o->kind = R(gn2_optimizer_find)(o->options.name);
    if (!o->kind)
        return gn2_fail(GN2_ERR_INVALID_ARG, "no optimiser '%s'", o->options.name);
    o->bad = gn2_alloc(o->pieces->count, sizeof *o->bad);
    if (!o->bad) return gn2_fail_memory();
    o->bytes = o->pieces->count * sizeof *o->bad;
    for (int i = 0; o->kind->moment[i]; i++) {
        o->moment[i] = gn2_alloc((size_t)o->total, sizeof(real));
        if (!o->moment[i]) return gn2_fail_memory();
        o->bytes += (size_t)o->total * sizeof(real);
    }
    return GN2_OK;
}

void R(gn2_optimizer_destroy)(R(gn2_optimizer) *o)
{
    gn2_free(o->bad);
    for (int i = 0; i < GN2_MAX_MOMENTS; i++) gn2_free(o->moment[i]);
}

/* A piece is looked at while it lies in the cache. */
static int is_finite(const R(gn2_update) *u, const gn2_piece *p)
{
    const R(gn2_optimizer) *o = u->optimizer;
    if (!o->kernels->all_finite(u->weights + p->offset, p->count)) return 0;
    for (int i = 0; o->kind->moment[i]; i++)
        if (!o->kernels->all_finite(o->moment[i] + p->offset, p->count)) return 0;
    return 1;
}

static void run_piece(void *context, int64_t index, int32_t worker)
{
    const R(gn2_update) *u = context;
    const R(gn2_optimizer) *o = u->optimizer;
    const gn2_piece *piece = &o->pieces->piece[index];
    (void)worker;
    o->kind->update(u, piece);
    o->bad[index] = !is_finite(u, piece);
}

void R(gn2_optimizer_step)(R(gn2_optimizer) *o, R(gn2_update) *update, gn2_pool *pool)
{
    update->optimizer = o;
    o->steps++;
    if (o->kind->begin) o->kind->begin(update);
    gn2_pool_run(pool, (int64_t)o->pieces->count, run_piece, update);
    for (size_t i = 0; i < o->pieces->count; i++) o->broken |= o->bad[i];
}
