/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* mkostemp */
#include "util/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/alloc.h"
#include "util/digest.h"
#include "util/error.h"

/* largest single read or write; the kernel moves at most 2 GB at a time */
#define PIECE ((size_t)1 << 30)

static gn2_status system_fail(const char *action, const char *path)
{
    const int code = errno;
    char reason[128] = "unknown error";
    const char *text = strerror_r(code, reason, sizeof reason);
    return gn2_fail(code == ENOENT ? GN2_ERR_NOT_FOUND : GN2_ERR_IO,
                    "cannot %s '%s': %s", action, path, text);
}

/* ---- reading ---- */

static gn2_status read_all(int fd, const char *path, unsigned char *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        const size_t left = size - done;
        const ssize_t got = read(fd, data + done, left < PIECE ? left : PIECE);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return system_fail("read", path);
        if (got == 0)
            return gn2_fail(GN2_ERR_IO, "'%s' became shorter while it was read", path);
        done += (size_t)got;
    }
    return GN2_OK;
}

static gn2_status size_of(int fd, const char *path, uintmax_t *out_size)
{
    struct stat info;
    if (fstat(fd, &info)) return system_fail("read", path);
    if (!S_ISREG(info.st_mode))
        return gn2_fail(GN2_ERR_IO, "'%s' is not a regular file", path);
    *out_size = (uintmax_t)info.st_size;
    return GN2_OK;
}

/* What to do with an open file of more bytes than are wanted. */
typedef enum too_long { REFUSE, CUT } too_long;

static gn2_status read_open_file(int fd, const char *path, size_t most, too_long rule,
                                 unsigned char **out_data, size_t *out_size)
{
    uintmax_t size = 0;
    GN2_TRY(size_of(fd, path, &size));
    if (size > most && rule == REFUSE)
        return gn2_fail(GN2_ERR_FORMAT,
                        "'%s' has %ju bytes, more than the limit of %zu", path, size,
                        most);
    *out_size = size > most ? most : (size_t)size;
    *out_data = *out_size < SIZE_MAX ? gn2_alloc(*out_size + 1, 1) : NULL;
    return *out_data ? read_all(fd, path, *out_data, *out_size) : gn2_fail_memory();
}

static gn2_status read_path(const char *path, size_t most, too_long rule,
                            unsigned char **out_data, size_t *out_size)
{
    *out_data = NULL;
    *out_size = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return system_fail("open", path);
    const gn2_status status = read_open_file(fd, path, most, rule, out_data, out_size);
    close(fd);
    if (status == GN2_OK) return GN2_OK;
    gn2_free(*out_data);
    *out_data = NULL;
    *out_size = 0;
    return status;
}

gn2_status gn2_file_read(const char *path, size_t limit, unsigned char **out_data,
                         size_t *out_size)
{
    return read_path(path, limit, REFUSE, out_data, out_size);
}

gn2_status gn2_file_read_start(const char *path, size_t most, unsigned char **out_data,
                               size_t *out_size)
{
    return read_path(path, most, CUT, out_data, out_size);
}

/* ---- samples ---- */

#define SAMPLE 16384
#define SAMPLES 64

static gn2_status sample_open_file(int fd, const char *path, int64_t *out_size,
                                   uint64_t *out_digest)
{
    unsigned char data[SAMPLE];
    uintmax_t size = 0;
    GN2_TRY(size_of(fd, path, &size));
    *out_size = (int64_t)size;
    *out_digest = 0;
    const int64_t all = (*out_size + SAMPLE - 1) / SAMPLE;
    const int64_t count = all < SAMPLES ? all : SAMPLES;
    const size_t length = size < SAMPLE ? (size_t)size : SAMPLE;
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = count > 1 ? (*out_size - SAMPLE) * i / (count - 1) : 0;
        if (lseek(fd, (off_t)at, SEEK_SET) < 0) return system_fail("read", path);
        GN2_TRY(read_all(fd, path, data, length));
        *out_digest = gn2_digest(*out_digest, data, length);
    }
    return GN2_OK;
}

gn2_status gn2_file_sample(const char *path, int64_t *out_size, uint64_t *out_digest)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return system_fail("open", path);
    const gn2_status status = sample_open_file(fd, path, out_size, out_digest);
    close(fd);
    return status;
}

/* ---- writing ---- */

static gn2_status write_all(int fd, const char *path, const unsigned char *data,
                            size_t size)
{
    for (size_t done = 0; done < size;) {
        const size_t left = size - done;
        const ssize_t put = write(fd, data + done, left < PIECE ? left : PIECE);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return system_fail("write", path);
        done += (size_t)put;
    }
    return GN2_OK;
}

gn2_status gn2_file_check_target(const char *path)
{
    struct stat s;
    if (stat(path, &s) != 0 || S_ISREG(s.st_mode)) return GN2_OK;
    return gn2_fail(GN2_ERR_IO, "cannot replace '%s': it is %s", path,
                    S_ISDIR(s.st_mode) ? "a folder" : "no regular file");
}

/* mkostemp makes files for the owner alone: keep the mode of the file that is
 * replaced; a new one gets what the folder's neighbours would (0666 & ~umask is
 * not readable without changing the umask, so 0644). */
static gn2_status copy_mode(int fd, const char *path)
{
    struct stat old;
    const mode_t mode = stat(path, &old) == 0 ? old.st_mode & 0777 : 0644;
    return fchmod(fd, mode) ? system_fail("set the mode of", path) : GN2_OK;
}

/* The folder entry itself must reach the disk. Some file systems refuse to sync a
 * folder (EINVAL); the file is in place all the same. */
static gn2_status sync_folder(const char *path)
{
    char *folder = gn2_strdup(path);
    if (!folder) return gn2_fail_memory();
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder] = '\0';
    const int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    gn2_free(folder);
    if (fd < 0) return GN2_OK; /* a folder may be writable and not readable */
    const int failed = fsync(fd) && errno != EINVAL && errno != EROFS;
    const gn2_status status = failed ? system_fail("sync the folder of", path) : GN2_OK;
    close(fd);
    return status;
}

static gn2_status write_open_file(int fd, const char *path, const void *data,
                                  size_t size)
{
    GN2_TRY(write_all(fd, path, data, size));
    GN2_TRY(copy_mode(fd, path));
    if (fsync(fd)) return system_fail("write", path);
    return GN2_OK;
}

static gn2_status write_temporary(char *temporary, const char *path, const void *data,
                                  size_t size)
{
    const int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) return system_fail("write beside", path);
    gn2_status status = write_open_file(fd, path, data, size);
    if (close(fd) && status == GN2_OK) status = system_fail("write", path);
    if (status == GN2_OK && rename(temporary, path))
        status = system_fail("replace", path);
    if (status != GN2_OK) unlink(temporary);
    return status;
}

gn2_status gn2_file_write_atomic(const char *path, const void *data, size_t size)
{
    GN2_TRY(gn2_file_check_target(path));
    const size_t length = strlen(path) + sizeof ".XXXXXX";
    char *temporary = gn2_alloc(length, 1);
    if (!temporary) return gn2_fail_memory();
    snprintf(temporary, length, "%s.XXXXXX", path);
    const gn2_status status = write_temporary(temporary, path, data, size);
    gn2_free(temporary);
    return status == GN2_OK ? sync_folder(path) : status;
}
