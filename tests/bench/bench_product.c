/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Speed of the matrix products at GN2's shapes: own kernels and oneDNN, in f32 and in
 * bf16 where the processor multiplies it, against the peak of the multiply-add units,
 * one thread, in the same run. Each figure is the median of rounds in which the back
 * ends take turns, so that a drift of the machine meets all alike.
 *
 *   bench_product [forward|gradient|cold|all] [avx2]
 *
 * cold: B comes from beyond the L2 cache, as for one jet in a large network.
 */
#include <stdio.h>
#include <string.h>

#include "kernels/product.h"
#include "kernels/product_onednn.h"
#include "peak.h"
#include "util/alloc.h"
#include "util/rng.h"

#define ROUNDS 9
#define COLD_SETS 24 /* copies of B, together larger than L2 */

static const int64_t shapes[][2] = {
    {21, 256},  {64, 192},  {64, 64},   {64, 128},  {128, 64}, {256, 256}, {256, 768},
    {256, 512}, {512, 256}, {256, 128}, {128, 128}, {64, 32},  {32, 1},    {64, 8}};
/* Powers of two suit oneDNN, which has primitives for them; chunks of jets have any
 * number of rows. */
static const int64_t rows[] = {1, 8, 10, 16, 121, 128, 487, 512};

#define SHAPES (sizeof shapes / sizeof *shapes)
#define ROWS (sizeof rows / sizeof *rows)

/* kept: B in bf16, of which gradients have none. The others multiply bf16. */
static const struct {
    const char *name;
    gn2_product_options options;
} contestants[] = {
    {"own", {.backend = GN2_BACKEND_OWN}},
    {"kept bf16", {.backend = GN2_BACKEND_OWN, .storage = GN2_STORAGE_BF16}},
    {"bf16",
     {.backend = GN2_BACKEND_OWN,
      .arithmetic = GN2_ARITHMETIC_BF16,
      .loop = GN2_LOOP_FMA}},
    {"bf16 dots",
     {.backend = GN2_BACKEND_OWN,
      .arithmetic = GN2_ARITHMETIC_BF16,
      .loop = GN2_LOOP_DOT}},
    {"onednn", {.backend = GN2_BACKEND_ONEDNN}},
    {"onednn bf16", {.backend = GN2_BACKEND_ONEDNN, .arithmetic = GN2_ARITHMETIC_BF16}},
};
#define BACKENDS (sizeof contestants / sizeof *contestants)

/* Can it run here, with a lower instruction set perhaps? */
static int is_here(size_t b, gn2_isa cap)
{
    const gn2_product_options *o = &contestants[b].options;
    if (o->backend == GN2_BACKEND_ONEDNN && gn2_onednn_find() != GN2_OK) return 0;
    if (o->arithmetic == GN2_ARITHMETIC_F32) return 1;
    return cap == GN2_ISA_BEST && gn2_bf16_detect() != GN2_BF16_NONE;
}

/* One shape with its matrices and the products of one back end. */
typedef struct subject {
    int64_t k, n, m;
    int sets; /* products of the same shape, run in turn */
    int is_gradient;
    gn2_product_f32 *products[COLD_SETS];
    gn2_lane_f32 *lane;
} subject;

typedef struct matrices {
    float *a, *b, *c;
} matrices;

static float *random_floats(int64_t count, uint64_t key)
{
    float *data = gn2_alloc((size_t)count, sizeof *data);
    for (int64_t i = 0; data && i < count; i++)
        data[i] = (float)(2.0 * gn2_rng_uniform(key, (uint64_t)i) - 1.0);
    return data;
}

static int make_product(subject *s, int i, const gn2_product_options *o)
{
    if (s->is_gradient)
        return gn2_product_create_tn_f32(s->k, s->n, o, &s->products[i]) == GN2_OK;
    if (gn2_product_create_f32(s->k, s->n, o, &s->products[i]) != GN2_OK) return 0;
    float *b = random_floats(s->k * s->n, 2);
    if (b) gn2_product_pack_f32(s->products[i], b, s->n, 0);
    gn2_free(b);
    return b != NULL;
}

static int make_subject(subject *s, size_t b, gn2_isa cap)
{
    gn2_product_options o = contestants[b].options;
    o.cap = cap;
    o.max_rows = s->m;
    for (int i = 0; i < s->sets; i++)
        if (!make_product(s, i, &o)) return 0;
    return gn2_lane_create_f32(s->products, (size_t)s->sets, &s->lane) == GN2_OK;
}

