/* SPDX-License-Identifier: Apache-2.0 */
#include "layers/declare.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

/* Alignment of tensors in the arena, elements. */
#define TENSOR_ALIGN 16

void gn2_declare_name(char out[64], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(out, 64, format, args);
    va_end(args);
}

gn2_tensor *gn2_declare(gn2_declaration *d, const char *stem, const char *part,
                        const gn2_tensor *like)
{
    gn2_tensor *t = d->count < d->capacity ? &d->tensor[d->count] : &d->spare;
    d->count++;
    if (!d->packed)
        d->total = (d->total + TENSOR_ALIGN - 1) / TENSOR_ALIGN * TENSOR_ALIGN;
    *t = *like;
    snprintf(t->name, sizeof t->name, "%s%s%s", d->prefix, stem, part);
    t->count = t->shape[0] * (t->shape[1] ? t->shape[1] : 1);
    t->offset = d->total;
    t->lr_mult = t->wd_mult = t->forward_mult = 1;
    d->total += t->count;
    if (d->scale) d->scale(d->user, t);
    return t;
}

gn2_tensor *gn2_declare_weight(gn2_declaration *d, const char *stem, int64_t out,
                               int64_t in, gn2_growth growth)
{
    const gn2_tensor like = {
        .form = GN2_FORM_WEIGHT,
        .growth = growth,
        .shape = {out, in},
        .fan_in = in,
        .fan_out = out,
        /* torch.nn.Linear: U(±1/√fan_in), whose variance is 1/(3 fan_in) */
        .start = d->torch_init ? GN2_START_UNIFORM : GN2_START_NORMAL,
        .init_std = 1 / sqrt((double)in * (d->torch_init ? 3 : 1)),
    };
    return gn2_declare(d, stem, "weight", &like);
}

gn2_tensor *gn2_declare_bias(gn2_declaration *d, const char *stem, int64_t out,
                             int64_t in, gn2_growth growth)
{
    const gn2_tensor like = {
        .form = GN2_FORM_BIAS,
        .growth = growth,
        .shape = {out},
        .fan_in = in,
        .fan_out = out,
        .start = d->biased ? GN2_START_UNIFORM : GN2_START_CONSTANT,
        .init_std = d->biased ? 1 / sqrt(3.0 * (double)in) : 0,
    };
    return gn2_declare(d, stem, "bias", &like);
}
