/* SPDX-License-Identifier: Apache-2.0 */
/* See product_case.h. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "product_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels/kernels.h"
#include "kernels/product_onednn.h"
#include "util/rng.h"

/* ---- back ends ---- */

static const backend own[] = {
    {"own avx2", GN2_BACKEND_OWN, GN2_ISA_AVX2, GN2_STORAGE_F32, GN2_ARITHMETIC_F32,
     GN2_LOOP_AUTO},
    {"own avx2 bf16", GN2_BACKEND_OWN, GN2_ISA_AVX2, GN2_STORAGE_BF16,
     GN2_ARITHMETIC_F32, GN2_LOOP_AUTO},
    {"own avx512", GN2_BACKEND_OWN, GN2_ISA_AVX512, GN2_STORAGE_F32, GN2_ARITHMETIC_F32,
     GN2_LOOP_AUTO},
    {"own avx512 bf16", GN2_BACKEND_OWN, GN2_ISA_AVX512, GN2_STORAGE_BF16,
     GN2_ARITHMETIC_F32, GN2_LOOP_AUTO},
    {"own in bf16", GN2_BACKEND_OWN, GN2_ISA_AVX512, GN2_STORAGE_F32,
     GN2_ARITHMETIC_BF16, GN2_LOOP_FMA},
};

int has_bf16(void)
{
    return gn2_isa_detect() >= GN2_ISA_AVX512;
}

int has_dots(void)
{
    return gn2_bf16_detect() != GN2_BF16_NONE;
}

const backend *backends(void)
{
    static backend list[11];
    size_t count = 0;
    const gn2_isa have = gn2_isa_detect();
    list[count++] = (backend){
        .name = "reference", .backend = GN2_BACKEND_OWN, .cap = GN2_ISA_REFERENCE};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (have >= own[i].cap) list[count++] = own[i];
    if (has_dots())
        list[count++] = (backend){.name = "own in bf16 by dot products",
                                  .backend = GN2_BACKEND_OWN,
                                  .cap = GN2_ISA_BEST,
                                  .arithmetic = GN2_ARITHMETIC_BF16,
                                  .loop = GN2_LOOP_DOT};
    for (int best = 0; best < 2 && gn2_onednn_find() == GN2_OK; best++)
        list[count++] = (backend){best ? "onednn" : "onednn without own kernels",
                                  GN2_BACKEND_ONEDNN,
                                  best ? GN2_ISA_BEST : GN2_ISA_REFERENCE,
                                  GN2_STORAGE_F32,
                                  GN2_ARITHMETIC_F32,
                                  GN2_LOOP_AUTO};
    if (has_bf16() && gn2_onednn_find() == GN2_OK)
        list[count++] = (backend){"onednn in bf16", GN2_BACKEND_ONEDNN,  GN2_ISA_BEST,
                                  GN2_STORAGE_F32,  GN2_ARITHMETIC_BF16, GN2_LOOP_AUTO};
    list[count] = (backend){0};
    return list;
}

/* ---- memory ---- */

/* count floats that end where a page without access begins. */
typedef struct guarded {
    char *map;
    size_t bytes;
    float *data;
} guarded;

static guarded guarded_make(size_t count)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t body = (count * sizeof(float) + page - 1) / page * page;
    guarded g = {.bytes = body + page};
    g.map =
        mmap(NULL, g.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.map != MAP_FAILED);
    assert_int_equal(mprotect(g.map + body, page, PROT_NONE), 0);
    g.data = (float *)(void *)(g.map + body - count * sizeof(float));
    return g;
}

static void guarded_free(guarded *g)
{
    munmap(g->map, g->bytes);
}

static float uniform(uint64_t key, size_t i)
{
    return (float)(2.0 * gn2_rng_uniform(key, i) - 1.0);
}

/* A matrix whose last row ends at the guard, numbers everywhere, gaps too. */
static guarded random_matrix(int64_t rows, int64_t cols, int64_t ld, uint64_t key)
{
    const size_t count = (size_t)((rows - 1) * ld + cols);
    guarded g = guarded_make(count);
    for (size_t i = 0; i < count; i++) g.data[i] = uniform(key, i);
    return g;
}

float *fresh(size_t count)
{
    float *data = gn2_alloc(count, sizeof *data);
    assert_non_null(data);
    return data;
}

