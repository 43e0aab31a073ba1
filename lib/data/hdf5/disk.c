/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HDF5 cannot close a file that it cannot write: the file stays in its tables, and the
 * process ends in a crash when HDF5 tries again at exit. So a write that fails is kept
 * in memory, read back from there, and HDF5 is told that all is well; who writes looks
 * at `failure` after every call. What is kept is bounded by HDF5's caches, as nothing
 * is appended after the first failure. What a forked child would write, if only by
 * closing the file at its exit, is kept in the same way: the file is its parent's.
 */
#define _GNU_SOURCE /* strerror_r that returns the text */
#include "data/hdf5/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/alloc.h"

#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

/* Largest read or write of one call; Linux cuts at 2 GiB. */
#define PIECE ((size_t)1 << 30)
#define MAX_ADDRESS ((haddr_t)INT64_MAX)

/* A write that failed. */
typedef struct kept {
    haddr_t at;
    size_t size;
    char *data;
} kept;

typedef struct disk {
    H5FD_t base; /* HDF5's part, first */
    int fd, writable;
    pid_t process; /* that may write: a forked child has the file open as well */
    int *failure;
    haddr_t eoa, eof;
    kept *kept;
    size_t kept_count;
} disk;

/* Where the file that is opened next reports to; calls are made one at a time. */
static int *reports_to;

/* Tells HDF5 why; −1. */
#define FAIL(...)                                                             \
    (H5Epush2(H5E_DEFAULT, __FILE__, __func__, __LINE__, H5E_ERR_CLS, H5E_IO, \
              H5E_READERROR, __VA_ARGS__),                                    \
     -1)

static herr_t fail_errno(disk *d, int code)
{
    char buffer[128] = "unknown error";
    if (d && d->failure && !*d->failure) *d->failure = code;
    return FAIL("%s", strerror_r(code, buffer, sizeof buffer));
}

/* ---- opening ---- */

static int open_flags(unsigned flags)
{
    int out = O_CLOEXEC | (flags & H5F_ACC_RDWR ? O_RDWR : O_RDONLY);
    if (flags & H5F_ACC_TRUNC) out |= O_TRUNC;
    if (flags & H5F_ACC_CREAT) out |= O_CREAT;
    if (flags & H5F_ACC_EXCL) out |= O_EXCL;
    return out;
}

static H5FD_t *disk_open(const char *name, unsigned flags, hid_t fapl, haddr_t most)
{
    struct stat s;
    (void)fapl, (void)most;
    const int fd = open(name, open_flags(flags), 0666);
    if (fd < 0 || fstat(fd, &s) != 0) {
        fail_errno(NULL, errno);
        if (fd >= 0) close(fd);
        return NULL;
    }
    disk *d = gn2_alloc(1, sizeof *d);
    if (!d) {
        close(fd);
        return NULL;
    }
    d->fd = fd;
    d->process = getpid();
    d->writable = (flags & H5F_ACC_RDWR) != 0;
    d->eof = (haddr_t)s.st_size;
    d->failure = reports_to;
    return &d->base;
}

static herr_t disk_close(H5FD_t *file)
{
    disk *d = (disk *)file;
    if (close(d->fd) != 0 && d->failure && !*d->failure) *d->failure = errno;
    for (size_t i = 0; i < d->kept_count; i++) gn2_free(d->kept[i].data);
    gn2_free(d->kept);
    gn2_free(d);
    return 0;
}

static herr_t disk_query(const H5FD_t *file, unsigned long *flags)
{
    (void)file;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA |
             H5FD_FEAT_DATA_SIEVE | H5FD_FEAT_AGGREGATE_SMALLDATA;
#ifdef H5FD_FEAT_DEFAULT_VFD_COMPATIBLE
    *flags |= H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
#endif
    return 0;
}

/* ---- size ---- */

static haddr_t disk_get_eoa(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const disk *)file)->eoa;
}

