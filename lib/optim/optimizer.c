/* SPDX-License-Identifier: Apache-2.0 */
/* The table of optimisers, and what they have in common. */
#include "optim/optimizer.h"

#include <string.h>

#include "optim/adamw.h"
#include "optim/sgd.h"
#include "util/alloc.h"
#include "util/error.h"

/* Their names are the words of optim.name. */
static const R(gn2_optimizer_kind) *const kinds[] = {&R(gn2_adamw), &R(gn2_sgd), NULL};

const R(gn2_optimizer_kind) *R(gn2_optimizer_at)(size_t i)
{
    return i < sizeof kinds / sizeof kinds[0] ? kinds[i] : NULL;
}

const R(gn2_optimizer_kind) *R(gn2_optimizer_find)(const char *name)
{
    if (!name) return kinds[0];
    for (size_t i = 0; kinds[i]; i++)
        if (strcmp(kinds[i]->name, name) == 0) return kinds[i];
    return NULL;
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
    memset(o->moment, 0, sizeof o->moment);
    o->steps = 0;
    o->broken = 0;
    o->kind = R(gn2_optimizer_find)(o->options.name);
    if (!o->kind)
        return gn2_fail(GN2_ERR_INVALID_ARG, "no optimiser '%s'", o->options.name);
    o->bad = gn2_alloc(o->piece_count, sizeof *o->bad);
    if (!o->bad) return gn2_fail_memory();
    for (int i = 0; o->kind->moment[i]; i++) {
        o->moment[i] = gn2_alloc((size_t)o->total, sizeof(real));
        if (o->moment[i]) continue;
        R(gn2_optimizer_destroy)(o);
        return gn2_fail_memory();
    }
    return GN2_OK;
}

void R(gn2_optimizer_destroy)(R(gn2_optimizer) *o)
{
    gn2_free(o->bad);
    o->bad = NULL;
    for (int i = 0; i < GN2_MAX_MOMENTS; i++) {
        gn2_free(o->moment[i]);
        o->moment[i] = NULL;
    }
}

size_t R(gn2_optimizer_bytes)(const R(gn2_optimizer) *o)
{
    size_t bytes = o->piece_count * sizeof *o->bad;
    for (int i = 0; i < GN2_MAX_MOMENTS; i++)
        if (o->moment[i]) bytes += (size_t)o->total * sizeof(real);
    return bytes;
}

typedef struct job {
    const R(gn2_optimizer) *o;
    R(gn2_optim_step) step;
} job;

/* A piece is looked at while it lies in the cache. */
static int is_finite(const job *j, const gn2_piece *p)
{
    const R(gn2_kernels) *kernels = j->o->kernels;
    if (!kernels->all_finite(j->step.weights + p->offset, p->count)) return 0;
    for (int i = 0; j->o->kind->moment[i]; i++)
        if (!kernels->all_finite(j->step.moment[i] + p->offset, p->count)) return 0;
    return 1;
}

static void run_piece(void *context, int64_t index, int32_t worker)
{
    const job *j = context;
    const gn2_piece *piece = &j->o->piece[index];
    (void)worker;
    j->o->kind->update(&j->step, piece);
    j->o->bad[index] = !is_finite(j, piece);
}

void R(gn2_optimizer_step)(R(gn2_optimizer) *o, const R(gn2_update) *update,
                           gn2_pool *pool)
{
    job j = {.o = o,
             .step = {.options = &o->options,
                      .kernels = o->kernels,
                      .weights = update->weights,
                      .grads = update->grads,
                      .lr = update->lr,
                      .clip = update->clip,
                      .beta1 = (real)update->beta1,
                      .number = ++o->steps}};
    memcpy(j.step.moment, o->moment, sizeof o->moment);
    if (o->kind->begin) o->kind->begin(&j.step);
    gn2_pool_run(pool, (int64_t)o->piece_count, run_piece, &j);
    for (size_t i = 0; i < o->piece_count; i++) o->broken |= o->bad[i];
}
