/* SPDX-License-Identifier: Apache-2.0 */
/* Cases: their arrays and numbers, run in both precisions, compared. */
#include "kcheck.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "util/rng.h"

/* ---- building ---- */

double kc_uniform(kc_case *c)
{
    return gn2_rng_uniform(c->key, c->counter++);
}

uint64_t kc_below(kc_case *c, uint64_t bound)
{
    return gn2_rng_below(c->key, c->counter++, bound);
}

static kc_array *new_array(kc_case *c, const char *name, kc_role role, int64_t count)
{
    kc_array *a = &c->array[c->arrays++];
    const size_t room = (size_t)count + 1;
    *a = (kc_array){.name = name, .role = role, .count = count};
    a->value = calloc(room, sizeof(double));
    a->want = calloc(room, sizeof(double));
    a->bound = calloc(room, sizeof(double));
    if (!a->value || !a->want || !a->bound) abort();
    return a;
}

/* Sum of four uniforms: near enough to a normal number, and quick. */
static double random_value(kc_case *c)
{
    return (kc_uniform(c) + kc_uniform(c) + kc_uniform(c) + kc_uniform(c) - 2) * 1.7;
}

static void sprinkle(kc_case *c, kc_array *a)
{
    static const double special[] = {NAN, INFINITY, -INFINITY};
    if (a->count == 0 || kc_below(c, 2)) return;
    a->value[kc_below(c, (uint64_t)a->count)] = special[kc_below(c, 3)];
}

kc_array *kc_add(kc_case *c, const char *name, kc_role role, int64_t count,
                 double scale)
{
    static const double factor[KC_KINDS] = {1, 3e3, 1e-40, 1};
    kc_array *a = new_array(c, name, role, count);
    for (int64_t i = 0; i < count; i++)
        a->value[i] = (double)(float)(random_value(c) * scale * factor[c->kind]);
    if (c->kind == KC_SPECIAL && role != KC_OUT && role != KC_SCRATCH) sprinkle(c, a);
    return a;
}

kc_array *kc_add_uniform(kc_case *c, const char *name, kc_role role, int64_t count,
                         double low, double high)
{
    kc_array *a = new_array(c, name, role, count);
    for (int64_t i = 0; i < count; i++)
        a->value[i] = (double)(float)(low + (high - low) * kc_uniform(c));
    return a;
}

kc_array *kc_add_labels(kc_case *c, const char *name, int64_t count, int64_t classes)
{
    kc_array *a = new_array(c, name, KC_IN, count);
    a->type = KC_INT32;
    for (int64_t i = 0; i < count; i++)
        a->value[i] = (double)kc_below(c, (uint64_t)classes + 2) - 2;
    return a;
}

kc_array *kc_add_null(kc_case *c, const char *name)
{
    kc_array *a = new_array(c, name, KC_IN, 0);
    a->absent = 1;
    return a;
}

void kc_scalar(kc_case *c, int index, double value)
{
    c->s[index] = (double)(float)value;
}

void kc_case_make(kc_case *c, const kc_kernel *kernel, const kc_shape *shape,
                  kc_kind kind, uint64_t key)
{
    memset(c, 0, sizeof *c);
    c->kind = kind;
    c->key = key;
    memcpy(c->n, shape->n, sizeof c->n);
    kernel->make(c);
}

void kc_case_free(kc_case *c)
{
    for (int i = 0; i < c->arrays; i++) {
        free(c->array[i].value);
        free(c->array[i].want);
        free(c->array[i].bound);
    }
}

/* ---- running ---- */

typedef struct call {
    const char *name;
    int cap;
    kc_args args;
} call;

static void call_f32(void *argument)
{
    call *t = argument;
    if (!kc_call_f32(t->name, t->cap, &t->args)) {
        fprintf(stderr, "kcheck: no call for %s\n", t->name);
        exit(1);
    }
}

static void run_double(kc_case *c, const char *name)
{
    kc_args args = {.n = c->n, .s = c->s, .key = c->key};
    int32_t *labels[KC_ARRAYS] = {NULL};
    for (int i = 0; i < c->arrays; i++) {
        kc_array *a = &c->array[i];
        memcpy(a->want, a->value, (size_t)a->count * sizeof(double));
        args.array[i] = a->absent ? NULL : a->want;
        if (a->type == KC_REAL) continue;
        labels[i] = malloc(((size_t)a->count + 1) * sizeof(int32_t));
        for (int64_t j = 0; j < a->count; j++) labels[i][j] = (int32_t)a->value[j];
        args.array[i] = labels[i];
    }
    kc_call_f64(name, GN2_ISA_REFERENCE, &args);
    for (int i = 0; i < c->arrays; i++) free(labels[i]);
    c->want_result = args.result;
}