static herr_t disk_set_eoa(H5FD_t *file, H5FD_mem_t type, haddr_t at)
{
    (void)type;
    ((disk *)file)->eoa = at;
    return 0;
}

static haddr_t disk_get_eof(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const disk *)file)->eof;
}

static herr_t disk_truncate(H5FD_t *file, hid_t dxpl, hbool_t closing)
{
    disk *d = (disk *)file;
    (void)dxpl, (void)closing;
    if (!d->writable || d->eoa == d->eof) return 0;
    if (!*d->failure && d->process != getpid()) *d->failure = ECHILD;
    if (!*d->failure && ftruncate(d->fd, (off_t)d->eoa) != 0) *d->failure = errno;
    d->eof = d->eoa;
    return 0;
}

/* ---- heaps ---- */

/*
 * A global heap, where texts of any length are kept: "GCOL", version 1, three zeros,
 * its size; then objects, each with number, references, four zeros and a size, filled
 * up to 8 bytes. Number 0 is what is free, and its size counts the head too. HDF5 (1.10
 * at least) steps from object to object by these sizes and never ends where one is 0.
 */
#define HEAP_HEAD 16 /* of the heap, and of an object */
#define LEAST_HEAP 4096
#define MOST_HEAP ((uint64_t)1 << 40)

static uint64_t little_endian(const unsigned char *bytes, int count)
{
    uint64_t value = 0;
    while (count-- > 0) value = value << 8 | bytes[count];
    return value;
}

/* Its size; 0: it is none, or of a file whose sizes have not 8 bytes. */
static uint64_t heap_size(const unsigned char *bytes, size_t size)
{
    static const unsigned char start[8] = {'G', 'C', 'O', 'L', 1};
    if (size < HEAP_HEAD || memcmp(bytes, start, sizeof start) != 0) return 0;
    const uint64_t all = little_endian(bytes + 8, 8);
    return all >= LEAST_HEAP && all < MOST_HEAP ? all : 0;
}

/* Whether bytes that HDF5 is about to be given are no heap whose damage would have it
 * go round for ever. */
static int heap_is_sound(const unsigned char *bytes, size_t size)
{
    const uint64_t all = heap_size(bytes, size);
    if (all == 0) return 1;
    for (uint64_t at = HEAP_HEAD; at + HEAP_HEAD <= all && at + HEAP_HEAD <= size;) {
        const uint64_t number = little_endian(bytes + at, 2);
        const uint64_t length = little_endian(bytes + at + 8, 8);
        if (length > all - at || (number == 0 && length < HEAP_HEAD)) return 0;
        at += number ? HEAP_HEAD + (length + 7) / 8 * 8 : length;
    }
    return 1;
}

/* ---- reading ---- */

/* What is read of a range; −1: an error. Less than asked for at the end of the file. */
static ssize_t read_some(int fd, char *out, size_t size, haddr_t at)
{
    size_t done = 0;
    while (done < size) {
        const size_t piece = size - done < PIECE ? size - done : PIECE;
        const ssize_t got = pread(fd, out + done, piece, (off_t)(at + done));
        if (got == 0) break;
        if (got < 0 && errno != EINTR) return -1;
        if (got > 0) done += (size_t)got;
    }
    return (ssize_t)done;
}

/* Puts the writes that failed over what is in the file, in their order. */
static void lay_over(const disk *d, char *out, size_t size, haddr_t at)
{
    for (size_t i = 0; i < d->kept_count; i++) {
        const kept *k = &d->kept[i];
        const haddr_t from = k->at > at ? k->at : at;
        const haddr_t k_end = k->at + k->size, end = at + size;
        const haddr_t to = k_end < end ? k_end : end;
        if (from < to)
            memcpy(out + (from - at), k->data + (from - k->at), (size_t)(to - from));
    }
}

/* Behind the end of a file that is written there are zeros; one that is only read has
 * been cut since it was opened. */