float *filled(size_t count, uint64_t key)
{
    float *data = fresh(count);
    for (size_t i = 0; i < count; i++) data[i] = uniform(key, i);
    return data;
}

/* ---- products ---- */

static gn2_product_options options_of(const backend *be, int64_t max_rows)
{
    return (gn2_product_options){be->cap,     be->backend,    max_rows,
                                 be->storage, be->arithmetic, be->loop};
}

static void make_lane(setup *u)
{
    assert_int_equal(gn2_lane_create_f32(&u->product, 1, &u->lane), GN2_OK);
}

void setup_make(setup *u, const backend *be, shape s, int64_t max_rows)
{
    const gn2_product_options o = options_of(be, max_rows);
    float *b = filled((size_t)(s.k * s.n), 2);
    u->s = s;
    assert_int_equal(gn2_product_create_f32(s.k, s.n, &o, &u->product), GN2_OK);
    gn2_product_pack_f32(u->product, b, s.n, 0);
    make_lane(u);
    gn2_free(b);
}

void setup_free(setup *u)
{
    gn2_lane_free_f32(u->lane);
    gn2_product_free_f32(u->product);
}

/* ---- judging ---- */

/* Error of a sum of `terms` rounded products: γ = n·u / (1 − n·u), u = 2⁻²⁴
 * (Higham, Accuracy and Stability, §3.1); holds for every order and with FMA. */
static double gamma_of(int64_t terms)
{
    const double nu = (double)terms * 0x1p-24;
    return nu / (1.0 - nu);
}

/* Exact value up to rounding in double, and the sum of magnitudes. */
typedef struct expected {
    double value, size;
} expected;

static expected dot(const float *a, int64_t step_a, const float *b, int64_t step_b,
                    int64_t count)
{
    expected e = {0, 0};
    for (int64_t i = 0; i < count; i++) {
        const double term = (double)a[i * step_a] * (double)b[i * step_b];
        e.value += term;
        e.size += fabs(term);
    }
    return e;
}

static void plus(expected *e, float term)
{
    e->value += (double)term;
    e->size += fabs((double)term);
}

/* The least normal number covers underflow of a single term. */
static void judge(const backend *be, const problem *p, expected e, int64_t terms,
                  float got)
{
    const double bound = gamma_of(terms) * e.size + 0x1p-126;
    if (fabs((double)got - e.value) <= bound) return;
    fail_msg("%s: %lld rows, %lld -> %lld, epilogue %u: %.9g, expected %.9g ± %.3g",
             be->name, (long long)p->m, (long long)p->s.k, (long long)p->s.n,
             p->epilogue, (double)got, e.value, bound);
}

/* Gaps between rows keep what they had. */
static void judge_gaps(const guarded *c, const float *before, const problem *p,
                       int64_t rows)
{
    for (int64_t r = 0; r + 1 < rows; r++) {
        const int64_t at = r * p->ldc + p->s.n;
        assert_memory_equal(c->data + at, before + at,
                            (size_t)(p->ldc - p->s.n) * sizeof(float));
    }
}

static float *copy_of(const guarded *g, int64_t rows, const problem *p)
{
    const size_t count = (size_t)((rows - 1) * p->ldc + p->s.n);
    float *copy = fresh(count);
    memcpy(copy, g->data, count * sizeof(float));
    return copy;
}

/* ---- forward ---- */

typedef struct forward {
    const problem *p;
    guarded a, b, c, bias, residual;
    const float *before; /* c as it was */
} forward;

static void judge_forward(const backend *be, const forward *f)
{
    const problem *p = f->p;
    const float *residual = p->epilogue & RESIDUAL_IS_C ? f->before : f->residual.data;
    for (int64_t r = 0; r < p->m; r++)
        for (int64_t j = 0; j < p->s.n; j++) {
            expected e = dot(f->a.data + r * p->lda, 1, f->b.data + j, p->s.n, p->s.k);
            if (p->epilogue & WITH_BIAS) plus(&e, f->bias.data[j]);
            if (p->epilogue & WITH_RESIDUAL) plus(&e, residual[r * p->ldc + j]);
            if (p->epilogue & WITH_RELU && e.value < 0) e.value = 0;
            judge(be, p, e, p->s.k + 2, f->c.data[r * p->ldc + j]);
        }
    judge_gaps(&f->c, f->before, p, p->m);
}

