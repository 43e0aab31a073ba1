/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Front end of product.h: checks shapes, chooses a back end, keeps lanes. The
 * arithmetic is in product_ref.c, product_own*.c and the oneDNN module.
 */
#include "kernels/product.h"

#include <assert.h>
#include <stdatomic.h>

#include "kernels/product_backend.h"
#include "util/alloc.h"
#include "util/error.h"

#ifndef GN2_REAL_DOUBLE
#include "kernels/product_check.h"
#include "kernels/product_onednn.h"
#endif

/* 2^31 elements a matrix side: indices times sizes then fit 64 bits easily. */
#define MAX_SIDE INT64_C(0x7FFFFFFF)

/* State of one product in a lane; id 0 marks a free slot. */
typedef struct lane_slot {
    uint64_t id;
    const R(gn2_product_ops) *ops;
    void *state;
} lane_slot;

struct R(gn2_lane) {
    lane_slot *slots; /* open addressing by product id */
    size_t mask;      /* slots − 1, a power of two minus one */
    void *scratch;
    size_t bytes;
};

/* ---- products ---- */

static gn2_status fail_storage(void)
{
    return gn2_fail(GN2_ERR_UNSUPPORTED,
                    "weights in bf16 need the library's own float kernels: a processor "
                    "with AVX2, and neither compute.gemm = onednn nor compute.isa = "
                    "reference");
}

static gn2_status fail_arithmetic(void)
{
    return gn2_fail(
        GN2_ERR_UNSUPPORTED,
        "products in bf16 need a processor with AVX-512 and no lower compute.isa");
}

static void destroy_backend(R(gn2_product) *p)
{
    if (p->ops && p->ops->destroy) p->ops->destroy(p);
    gn2_free(p->packed);
    p->packed = NULL;
    p->data = NULL;
    p->bytes = 0;
}

#ifdef GN2_REAL_DOUBLE

static gn2_status create_backend(gn2_product_f64 *p, const gn2_product_options *options)
{
    if (options->storage != GN2_STORAGE_F32) return fail_storage();
    if (options->arithmetic != GN2_ARITHMETIC_F32) return fail_arithmetic();
    p->isa = GN2_ISA_REFERENCE;
    p->ops = &gn2_product_reference_f64;
    return p->ops->create(p);
}

#else

static const gn2_product_ops_f32 *own_ops(const gn2_product_f32 *p)
{
#ifdef GN2_X86
    if (p->isa > GN2_ISA_REFERENCE) return &gn2_product_own;
#endif
    (void)p;
    return &gn2_product_reference_f32;
}

/* Instead of a product whose rows depend on their number: our own, or, where that is
 * the reference, oneDNN row by row, which is about 1.5 times as fast. */
static gn2_status create_instead(gn2_product_f32 *p)
{
    const gn2_product_ops_f32 *onednn = p->ops;
    destroy_backend(p);
    p->arithmetic = GN2_ARITHMETIC_F32;
    p->ops = own_ops(p);
    if (p->ops == &gn2_product_reference_f32) {
        p->ops = onednn;
        p->max_rows = 1;
    }
    return p->ops->create(p);
}

/* oneDNN does not look whether it got the memory for the code it writes, 256 kB and
 * more for each of up to 32 primitives. */
#define ONEDNN_MEMORY ((size_t)32 << 20)

static gn2_status create_onednn(gn2_product_f32 *p)
{
    GN2_TRY(gn2_onednn_ops(&p->ops));
    if (!gn2_memory_at_hand(ONEDNN_MEMORY)) return gn2_fail_memory();
    GN2_TRY(p->ops->create(p));
    int agree = 1;
    if (!p->is_gradient) GN2_TRY(gn2_product_rows_agree(p, &agree));
    if (agree) return GN2_OK;
    if (p->arithmetic == GN2_ARITHMETIC_BF16)
        gn2_log_line(GN2_LOG_WARNING,
                     "oneDNN: rows of the product %lld -> %lld in bf16 depend on their "
                     "number; it is computed in f32",
                     (long long)p->k, (long long)p->n);
    return create_instead(p);
}

/* A product this narrow fills one tile of AMX at most, and takes no time worth saving;
 * at n = 9 to 16 rows of oneDNN 2.6.3 depend on their number there. */
#define NARROW 16

static int is_narrow(const gn2_product_f32 *p)
{
    return p->k <= NARROW || p->n <= NARROW;
}

