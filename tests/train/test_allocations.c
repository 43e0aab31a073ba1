/* SPDX-License-Identifier: Apache-2.0 */
/* A step allocates nothing once the largest batch has been seen, and memory is what
 * the trainer says. Linked with --wrap, so every allocation of the library passes
 * through here. */
#include <stdatomic.h>
#include <stdlib.h>

#include "toy.h"
#include "util/alloc.h"

static atomic_long calls;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **out, size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **out, size_t alignment, size_t size);

void *__wrap_malloc(size_t size)
{
    atomic_fetch_add(&calls, 1);
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    atomic_fetch_add(&calls, 1);
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size)
{
    atomic_fetch_add(&calls, 1);
    return __real_realloc(block, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    atomic_fetch_add(&calls, 1);
    return __real_aligned_alloc(alignment, size);
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t size)
{
    atomic_fetch_add(&calls, 1);
    return __real_posix_memalign(out, alignment, size);
}

static void the_counter_counts(void **state)
{
    const long before = atomic_load(&calls);
    (void)state;
    gn2_free(gn2_alloc(1, 1));
    assert_true(atomic_load(&calls) > before);
}

static void check_steps(const char *const *options)
{
    toy *data = toy_create(200, 41);
    gn2_trainer *t = toy_trainer_of(options);
    gn2_step_stats stats;
    assert_ok(gn2_train_step(t, &data->jets, &data->labels, &stats)); /* threads */
    const size_t memory = gn2_train_memory(t);
    const long before = atomic_load(&calls);
    for (int k = 0; k < 40; k++)
        assert_ok(gn2_train_step(t, &data->jets, &data->labels, &stats));
    assert_int_equal(atomic_load(&calls), before);
    assert_int_equal(gn2_train_memory(t), memory);
    gn2_train_delete(t);
    toy_free(data);
}

static void steps_allocate_nothing(void **state)
{
    (void)state;
    check_steps(OPTIONS("train.threads=1"));
    check_steps(OPTIONS("train.threads=2", "model.dropout_ffn=0.1"));
    check_steps(OPTIONS("optim.name=sgd", "optim.clip_norm=1"));
    check_steps(OPTIONS("train.probe_updates=yes"));
}

/* Batches of all sizes and multiplicities below the first. */
static void smaller_batches_allocate_nothing(void **state)
{
    toy *data = toy_create(200, 42);
    gn2_trainer *t = toy_trainer_of(OPTIONS("train.threads=2"));
    toy batch[40];
    (void)state;
    assert_ok(gn2_train_step(t, &data->jets, &data->labels, NULL));
    for (int k = 0; k < 40; k++) toy_batch(data, 4 * k, 1 + k, &batch[k]);
    const long before = atomic_load(&calls);
    for (int k = 0; k < 40; k++)
        assert_ok(gn2_train_step(t, &batch[k].jets, &batch[k].labels, NULL));
    assert_int_equal(atomic_load(&calls), before);
    for (int k = 0; k < 40; k++) gn2_free(batch[k].offsets);
    gn2_train_delete(t);
    toy_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_counter_counts),
        cmocka_unit_test(steps_allocate_nothing),
        cmocka_unit_test(smaller_batches_allocate_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
