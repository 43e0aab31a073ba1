/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls of the table's slots, compiled in both precisions: arrays and scalars
 * of a case become the arguments, in the order of the signature.
 */
#include "kcheck.h"

#include <string.h>

#include "kernels/kernels.h"

#define CALL(name) static void name(const R(gn2_kernels) *k, kc_args *t)
#define A(i) ((real *)t->array[i])
#define N(i) (t->n[i])
#define S(i) ((real)t->s[i])

CALL(layernorm_fwd)
{
    k->layernorm_fwd(A(0), A(1), A(2), A(3), A(4), A(5), N(0), N(1), S(0));
}
CALL(layernorm_bwd)
{
    k->layernorm_bwd(A(0), A(1), A(2), A(3), A(4), A(5), A(6), A(7), N(0), N(1));
}
CALL(attention_fwd)
{
    k->attention_fwd(A(0), A(1), A(2), N(0), N(1), N(2), S(0));
}
CALL(attention_bwd)
{
    k->attention_bwd(A(0), A(1), A(2), A(3), A(4), N(0), N(1), N(2), S(0));
}
CALL(pool_fwd)
{
    k->pool_fwd(A(0), A(1), A(2), A(3), A(4), S(0), N(0), N(1));
}
CALL(pool_bwd)
{
    k->pool_bwd(A(0), A(1), A(2), A(3), A(4), A(5), A(6), A(7), N(0), N(1));
}
CALL(pair_fwd)
{
    k->pair_fwd(A(0), A(1), A(2), N(1), N(0), N(2));
}
CALL(pair_bwd)
{
    k->pair_bwd(A(0), A(1), A(2), A(3), N(1), N(0), N(2));
}
CALL(relu_fwd)
{
    k->relu_fwd(A(0), A(1), N(0));
}
CALL(relu_bwd)
{
    k->relu_bwd(A(0), A(1), N(0));
}
CALL(add_row)
{
    k->add_row(A(0), A(1), N(0), N(1), (int)N(2));
}
CALL(sum_rows)
{
    k->sum_rows(A(0), A(1), N(0), N(1), N(2));
}
CALL(add)
{
    k->add(A(0), A(1), N(0));
}
CALL(scale)
{
    k->scale(A(0), S(0), N(0));
}
CALL(normalise)
{
    k->normalise(A(0), A(1), A(2), N(0), N(1), N(2));
}
CALL(dropout)
{
    k->dropout(A(0), t->key, t->key >> 7, (uint32_t)N(1), S(0), N(0));
}
CALL(softmax)
{
    k->softmax(A(0), A(1), N(0), N(1));
}
CALL(cross_entropy)
{
    t->result = k->cross_entropy(A(0), A(1), t->array[2], A(3), S(0), N(0), N(1));
}
CALL(binary_cross_entropy)
{
    t->result = k->binary_cross_entropy(A(0), A(1), A(2), A(3), S(0), N(0));
}
CALL(adamw)
{
    k->adamw(A(0), A(1), A(2), A(3), S(0), S(1), S(2), S(3), S(4), S(5), S(6), N(0));
}
CALL(sgd)
{
    k->sgd(A(0), A(1), A(2), S(0), S(1), S(2), S(3), N(0));
}
CALL(sum_squares)
{
    t->result = k->sum_squares(A(0), N(0));
}
CALL(all_finite)
{
    t->result = (double)k->all_finite(A(0), N(0));
}
CALL(mul)
{
    k->mul(A(0), N(1) + 3, A(1), N(2) + 1, A(2), N(1) + 2, A(3), A(4), (unsigned)N(3),
           N(0), N(1), N(2));
}
CALL(mul_tn)
{
    k->mul_tn(A(0), N(1) + 3, A(1), N(2) + 1, A(2), N(1) + 2, N(0), N(1), N(2));
}

#define ROW(name)   \
    {               \
#name, name \
    }
static const struct {
    const char *name;
    void (*call)(const R(gn2_kernels) *k, kc_args *t);
} calls[] = {
    ROW(layernorm_fwd),
    ROW(layernorm_bwd),
    ROW(attention_fwd),
    ROW(attention_bwd),
    ROW(pool_fwd),
    ROW(pool_bwd),
    ROW(pair_fwd),
    ROW(pair_bwd),
    ROW(relu_fwd),
    ROW(relu_bwd),
    ROW(add_row),
    ROW(sum_rows),
    ROW(add),
    ROW(scale),
    ROW(normalise),
    ROW(dropout),
    ROW(softmax),
    ROW(cross_entropy),
    ROW(binary_cross_entropy),
    ROW(adamw),
    ROW(sgd),
    ROW(sum_squares),
    ROW(all_finite),
    ROW(mul),
    ROW(mul_tn),
};

int R(kc_call)(const char *name, int cap, kc_args *args)
{
    const R(gn2_kernels) *table = R(gn2_kernels_get)((gn2_isa)cap);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (strcmp(calls[i].name, name) == 0) {
            calls[i].call(table, args);
            return 1;
        }
    return 0;
}
