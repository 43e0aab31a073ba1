/* SPDX-License-Identifier: Apache-2.0 */
/* A child has the datasets of its parent, whatever a reading thread was doing. */
#include "score_case.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__)
#define THREADS_AFTER_FORK 0 /* ThreadSanitizer knows no threads made after a fork */
#else
#define THREADS_AFTER_FORK 1
#endif

/* Runs in a child, which is given `seconds`; its exit status. */
static int in_child(int (*run)(void *), void *context)
{
    int status = -1;
    const pid_t child = fork();
    if (child == 0) {
        alarm(20);
        exit(run(context)); /* by way of the handlers of HDF5 */
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* Read by one thread, and by several. */
static const char *read_threads = "1";

static gn2_dataset *open_busy(void)
{
    gn2_config *config =
        CONFIG("data.batch_size", "50", "data.block_size", "200", "data.blocks_mixed",
               "2", "data.prefetch", "30", "data.read_threads", read_threads);
    gn2_dataset *data = case_open(case_sample("jets_val.h5"), config);
    gn2_config_delete(config);
    return data;
}

static double sum_of(const gn2_jets *jets)
{
    double sum = 0;
    const int64_t tracks = jets->sequences[0].offsets[jets->count];
    for (int64_t i = 0; i < tracks; i++)
        sum += (double)jets->sequences[0].data[i * jets->sequences[0].row_stride];
    return sum;
}

typedef struct place {
    gn2_dataset *data;
    double next[3]; /* what the batches that follow add up to */
} place;

static int frees(void *context)
{
    gn2_dataset_free_impl(((place *)context)->data);
    return 0;
}

/* Without a reset: the child stands where its parent stood. */
static int goes_on(void *context)
{
    place *p = context;
    for (int i = 0; i < 3; i++) {
        gn2_jets jets;
        if (gn2_dataset_next_impl(p->data, &jets, NULL) != GN2_OK) return 1;
        if (sum_of(&jets) != p->next[i]) return 2;
    }
    return frees(context);
}

static int opens_another(void *context)
{
    gn2_jets jets;
    gn2_dataset *other = open_busy();
    if (gn2_dataset_next_impl(other, &jets, NULL) != GN2_OK) return 1;
    gn2_dataset_free_impl(other);
    (void)context;
    return 0;
}

/* A grandchild too. */
static int forks_again(void *context)
{
    const int status = in_child(goes_on, context);
    return status ? 3 : goes_on(context);
}

static void read_ahead(place *p)
{
    gn2_jets jets;
    p->data = open_busy();
    for (int i = 0; i < 4; i++) {
        MUST(gn2_dataset_next_impl(p->data, &jets, NULL));
        if (i > 0) p->next[i - 1] = sum_of(&jets);
    }
    MUST(gn2_dataset_reset_impl(p->data, 0, 0));
    MUST(gn2_dataset_next_impl(p->data, &jets, NULL));
}

static void fork_in_all_ways(void)
{
    static int (*const ways[])(void *) = {frees, goes_on, opens_another, forks_again};
    for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++)
        for (unsigned wait = 0; wait < 8; wait++) {
            place p;
            if (w > 0 && !THREADS_AFTER_FORK) continue;
            read_ahead(&p);
            nanosleep(&(struct timespec){.tv_nsec = wait * 211000},
                      NULL); /* the thread is somewhere else each time */
            const int status = in_child(ways[w], &p);
            if (status) print_error("way %zu, wait %u: status %x\n", w, wait, status);
            assert_int_equal(status, 0);
            assert_int_equal(frees(&p), 0);
        }
}

static void children_have_whole_datasets(void **state)
{
    (void)state;
    read_threads = "1";
    fork_in_all_ways();
}

static void children_of_several_threads_have_whole_datasets(void **state)
{
    (void)state;
    read_threads = "3";
    fork_in_all_ways();
}

/* ---- a score file ---- */

static int leaves_the_file_alone(void *context)
{
    gn2_score_writer *w = context;
    if (add(w, 10, 0, probabilities, NULL, NULL, NULL) != GN2_ERR_STATE) return 1;
    if (gn2_score_writer_close_impl(w) != GN2_ERR_STATE) return 2;
    if (!strstr(gn2_error_text(), "its child")) return 3;
    gn2_score_writer_free_impl(w);
    return 0;
}

static int only_ends(void *context)
{
    (void)context;
    return 0;
}

static void a_score_file_is_its_parents(void **state)
{
    (void)state;
    case_jets j = make_input();
    const char *path = case_file("parent.h5");
    gn2_model *model = MODEL("model.name", "GN2");
    gn2_score_writer *w = NULL;
    MUST(gn2_score_writer_create_impl(path, case_file("input.h5"), model, NULL, &w));
    for (int64_t i = 0; i < JETS; i += 50) {
        MUST(add(w, 50, 0, probabilities + 4 * i, NULL, NULL, NULL));
        assert_int_equal(in_child(leaves_the_file_alone, w), 0);
        assert_int_equal(in_child(only_ends, w), 0);
    }
    MUST(gn2_score_writer_close_impl(w));
    gn2_score_writer_free_impl(w);
    table t = open_table(path, "jets");
    for (int64_t i = 0; i < JETS; i++)
        assert_true((float)value(&t, "GN2_pb", i) == probabilities[4 * i]);
    close_table(&t);
    gn2_model_unref(model);
    case_jets_free(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_have_whole_datasets),
        cmocka_unit_test(children_of_several_threads_have_whole_datasets),
        cmocka_unit_test(a_score_file_is_its_parents),
    };
    return cmocka_run_group_tests(tests, NULL, case_clean);
}
