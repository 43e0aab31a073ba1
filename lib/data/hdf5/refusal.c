/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* strerror_r that returns the text; flock() */
#include "data/hdf5/refusal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/hdf5/errors.h"

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
    char reason[128] = "unknown error";
    const gn2_status status =
        code == ENOENT || code == ENOTDIR ? GN2_ERR_NOT_FOUND : GN2_ERR_IO;
    const gn2_status failed = gn2_hdf5_fail(status, "cannot open '%s': %s", path,
                                            strerror_r(code, reason, sizeof reason));
    errno = code; /* too many open files is made up for */
    return failed;
}

static gn2_status fail_missing(const char *path, int code)
{
    struct stat s;
    if (code == ENOENT && lstat(path, &s) == 0 && S_ISLNK(s.st_mode))
        return gn2_hdf5_fail(GN2_ERR_NOT_FOUND,
                             "cannot open '%s': it is a link to a file that is not "
                             "there",
                             path);
    return fail_errno(path, code);
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
    if (is_locked(l)) return fail_locked(path);
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

gn2_status gn2_hdf5_refuse_path(const char *path)
{
    struct stat s;
    H5Eclear2(H5E_DEFAULT);
    if (stat(path, &s) != 0) return fail_missing(path, errno);
    gn2_status status = GN2_OK;
    GN2_TRY(check_stat(path, &s));
    const look l = look_at(path, s.st_size);
    if (l.fd < 0) return fail_errno(path, errno);
    if (!l.found)
        status = is_locked(&l)
                     ? fail_locked(path)
                     : gn2_hdf5_fail(GN2_ERR_FORMAT, "'%s': not a HDF5 file", path);
    else if (l.marks || is_locked(&l))
        status = fail_marked(path, &l);
    close(l.fd);
    return status;
}

gn2_status gn2_hdf5_refusal(const char *path, int failure)
{
    if (failure) return fail_errno(path, failure);
    const look l = look_at(path, 0);
    const int locked = l.fd >= 0 && is_locked(&l);
    if (l.fd >= 0) close(l.fd);
    if (locked) return fail_locked(path);
    return gn2_hdf5_fail(GN2_ERR_FORMAT, "'%s': damaged or truncated", path);
}