/* Elements first … first + count of an array as the kernel sees them. */
static void fill_block(kc_block *block, const kc_array *a, int64_t first, int64_t count,
                       size_t shift)
{
    kc_block_make(block, (size_t)count * sizeof(float), shift);
    float *real_data = (float *)(void *)block->data;
    int32_t *int_data = (int32_t *)(void *)block->data;
    for (int64_t j = 0; j < count; j++)
        if (a->type == KC_REAL)
            real_data[j] = (float)a->value[first + j];
        else
            int_data[j] = (int32_t)a->value[first + j];
}

/* ---- comparing ---- */

typedef struct check {
    const kc_kernel *kernel;
    kc_case c;
    int cap;
    size_t shift;
    kc_block block[KC_ARRAYS];
    kc_tally *tally;
    int failed;
} check;

static void say_case(check *t, const char *what)
{
    static const char *const kind[] = {"normal", "large", "denormal", "special"};
    const int64_t *n = t->c.n;
    if (t->failed++) return;
    printf("FAILED %s/%s (%lld, %lld, %lld, %lld) %s, shift %zu, key %llu: %s\n",
           t->kernel->name, gn2_isa_name((gn2_isa)t->cap), (long long)n[0],
           (long long)n[1], (long long)n[2], (long long)n[3], kind[t->c.kind], t->shift,
           (unsigned long long)t->c.key, what);
}

/* Error over bound of one value; classes (NaN, ±inf) must agree. */
static double excess(double got, double want, double bound)
{
    if (isnan(want)) return isnan(got) ? 0 : INFINITY;
    if (isnan(got)) return INFINITY;
    if (got == want) return 0;
    if (isinf(want) || isinf(got)) return INFINITY;
    if (!isfinite(bound)) return 0; /* an infinite input: only the class is known */
    const double error = fabs(got - want);
    return bound > 0 ? error / bound : HUGE_VAL;
}

static void say_norms(const kc_array *a, const float *got, int64_t worst)
{
    double error2 = 0, want2 = 0, highest = 0;
    for (int64_t j = 0; j < a->count; j++) {
        const double e = fabs((double)got[j] - a->want[j]);
        error2 += e * e;
        want2 += a->want[j] * a->want[j];
        highest = e > highest ? e : highest;
    }
    printf("  %s[%lld]: got %.9g, want %.17g, bound %.3g; "
           "max error %.3g, ||error||/||want|| %.3g\n",
           a->name, (long long)worst, (double)got[worst], a->want[worst],
           a->bound[worst], highest, sqrt(error2 / want2));
}

static void compare_array(check *t, int i)
{
    const kc_array *a = &t->c.array[i];
    const float *got = (const float *)(const void *)t->block[i].data;
    double worst = 0;
    int64_t at = 0;
    for (int64_t j = 0; j < a->count; j++) {
        const double e = excess((double)got[j], a->want[j], a->bound[j]);
        if (e > worst) worst = e, at = j;
    }
    if (worst > t->tally->worst) t->tally->worst = worst;
    if (worst <= 1) return;
    say_case(t, "error beyond its bound");
    say_norms(a, got, at);
}

/* Inputs are const, canaries whole. */
static void compare_untouched(check *t, int i)
{
    const kc_array *a = &t->c.array[i];
    const float *got = (const float *)(const void *)t->block[i].data;
    if (a->type == KC_REAL && a->role == KC_IN)
        for (int64_t j = 0; j < a->count; j++)
            if (got[j] != (float)a->value[j] && !isnan(a->value[j])) {
                say_case(t, "an input was written");
                return;
            }
    const ptrdiff_t damage = kc_block_damage(&t->block[i]);
    if (damage == 0) return;
    say_case(t, "wrote outside an array");
    printf("  %s: byte %td of %zu\n", a->name, damage, t->block[i].bytes);
}

static void compare_result(check *t, double got)
{
    const double e = excess(got, t->c.want_result, t->c.bound_result);
    if (e > t->tally->worst) t->tally->worst = e;
    if (e <= 1) return;
    say_case(t, "returned value beyond its bound");
    printf("  got %.17g, want %.17g, bound %.3g\n", got, t->c.want_result,
           t->c.bound_result);
}

