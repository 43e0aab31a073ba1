/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix products: every back end and instruction set against the reference in
 * double, with the bound of a rounded dot product; nothing read or written beyond
 * the matrices; a row's bits independent of the other rows; NaN and Inf kept.
 * Speed is the business of tests/bench/bench_product.c.
 */
#include "product_case.h"

#include <fenv.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "kernels/product_bf16.h"
#include "util/rng.h"

/* GN2's shapes at widths 64 and 256 (inputs 21, heads, width 64's MLPs) and odd
 * ones around the tiles' edges. */
static const shape shapes[] = {
    {1, 1},    {1, 17},    {2, 8},    {3, 33},    {5, 47},    {7, 63},   {16, 16},
    {17, 31},  {21, 256},  {32, 1},   {33, 4},    {64, 8},    {64, 21},  {64, 32},
    {64, 64},  {64, 192},  {96, 100}, {128, 64},  {128, 128}, {255, 65}, {256, 128},
    {256, 97}, {256, 256}, {300, 80}, {512, 256}, {1025, 40}, {2100, 33}};
#define SHAPES (sizeof shapes / sizeof *shapes)

static const int64_t row_counts[] = {1, 2, 3, 5, 6, 7, 8, 13, 14, 15, 16, 29, 100, 300};
#define ROW_COUNTS (sizeof row_counts / sizeof *row_counts)

/* ---- against the reference ---- */

/* Strides beyond the row: tight, a gap, a page (rows share a cache set). */
static int64_t stride_of(int64_t columns, unsigned kind)
{
    if (kind == 0) return columns;
    if (kind == 1) return columns + 5;
    return (columns + 1023) / 1024 * 1024;
}

static void check_forward(const backend *be, shape s, int64_t m, unsigned variant)
{
    const problem p = {.s = s,
                       .m = m,
                       .lda = stride_of(s.k, variant % 3),
                       .ldc = stride_of(s.n, variant / 2 % 3),
                       .epilogue = variant % 8};
    problem_run_forward(be, &p);
}

static void forward_is_within_the_bound(void **state)
{
    (void)state;
    unsigned variant = 0;
    for (const backend *be = backends(); be->name; be++)
        for (size_t i = 0; i < SHAPES; i++)
            for (size_t r = 0; r < ROW_COUNTS; r++)
                check_forward(be, shapes[i], row_counts[r], variant++);
}

static void every_epilogue_with_every_stride(void **state)
{
    (void)state;
    const shape few[] = {{33, 4}, {64, 64}, {40, 50}};
    for (const backend *be = backends(); be->name; be++)
        for (size_t i = 0; i < 3; i++)
            for (unsigned kind = 0; kind < 9; kind++)
                for (unsigned e = 0; e < 16; e++) {
                    const problem p = {few[i], 17, stride_of(few[i].k, kind % 3),
                                       stride_of(few[i].n, kind / 3), e};
                    problem_run_forward(be, &p);
                }
}

static void gradient_is_within_the_bound(void **state)
{
    (void)state;
    unsigned variant = 0;
    for (const backend *be = backends(); be->name; be++)
        for (size_t i = 0; i < SHAPES; i++)
            for (size_t r = 0; r < ROW_COUNTS; r += 2) {
                const problem p = {.s = shapes[i],
                                   .m = row_counts[r] + (r == 12 ? 300 : 0),
                                   .lda = stride_of(shapes[i].k, variant % 3),
                                   .ldc = stride_of(shapes[i].n, variant / 3 % 3)};
                problem_run_gradient(be, &p);
                variant++;
            }
}

/* ---- bits ---- */

#define BIT_ROWS 70

/* Rows of c computed in pieces of `piece` must equal those computed at once. */
static void check_pieces(const setup *u, const float *a, const float *whole,
                         int64_t piece)
{
    const shape s = u->s;
    float *c = fresh((size_t)(BIT_ROWS * s.n));
    for (int64_t first = 0; first < BIT_ROWS; first += piece) {
        const int64_t left = BIT_ROWS - first;
        const gn2_mul_args_f32 x = {.c = c + first * s.n,
                                    .ldc = s.n,
                                    .a = a + first * s.k,
                                    .lda = s.k,
                                    .m = piece < left ? piece : left};
        gn2_product_run_f32(u->product, u->lane, &x);
    }
    assert_memory_equal(c, whole, (size_t)(BIT_ROWS * s.n) * sizeof(float));
    gn2_free(c);
}

