/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every allocation of a call fails once: the call is GN2_ERR_NO_MEMORY or does without,
 * nothing ends the process, and the next call has what it needs. This program's malloc
 * and friends take the place of the C library's. The dynamic loader and HDF5 do not
 * live through all of their own failing, so theirs do not; test_little_memory.c shows
 * how the library keeps them from it.
 */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include <errno.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <gn2/gn2.h>

#include "../common/labels.h"

/* ---- allocations of the whole process ---- */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
void *memalign(size_t alignment, size_t size);

static atomic_long seen;
static atomic_long victim = -1; /* −1: none fails */

/* Where calls come from that are let be. */
static struct {
    uintptr_t begin, end;
} spared[8];
static size_t spared_count;

static int is_spared(const char *file)
{
    static const char *const word[] = {"/ld-", "/libc.", "/libhdf5"};
    int found = 0;
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        found |= strstr(file, word[i]) != NULL;
    return found;
}

static int find_spared(struct dl_phdr_info *info, size_t size, void *user)
{
    (void)size;
    (void)user;
    if (!is_spared(info->dlpi_name) || spared_count == 8) return 0;
    uintptr_t end = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        const uintptr_t last = info->dlpi_addr + p->p_vaddr + p->p_memsz;
        if (p->p_type == PT_LOAD && last > end) end = last;
    }
    spared[spared_count].begin = info->dlpi_addr;
    spared[spared_count++].end = end;
    return 0;
}

static int fails(const void *caller)
{
    const uintptr_t from = (uintptr_t)caller;
    if (victim < 0) return 0;
    for (size_t i = 0; i < spared_count; i++)
        if (from >= spared[i].begin && from < spared[i].end) return 0;
    if (atomic_fetch_add(&seen, 1) != victim) return 0;
    errno = ENOMEM;
    return 1;
}

#define UNLESS_IT_FAILS(block) (fails(__builtin_return_address(0)) ? NULL : (block))

void *malloc(size_t size)
{
    return UNLESS_IT_FAILS(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return UNLESS_IT_FAILS(__libc_calloc(count, size));
}

void *realloc(void *block, size_t size)
{
    return UNLESS_IT_FAILS(__libc_realloc(block, size));
}

void *memalign(size_t alignment, size_t size)
{
    return UNLESS_IT_FAILS(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return UNLESS_IT_FAILS(__libc_memalign(alignment, size));
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    void *block = UNLESS_IT_FAILS(__libc_memalign(alignment, size));
    if (block) *out = block;
    return block ? 0 : ENOMEM;
}

/* A scene makes what it needs, and frees it whatever happens. With many allocations
 * not each of them fails. */
static void check_scene(gn2_status (*scene)(void))
{
    long n = 0, failed = 0;
    if (scene()) fail_msg("%s", gn2_last_error()); /* makes what is made once */
    spared_count = 0;
    dl_iterate_phdr(find_spared, NULL);
    for (;; n += 1 + n / 300) {
        seen = 0;
        victim = n;
        const gn2_status status = scene();
        victim = -1;
        if (status != GN2_OK && status != GN2_ERR_NO_MEMORY)
            fail_msg("allocation %ld: %s: %s", n, gn2_status_name(status),
                     gn2_last_error());
        failed += status != GN2_OK;
        if (seen <= n) break;
    }
    assert_true(failed > 10);
    assert_int_equal(GN2_OK, scene());
}

/* ---- jets ---- */

enum { JETS = 8, TRACKS = 3 };

static float features[JETS * 2], tracks[JETS * TRACKS * 19];
static int32_t flavour[JETS], origin[JETS * TRACKS], vertex[JETS * TRACKS];
static gn2_sequence sequence = {
    .struct_size = sizeof sequence, .data = tracks, .slots = TRACKS};
static const gn2_jets jets = {.struct_size = sizeof jets,
                              .sequence_count = 1,
                              .count = JETS,
                              .features = features,
                              .sequences = &sequence};
static const gn2_label label[] = {LABEL(LABEL_JETS, flavour),
                                  LABEL(LABEL_ORIGIN, origin),
                                  LABEL(LABEL_VERTEX, vertex)};
static const gn2_labels labels = LABELS(label);

static const char options[] =
    "model.embed_dim = 16\nmodel.num_heads = 2\nmodel.num_layers = 1\n"
    "model.init_hidden = 8\nmodel.out_dim = 8\nschedule.steps = 1000\n"
    "tagger.threads = 2\ntrain.threads = 2\ndata.batch_size = 100\n"
    "data.max_jets = 300\ndata.block_size = 100\ninput.unit_check = off\n";

#define TRY(expr)                       \
    do {                                \
        status = (expr);                \
        if (status != GN2_OK) goto out; \
    } while (0)

static gn2_config *config;
static gn2_model *model;

static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < JETS; i++) flavour[i] = i % 4;
    for (int i = 0; i < JETS * 2; i++) features[i] = 0.5f * (float)(i % 3);
    for (int i = 0; i < JETS * TRACKS * 19; i++) tracks[i] = 0.1f * (float)(i % 7);
    if (gn2_config_create(&config)) return -1;
    if (gn2_config_load_buffer(config, options, sizeof options - 1)) return -1;
    return gn2_model_create(config, &model) ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    gn2_model_free(model);
    gn2_config_free(config);
    return 0;
}

/* ---- scenes ---- */

