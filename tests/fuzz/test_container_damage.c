/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damage of every small kind to a valid container: whatever happens the parser
 * answers GN2_ERR_FORMAT or GN2_ERR_VERSION, and never accepts a changed byte.
 * Every input stands in a block of exactly its size, so that a sanitizer or
 * valgrind sees a read beyond it. `--make FOLDER` writes the corpus for libFuzzer;
 * file names as arguments are replayed.
 */
#include "../unit/unit.h"

#include <stdio.h>

#include "repair.h"
#include "sample.h"
#include "util/alloc.h"
#include "util/file.h"
#include "util/rng.h"

static unsigned char *sample;
static size_t sample_size;

static int make_sample(void **state)
{
    (void)state;
    return sample_container(&sample, &sample_size) != GN2_OK;
}

static int free_sample(void **state)
{
    (void)state;
    gn2_free(sample);
    return 0;
}

static int is_refusal(gn2_status status)
{
    return status == GN2_ERR_FORMAT || status == GN2_ERR_VERSION;
}

/* Status of the first `size` bytes of `data`, in a block of their own. */
static gn2_status read_copy(const unsigned char *data, size_t size)
{
    unsigned char *copy = test_malloc(size ? size : 1);
    memcpy(copy, data, size);
    const gn2_status status = read_everything(copy, size);
    test_free(copy);
    return status;
}

static void the_whole_is_accepted(void **state)
{
    (void)state;
    assert_ok(read_copy(sample, sample_size));
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    for (size_t size = 0; size < sample_size; size++)
        assert_status(GN2_ERR_FORMAT, read_copy(sample, size));
}

static void every_flipped_bit_is_refused(void **state)
{
    (void)state;
    unsigned char *copy = test_malloc(sample_size);
    for (size_t i = 0; i < 8 * sample_size; i++) {
        memcpy(copy, sample, sample_size);
        copy[i / 8] ^= (unsigned char)(1u << i % 8);
        const gn2_status status = read_everything(copy, sample_size);
        if (!is_refusal(status)) fail_msg("byte %zu bit %zu: %d", i / 8, i % 8, status);
    }
    test_free(copy);
}

static void every_replaced_byte_is_refused(void **state)
{
    (void)state;
    unsigned char *copy = test_malloc(sample_size);
    for (size_t i = 0; i < 256 * sample_size; i++) {
        const unsigned char byte = (unsigned char)(i % 256);
        if (sample[i / 256] == byte) continue;
        memcpy(copy, sample, sample_size);
        copy[i / 256] = byte;
        if (!is_refusal(read_everything(copy, sample_size)))
            fail_msg("byte %zu = %d", i / 256, byte);
    }
    test_free(copy);
}

static void bytes_behind_the_end_are_refused(void **state)
{
    (void)state;
    unsigned char *copy = test_calloc(sample_size + 64, 1);
    memcpy(copy, sample, sample_size);
    for (size_t more = 1; more <= 64; more++) {
        assert_status(GN2_ERR_FORMAT, read_everything(copy, sample_size + more));
        assert_message("bytes added");
    }
    test_free(copy);
}

/* With checksums put right the parser's own checks are all that is left. A changed
 * note or weight name may now be accepted; what counts is that nothing else than
 * acceptance or a refusal comes out, and no byte beyond the input is touched. */
static void repaired_damage_is_survived(void **state)
{
    (void)state;
    unsigned char *copy = test_malloc(sample_size);
    int accepted = 0, refused = 0;
    for (size_t i = 0; i < 256 * sample_size; i++) {
        memcpy(copy, sample, sample_size);
        copy[i / 256] = (unsigned char)(i % 256);
        repair_checksums(copy, sample_size);
        const gn2_status status = read_everything(copy, sample_size);
        if (status != GN2_OK && !is_refusal(status))
            fail_msg("byte %zu = %zu: %d %s", i / 256, i % 256, status,
                     gn2_error_text());
        accepted += status == GN2_OK;
        refused += status != GN2_OK;
    }
    /* both ways are taken, or the loop tests nothing */
    assert_true(accepted > 1000 && refused > 1000);
    test_free(copy);
}

static void repaired_random_damage_is_survived(void **state)
{
    (void)state;
    unsigned char *copy = test_malloc(sample_size);
    for (uint64_t try = 0; try < 20000; try++) {
        const uint64_t key = gn2_rng_key(1, try);
        const size_t size = (size_t)gn2_rng_below(key, 0, sample_size) + 1;
        memcpy(copy, sample, sample_size);
        for (uint64_t k = 0; k < 1 + try % 6; k++)
            copy[gn2_rng_below(key, 2 * k + 1, sample_size)] =
                (unsigned char)gn2_rng_bits(key, 2 * k + 2);
        repair_checksums(copy, size);
        const gn2_status status = read_copy(copy, size);
        if (status != GN2_OK && !is_refusal(status))
            fail_msg("try %d: %d %s", (int)try, status, gn2_error_text());
    }
    test_free(copy);
}

/* ---- corpus ---- */

static int make_corpus(const char *folder)
{
    char path[1024];
    const size_t sizes[] = {sample_size, sample_size / 2, 60, 12};
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/sample_%d", folder, i);
        if (gn2_file_write_atomic(path, sample, sizes[i]) != GN2_OK) return 1;
    }
    return 0;
}

static int replay(int count, char **paths)
{
    int failed = 0;
    for (int i = 0; i < count; i++) {
        unsigned char *data;
        size_t size;
        if (gn2_file_read(paths[i], (size_t)1 << 30, &data, &size) != GN2_OK) return 1;
        gn2_status status = read_copy(data, size);
        failed |= status != GN2_OK && !is_refusal(status);
        repair_checksums(data, size);
        status = read_copy(data, size);
        failed |= status != GN2_OK && !is_refusal(status);
        gn2_free(data);
    }
    return failed;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_is_accepted),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(every_replaced_byte_is_refused),
        cmocka_unit_test(bytes_behind_the_end_are_refused),
        cmocka_unit_test(repaired_damage_is_survived),
        cmocka_unit_test(repaired_random_damage_is_survived),
    };
    if (argc == 3 && strcmp(argv[1], "--make") == 0)
        return make_sample(NULL) || make_corpus(argv[2]);
    if (argc > 1) return replay(argc - 1, argv + 1);
    return cmocka_run_group_tests(tests, make_sample, free_sample);
}