static void bits_of_a_row_do_not_depend_on_the_others(void **state)
{
    (void)state;
    const int64_t pieces[] = {1, 2, 3, 4, 5, 6, 7, 11, 13, 14, 15, 16, 27, 33, 64};
    for (const backend *be = backends(); be->name; be++)
        for (size_t i = 0; i < SHAPES; i++) {
            setup u;
            setup_make(&u, be, shapes[i], 128);
            float *a = filled((size_t)(BIT_ROWS * u.s.k), 11);
            float *whole = fresh((size_t)(BIT_ROWS * u.s.n));
            const gn2_mul_args_f32 x = {
                .c = whole, .ldc = u.s.n, .a = a, .lda = u.s.k, .m = BIT_ROWS};
            gn2_product_run_f32(u.product, u.lane, &x);
            for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++)
                check_pieces(&u, a, whole, pieces[k]);
            gn2_free(a);
            gn2_free(whole);
            setup_free(&u);
        }
}

static void packing_transposed_gives_the_same_bits(void **state)
{
    (void)state;
    const shape s = {45, 70};
    float *b = filled((size_t)(s.k * s.n), 5), *t = fresh((size_t)(s.k * s.n));
    for (int64_t i = 0; i < s.k; i++)
        for (int64_t j = 0; j < s.n; j++) t[j * s.k + i] = b[i * s.n + j];
    float *a = filled((size_t)(9 * s.k), 6);
    float *c1 = fresh((size_t)(9 * s.n)), *c2 = fresh((size_t)(9 * s.n));
    for (const backend *be = backends(); be->name; be++) {
        setup u;
        setup_make(&u, be, s, 9);
        gn2_mul_args_f32 x = {.c = c1, .ldc = s.n, .a = a, .lda = s.k, .m = 9};
        gn2_product_pack_f32(u.product, b, s.n, 0);
        gn2_product_run_f32(u.product, u.lane, &x);
        x.c = c2;
        gn2_product_pack_f32(u.product, t, s.k, 1);
        gn2_product_run_f32(u.product, u.lane, &x);
        assert_memory_equal(c1, c2, (size_t)(9 * s.n) * sizeof(float));
        setup_free(&u);
    }
    gn2_free(a), gn2_free(b), gn2_free(t), gn2_free(c1), gn2_free(c2);
}

/* ---- values that are not finite ---- */

static void nan_and_inf_stay_in_their_row(void **state)
{
    (void)state;
    const shape s = {64, 37};
    for (const backend *be = backends(); be->name; be++) {
        setup u;
        setup_make(&u, be, s, 30);
        float *a = filled((size_t)(30 * s.k), 3), *clean = fresh((size_t)(30 * s.n));
        float *c = fresh((size_t)(30 * s.n));
        gn2_mul_args_f32 x = {
            .c = clean, .ldc = s.n, .a = a, .lda = s.k, .flags = GN2_MUL_RELU, .m = 30};
        gn2_product_run_f32(u.product, u.lane, &x);
        a[4 * s.k + 63] = NAN;
        a[17 * s.k] = INFINITY;
        x.c = c;
        gn2_product_run_f32(u.product, u.lane, &x);
        for (int64_t r = 0; r < 30; r++)
            for (int64_t j = 0; j < s.n; j++) {
                const float got = c[r * s.n + j];
                if (r == 4)
                    assert_true(isnan(got));
                else if (r == 17) /* +Inf, or −Inf cut to zero by ReLU */
                    assert_true(isinf(got) || got == 0.0f);
                else
                    assert_memory_equal(&got, &clean[r * s.n + j], sizeof got);
            }
        gn2_free(a), gn2_free(c), gn2_free(clean);
        setup_free(&u);
    }
}

/* ---- threads ---- */

typedef struct thread_job {
    const gn2_product_f32 *product;
    gn2_lane_f32 *lane;
    const float *a;
    float *c;
    shape s;
} thread_job;

static void *run_often(void *context)
{
    const thread_job *j = context;
    for (int64_t m = 1; m <= 64; m++) {
        const gn2_mul_args_f32 x = {
            .c = j->c, .ldc = j->s.n, .a = j->a, .lda = j->s.k, .m = m};
        gn2_product_run_f32(j->product, j->lane, &x);
    }
    return NULL;
}