static herr_t disk_read(H5FD_t *file, H5FD_mem_t type, hid_t dxpl, haddr_t at,
                        size_t size, void *out)
{
    disk *d = (disk *)file;
    (void)type, (void)dxpl;
    if (at > MAX_ADDRESS || size > MAX_ADDRESS - at) return fail_errno(d, EFBIG);
    ssize_t got = read_some(d->fd, out, size, at);
    if (got < 0 && !d->kept_count) return fail_errno(d, errno);
    if (got < 0) got = 0;
    if ((size_t)got < size && !d->writable) {
        const unsigned long long ends = at + (size_t)got, needed = at + size;
        return FAIL("the file ends at byte %llu, %llu are needed", ends, needed);
    }
    memset((char *)out + got, 0, size - (size_t)got);
    lay_over(d, out, size, at);
    if (heap_is_sound(out, size)) return 0;
    return FAIL("the heap of texts at byte %llu is damaged", (unsigned long long)at);
}

/* ---- writing ---- */

static int write_all(int fd, const char *data, size_t size, haddr_t at)
{
    size_t done = 0;
    while (done < size) {
        const size_t piece = size - done < PIECE ? size - done : PIECE;
        const ssize_t got = pwrite(fd, data + done, piece, (off_t)(at + done));
        if (got < 0 && errno != EINTR) return 0;
        if (got > 0) done += (size_t)got;
    }
    return 1;
}

static herr_t keep(disk *d, const void *data, size_t size, haddr_t at)
{
    if (!gn2_grow(&d->kept, d->kept_count, d->kept_count + 1, sizeof *d->kept))
        return -1;
    kept *k = &d->kept[d->kept_count];
    *k = (kept){at, size, gn2_alloc(size, 1)};
    if (!k->data) return -1;
    memcpy(k->data, data, size);
    d->kept_count++;
    return 0;
}

static herr_t disk_write(H5FD_t *file, H5FD_mem_t type, hid_t dxpl, haddr_t at,
                         size_t size, const void *data)
{
    disk *d = (disk *)file;
    (void)type, (void)dxpl;
    if (at > MAX_ADDRESS || size > MAX_ADDRESS - at) return fail_errno(d, EFBIG);
    if (d->eof < at + size) d->eof = at + size;
    if (!*d->failure && d->process != getpid()) *d->failure = ECHILD;
    if (!*d->failure && write_all(d->fd, data, size, at)) return 0;
    if (!*d->failure) *d->failure = errno;
    return keep(d, data, size, at);
}

/* ---- the driver ---- */

static const H5FD_class_t driver = {
#ifdef H5FD_CLASS_VERSION
    .version = H5FD_CLASS_VERSION,
    .value =
        (H5FD_class_value_t)512, /* HDF5 leaves those from 512 to tests and users */
#endif
    .name = "libgn2",
    .maxaddr = MAX_ADDRESS,
    .fc_degree = H5F_CLOSE_STRONG,
    .open = disk_open,
    .close = disk_close,
    .query = disk_query,
    .get_eoa = disk_get_eoa,
    .set_eoa = disk_set_eoa,
    .get_eof = disk_get_eof,
    .read = disk_read,
    .write = disk_write,
    .truncate = disk_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

/* Registered once, as HDF5 looks into the driver while it closes the last of its files;
 * again after the program has called H5close(). */
static hid_t driver_id(void)
{
    static hid_t id = -1;
    if (id < 0 || H5Iget_type(id) != H5I_VFL) id = H5FDregister(&driver);
    return id;
}

hid_t gn2_hdf5_disk_open(const char *path, unsigned flags, int *failure)
{
    const hid_t plist = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_driver(plist, driver_id(), NULL);
    H5Pset_fclose_degree(plist, H5F_CLOSE_STRONG);
    reports_to = failure;
    const hid_t id = flags == H5F_ACC_RDONLY
                         ? H5Fopen(path, flags, plist)
                         : H5Fcreate(path, flags, H5P_DEFAULT, plist);
    reports_to = NULL;
    H5Pclose(plist);
    return id;
}
