/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tagger holds is what it says, and a call that is no larger than one before
 * allocates nothing. This program's malloc and friends take the place of the C
 * library's in every library of the process, and count.
 */
#include "scene.h"

#include <malloc.h>
#include <stdatomic.h>
#include <unistd.h>

/* ---- allocations of the whole process ---- */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
void *memalign(size_t alignment, size_t size);

static atomic_long allocations;

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    allocations++;
    return __libc_realloc(block, size);
}

void *memalign(size_t alignment, size_t size)
{
    allocations++;
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    allocations++;
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    allocations++;
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : 12;
}

static void test_the_counter_counts(void **state)
{
    (void)state;
    const long before = allocations;
    gn2_model *model = small_model();
    assert_true(allocations > before + 20);
    gn2_model_free(model);
}

/* ---- calls ---- */

/* Every output of calls with the same number of jets and the same largest jet, but
 * with other multiplicities. */
static void check_no_allocation(int64_t threads, layout lay)
{
    gn2_model *model = small_model();
    gn2_tagger *tagger = tagger_with(model, threads);
    int64_t n[200];
    uint64_t seed = 61;
    for (int round = 0; round < 6; round++) {
        for (int b = 0; b < 200; b++)
            n[b] = round == 0 ? (b == 0 ? 40 : 3) : (int64_t)(draw(&seed) % 41);
        sample *jets = sample_new(200, n, (uint64_t)round);
        input *in = input_new(jets, NULL, 200, lay);
        result *scores = result_of(tagger, in); /* allocates for the results */
        gn2_output out[OUTPUTS];
        memset(out, 0, sizeof out);
        for (int i = 0; i < OUTPUTS; i++) {
            out[i].struct_size = sizeof out[i];
            must(gn2_tagger_output(tagger, output_names[i], &out[i].id));
            out[i].data = scores->data[i];
            out[i].capacity = scores->rows[i];
        }
        const long before = allocations;
        const gn2_status status = gn2_tagger_run(tagger, &in->jets, out, OUTPUTS);
        const long after = allocations;
        assert_int_equal(status, GN2_OK);
        assert_int_equal(after - before, 0);
        result_free(scores);
        input_free(in);
        sample_free(jets);
    }
    gn2_tagger_free(tagger);
    gn2_model_free(model);
}

/* Only the first call of all may allocate, whatever the multiplicities. */
static void test_later_calls_allocate_nothing(void **state)
{
    (void)state;
    gn2_model *model = small_model();
    gn2_tagger *tagger = tagger_with(model, 1);
    float p[800], d_b[200];
    uint64_t seed = 62;
    for (int round = 0; round < 20; round++) {
        int64_t n[200];
        for (int b = 0; b < 200; b++)
            n[b] = round < 2 ? 40 * (b == 0) : (int64_t)(draw(&seed) % 41);
        sample *jets = sample_new(200, n, (uint64_t)round);
        input *in = input_new(jets, NULL, 200, (layout){.slots = round % 2 ? 40 : 0});
        const long before = allocations;
        const gn2_status status = gn2_tagger_flavour(tagger, &in->jets, p, d_b);
        const long after = allocations;
        assert_int_equal(status, GN2_OK);
        if (round > 1) assert_int_equal(after - before, 0); /* 1: first padded call */
        input_free(in);
        sample_free(jets);
    }
    gn2_tagger_free(tagger);
    gn2_model_free(model);
}

static void test_a_call_allocates_nothing(void **state)
{
    (void)state;
    check_no_allocation(1, (layout){0});
    check_no_allocation(1, (layout){.slots = 40, .holes = 1});
    check_no_allocation(3, (layout){0});
}

/* ---- planned and held ---- */

static void check_workspace(gn2_model *model, int64_t threads, int64_t count,
                            int64_t most)
{
    gn2_tagger *tagger = tagger_with(model, threads);
    int64_t *n = calloc((size_t)count + 1, sizeof *n);
    size_t planned = 0;
    for (int64_t b = 0; b < count; b++) n[b] = b % (most + 1);
    if (count) n[count - 1] = most;
    sample *jets = sample_new(count, n, 63);
    input *in = input_new(jets, NULL, count, (layout){0});
    assert_int_equal(gn2_tagger_memory(tagger), 0);
    must(gn2_tagger_workspace_size(tagger, count, most, &planned));
    result_free(result_of(tagger, in));
    assert_true(planned > 0);
    assert_int_equal(gn2_tagger_memory(tagger), planned);
    result_free(result_of(tagger, in));
    assert_int_equal(gn2_tagger_memory(tagger), planned);
    input_free(in);
    sample_free(jets);
    free(n);
    gn2_tagger_free(tagger);
}

static void test_the_plan_is_exact(void **state)
{
    (void)state;
    gn2_model *model = small_model();
    const int64_t sizes[][2] = {{1, 0}, {1, 1}, {1, 40}, {7, 3}, {1000, 40}, {20, 500}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int64_t threads = 1; threads <= 3; threads++)
            check_workspace(model, threads, sizes[i][0], sizes[i][1]);
    assert_int_equal(gn2_tagger_memory(NULL), 0);
    gn2_model_free(model);
}

/* ---- gradients ---- */

static const char *const gradient_names[] = {
    "jets.D_b_gradient",
    "tracks.D_b_gradient",
    "jets.D_c_gradient",
    "tracks.D_tau_gradient",
};
#define ASKED (sizeof gradient_names / sizeof *gradient_names)