static void two_threads_with_a_lane_each_agree(void **state)
{
    (void)state;
    const shape s = {72, 90};
    float *a = filled((size_t)(64 * s.k), 8);
    float *c[2] = {fresh((size_t)(64 * s.n)), fresh((size_t)(64 * s.n))};
    for (const backend *be = backends(); be->name; be++) {
        setup u;
        setup_make(&u, be, s, 64);
        gn2_lane_f32 *second;
        assert_int_equal(gn2_lane_create_f32(&u.product, 1, &second), GN2_OK);
        thread_job here = {u.product, u.lane, a, c[0], s};
        thread_job there = {u.product, second, a, c[1], s};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, run_often, &there), 0);
        run_often(&here);
        pthread_join(thread, NULL);
        assert_memory_equal(c[0], c[1], (size_t)(64 * s.n) * sizeof(float));
        gn2_lane_free_f32(second);
        setup_free(&u);
    }
    gn2_free(a), gn2_free(c[0]), gn2_free(c[1]);
}

/* ---- the contract around it ---- */

static void impossible_shapes_are_refused(void **state)
{
    (void)state;
    const gn2_product_options o = {GN2_ISA_BEST,    GN2_BACKEND_AUTO,   8,
                                   GN2_STORAGE_F32, GN2_ARITHMETIC_F32, GN2_LOOP_AUTO};
    const shape bad[] = {{0, 4}, {4, 0}, {-1, 4}, {4, INT64_C(1) << 40}};
    for (size_t i = 0; i < 4; i++) {
        gn2_product_f32 *p = (gn2_product_f32 *)1;
        assert_int_equal(gn2_product_create_f32(bad[i].k, bad[i].n, &o, &p),
                         GN2_ERR_SHAPE);
        assert_null(p);
    }
    gn2_product_free_f32(NULL);
    gn2_lane_free_f32(NULL);
}

static void bf16_storage_is_refused_where_it_does_not_exist(void **state)
{
    (void)state;
    const gn2_product_options bad[] = {
        {.cap = GN2_ISA_REFERENCE},
        {.cap = GN2_ISA_REFERENCE, .backend = GN2_BACKEND_OWN},
        {.cap = GN2_ISA_BEST, .backend = GN2_BACKEND_ONEDNN}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gn2_product_options o = bad[i];
        o.storage = GN2_STORAGE_BF16;
        gn2_product_f32 *p = (gn2_product_f32 *)1;
        assert_int_equal(gn2_product_create_f32(8, 8, &o, &p), GN2_ERR_UNSUPPORTED);
        assert_null(p);
    }
}

/* Ties go to the even neighbour, everything else to the nearest one. */
static void bf16_storage_rounds_to_nearest_even(void **state)
{
    (void)state;
    const float given[] = {0x1.00p0f,  0x1.01p0f, 0x1.03p0f,     0x1.010002p0f,
                           -0x1.01p0f, 0x1.02p0f, 0x1.fffffep0f, 0x1.0p-130f,
                           0.0f,       3e38f};
    const float kept[] = {0x1.00p0f, 0x1.00p0f, 0x1.04p0f,   0x1.02p0f, -0x1.00p0f,
                          0x1.02p0f, 0x1.00p1f, 0x1.0p-130f, 0.0f,      0x1.c4p127f};
    enum { COUNT = sizeof given / sizeof *given };
    if (gn2_isa_detect() < GN2_ISA_AVX2) skip();
    const gn2_product_options o = {GN2_ISA_BEST,     GN2_BACKEND_AUTO,   1,
                                   GN2_STORAGE_BF16, GN2_ARITHMETIC_F32, GN2_LOOP_AUTO};
    gn2_product_f32 *p;
    gn2_lane_f32 *lane;
    float c[COUNT], one = 1;
    assert_int_equal(gn2_product_create_f32(1, COUNT, &o, &p), GN2_OK);
    assert_int_equal(gn2_lane_create_f32(&p, 1, &lane), GN2_OK);
    gn2_product_pack_f32(p, given, COUNT, 0);
    const gn2_mul_args_f32 x = {.c = c, .ldc = COUNT, .a = &one, .lda = 1, .m = 1};
    gn2_product_run_f32(p, lane, &x);
    for (int i = 0; i < COUNT; i++) assert_true(c[i] == kept[i]);
    gn2_lane_free_f32(lane);
    gn2_product_free_f32(p);
}

static void bf16_arithmetic_is_refused_where_it_does_not_exist(void **state)
{
    (void)state;
    const gn2_product_options bad[] = {
        {.cap = GN2_ISA_REFERENCE},
        {.cap = GN2_ISA_AVX2},
        {.cap = GN2_ISA_AVX2, .backend = GN2_BACKEND_OWN}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gn2_product_options o = bad[i];
        o.arithmetic = GN2_ARITHMETIC_BF16;
        gn2_product_f32 *p = (gn2_product_f32 *)1;
        assert_int_equal(gn2_product_create_f32(64, 64, &o, &p), GN2_ERR_UNSUPPORTED);
        assert_null(p);
    }
}