static void free_subject(subject *s)
{
    gn2_lane_free_f32(s->lane);
    for (int i = 0; i < s->sets; i++) gn2_product_free_f32(s->products[i]);
}

static void run_once(const subject *s, const matrices *x, int set)
{
    const gn2_mul_args_f32 args = {
        .c = x->c, .ldc = s->n, .a = x->a, .lda = s->k, .m = s->m};
    if (s->is_gradient)
        gn2_product_run_tn_f32(s->products[set], s->lane, x->c, s->n, x->a, s->k, x->b,
                               s->n, s->m);
    else
        gn2_product_run_f32(s->products[set], s->lane, &args);
}

/* GFLOP/s of `count` runs. */
static double measure(const subject *s, const matrices *x, int64_t count)
{
    const double flop = 2.0 * (double)(s->m * s->k * s->n * count);
    const double start = gn2_bench_now();
    for (int64_t i = 0; i < count; i++) run_once(s, x, (int)(i % s->sets));
    return flop / (gn2_bench_now() - start) * 1e-9;
}

/* Takes turns, prints one line; returns 0 when something could not be made. */
static int compare(const subject *form, gn2_isa cap)
{
    subject s[BACKENDS];
    const int64_t k = form->k, n = form->n, m = form->m;
    matrices x = {random_floats(m * k, 1), random_floats(m * n, 3),
                  random_floats((form->is_gradient ? k : m) * n, 4)};
    int ok = x.a && x.b && x.c;
    for (size_t b = 0; b < BACKENDS; b++) {
        s[b] = *form;
        if (is_here(b, cap)) ok = make_subject(&s[b], b, cap) && ok;
    }
    double rate[BACKENDS][ROUNDS], peak[ROUNDS];
    const int64_t count = 1 + (int64_t)(1e7 / (double)(m * k * n)) + form->sets;
    for (int r = 0; ok && r < ROUNDS; r++) {
        peak[r] = gn2_bench_peak_quick();
        for (size_t b = 0; b < BACKENDS; b++)
            if (s[b].lane) rate[b][r] = measure(&s[b], &x, count);
    }
    if (ok) {
        const double top = gn2_bench_median(peak, ROUNDS);
        printf("%8s %4lld -> %-4lld m %-4lld",
               form->is_gradient ? "gradient"
               : form->sets > 1  ? "cold"
                                 : "forward",
               (long long)k, (long long)n, (long long)m);
        for (size_t b = 0; b < BACKENDS; b++) {
            if (!s[b].lane) continue;
            const double v = gn2_bench_median(rate[b], ROUNDS);
            printf("  %s %6.1f GFLOP/s %5.1f %%", contestants[b].name, v,
                   100 * v / top);
        }
        printf("  peak %.0f\n", top);
    }
    for (size_t b = 0; b < BACKENDS; b++) free_subject(&s[b]);
    gn2_free(x.a), gn2_free(x.b), gn2_free(x.c);
    return ok;
}

static int compare_all(int is_gradient, int sets, gn2_isa cap)
{
    for (size_t i = 0; i < SHAPES; i++)
        for (size_t r = 0; r < ROWS; r++) {
            const subject form = {.k = shapes[i][0],
                                  .n = shapes[i][1],
                                  .m = rows[r],
                                  .sets = sets,
                                  .is_gradient = is_gradient};
            if (sets > 1 && (form.m > 16 || form.k * form.n < 65536)) continue;
            if (!compare(&form, cap)) return 0;
        }
    return 1;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "all";
    const int all = strcmp(what, "all") == 0;
    const gn2_isa cap =
        argc > 2 && strcmp(argv[2], "avx2") == 0 ? GN2_ISA_AVX2 : GN2_ISA_BEST;
    printf("oneDNN %s, own kernels %s\n", gn2_onednn_version(),
           gn2_isa_name(cap < gn2_isa_detect() ? cap : gn2_isa_detect()));
    int ok = 1;
    if (all || strcmp(what, "forward") == 0) ok = compare_all(0, 1, cap) && ok;
    if (all || strcmp(what, "cold") == 0) ok = compare_all(0, COLD_SETS, cap) && ok;
    if (all || strcmp(what, "gradient") == 0) ok = compare_all(1, 1, cap) && ok;
    return !ok;
}
