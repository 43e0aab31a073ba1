/* SPDX-License-Identifier: Apache-2.0 */
/* Files opened and made; why one cannot be opened is found out here. */
#define _GNU_SOURCE /* strerror_r that returns the text; flock() */
#include "data/hdf5/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/hdf5/disk.h"
#include "data/hdf5/errors.h"
#include "util/alloc.h"

/* Of a superblock: its signature, and where its version and, from version 3 on, the
 * marks of a writer are. */
#define SIGNATURE "\211HDF\r\n\032\n"
#define SIGNATURE_SIZE 8
#define AT_VERSION 8
#define AT_MARKS 11
#define MARKED_VERSION 3
#define MARK_WRITTEN 0x01
#define MARK_SWMR 0x04

static gn2_status fail_errno(const char *path, int code)
{
    struct stat s;
    char reason[128] = "unknown error";
    const int broken = code == ENOENT && lstat(path, &s) == 0 && S_ISLNK(s.st_mode);
    const gn2_status failed = gn2_hdf5_fail(
        code == ENOENT || code == ENOTDIR ? GN2_ERR_NOT_FOUND : GN2_ERR_IO,
        "cannot open '%s': %s", path,
        broken ? "it is a link to a file that is not there"
               : strerror_r(code, reason, sizeof reason));
    errno = code; /* too many open files is made up for */
    return failed;
}

/* What is neither a file nor missing; opening a pipe would wait for its writer. */
static const char *kind_of(mode_t mode)
{
    if (S_ISDIR(mode)) return "folder";
    if (S_ISFIFO(mode)) return "pipe";
    if (S_ISSOCK(mode)) return "socket";
    return "device";
}

static gn2_status check_stat(const char *path, const struct stat *s)
{
    if (!S_ISREG(s->st_mode))
        return gn2_hdf5_fail(GN2_ERR_IO,
                             "cannot open '%s': it is a %s, not a regular file", path,
                             kind_of(s->st_mode));
    if (s->st_size == 0)
        return gn2_hdf5_fail(GN2_ERR_FORMAT,
                             "'%s': not a HDF5 file, it is empty (0 bytes)", path);
    return GN2_OK;
}

/* ---- the superblock ---- */

typedef struct look {
    int fd;
    int found; /* it has a superblock */
    int marks; /* of writers, in the superblock */
} look;

/* It may lie behind a block of the user's, of 512 bytes or a power of two more. */
static void find_superblock(look *l, off_t size)
{
    for (off_t at = 0; at + SIGNATURE_SIZE <= size; at = at ? 2 * at : 512) {
        unsigned char head[AT_MARKS + 1] = {0};
        if (pread(l->fd, head, sizeof head, at) < SIGNATURE_SIZE) return;
        if (memcmp(head, SIGNATURE, SIGNATURE_SIZE) != 0) continue;
        l->found = 1;
        if (head[AT_VERSION] >= MARKED_VERSION)
            l->marks = head[AT_MARKS] & (MARK_WRITTEN | MARK_SWMR);
        return;
    }
}

/* Whether someone holds the lock of a writer. */
static int is_locked(const look *l)
{
    return flock(l->fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

static gn2_status fail_locked(const char *path)
{
    return gn2_hdf5_fail(GN2_ERR_IO,
                         "cannot open '%s': it is open for writing, in this or another "
                         "process; close it there first",
                         path);
}

/* HDF5 leaves these marks in files that may be in the middle of a change. */
static gn2_status fail_marked(const char *path, const look *l)
{
    return gn2_hdf5_fail(GN2_ERR_IO,
                         "cannot open '%s': it is marked as open for writing%s; close "
                         "it there, or if its writer was killed, run h5clear -s %s",
                         path, l->marks & MARK_SWMR ? " (SWMR)" : "", path);
}

static look look_at(const char *path, off_t size)
{
    look l = {.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (l.fd >= 0) find_superblock(&l, size);
    return l;
}

/* Refuses a path before HDF5 sees it. */
static gn2_status check_path(const char *path)
{
    struct stat s;
    gn2_status status = GN2_OK;
    H5Eclear2(H5E_DEFAULT);
    if (stat(path, &s) != 0) return fail_errno(path, errno);
    GN2_TRY(check_stat(path, &s));
    const look l = look_at(path, s.st_size);
    if (l.fd < 0) return fail_errno(path, errno);
    if (is_locked(&l))
        status = fail_locked(path);
    else if (!l.found)
        status = gn2_hdf5_fail(GN2_ERR_FORMAT, "'%s': not a HDF5 file", path);
    else if (l.marks)
        status = fail_marked(path, &l);
    close(l.fd);
    return status;
}

/* Why HDF5 has just refused a file; `failure` is the errno of a read, or 0. */
static gn2_status fail_refused(const char *path, int failure)
{
    if (failure) return fail_errno(path, failure);
    const look l = look_at(path, 0);
    const int locked = l.fd >= 0 && is_locked(&l);
    if (l.fd >= 0) close(l.fd);
    if (locked) return fail_locked(path);
    return gn2_hdf5_fail(GN2_ERR_FORMAT, "'%s': damaged or truncated", path);
}

/* ---- the calls ---- */

/* Its id is negative where HDF5 fails; NULL when memory is short. */
static gn2_h5_file *new_file(const char *path, unsigned flags)
{
    const size_t size = strlen(path) + 1;
    gn2_h5_file *file = gn2_alloc(sizeof *file + size, 1);
    if (!file) return NULL;
    memcpy(file->path, path, size);
    file->id = gn2_hdf5_disk_open(path, flags, &file->failure);
    return file;
}

gn2_status gn2_hdf5_file_open(const char *path, gn2_h5_file **out)
{
    *out = NULL;
    GN2_TRY(check_path(path));
    gn2_h5_file *file = new_file(path, H5F_ACC_RDONLY);
    if (!file) return gn2_fail_memory();
    const int failure = file->failure;
    if (file->id >= 0)
        *out = file;
    else
        gn2_free(file);
    return *out ? GN2_OK : fail_refused(path, failure);
}

gn2_status gn2_hdf5_file_create(const char *path, gn2_h5_file **out)
{
    *out = new_file(path, H5F_ACC_TRUNC);
    if (!*out) return gn2_fail_memory();
    if ((*out)->id >= 0) return GN2_OK;
    gn2_free(*out);
    *out = NULL;
    return gn2_hdf5_fail(GN2_ERR_IO, "'%s': cannot be created", path);
}

gn2_status gn2_hdf5_file_check(const gn2_h5_file *file)
{
    if (!file->failure) return GN2_OK;
    char reason[128] = "unknown error";
    H5Eclear2(H5E_DEFAULT);
    return gn2_hdf5_fail(GN2_ERR_IO, "cannot write '%s': %s", file->path,
                         strerror_r(file->failure, reason, sizeof reason));
}

/* Where HDF5 may still have a file, what it reports to stays. */
gn2_status gn2_hdf5_file_close(gn2_h5_file *file)
{
    if (H5Fclose(file->id) < 0)
        return gn2_hdf5_fail(GN2_ERR_IO, "'%s': cannot be closed", file->path);
    const gn2_status status = gn2_hdf5_file_check(file);
    gn2_free(file);
    return status;
}

void gn2_hdf5_file_free(gn2_h5_file *file)
{
    if (file && H5Fclose(file->id) >= 0) gn2_free(file);
}
