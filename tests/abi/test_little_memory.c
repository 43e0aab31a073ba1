/* SPDX-License-Identifier: Apache-2.0 */
/* A process with hardly any memory left tags, or is told so: with every limit of its
 * address space from none to plenty, with own kernels and with oneDNN, which by itself
 * writes to memory that it did not get. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <gn2/gn2.h>

enum { JETS = 8, TRACKS = 3, OTHER = 100 };

static float features[JETS * 2], tracks[JETS * TRACKS * 19];
static gn2_sequence sequence = {
    .struct_size = sizeof sequence, .data = tracks, .slots = TRACKS};
static const gn2_jets jets = {.struct_size = sizeof jets,
                              .sequence_count = 1,
                              .count = JETS,
                              .features = features,
                              .sequences = &sequence};

static gn2_config *config_with(const char *gemm)
{
    gn2_config *c = NULL;
    if (gn2_config_create(&c)) return NULL;
    const gn2_status failed = gn2_config_set_text(c, "compute.gemm", gemm) ||
                              gn2_config_set_text(c, "model.embed_dim", "16") ||
                              gn2_config_set_text(c, "model.num_layers", "1");
    return failed ? NULL : c;
}

/* Leaves the process so many bytes of address space to take. */
static int leave(size_t bytes)
{
    long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file) return 0;
    const int found = fscanf(file, "%lld", &pages) == 1;
    fclose(file);
    const rlim_t used = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
    const struct rlimit limit = {used + bytes, RLIM_INFINITY};
    return found && setrlimit(RLIMIT_AS, &limit) == 0;
}

static int tag(const char *gemm, size_t bytes)
{
    static float p[JETS * 4];
    gn2_model *model = NULL;
    gn2_tagger *tagger = NULL;
    gn2_config *c = config_with(gemm);
    if (!c || !leave(bytes)) return OTHER;
    gn2_status status = gn2_model_create(c, &model);
    if (!status) status = gn2_tagger_create(model, c, &tagger);
    if (!status) status = gn2_tagger_flavour(tagger, &jets, p, NULL);
    gn2_tagger_free(tagger);
    gn2_model_free(model);
    gn2_config_free(c);
    return status == GN2_OK ? 0 : status == GN2_ERR_NO_MEMORY ? 1 : OTHER;
}

/* 1 if it was told so, 0 if it tagged. */
static int in_a_child(const char *gemm, size_t bytes)
{
    int status = 0;
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) _exit(tag(gemm, bytes));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
        fail_msg("%s, %zu kB left: status %x", gemm, bytes >> 10, (unsigned)status);
    return WEXITSTATUS(status);
}

static void check(const char *gemm, size_t most, size_t step)
{
    int told = 0;
    for (size_t bytes = 0; bytes < most; bytes += step) told += in_a_child(gemm, bytes);
    assert_true(told > 1);
    assert_int_equal(in_a_child(gemm, (size_t)1 << 30), 0);
}

static void own_kernels_tell_it(void **state)
{
    (void)state;
    check("own", (size_t)4 << 20, (size_t)100 << 10);
}

static void onednn_is_kept_from_it(void **state)
{
    (void)state;
    if (strstr(gn2_features(), "onednn=none")) skip(); /* built without it */
    check("onednn", (size_t)200 << 20, (size_t)3300 << 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_kernels_tell_it),
        cmocka_unit_test(onednn_is_kept_from_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
