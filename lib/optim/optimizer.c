/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AdamW as in torch.optim (decoupled decay; the bias correction takes the present
 * β1 to the power t although β1 is cycled) and SGD with momentum. With the tensor's
 * multipliers l (rate) and w (decay):
 *   AdamW  p ← p − lr·l·λ·w·p, then the Adam step at rate lr·l
 *   SGD    g ← g + λ·w·p, rate lr·l
 */
#include "optim/optimizer.h"

#include <math.h>

#include "util/alloc.h"
#include "util/error.h"

gn2_status R(gn2_optimizer_create)(R(gn2_optimizer) *o)
{
    const size_t total = (size_t)o->params->total;
    o->steps = 0;
    o->v = NULL;
    o->m = gn2_alloc(total, sizeof(real));
    if (!o->options.sgd) o->v = gn2_alloc(total, sizeof(real));
    if (o->m && (o->v || o->options.sgd)) return GN2_OK;
    R(gn2_optimizer_destroy)(o);
    return gn2_fail_memory();
}

void R(gn2_optimizer_destroy)(R(gn2_optimizer) *o)
{
    gn2_free(o->m);
    gn2_free(o->v);
    o->m = o->v = NULL;
}

typedef struct job {
    R(gn2_optimizer) *o;
    const R(gn2_update) *u;
    real beta1, beta2;       /* as the kernel takes them */
    double bias1, inv_bias2; /* 1 − β1^t, 1/√(1 − β2^t) */
} job;

static void adamw_piece(const job *j, const gn2_piece *p, const gn2_tensor *t)
{
    const R(gn2_optimizer) *o = j->o;
    const double lr = j->u->lr * t->lr_mult;
    const double decay = lr * o->options.weight_decay * t->wd_mult;
    o->kernels->adamw(j->u->weights + p->offset, o->m + p->offset, o->v + p->offset,
                      j->u->grads + p->offset, (real)j->u->clip, (real)decay, j->beta1,
                      j->beta2, (real)(lr / j->bias1), (real)j->inv_bias2,
                      (real)o->options.eps, p->count);
}

static void sgd_piece(const job *j, const gn2_piece *p, const gn2_tensor *t)
{
    const R(gn2_optimizer) *o = j->o;
    o->kernels->sgd(j->u->weights + p->offset, o->m + p->offset,
                    j->u->grads + p->offset, (real)j->u->clip,
                    (real)(j->u->lr * t->lr_mult),
                    (real)(o->options.weight_decay * t->wd_mult), j->beta1, p->count);
}

static void run_piece(void *context, int64_t index, int32_t worker)
{
    const job *j = context;
    const gn2_piece *p = &j->o->pieces->piece[index];
    const gn2_tensor *t = &j->o->params->tensor[p->tensor];
    (void)worker;
    if (j->o->options.sgd)
        sgd_piece(j, p, t);
    else
        adamw_piece(j, p, t);
}

void R(gn2_optimizer_step)(R(gn2_optimizer) *o, const R(gn2_update) *update,
                           gn2_pool *pool)
{
    /* The moments decay by the rounded β, so their weights sum to 1 − β^t of that
     * one: (1 − 0.999f) is off by 1e-5. They are kept as real: gcc 12 drops a pair
     * of casts (double)(float)x when it vectorises two stores side by side. */
    job j = {.o = o,
             .u = update,
             .beta1 = (real)update->beta1,
             .beta2 = (real)o->options.beta2};
    o->steps++;
    j.bias1 = 1 - pow((double)j.beta1, (double)o->steps);
    j.inv_bias2 = 1 / sqrt(1 - pow((double)j.beta2, (double)o->steps));
    gn2_pool_run(pool, (int64_t)o->pieces->count, run_piece, &j);
}