static gn2_status make_a_config(void)
{
    gn2_config *c = NULL, *copy = NULL;
    gn2_status status;
    TRY(gn2_config_create(&c));
    TRY(gn2_config_load_buffer(c, options, sizeof options - 1));
    TRY(gn2_config_set_text(c, "norm.flows.mean", "1,2.5,-3"));
    TRY(gn2_config_copy(c, &copy));
out:
    gn2_config_free(copy);
    gn2_config_free(c);
    return status;
}

static gn2_status make_and_load_a_model(void)
{
    static char bytes[1 << 20];
    gn2_model *m = NULL, *back = NULL;
    size_t size;
    gn2_status status;
    TRY(gn2_model_create(config, &m));
    TRY(gn2_model_save_buffer(m, bytes, sizeof bytes, &size));
    TRY(gn2_model_load_buffer(bytes, size, &back));
out:
    gn2_model_free(back);
    gn2_model_free(m);
    return status;
}

static gn2_status tag_with(const gn2_config *c)
{
    gn2_model *m = NULL;
    gn2_tagger *tagger = NULL;
    float p[JETS * 4];
    gn2_status status;
    TRY(gn2_model_create(config, &m));
    TRY(gn2_tagger_create(m, c, &tagger));
    TRY(gn2_tagger_flavour(tagger, &jets, p, NULL));
out:
    gn2_tagger_free(tagger);
    gn2_model_free(m);
    return status;
}

static gn2_status tag(void)
{
    return tag_with(config);
}

static gn2_status train_a_step(void)
{
    gn2_trainer *trainer = NULL;
    gn2_model *trained = NULL;
    gn2_status status;
    TRY(gn2_trainer_create(model, config, &trainer));
    TRY(gn2_trainer_step(trainer, &jets, &labels, NULL));
    TRY(gn2_trainer_snapshot(trainer, &trained));
out:
    gn2_model_free(trained);
    gn2_trainer_free(trainer);
    return status;
}

/* A failure leaves the config as it was: without these. */
static gn2_status set_up(gn2_dataset *data, gn2_config *c)
{
    size_t means;
    const gn2_status status = gn2_dataset_setup(data, c);
    if (status != GN2_OK && gn2_config_get_count(c, "norm.jets.mean", &means) == GN2_OK)
        assert_int_equal(means, 0);
    return status;
}

static gn2_status read_a_dataset(void)
{
    static const char *const path[] = {TEST_DATA};
    gn2_config *c = NULL;
    gn2_dataset *data = NULL;
    gn2_jets batch = {.struct_size = sizeof batch};
    gn2_labels truth = {.struct_size = sizeof truth};
    gn2_status status;
    TRY(gn2_config_copy(config, &c));
    TRY(gn2_dataset_open(path, 1, c, &data));
    TRY(set_up(data, c));
    TRY(gn2_dataset_reset(data, 0, 0));
    TRY(gn2_dataset_next(data, &batch, &truth));
    TRY(gn2_dataset_next(data, &batch, &truth));
out:
    gn2_dataset_free(data);
    gn2_config_free(c);
    return status;
}

static gn2_status write_scores(void)
{
    static float p[100 * 4];
    char path[] = "/tmp/gn2-no-memory-XXXXXX.h5";
    gn2_score_writer *writer = NULL;
    gn2_status status;
    close(mkstemps(path, 3));
    TRY(gn2_score_writer_create(path, TEST_DATA, model, config, &writer));
    TRY(gn2_score_writer_add(writer, 100, p, NULL, NULL, NULL));
    TRY(gn2_score_writer_close(writer));
out:
    gn2_score_writer_free(writer);
    unlink(path);
    return status;
}

/* ---- tests ---- */

static void a_config_can_do_without(void **state)
{
    (void)state;
    check_scene(make_a_config);
}

static void a_model_can_do_without(void **state)
{
    (void)state;
    check_scene(make_and_load_a_model);
}

static void a_tagger_can_do_without(void **state)
{
    (void)state;
    check_scene(tag);
}

static void a_trainer_can_do_without(void **state)
{
    (void)state;
    check_scene(train_a_step);
}

static gn2_config *with_onednn;

static gn2_status tag_by_onednn(void)
{
    return tag_with(with_onednn);
}

static void a_tagger_with_onednn_can_do_without(void **state)
{
    (void)state;
    if (strstr(gn2_features(), "onednn=none")) skip(); /* built without it */
    assert_int_equal(GN2_OK, gn2_config_copy(config, &with_onednn));
    assert_int_equal(GN2_OK,
                     gn2_config_set_text(with_onednn, "compute.gemm", "onednn"));
    check_scene(tag_by_onednn);
    gn2_config_free(with_onednn);
}

static void a_dataset_can_do_without(void **state)
{
    (void)state;
    if (strstr(gn2_features(), "hdf5=none")) skip(); /* built without it */
    check_scene(read_a_dataset);
}

static void a_score_writer_can_do_without(void **state)
{
    (void)state;
    if (strstr(gn2_features(), "hdf5=none")) skip(); /* built without it */
    check_scene(write_scores);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_config_can_do_without),
        cmocka_unit_test(a_model_can_do_without),
        cmocka_unit_test(a_tagger_can_do_without),
        cmocka_unit_test(a_tagger_with_onednn_can_do_without),
        cmocka_unit_test(a_trainer_can_do_without),
        cmocka_unit_test(a_dataset_can_do_without),
        cmocka_unit_test(a_score_writer_can_do_without),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
