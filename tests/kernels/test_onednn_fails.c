/* SPDX-License-Identifier: Apache-2.0 */
/* The oneDNN module where oneDNN throws (throwing_dnnl.cpp): statuses come out, and
 * what it did not multiply is multiplied all the same. */
#include "../unit/unit.h"

#include <math.h>

#include "kernels/onednn/backend.h"

enum { M = 5, K = 3, N = 4 };

static float a[M * K], b[K * N], b2[M * N], bias[N], none[N];
static uint16_t a16[M * K], b16[M * N];

/* Exact in bf16. */
static float small(int i)
{
    return (float)(i % 9 - 4) / 2;
}

static uint16_t half(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)(bits >> 16);
}

static int fill(void **state)
{
    (void)state;
    for (int i = 0; i < M * K; i++) a16[i] = half(a[i] = small(i));
    for (int i = 0; i < K * N; i++) b[i] = small(2 * i + 1);
    for (int i = 0; i < M * N; i++) b16[i] = half(b2[i] = small(i + 5));
    for (int i = 0; i < N; i++) bias[i] = (float)i;
    return 0;
}

static void exceptions_become_statuses(void **state)
{
    (void)state;
    dnnl_memory_desc_t d = {0};
    assert_int_equal(gn2_dnnl_make_primitive(NULL, NULL), dnnl_out_of_memory);
    assert_int_equal(gn2_dnnl_execute(NULL, NULL, 0, NULL), dnnl_out_of_memory);
    assert_int_equal(gn2_dnnl_make_memory(NULL, desc_of(&d), NULL, NULL),
                     dnnl_runtime_error);
}

static void run(gn2_product_f32 *p, gn2_dnnl_piece piece)
{
    dnnl_state d = {.count = 1, .tight_data = b, .no_bias = none};
    dnnl_lane state = {0};
    const gn2_lane_view_f32 lane = {&state, NULL};
    d.buckets[0].rows = M;
    p->k = K;
    p->n = N;
    p->data = &d;
    piece.p = p;
    piece.lane = &lane;
    gn2_dnnl_run_piece(&piece);
}

static void check_forward(gn2_arithmetic arithmetic, int mode, const float *with)
{
    gn2_product_f32 p = {.arithmetic = arithmetic};
    float c[M * N];
    const int half = arithmetic == GN2_ARITHMETIC_BF16;
    for (int i = 0; i < M * N; i++) c[i] = mode == ACCUMULATE ? 1 : NAN;
    run(&p, (gn2_dnnl_piece){
                .src = half ? (void *)a16 : a, .bias = with, .dst = c, .mode = mode});
    for (int r = 0; r < M; r++)
        for (int j = 0; j < N; j++) {
            float sum = (mode == ACCUMULATE ? 1 : 0) + (with ? with[j] : 0);
            for (int i = 0; i < K; i++) sum += a[r * K + i] * b[i * N + j];
            assert_true(c[r * N + j] == sum);
        }
}

static void what_it_does_not_multiply_is_multiplied(void **state)
{
    (void)state;
    for (int k = 0; k < 8; k++)
        check_forward(k & 1 ? GN2_ARITHMETIC_BF16 : GN2_ARITHMETIC_F32,
                      k & 2 ? ACCUMULATE : OVERWRITE, k & 4 ? bias : NULL);
}

static void and_so_are_gradients(void **state)
{
    (void)state;
    for (int half = 0; half < 2; half++) {
        gn2_product_f32 p = {.is_gradient = 1};
        float c[K * N];
        if (half) p.arithmetic = GN2_ARITHMETIC_BF16;
        for (int i = 0; i < K * N; i++) c[i] = 2;
        run(&p, (gn2_dnnl_piece){.src = half ? (void *)a16 : a,
                                 .rhs = half ? (void *)b16 : b2,
                                 .dst = c,
                                 .mode = ACCUMULATE});
        for (int i = 0; i < K; i++)
            for (int j = 0; j < N; j++) {
                float sum = 2;
                for (int r = 0; r < M; r++) sum += a[r * K + i] * b2[r * N + j];
                assert_true(c[i * N + j] == sum);
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exceptions_become_statuses),
        cmocka_unit_test(what_it_does_not_multiply_is_multiplied),
        cmocka_unit_test(and_so_are_gradients),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
