/* SPDX-License-Identifier: Apache-2.0 */
#include "data/hdf5/errors.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef gn2_hdf5_fail_memory /* what the analyzer is told instead */

/* Of the call under way; calls are made one at a time. No thread-local memory: the
 * loader, making it, ends the process where there is none to be had. */
static char message[GN2_H5_ERROR_SIZE];

void gn2_hdf5_enter(gn2_hdf5_guard *guard)
{
    H5Eget_auto2(H5E_DEFAULT, &guard->print, &guard->context);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5Eclear2(H5E_DEFAULT);
    errno = 0;
}

gn2_status gn2_hdf5_leave(const gn2_hdf5_guard *guard, gn2_status status, char *error)
{
    H5Eclear2(H5E_DEFAULT);
    H5Eset_auto2(H5E_DEFAULT, guard->print, guard->context);
    if (status == GN2_OK) return status;
    memcpy(error, message, sizeof message);
    /* some of HDF5's reasons hold the text of ctime(), with its line end */
    for (; *error; error++)
        if ((unsigned char)*error < ' ') *error = ' ';
    return status;
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

gn2_status gn2_hdf5_fail(gn2_status status, const char *format, ...)
{
    const int code = errno; /* HDF5 does not report all of its allocations */
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(message, sizeof message, format, args);
    va_end(args);
    cause c = {0};
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, look_at, &c);
    if (c.memory || code == ENOMEM) { /* a damaged size is asked for like any other */
        c.reason = "out of memory, or a size in the file is damaged";
        status = GN2_ERR_NO_MEMORY;
    }
    if (c.reason && length >= 0 && length < GN2_H5_ERROR_SIZE)
        snprintf(message + length, (size_t)(GN2_H5_ERROR_SIZE - length), " (HDF5: %s)",
                 c.reason);
    return status;
}

gn2_status gn2_hdf5_fail_memory(void)
{
    strcpy(message, "out of memory");
    return GN2_ERR_NO_MEMORY;
}

int gn2_hdf5_ran_short(void)
{
    return errno == ENOMEM; /* 0 when the call began */
}
