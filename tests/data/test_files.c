/* SPDX-License-Identifier: Apache-2.0 */
/* What cannot be opened is said for what it is; what cannot be written harms nobody. */
#define _GNU_SOURCE /* flock() */
#include "score_case.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static gn2_status open_file(const char *path)
{
    gn2_h5_file *file = NULL;
    const gn2_status status = gn2_h5_file_open(path, &file);
    if (status == GN2_OK) MUST(gn2_h5_file_close(file));
    return status;
}

static int says_damaged(void)
{
    return strstr(gn2_error_text(), "damaged") != NULL;
}

static void only_regular_files_are_opened(void **state)
{
    (void)state;
    const char *folder = case_file("folder"), *pipe = case_file("pipe");
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    FAILS(open_file(folder), GN2_ERR_IO, folder, "it is a folder");
    FAILS(open_file(pipe), GN2_ERR_IO, pipe, "it is a pipe"); /* and returns */
    FAILS(open_file("/dev/null"), GN2_ERR_IO, "/dev/null", "it is a device");
    assert_false(says_damaged());
}

static void what_is_not_there_is_not_damaged(void **state)
{
    (void)state;
    const char *link = case_file("link.h5"), *empty = case_file("empty.h5");
    assert_int_equal(symlink("nowhere.h5", link), 0);
    FAILS(open_file(link), GN2_ERR_NOT_FOUND, link, "link to a file that is not there");
    FAILS(open_file("no.h5"), GN2_ERR_NOT_FOUND, "no.h5", "No such file");
    case_write_text(empty, "");
    FAILS(open_file(empty), GN2_ERR_FORMAT, empty, "empty");
    const char *text = case_file("text.h5");
    case_write_text(text, "pt,eta\n1,2\n");
    FAILS(open_file(text), GN2_ERR_FORMAT, text, "not a HDF5 file");
    assert_false(says_damaged());
    if (geteuid() == 0) return; /* root may read everything */
    assert_int_equal(chmod(text, 0), 0);
    FAILS(open_file(text), GN2_ERR_IO, text, "Permission denied");
}

/* The head of a file as HDF5 leaves it in the newest format while someone writes. */
static void write_head(const char *path, int marks)
{
    char head[64] = "\211HDF\r\n\032\n\003\010\010";
    head[11] = (char)marks;
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(head, sizeof head, 1, file), 1);
    assert_int_equal(fclose(file), 0);
}

static void a_file_left_open_by_its_writer_is_told_so(void **state)
{
    (void)state;
    const char *path = case_file("left.h5");
    write_head(path, 1);
    FAILS(open_file(path), GN2_ERR_IO, path, "open for writing; ", "h5clear -s");
    write_head(path, 5);
    FAILS(open_file(path), GN2_ERR_IO, path, "open for writing (SWMR)", "h5clear -s");
    assert_false(says_damaged());
    write_head(path, 0);
    FAILS(open_file(path), GN2_ERR_FORMAT, path, "damaged");
    const int writer = open(path, O_RDWR);
    assert_int_equal(flock(writer, LOCK_EX), 0);
    FAILS(open_file(path), GN2_ERR_IO, path, "in this or another process");
    assert_false(says_damaged());
    close(writer);
}

/* ---- a full disk ---- */

/* Writes scores while files may have `most` bytes; 0: it went as it should. */
static int write_limited(rlim_t most)
{
    const struct rlimit limit = {most, most};
    gn2_model *model = MODEL("model.name", "GN2");
    gn2_config *config =
        CONFIG("scores.write_tracks", "yes", "scores.track_fields", "d0");
    gn2_score_writer *w = NULL;
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 2;
    gn2_status status = gn2_score_writer_create_impl(
        case_file("full.h5"), case_file("input.h5"), model, config, &w);
    for (int64_t i = 0; i < JETS && status == GN2_OK; i += 50)
        status = add(w, 50, 50 * SLOTS, probabilities + 4 * i, NULL,
                     origin + i * SLOTS * ORIGINS, vertex + i * SLOTS);
    if (status == GN2_OK) status = gn2_score_writer_close_impl(w);
    if (status != GN2_ERR_IO) return 3;
    if (!strstr(gn2_error_text(), "File too large")) return 4;
    if (strchr(gn2_error_text(), '\n')) return 5;
    gn2_score_writer_free_impl(w);
    gn2_config_delete(config);
    gn2_model_unref(model);
    /* HDF5 goes on with other files */
    return open_file(case_file("input.h5")) == GN2_OK ? 0 : 6;
}

static void a_full_disk_is_an_error_and_nothing_else(void **state)
{
    (void)state;
    case_jets j = make_input();
    /* at once, among the rows, when the file is closed */
    static const rlim_t limits[] = {0, 100, 3000, 9000, 12000};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        const pid_t child = fork();
        if (child == 0) exit(write_limited(limits[i])); /* HDF5 tidies up at exit */
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        if (status) print_error("%d bytes: status %x\n", (int)limits[i], status);
        assert_int_equal(status, 0);
    }
    assert_int_not_equal(access(case_file("full.h5"), F_OK), 0);
    case_jets_free(&j);
}

/* HDF5 keeps the fields of a table in one message of 64 kB. */
static void hdf5_says_why_a_table_cannot_be_made(void **state)
{
    enum { FIELDS = 2000 };
    static char names[FIELDS][32];
    static gn2_h5_field fields[FIELDS];
    (void)state;
    for (size_t i = 0; i < FIELDS; i++) {
        snprintf(names[i], sizeof names[i], "one_of_many_fields_%zu", i);
        fields[i] = (gn2_h5_field){.name = names[i], .kind = GN2_H5_FLOAT, .size = 4};
    }
    const gn2_h5_layout layout = {.rank = 1,
                                  .slots = 1,
                                  .chunk_rows = 10,
                                  .field_count = FIELDS,
                                  .fields = fields};
    gn2_h5_file *file = NULL;
    gn2_h5_table *made = NULL;
    MUST(gn2_h5_file_create(case_file("wide.h5"), &file));
    FAILS(gn2_h5_table_create(file, "jets", &layout, &made), GN2_ERR_IO, "wide.h5",
          "'jets' cannot be created", "too large");
    assert_null(made);
    MUST(gn2_h5_file_close(file));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hdf5_says_why_a_table_cannot_be_made),
        cmocka_unit_test(only_regular_files_are_opened),
        cmocka_unit_test(what_is_not_there_is_not_damaged),
        cmocka_unit_test(a_file_left_open_by_its_writer_is_told_so),
        cmocka_unit_test(a_full_disk_is_an_error_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, case_clean);
}