/* Whoever multiplies bf16 does so for every number of rows. Tiles of AMX are oneDNN's
 * alone. */
static gn2_status take_bf16(gn2_product_f32 *p, const gn2_product_options *options,
                            int *out_onednn)
{
    gn2_bf16 have = GN2_BF16_NONE;
    if (options->backend == GN2_BACKEND_AUTO && gn2_bf16_detect() == GN2_BF16_AMX)
        GN2_TRY(gn2_onednn_bf16(&have));
    p->arithmetic = GN2_ARITHMETIC_BF16;
    *out_onednn = options->backend == GN2_BACKEND_ONEDNN || have == GN2_BF16_AMX;
#ifdef GN2_X86
    if (!*out_onednn) p->ops = &gn2_product_own_bf16;
#endif
    p->loop = options->loop;
    return GN2_OK;
}

/*
 * AUTO is the own kernels. Measured with bench_product (AVX-512, one busy core, best of
 * three runs, oneDNN 2.6.3, K 64 … 512, N 32 … 768): part of the FMA peak, and speed
 * relative to oneDNN, lowest and highest of the shapes:
 *      m      forward                      gradient
 *     10      79 … 91 %   1.26 … 4.7       42 … 70 %   0.90 … 4.7
 *    121      85 … 93 %   1.06 … 2.0       74 … 89 %   0.98 … 2.2
 *    128      84 … 95 %   0.99 … 1.2       77 … 85 %   0.87 … 1.4
 *    487      82 … 95 %   0.97 … 1.4       75 … 88 %   1.00 and more
 * oneDNN draws level where m is a large power of two, for which it has a primitive;
 * chunks of jets have any number of rows. It leads at 21 -> 256 with many rows (0.5 %
 * of the work) and in gradients over 8 or 16 rows of large matrices, which training
 * does not run. Besides, it allocates in every run and its bits change with its
 * version.
 */
static gn2_status create_backend(gn2_product_f32 *p, const gn2_product_options *options)
{
    const gn2_isa have = gn2_isa_detect();
    int onednn = options->backend == GN2_BACKEND_ONEDNN;
    p->isa = options->cap < have ? options->cap : have;
    p->storage = options->storage;
    p->ops = own_ops(p);
    if (p->storage != GN2_STORAGE_F32 &&
        (onednn || p->ops == &gn2_product_reference_f32))
        return fail_storage();
    if (options->arithmetic == GN2_ARITHMETIC_BF16) {
        if (p->isa < GN2_ISA_AVX512) return fail_arithmetic();
        if (!is_narrow(p)) GN2_TRY(take_bf16(p, options, &onednn));
    }
    return onednn ? create_onednn(p) : p->ops->create(p);
}

#endif

static uint64_t next_id(void)
{
    static atomic_uint_fast64_t last;
    return atomic_fetch_add(&last, 1) + 1;
}

static gn2_status check_shape(int64_t k, int64_t n)
{
    if (k >= 1 && n >= 1 && k <= MAX_SIDE && n <= MAX_SIDE) return GN2_OK;
    return gn2_fail(GN2_ERR_SHAPE,
                    "matrix product %lld -> %lld: sides must be 1 to 2^31",
                    (long long)k, (long long)n);
}

static gn2_status create(int64_t k, int64_t n, const gn2_product_options *options,
                         int is_gradient, R(gn2_product) **out_product)
{
    *out_product = NULL;
    GN2_TRY(check_shape(k, n));
    R(gn2_product) *p = gn2_alloc(1, sizeof *p);
    if (!p) return gn2_fail_memory();
    p->id = next_id();
    p->k = k;
    p->n = n;
    p->max_rows = options->max_rows > 0 ? options->max_rows : 1;
    p->is_gradient = is_gradient;
    const gn2_status status = create_backend(p, options);
    if (status != GN2_OK) {
        R(gn2_product_free)(p);
        return status;
    }
    *out_product = p;
    return GN2_OK;
}

gn2_status R(gn2_product_create)(int64_t k, int64_t n,
                                 const gn2_product_options *options,
                                 R(gn2_product) **out_product)
{
    return create(k, n, options, 0, out_product);
}

gn2_status R(gn2_product_create_tn)(int64_t k, int64_t n,
                                    const gn2_product_options *options,
                                    R(gn2_product) **out_product)
{
    return create(k, n, options, 1, out_product);
}

void R(gn2_product_free)(R(gn2_product) *product)
{
    if (!product) return;
    destroy_backend(product);
    gn2_free(product);
}

