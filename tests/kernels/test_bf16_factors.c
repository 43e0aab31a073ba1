/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Factors of products in bf16: what vectors write, words and floats, rows and columns,
 * is what gn2_bf16_factor() says of each number, of all signs, exponents and NaNs;
 * zeros fill the last vector, and nothing behind it is written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/kernels.h"
#include "kernels/product_bf16.h"
#include "util/rng.h"

enum { MOST = 100, VECTOR = 16, ROOM = MOST + 4 * VECTOR, STRIDE = 5 };
static const uint32_t untouched = 0xABABABABu;

typedef union number {
    float value;
    uint32_t bits;
} number;

/* Bits at random; a third of them with the exponent of zero or of NaN. */
static void fill(number *x, uint64_t key)
{
    for (uint64_t i = 0; i < MOST; i++) {
        x[i].bits = (uint32_t)gn2_rng_bits(key, i);
        if (i % 6 == 0) x[i].bits &= 0x807FFFFFu;
        if (i % 6 == 3) x[i].bits |= 0x7F800000u;
    }
}

/* Of place i, zero from `count` on. */
static uint32_t factor(const number *x, int64_t i, int64_t count)
{
    return i < count ? gn2_bf16_factor(x[i].value) : 0;
}

static uint32_t word(uint32_t low, uint32_t high)
{
    return low | high << 16;
}

static int64_t whole(int64_t count)
{
    return (count + VECTOR - 1) / VECTOR * VECTOR;
}

static void clear(number *to, int64_t count)
{
    for (int64_t i = 0; i < count; i++) to[i].bits = untouched;
}

static void check_row(const number *x, int64_t count)
{
    number to[ROOM];
    clear(to, ROOM);
    gn2_bf16_row_words(&to[0].value, &x[0].value, count);
    const int64_t words = whole((count + 1) / 2);
    for (int64_t i = 0; i < words; i++)
        assert_int_equal(to[i].bits,
                         word(factor(x, 2 * i, count), factor(x, 2 * i + 1, count)));
    assert_int_equal(to[words].bits, untouched);
}

static void check_column(const number *x, int64_t count)
{
    static number to[STRIDE * ROOM];
    clear(to, STRIDE * ROOM);
    gn2_bf16_column_words(&to[0].value, STRIDE, &x[0].value, count);
    for (int64_t i = 0; i < STRIDE * ROOM; i++) {
        const int64_t k = 2 * (i / STRIDE);
        const int is_written = i % STRIDE == 0 && k < count;
        assert_int_equal(to[i].bits,
                         is_written ? word(factor(x, k, count), factor(x, k + 1, count))
                                    : untouched);
    }
}

static void check_rows(const number *x, const number *y, int64_t count)
{
    number to[ROOM];
    clear(to, ROOM);
    gn2_bf16_rows_words(&to[0].value, &x[0].value, y ? &y[0].value : NULL, count);
    for (int64_t i = 0; i < whole(count); i++)
        assert_int_equal(to[i].bits,
                         word(factor(x, i, count), y ? factor(y, i, count) : 0));
    assert_int_equal(to[whole(count)].bits, untouched);
}

static void words_hold_the_factors(void **state)
{
    (void)state;
    if (gn2_bf16_detect() == GN2_BF16_NONE) skip();
    for (int64_t count = 1; count <= MOST; count++) {
        number x[MOST], y[MOST];
        fill(x, 2 * (uint64_t)count);
        fill(y, 2 * (uint64_t)count + 1);
        check_row(x, count);
        check_column(x, count);
        check_rows(x, y, count);
        check_rows(x, NULL, count);
    }
}

static void check_floats(const number *x, const number *y, int64_t count)
{
    number to[ROOM], rows[2][ROOM];
    gn2_bf16_row_floats(&to[0].value, &x[0].value, count);
    gn2_bf16_rows_floats(&rows[0][0].value, ROOM, &x[0].value, y ? &y[0].value : NULL,
                         count);
    for (int64_t i = 0; i < whole(count); i++) {
        assert_int_equal(to[i].bits, factor(x, i ^ 1, count) << 16);
        assert_int_equal(rows[0][i].bits, y ? factor(y, i, count) << 16 : 0);
        assert_int_equal(rows[1][i].bits, factor(x, i, count) << 16);
    }
}

static void floats_hold_the_factors(void **state)
{
    (void)state;
    if (gn2_isa_detect() < GN2_ISA_AVX512) skip();
    for (int64_t count = 1; count <= MOST; count++) {
        number x[MOST], y[MOST];
        fill(x, 2 * (uint64_t)count);
        fill(y, 2 * (uint64_t)count + 1);
        check_floats(x, y, count);
        check_floats(x, NULL, count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_hold_the_factors),
        cmocka_unit_test(floats_hold_the_factors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
