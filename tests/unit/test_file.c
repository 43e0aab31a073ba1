/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/alloc.h"
#include "util/file.h"

static char root[64];

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/gn2-file-XXXXXX");
    return mkdtemp(root) == NULL;
}

static int remove_root(void **state)
{
    char command[192];
    (void)state;
    snprintf(command, sizeof command, "chmod -R u+w %s && rm -r %s", root, root);
    return system(command);
}

static const char *path_of(char out[128], const char *name)
{
    snprintf(out, 128, "%s/%s", root, name);
    return out;
}

static int entries(void)
{
    int count = 0;
    DIR *folder = opendir(root);
    assert_non_null(folder);
    for (const struct dirent *e; (e = readdir(folder));) count += e->d_name[0] != '.';
    closedir(folder);
    return count;
}

static void assert_content(const char *path, const void *data, size_t size)
{
    unsigned char *back;
    size_t got;
    assert_ok(gn2_file_read(path, 1 << 20, &back, &got));
    assert_int_equal(got, size);
    assert_memory_equal(back, data, size);
    assert_int_equal(back[size], 0);
    gn2_free(back);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    char path[128];
    path_of(path, "file");
    assert_ok(gn2_file_write_atomic(path, "first\0bytes", 11));
    assert_content(path, "first\0bytes", 11);
    chmod(path, 0640);
    assert_ok(gn2_file_write_atomic(path, "", 0));
    assert_content(path, "", 0);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    assert_int_equal(entries(), 1);
}

static void relative_names_work(void **state)
{
    (void)state;
    char before[1024];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(root), 0);
    const gn2_status status = gn2_file_write_atomic("relative", "abc", 3);
    assert_int_equal(chdir(before), 0);
    assert_int_equal(status, GN2_OK);
    char path[128];
    assert_content(path_of(path, "relative"), "abc", 3);
    unlink(path);
}

/* A folder stands where the file should go: the rename fails at the very end. */
static void failure_leaves_nothing_behind(void **state)
{
    (void)state;
    char path[128];
    const int before = entries();
    assert_int_equal(mkdir(path_of(path, "taken"), 0700), 0);
    assert_status(GN2_ERR_IO, gn2_file_write_atomic(path, "abc", 3));
    assert_message("taken");
    assert_int_equal(entries(), before + 1);
    path_of(path, "absent/file");
    assert_status(GN2_ERR_NOT_FOUND, gn2_file_write_atomic(path, "abc", 3));
    assert_message("absent/file");
}

static void what_is_no_file_is_not_replaced(void **state)
{
    (void)state;
    char path[128];
    struct stat s;
    assert_int_equal(mkfifo(path_of(path, "pipe"), 0600), 0);
    assert_status(GN2_ERR_IO, gn2_file_write_atomic(path, "x", 1));
    assert_message("no regular file");
    assert_int_equal(stat(path, &s), 0);
    assert_true(S_ISFIFO(s.st_mode));
    unlink(path);
}

/* Files of one sample, of two that overlap, of more than are taken. */
static void samples_tell_files_apart(void **state)
{
    static const size_t sizes[] = {1, 16384, 20000, 3000000};
    (void)state;
    char path[128];
    int64_t size;
    uint64_t empty, before, after;
    assert_ok(gn2_file_write_atomic(path_of(path, "sampled"), "", 0));
    assert_ok(gn2_file_sample(path, &size, &empty));
    assert_int_equal(size, 0);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *data = gn2_alloc(sizes[i], 1);
        assert_non_null(data);
        assert_ok(gn2_file_write_atomic(path, data, sizes[i]));
        assert_ok(gn2_file_sample(path, &size, &before));
        assert_int_equal(size, sizes[i]);
        data[sizes[i] - 1] = 1;
        assert_ok(gn2_file_write_atomic(path, data, sizes[i]));
        assert_ok(gn2_file_sample(path, &size, &after));
        assert_true(before != after);
        data[sizes[i] - 1] = 0;
        assert_ok(gn2_file_write_atomic(path, data, sizes[i]));
        assert_ok(gn2_file_sample(path, &size, &after));
        assert_true(before == after && before != empty);
        gn2_free(data);
    }
    unlink(path);
    assert_status(GN2_ERR_NOT_FOUND, gn2_file_sample(path, &size, &after));
    assert_status(GN2_ERR_IO, gn2_file_sample(root, &size, &after));
}

static void reading_says_what_is_wrong(void **state)
{
    (void)state;
    char path[128];
    unsigned char *data = (unsigned char *)1;
    size_t size = 7;
    assert_status(GN2_ERR_NOT_FOUND,
                  gn2_file_read(path_of(path, "none"), 100, &data, &size));
    assert_null(data);
    assert_message("none");
    assert_status(GN2_ERR_IO, gn2_file_read(root, 100, &data, &size));
    assert_message("not a regular file");
    assert_ok(gn2_file_write_atomic(path_of(path, "long"), "0123456789", 10));
    assert_status(GN2_ERR_FORMAT, gn2_file_read(path, 9, &data, &size));
    assert_message("limit of 9");
    assert_ok(gn2_file_read(path, 10, &data, &size));
    gn2_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(relative_names_work),
        cmocka_unit_test(failure_leaves_nothing_behind),
        cmocka_unit_test(what_is_no_file_is_not_replaced),
        cmocka_unit_test(samples_tell_files_apart),
        cmocka_unit_test(reading_says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