void R(gn2_product_pack)(R(gn2_product) *product, const real *src, int64_t ld,
                         int transposed)
{
    assert(!product->is_gradient);
    product->ops->pack(product, src, ld, transposed);
}

size_t R(gn2_product_bytes)(const R(gn2_product) *product)
{
    return sizeof *product + product->bytes;
}

/* ---- lanes ---- */

/* Slot of a product: its own, or the free one where it would go. */
static lane_slot *find_slot(const R(gn2_lane) *lane, uint64_t id)
{
    size_t i = id & lane->mask;
    while (lane->slots[i].id != id && lane->slots[i].id) i = (i + 1) & lane->mask;
    return &lane->slots[i];
}

static gn2_status add_product(R(gn2_lane) *lane, const R(gn2_product) *p)
{
    lane_slot *slot = find_slot(lane, p->id);
    if (slot->id) return GN2_OK;
    size_t bytes = 0;
    if (p->ops->lane_open) GN2_TRY(p->ops->lane_open(p, &slot->state, &bytes));
    slot->id = p->id;
    slot->ops = p->ops;
    lane->bytes += bytes;
    return GN2_OK;
}

static size_t largest_scratch(R(gn2_product) *const *products, size_t count)
{
    size_t most = 0;
    for (size_t i = 0; i < count; i++) {
        const R(gn2_product) *p = products[i];
        const size_t bytes = p->ops->scratch ? p->ops->scratch(p) : 0;
        if (bytes > most) most = bytes;
    }
    return most;
}

/* Twice as many slots as products, so that a search stays short and ends. */
static gn2_status allocate_lane(R(gn2_lane) *lane, size_t count, size_t scratch)
{
    size_t slots = 2;
    while (slots < 2 * count) slots *= 2;
    lane->mask = slots - 1;
    lane->slots = gn2_alloc(slots, sizeof *lane->slots);
    lane->scratch = gn2_alloc(scratch, 1);
    if (!lane->slots || !lane->scratch) return gn2_fail_memory();
    lane->bytes = sizeof *lane + slots * sizeof *lane->slots + scratch;
    return GN2_OK;
}

gn2_status R(gn2_lane_create)(R(gn2_product) *const *products, size_t count,
                              R(gn2_lane) **out_lane)
{
    *out_lane = NULL;
    R(gn2_lane) *lane = gn2_alloc(1, sizeof *lane);
    if (!lane) return gn2_fail_memory();
    gn2_status status;
    GN2_TRY_GOTO(allocate_lane(lane, count, largest_scratch(products, count)));
    for (size_t i = 0; i < count; i++) GN2_TRY_GOTO(add_product(lane, products[i]));
    *out_lane = lane;
    return GN2_OK;
fail:
    R(gn2_lane_free)(lane);
    return status;
}

void R(gn2_lane_free)(R(gn2_lane) *lane)
{
    if (!lane) return;
    for (size_t i = 0; lane->slots && i <= lane->mask; i++) {
        const lane_slot *slot = &lane->slots[i];
        if (slot->id && slot->ops->lane_close) slot->ops->lane_close(slot->state);
    }
    gn2_free(lane->slots);
    gn2_free(lane->scratch);
    gn2_free(lane);
}

size_t R(gn2_lane_bytes)(const R(gn2_lane) *lane)
{
    return lane->bytes;
}

/* ---- running ---- */

static R(gn2_lane_view) view(const R(gn2_product) *product, const R(gn2_lane) *lane)
{
    const lane_slot *slot = find_slot(lane, product->id);
    assert(slot->id && "the product is not in the lane's list");
    return (R(gn2_lane_view)){slot->state, lane->scratch};
}

void R(gn2_product_run)(const R(gn2_product) *product, R(gn2_lane) *lane,
                        const R(gn2_mul_args) *args)
{
    assert(!product->is_gradient);
    if (args->m > 0) product->ops->run(product, view(product, lane), args);
}

void R(gn2_product_run_tn)(const R(gn2_product) *product, R(gn2_lane) *lane, real *c,
                           int64_t ldc, const real *a, int64_t lda, const real *b,
                           int64_t ldb, int64_t m)
{
    assert(product->is_gradient);
    const R(gn2_tn_args) args = {c, ldc, a, lda, b, ldb, m};
    if (m > 0) product->ops->run_tn(product, view(product, lane), &args);
}
