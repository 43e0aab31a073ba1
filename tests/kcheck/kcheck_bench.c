/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times kernels: all instruction sets in turn, again and again, medians, so that a
 * disturbance hits all alike. One line a shape.
 */
#include "kcheck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/kernels.h"
#include "util/alloc.h"

#define ROUNDS 15
#define ROUND_SECONDS 2e-3

/* Time of this thread alone: what else runs on the machine does not count. */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fill(void *data, const kc_array *a)
{
    for (int64_t j = 0; j < a->count; j++)
        if (a->type == KC_REAL)
            ((float *)data)[j] = (float)a->value[j];
        else
            ((int32_t *)data)[j] = (int32_t)a->value[j];
}

/* Seconds a call; numbers start afresh, so that sums do not grow for ever. */
static double time_calls(const char *name, int cap, const kc_case *c, kc_args *args,
                         int64_t calls)
{
    for (int i = 0; i < c->arrays; i++)
        if (args->array[i]) fill(args->array[i], &c->array[i]);
    kc_call_f32(name, cap, args);
    const double start = now();
    for (int64_t i = 0; i < calls; i++) kc_call_f32(name, cap, args);
    return (now() - start) / (double)calls;
}

static int64_t calls_for(const char *name, int cap, const kc_case *c, kc_args *args)
{
    int64_t calls = 1;
    while (time_calls(name, cap, c, args, calls) * (double)calls < ROUND_SECONDS)
        calls *= 2;
    return calls;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void bench_shape(const kc_kernel *kernel, const kc_shape *shape, uint64_t seed)
{
    const int best = (int)gn2_isa_detect();
    double times[GN2_ISA_BEST + 1][ROUNDS];
    int64_t calls[GN2_ISA_BEST + 1];
    kc_case c;
    kc_case_make(&c, kernel, shape, KC_NORMAL, seed);
    kc_args args = {.n = c.n, .s = c.s, .key = seed};
    size_t bytes = 0;
    for (int i = 0; i < c.arrays; i++) {
        const size_t count = (size_t)c.array[i].count;
        args.array[i] = c.array[i].absent ? NULL : gn2_alloc(count, sizeof(float));
        bytes += count * sizeof(float) * (c.array[i].role == KC_INOUT ? 2 : 1);
    }
    for (int cap = 0; cap <= best; cap++)
        calls[cap] = calls_for(kernel->name, cap, &c, &args);
    for (int round = 0; round < ROUNDS; round++)
        for (int cap = 0; cap <= best; cap++)
            times[cap][round] = time_calls(kernel->name, cap, &c, &args, calls[cap]);
    printf("%-21s %5lld %5lld %4lld", kernel->name, (long long)c.n[0],
           (long long)c.n[1], (long long)c.n[2]);
    for (int cap = 0; cap <= best; cap++) {
        qsort(times[cap], ROUNDS, sizeof(double), by_value);
        const double t = times[cap][ROUNDS / 2];
        printf("  %s %9.1f ns", gn2_isa_name((gn2_isa)cap), 1e9 * t);
        if (cap) printf(" (%4.1f x)", times[0][ROUNDS / 2] / t);
    }
    printf("  %5.1f GB/s\n", 1e-9 * (double)bytes / times[best][ROUNDS / 2]);
    for (int i = 0; i < c.arrays; i++) gn2_free(args.array[i]);
    kc_case_free(&c);
}

void kc_bench(const kc_kernel *kernel, const kc_options *options)
{
    for (const kc_shape *shape = kernel->bench; shape && shape->n[0] >= 0; shape++)
        bench_shape(kernel, shape, options->seed);
}
