/* SPDX-License-Identifier: Apache-2.0 */
#include "layers/declare.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Alignment of tensors in the arena, elements. */
#define TENSOR_ALIGN 16

void gn2_declare_prefix(gn2_declaration *d, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(d->prefix, sizeof d->prefix, format, args);
    va_end(args);
}

const char *gn2_declare_name(char out[64], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(out, 64, format, args);
    va_end(args);
    return out;
}

gn2_tensor *gn2_declare_tensor(gn2_declaration *d, const char *name, int64_t rows,
                               int64_t cols)
{
    gn2_tensor *t = d->count < d->capacity ? &d->tensor[d->count] : &d->spare;
    d->count++;
    memset(t, 0, sizeof *t);
    if (!d->packed)
        d->total = (d->total + TENSOR_ALIGN - 1) / TENSOR_ALIGN * TENSOR_ALIGN;
    snprintf(t->name, sizeof t->name, "%s%s", d->prefix, name);
    t->shape[0] = rows;
    t->shape[1] = cols;
    t->count = cols ? rows * cols : rows;
    t->offset = d->total;
    t->lr_mult = t->wd_mult = t->forward_mult = 1;
    d->total += t->count;
    return t;
}

void gn2_declare_scale(const gn2_declaration *d, gn2_tensor *tensor)
{
    if (d->scale) d->scale(d->user, tensor);
}

gn2_tensor *gn2_declare_weight(gn2_declaration *d, const char *name, int64_t out,
                               int64_t in, gn2_growth growth)
{
    gn2_tensor *t = gn2_declare_tensor(d, name, out, in);
    t->form = GN2_FORM_WEIGHT;
    t->growth = growth;
    t->fan_in = in;
    t->fan_out = out;
    /* torch.nn.Linear: U(±1/√fan_in), whose variance is 1/(3 fan_in) */
    t->start = d->torch_init ? GN2_START_UNIFORM : GN2_START_NORMAL;
    t->init_std = 1 / sqrt((double)in * (d->torch_init ? 3 : 1));
    gn2_declare_scale(d, t);
    return t;
}

gn2_tensor *gn2_declare_bias(gn2_declaration *d, const char *name, int64_t out,
                             int64_t in, gn2_growth growth)
{
    gn2_tensor *t = gn2_declare_tensor(d, name, out, 0);
    t->form = GN2_FORM_BIAS;
    t->growth = growth;
    t->fan_in = in;
    t->fan_out = out;
    if (d->biased) {
        t->start = GN2_START_UNIFORM;
        t->init_std = 1 / sqrt(3.0 * (double)in);
    }
    gn2_declare_scale(d, t);
    return t;
}
