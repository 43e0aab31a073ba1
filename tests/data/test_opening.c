/* SPDX-License-Identifier: Apache-2.0 */
/* Whoever watches an opening is told how far it is and ends it where he likes. */
#include "data_case.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#define FILES 5
#define JETS 1000 /* a file */

/* What a callback was told, and when it has enough. */
typedef struct told {
    gn2_opening last;
    int64_t calls, file_steps, jet_steps;
    int64_t files_enough, jets_enough; /* -1: never */
    int back;                          /* it went backwards, or past its end */
} told;

static int32_t note(void *user, const gn2_opening *opening)
{
    told *t = user;
    t->back |= opening->files < t->last.files || opening->jets < t->last.jets;
    t->back |= opening->files > opening->file_count;
    t->back |= opening->jets > opening->jet_count;
    t->file_steps += opening->files > t->last.files;
    t->jet_steps += opening->jets > t->last.jets;
    t->last = *opening;
    t->calls++;
    if (opening->jet_count)
        return t->jets_enough >= 0 && opening->jets >= t->jets_enough;
    return t->files_enough >= 0 && opening->files >= t->files_enough;
}

static const char *paths[FILES];

static int make_files(void **state)
{
    (void)state;
    for (int i = 0; i < FILES; i++) {
        char name[32];
        snprintf(name, sizeof name, "%d.h5", i);
        case_jets jets = case_jets_make(JETS, 3);
        paths[i] = case_file(name);
        case_jets_write(&jets, paths[i]);
        case_jets_free(&jets);
    }
    return 0;
}

static gn2_status open_watched(const gn2_config *config, told *t, gn2_dataset **out)
{
    gn2_opening_watch watch = {.fn = note, .user = t};
    return gn2_dataset_watched_impl(paths, FILES, config, &watch, out);
}

static int open_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;
    if (!folder) return 0;
    while (readdir(folder)) count++;
    closedir(folder);
    return count;
}

static void test_every_file_is_told_of(void **state)
{
    (void)state;
    told t = {.files_enough = -1, .jets_enough = -1};
    gn2_dataset *data = NULL;
    gn2_config *config = CONFIG(SMALL_INPUTS);
    MUST(open_watched(config, &t, &data));
    assert_int_equal(t.last.struct_size, sizeof t.last);
    assert_int_equal(t.last.files, FILES);
    assert_int_equal(t.last.file_count, FILES);
    assert_int_equal(t.file_steps, FILES);
    assert_int_equal(t.calls, FILES + 1);
    assert_int_equal(t.last.jet_count, 0);
    assert_false(t.back);
    gn2_dataset_free_impl(data);
    gn2_config_delete(config);
}

static void test_a_selection_is_told_of_as_well(void **state)
{
    (void)state;
    told t = {.files_enough = -1, .jets_enough = -1};
    gn2_dataset *data = NULL;
    gn2_config *config = CONFIG(SMALL_INPUTS, "data.selection", "pt_btagJes < 1500");
    MUST(open_watched(config, &t, &data));
    assert_int_equal(t.last.jet_count, FILES * JETS);
    assert_int_equal(t.last.jets, FILES * JETS);
    assert_int_equal(t.jet_steps, FILES);
    assert_false(t.back);
    gn2_dataset_free_impl(data);
    gn2_config_delete(config);
}

/* Also where there is nothing to select from, and between the pieces of one file. */
static void test_it_ends_where_it_is_told_to(void **state)
{
    (void)state;
    gn2_config *plain = CONFIG(SMALL_INPUTS);
    gn2_config *config = CONFIG(SMALL_INPUTS, "data.selection", "pt_btagJes < 1500");
    gn2_dataset *data = NULL;
    const int before = open_descriptors();
    for (int64_t enough = 0; enough <= FILES; enough++) {
        told t = {.files_enough = enough, .jets_enough = -1};
        char words[64];
        snprintf(words, sizeof words, "after %d of %d files", (int)enough, FILES);
        FAILS(open_watched(plain, &t, &data), GN2_ERR_CANCELLED, words);
        assert_int_equal(t.calls, enough + 1); /* not asked again */
        assert_null(data);
    }
    for (int64_t enough = 0; enough <= FILES * JETS; enough += JETS) {
        told t = {.files_enough = -1, .jets_enough = enough};
        char words[64];
        snprintf(words, sizeof words, "after %d of %d jets", (int)enough, FILES * JETS);
        FAILS(open_watched(config, &t, &data), GN2_ERR_CANCELLED, words,
              "data.selection");
        assert_int_equal(t.last.jets, enough);
        assert_null(data);
    }
    assert_int_equal(open_descriptors(), before);
    gn2_config_delete(plain);
    gn2_config_delete(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_file_is_told_of),
        cmocka_unit_test(test_a_selection_is_told_of_as_well),
        cmocka_unit_test(test_it_ends_where_it_is_told_to),
    };
    return cmocka_run_group_tests(tests, make_files, case_clean);
}
