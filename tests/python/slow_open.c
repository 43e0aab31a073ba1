/* SPDX-License-Identifier: Apache-2.0 */
/*
 * To be preloaded: files whose name holds "slow" take 20 ms to be opened, as on a
 * storage far away, and each such opening adds a byte to the file that
 * GN2_TEST_OPENINGS names. The HDF5 module would see the C library before this one
 * (RTLD_DEEPBIND), so it is loaded without that.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *dlopen(const char *name, int flags)
{
    void *(*const real)(const char *, int) =
        (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");
    return real(name, flags & ~RTLD_DEEPBIND);
}

static void wait_for(const char *path)
{
    const char *count = getenv("GN2_TEST_OPENINGS");
    if (!strstr(path, "slow") || !count) return;
    const int fd = openat(AT_FDCWD, count, O_WRONLY | O_APPEND | O_CREAT, 0666);
    if (fd >= 0 && write(fd, "o", 1) == 1) close(fd);
    usleep(20000);
}

#define OPEN(name)                                            \
    int name(const char *path, int flags, ...)                \
    {                                                         \
        va_list more;                                         \
        va_start(more, flags);                                \
        const mode_t mode = va_arg(more, mode_t);             \
        va_end(more);                                         \
        wait_for(path);                                       \
        return openat(AT_FDCWD, path, flags, (unsigned)mode); \
    }

OPEN(open)
OPEN(open64)
