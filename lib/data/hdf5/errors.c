/* SPDX-License-Identifier: Apache-2.0 */
#include "data/hdf5/errors.h"

#include <stdarg.h>
#include <stdio.h>

void gn2_hdf5_enter(gn2_hdf5_guard *guard)
{
    H5Eget_auto2(H5E_DEFAULT, &guard->print, &guard->context);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5Eclear2(H5E_DEFAULT);
}

void gn2_hdf5_leave(const gn2_hdf5_guard *guard)
{
    H5Eclear2(H5E_DEFAULT);
    H5Eset_auto2(H5E_DEFAULT, guard->print, guard->context);
}

/* Entries come from the innermost function outwards; the first says why. */
static herr_t keep_first(unsigned n, const H5E_error2_t *entry, void *context)
{
    if (n == 0) *(const char **)context = entry->desc;
    return 0;
}

gn2_status gn2_hdf5_fail(char *error, gn2_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(error, GN2_H5_ERROR_SIZE, format, args);
    va_end(args);
    const char *reason = NULL;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_first, &reason);
    if (reason && length >= 0 && length < GN2_H5_ERROR_SIZE)
        snprintf(error + length, (size_t)(GN2_H5_ERROR_SIZE - length), " (HDF5: %s)",
                 reason);
    return status;
}

gn2_status gn2_hdf5_no_memory(char *error)
{
    snprintf(error, GN2_H5_ERROR_SIZE, "out of memory");
    return GN2_ERR_NO_MEMORY;
}