/* Calls the float kernel on rows first … first + rows of the arrays that have rows
 * (all of everything if `per_row` is 0). Returns 0 if a signal ended it. */
static int run_float(check *t, int cap, unsigned per_row, int64_t first, int64_t rows,
                     kc_block *block, double *out_result)
{
    int64_t n[KC_DIMS];
    memcpy(n, t->c.n, sizeof n);
    if (per_row) n[0] = rows;
    call now = {t->kernel->name, cap, {.n = n, .s = t->c.s, .key = t->c.key}};
    for (int i = 0; i < t->c.arrays; i++) {
        const kc_array *a = &t->c.array[i];
        const int cut = (int)(per_row >> i & 1u);
        const int64_t each = cut && t->c.n[0] ? a->count / t->c.n[0] : a->count;
        fill_block(&block[i], a, cut ? first * each : 0, cut ? rows * each : each,
                   t->shift);
        now.args.array[i] = a->absent ? NULL : block[i].data;
    }
    const int signal_number = kc_guarded(call_f32, &now);
    *out_result = now.args.result;
    if (signal_number == 0) return 1;
    char text[40];
    snprintf(text, sizeof text, "ended by signal %d", signal_number);
    say_case(t, text);
    return 0;
}

static void free_blocks(check *t, kc_block *block)
{
    for (int i = 0; i < t->c.arrays; i++) kc_block_free(&block[i]);
}

static int written(const kc_array *a)
{
    return a->role == KC_OUT || a->role == KC_INOUT;
}

/* A row alone, at another address, must give the bits it gave among others. */
static void check_alone(check *t)
{
    const unsigned per_row = t->kernel->per_row;
    if (!per_row || t->c.n[0] < 1) return;
    kc_block alone[KC_ARRAYS];
    double ignored;
    const int64_t row = (int64_t)kc_below(&t->c, (uint64_t)t->c.n[0]);
    if (run_float(t, t->cap, per_row, row, 1, alone, &ignored))
        for (int i = 0; i < t->c.arrays; i++) {
            if (!(per_row >> i & 1u) || !written(&t->c.array[i])) continue;
            const unsigned char *all = t->block[i].data;
            if (memcmp(alone[i].data, all + (size_t)row * alone[i].bytes,
                       alone[i].bytes))
                say_case(t, "a row alone gives other bits");
        }
    free_blocks(t, alone);
}

/* Kernels without rounding freedom: the same bits as the float reference. */
static void check_same_bits(check *t)
{
    if (!t->kernel->same_bits || t->c.kind == KC_SPECIAL) return;
    kc_block reference[KC_ARRAYS];
    double ignored;
    if (run_float(t, GN2_ISA_REFERENCE, 0, 0, 0, reference, &ignored))
        for (int i = 0; i < t->c.arrays; i++)
            if (memcmp(t->block[i].data, reference[i].data, reference[i].bytes))
                say_case(t, "bits differ from the float reference");
    free_blocks(t, reference);
}

static void run_check(check *t)
{
    double result;
    t->tally->cases++;
    if (run_float(t, t->cap, 0, 0, 0, t->block, &result)) {
        for (int i = 0; i < t->c.arrays; i++) {
            compare_untouched(t, i);
            if (written(&t->c.array[i])) compare_array(t, i);
        }
        compare_result(t, result);
        check_alone(t);
        check_same_bits(t);
    }
    free_blocks(t, t->block);
    if (t->failed) t->tally->failed++;
    t->failed = 0;
}

/* Ends flush with the guard page, then a little before it. */
static void check_case(check *t)
{
    run_double(&t->c, t->kernel->name);
    t->kernel->bound(&t->c);
    t->shift = 0;
    run_check(t);
    t->shift = sizeof(float) * (1 + kc_below(&t->c, 31));
    run_check(t);
}

void kc_check(const kc_kernel *kernel, int cap, const kc_options *options,
              kc_tally *tally)
{
    static check t;
    uint64_t stream = 0;
    t.kernel = kernel;
    t.cap = cap;
    t.tally = tally;
    for (const kc_shape *shape = kernel->shapes; shape->n[0] >= 0; shape++)
        for (int kind = 0; kind < KC_KINDS; kind++) {
            stream++;
            if (!(kernel->kinds >> kind & 1u)) continue;
            kc_case_make(&t.c, kernel, shape, (kc_kind)kind,
                         gn2_rng_key(options->seed, stream));
            check_case(&t);
            kc_case_free(&t.c);
        }
}