static void run_forward(setup *u, const forward *f)
{
    const unsigned e = f->p->epilogue;
    const gn2_mul_args_f32 x = {
        .c = f->c.data,
        .ldc = f->p->ldc,
        .a = f->a.data,
        .lda = f->p->lda,
        .bias = e & WITH_BIAS ? f->bias.data : NULL,
        .residual = !(e & WITH_RESIDUAL)  ? NULL
                    : (e & RESIDUAL_IS_C) ? f->c.data
                                          : f->residual.data,
        .flags = e & WITH_RELU ? GN2_MUL_RELU : 0,
        .m = f->p->m,
    };
    gn2_product_run_f32(u->product, u->lane, &x);
}

/* To 8 significant bits, ties to even, by the arithmetic of double. */
static float rounded(float x)
{
    int exponent;
    const double part = frexp((double)x, &exponent);
    return (float)ldexp(nearbyint(ldexp(part, 8)), exponent - 8);
}

static void round_all(guarded *g, int64_t count)
{
    for (int64_t i = 0; i < count; i++) g->data[i] = rounded(g->data[i]);
}

void problem_run_forward(const backend *be, const problem *p)
{
    forward f = {
        .p = p,
        .a = random_matrix(p->m, p->s.k, p->lda, 1),
        .b = random_matrix(p->s.k, p->s.n, p->s.n, 2),
        .c = random_matrix(p->m, p->s.n, p->ldc, 3),
        .bias = random_matrix(1, p->s.n, p->s.n, 4),
        .residual = random_matrix(p->m, p->s.n, p->ldc, 5),
    };
    float *before = copy_of(&f.c, p->m, p);
    f.before = before;
    setup u = {.s = p->s};
    const gn2_product_options o = options_of(be, p->m);
    assert_int_equal(gn2_product_create_f32(p->s.k, p->s.n, &o, &u.product), GN2_OK);
    gn2_product_pack_f32(u.product, f.b.data, p->s.n, 0);
    if (be->storage == GN2_STORAGE_BF16) round_all(&f.b, p->s.k * p->s.n);
    make_lane(&u);
    run_forward(&u, &f);
    if (u.product->arithmetic == GN2_ARITHMETIC_BF16) {
        round_all(&f.a, (p->m - 1) * p->lda + p->s.k);
        round_all(&f.b, p->s.k * p->s.n);
    }
    judge_forward(be, &f);
    setup_free(&u);
    gn2_free(before);
    guarded *all[] = {&f.a, &f.b, &f.c, &f.bias, &f.residual};
    for (size_t i = 0; i < 5; i++) guarded_free(all[i]);
}

/* ---- gradient ---- */

void problem_run_gradient(const backend *be, const problem *p)
{
    guarded a = random_matrix(p->m, p->s.k, p->lda, 1);
    guarded b = random_matrix(p->m, p->s.n, p->ldc, 2);
    guarded c = random_matrix(p->s.k, p->s.n, p->ldc, 3);
    float *before = copy_of(&c, p->s.k, p);
    setup u = {.s = p->s};
    const gn2_product_options o = options_of(be, p->m);
    assert_int_equal(gn2_product_create_tn_f32(p->s.k, p->s.n, &o, &u.product), GN2_OK);
    make_lane(&u);
    gn2_product_run_tn_f32(u.product, u.lane, c.data, p->ldc, a.data, p->lda, b.data,
                           p->ldc, p->m);
    if (u.product->arithmetic == GN2_ARITHMETIC_BF16) {
        round_all(&a, (p->m - 1) * p->lda + p->s.k);
        round_all(&b, (p->m - 1) * p->ldc + p->s.n);
    }
    for (int64_t i = 0; i < p->s.k; i++)
        for (int64_t j = 0; j < p->s.n; j++) {
            expected e = dot(a.data + i, p->lda, b.data + j, p->ldc, p->m);
            plus(&e, before[i * p->ldc + j]);
            judge(be, p, e, p->m + 1, c.data[i * p->ldc + j]);
        }
    judge_gaps(&c, before, p, p->s.k);
    setup_free(&u);
    gn2_free(before);
    guarded_free(&a), guarded_free(&b), guarded_free(&c);
}