/* Sides of 16 and less stay float whatever the rows; wider products do not. */
static void bf16_arithmetic_is_a_matter_of_shape_alone(void **state)
{
    (void)state;
    if (!has_bf16()) skip();
    const gn2_product_options o = {
        .cap = GN2_ISA_BEST, .max_rows = 100, .arithmetic = GN2_ARITHMETIC_BF16};
    const shape some[] = {{16, 64}, {64, 16},  {17, 64},
                          {64, 17}, {21, 256}, {256, 768}};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        gn2_product_f32 *p[2];
        const shape s = some[i];
        const int wide = s.k > 16 && s.n > 16;
        assert_int_equal(gn2_product_create_f32(s.k, s.n, &o, &p[0]), GN2_OK);
        assert_int_equal(gn2_product_create_tn_f32(s.k, s.n, &o, &p[1]), GN2_OK);
        for (int j = 0; j < 2; j++) {
            assert_int_equal(p[j]->arithmetic == GN2_ARITHMETIC_BF16, wide);
            gn2_product_free_f32(p[j]);
        }
    }
}

/* ---- the two loops of own products in bf16 ---- */

/* Rounding everywhere, the ends of the range, and sums that leave the normal numbers on
 * the way. */
static float *extremes(size_t count, uint64_t key)
{
    static const int power[] = {0, 0, -140, -126, -125, -64, -63, -62, 60, 3};
    float *data = filled(count, key);
    for (size_t i = 0; i < count; i++)
        data[i] = ldexpf(data[i], power[gn2_rng_bits(key + 1, i) % 10]);
    return data;
}

typedef struct both {
    shape s;
    int64_t m;
    const float *a, *b, *start;
} both;

static float *run_loop(const both *x, gn2_loop loop, int is_gradient)
{
    const gn2_product_options o = {.cap = GN2_ISA_BEST,
                                   .backend = GN2_BACKEND_OWN,
                                   .max_rows = x->m,
                                   .arithmetic = GN2_ARITHMETIC_BF16,
                                   .loop = loop};
    setup u = {.s = x->s};
    const int64_t k = x->s.k, n = x->s.n, rows = is_gradient ? k : x->m;
    float *c = fresh((size_t)(rows * n));
    memcpy(c, x->start, (size_t)(rows * n) * sizeof *c);
    assert_int_equal((is_gradient ? gn2_product_create_tn_f32
                                  : gn2_product_create_f32)(k, n, &o, &u.product),
                     GN2_OK);
    if (!is_gradient) gn2_product_pack_f32(u.product, x->b, n, 0);
    assert_int_equal(gn2_lane_create_f32(&u.product, 1, &u.lane), GN2_OK);
    const gn2_mul_args_f32 args = {
        .c = c, .ldc = n, .a = x->a, .lda = k, .bias = x->b, .residual = c, .m = x->m};
    if (is_gradient)
        gn2_product_run_tn_f32(u.product, u.lane, c, n, x->a, k, x->b, n, x->m);
    else
        gn2_product_run_f32(u.product, u.lane, &args);
    setup_free(&u);
    return c;
}

/* What multiplies does not matter; nor do the modes of the thread, which stay. */
static void compare_loops(const both *x, int is_gradient, gn2_loop other)
{
    const int64_t rows = is_gradient ? x->s.k : x->m;
    float *c = run_loop(x, GN2_LOOP_FMA, is_gradient);
    assert_int_equal(fesetround(FE_UPWARD), 0);
    float *d = run_loop(x, other, is_gradient);
    assert_int_equal(fegetround(), FE_UPWARD);
    assert_int_equal(fesetround(FE_TONEAREST), 0);
    assert_memory_equal(c, d, (size_t)(rows * x->s.n) * sizeof *c);
    gn2_free(c), gn2_free(d);
}

static void check_loops(gn2_loop other)
{
    const shape some[] = {{17, 17}, {21, 256}, {64, 64}, {77, 45}, {256, 97}};
    const int64_t counts[] = {1, 2, 9, 31, 300};
    float *(*const numbers[])(size_t, uint64_t) = {filled, extremes};
    for (size_t i = 0; i < 50; i++) {
        both x = {.s = some[i / 2 % 5], .m = counts[i / 10]};
        float *(*make)(size_t, uint64_t) = numbers[i % 2];
        float *a = make((size_t)(x.m * x.s.k), 3);
        float *b = make((size_t)((x.s.k + x.m) * x.s.n), 5);
        float *start = make((size_t)((x.s.k + x.m) * x.s.n), 7);
        x.a = a, x.b = b, x.start = start;
        for (int gradient = 0; gradient < 2; gradient++)
            compare_loops(&x, gradient, other);
        gn2_free(a), gn2_free(b), gn2_free(start);
    }
}