/* Blocks of the process in use, in bytes. */
static size_t in_use(void)
{
    const struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

/* Bytes that the first call with gradients takes; *out_held: those it is said to hold.
 * The same call again allocates nothing. */
static size_t taken_by_gradients(gn2_model *model, int64_t threads, size_t *out_held)
{
    gn2_tagger *tagger = tagger_with(model, threads);
    sample *jets = sample_new(200, NULL, 66);
    input *in = input_new(jets, NULL, 200, (layout){0});
    const int64_t rows = rows_of(in, ORIGIN);
    float *data = malloc((size_t)rows * TRACK_INPUTS * sizeof *data);
    gn2_output out[ASKED];
    for (size_t i = 0; i < ASKED; i++)
        out[i] = output_named(tagger, gradient_names[i], data, i % 2 ? rows : 200);
    result_free(result_of(tagger, in));
    const size_t held = gn2_tagger_memory(tagger), before = in_use();
    must(gn2_tagger_run(tagger, &in->jets, out, ASKED));
    const size_t taken = in_use() - before;
    *out_held = gn2_tagger_memory(tagger) - held;
    const long calls = allocations;
    const gn2_status status = gn2_tagger_run(tagger, &in->jets, out, ASKED);
    assert_int_equal(allocations - calls, 0);
    must(status);
    free(data);
    input_free(in);
    sample_free(jets);
    gn2_tagger_free(tagger);
    return taken;
}

/* Of two more workers: threads, lists of layers, what malloc() rounds up. Their
 * gradients of the weights are three times as many bytes. */
#define UNCOUNTED 65536

/* The packed network is not scratch, and the same for any number of workers; what more
 * workers take is. */
static void test_scratch_of_gradients_is_counted(void **state)
{
    (void)state;
    gn2_model *model = small_model();
    size_t held_by_one, held_by_three;
    const size_t one = taken_by_gradients(model, 1, &held_by_one);
    const size_t three = taken_by_gradients(model, 3, &held_by_three);
    print_message("two more workers take %zu bytes, hold %zu\n", three - one,
                  held_by_three - held_by_one);
    assert_int_equal(held_by_three, 3 * held_by_one);
    assert_true(held_by_three - held_by_one <= three - one);
    assert_true(three - one - (held_by_three - held_by_one) < UNCOUNTED);
    gn2_model_free(model);
}

/* ---- a long run ---- */

#define LONG_RUN 1000000

static int64_t resident_pages(void)
{
    long long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file) return 0;
    if (fscanf(file, "%lld %lld", &size, &resident) != 2) resident = 0;
    fclose(file);
    return resident;
}

static gn2_model *tiny_model(void)
{
    gn2_config *config = small_config();
    must(gn2_config_set_text(config, "model.embed_dim", "8"));
    must(gn2_config_set_text(config, "model.num_layers", "1"));
    must(gn2_config_set_text(config, "model.num_heads", "1"));
    must(gn2_config_set_text(config, "model.init_hidden", "8"));
    must(gn2_config_set_text(config, "model.out_dim", "8"));
    must(gn2_config_set_text(config, "task.jets_classification.hidden", "8"));
    return model_of(config);
}

/* Calls of random size on random parts of a pool of jets. */
static void test_a_million_jets_leave_no_trace(void **state)
{
    (void)state;
    if (resident_pages() == 0) skip(); /* no /proc to read the resident size from */
    enum { POOL = 20000, MOST = 2000 };
    static float p[4 * MOST], d_b[MOST];
    static int64_t offsets[MOST + 1];
    gn2_model *model = tiny_model();
    gn2_tagger *tagger = tagger_with(model, 1);
    sample *pool = sample_new(POOL, NULL, 64);
    uint64_t seed = 65;
    int64_t done = 0, early = 0;
    while (done < LONG_RUN) {
        const int64_t count = 1 + (int64_t)(draw(&seed) % MOST);
        const int64_t first = (int64_t)(draw(&seed) % (uint64_t)(POOL - count));
        for (int64_t b = 0; b <= count; b++)
            offsets[b] = pool->offset[first + b] - pool->offset[first];
        const gn2_sequence tracks = {
            .struct_size = sizeof tracks,
            .data = pool->tracks + pool->offset[first] * TRACK_INPUTS,
            .offsets = offsets,
        };
        const gn2_jets jets = {.struct_size = sizeof jets,
                               .sequence_count = 1,
                               .count = count,
                               .features = pool->features + first * JET_INPUTS,
                               .sequences = &tracks};
        must(gn2_tagger_flavour(tagger, &jets, p, d_b));
        done += count;
        if (!early && done >= LONG_RUN / 10) early = resident_pages();
    }
    const int64_t late = resident_pages();
    print_message("resident: %lld pages after a tenth, %lld at the end\n",
                  (long long)early, (long long)late);
    assert_true(late * 100 <= early * 101);
    sample_free(pool);
    gn2_tagger_free(tagger);
    gn2_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_counter_counts),
        cmocka_unit_test(test_a_call_allocates_nothing),
        cmocka_unit_test(test_later_calls_allocate_nothing),
        cmocka_unit_test(test_the_plan_is_exact),
        cmocka_unit_test(test_scratch_of_gradients_is_counted),
        cmocka_unit_test(test_a_million_jets_leave_no_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
