/* SPDX-License-Identifier: Apache-2.0 */
#include "data/hdf5/errors.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void gn2_hdf5_enter(gn2_hdf5_guard *guard)
{
    H5Eget_auto2(H5E_DEFAULT, &guard->print, &guard->context);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5Eclear2(H5E_DEFAULT);
    errno = 0;
}

void gn2_hdf5_leave(const gn2_hdf5_guard *guard)
{
    H5Eclear2(H5E_DEFAULT);
    H5Eset_auto2(H5E_DEFAULT, guard->print, guard->context);
}

typedef struct cause {
    const char *reason;
    int memory; /* ran short */
} cause;

/* Entries come from the innermost function outwards; the first says why. */
static herr_t look_at(unsigned n, const H5E_error2_t *entry, void *context)
{
    cause *c = context;
    if (n == 0) c->reason = entry->desc;
    c->memory |= entry->maj_num == H5E_RESOURCE &&
                 (entry->min_num == H5E_NOSPACE || entry->min_num == H5E_CANTALLOC);
    return 0;
}

/* Some of HDF5's reasons hold the text of ctime(), with its line end. */
static void one_line(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ') *text = ' ';
}

gn2_status gn2_hdf5_fail(char *error, gn2_status status, const char *format, ...)
{
    const int code = errno; /* HDF5 does not report all of its allocations */
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(error, GN2_H5_ERROR_SIZE, format, args);
    va_end(args);
    cause c = {0};
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, look_at, &c);
    if (c.memory || code == ENOMEM) { /* a damaged size is asked for like any other */
        c.reason = "out of memory, or a size in the file is damaged";
        status = GN2_ERR_NO_MEMORY;
    }
    if (c.reason && length >= 0 && length < GN2_H5_ERROR_SIZE)
        snprintf(error + length, (size_t)(GN2_H5_ERROR_SIZE - length), " (HDF5: %s)",
                 c.reason);
    one_line(error);
    return status;
}

int gn2_hdf5_ran_short(void)
{
    return errno == ENOMEM; /* 0 when the call began */
}

gn2_status gn2_hdf5_no_memory(char *error)
{
    snprintf(error, GN2_H5_ERROR_SIZE, "out of memory");
    return GN2_ERR_NO_MEMORY;
}