static void dot_products_have_the_bits_of_multiply_adds(void **state)
{
    (void)state;
    if (!has_dots()) skip();
    check_loops(GN2_LOOP_DOT);
}

static void bf16_does_not_see_the_modes_of_the_thread(void **state)
{
    (void)state;
    if (!has_bf16()) skip();
    check_loops(GN2_LOOP_FMA);
}

/* Numbers around ties, the ends of the range, and what is not finite. */
static void conversion_rounds_to_nearest_even(void **state)
{
    (void)state;
    const float given[] = {0x1.00p0f,  0x1.01p0f, 0x1.03p0f,       0x1.010002p0f,
                           -0x1.01p0f, 0x1.02p0f, 0x1.fffffep0f,   0x1.0p-126f,
                           0.0f,       3e38f,     0x1.fffffep127f, -INFINITY,
                           NAN};
    const uint16_t wanted[] = {0x3F80, 0x3F80, 0x3F82, 0x3F81, 0xBF80, 0x3F81, 0x4000,
                               0x0080, 0x0000, 0x7F62, 0x7F80, 0xFF80, 0x7FC0};
    enum { COUNT = sizeof given / sizeof *given, MOST = 40 };
    gn2_bf16_convert *convert = gn2_bf16_converter();
    for (int count = 0; count <= MOST; count++) {
        float from[MOST];
        uint16_t to[MOST + 1];
        for (int i = 0; i < count; i++) from[i] = given[i % COUNT];
        to[count] = 0xABCD;
        convert(to, from, count);
        for (int i = 0; i < count; i++) assert_int_equal(to[i], wanted[i % COUNT]);
        assert_int_equal(to[count], 0xABCD);
    }
    for (int i = 0; i < COUNT; i++) assert_int_equal(gn2_bf16_of(given[i]), wanted[i]);
}

static void a_lane_serves_many_products(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    const gn2_product_options o = {GN2_ISA_BEST,    GN2_BACKEND_AUTO,   4,
                                   GN2_STORAGE_F32, GN2_ARITHMETIC_F32, GN2_LOOP_AUTO};
    gn2_product_f32 *p[COUNT];
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(gn2_product_create_f32(1, 1, &o, &p[i]), GN2_OK);
        const float b = (float)i;
        gn2_product_pack_f32(p[i], &b, 1, 0);
        assert_true(gn2_product_bytes_f32(p[i]) >= sizeof(float));
    }
    gn2_lane_f32 *lane;
    assert_int_equal(gn2_lane_create_f32(p, COUNT, &lane), GN2_OK);
    assert_true(gn2_lane_bytes_f32(lane) > 0);
    for (int i = 0; i < COUNT; i++) {
        float a = 2, c = -1;
        const gn2_mul_args_f32 x = {.c = &c, .ldc = 1, .a = &a, .lda = 1, .m = 1};
        gn2_product_run_f32(p[i], lane, &x);
        assert_true(c == 2 * (float)i);
    }
    gn2_lane_free_f32(lane);
    for (int i = 0; i < COUNT; i++) gn2_product_free_f32(p[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_is_within_the_bound),
        cmocka_unit_test(every_epilogue_with_every_stride),
        cmocka_unit_test(gradient_is_within_the_bound),
        cmocka_unit_test(bits_of_a_row_do_not_depend_on_the_others),
        cmocka_unit_test(packing_transposed_gives_the_same_bits),
        cmocka_unit_test(nan_and_inf_stay_in_their_row),
        cmocka_unit_test(two_threads_with_a_lane_each_agree),
        cmocka_unit_test(impossible_shapes_are_refused),
        cmocka_unit_test(bf16_storage_is_refused_where_it_does_not_exist),
        cmocka_unit_test(bf16_storage_rounds_to_nearest_even),
        cmocka_unit_test(bf16_arithmetic_is_refused_where_it_does_not_exist),
        cmocka_unit_test(bf16_arithmetic_is_a_matter_of_shape_alone),
        cmocka_unit_test(dot_products_have_the_bits_of_multiply_adds),
        cmocka_unit_test(bf16_does_not_see_the_modes_of_the_thread),
        cmocka_unit_test(conversion_rounds_to_nearest_even),
        cmocka_unit_test(a_lane_serves_many_products),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
