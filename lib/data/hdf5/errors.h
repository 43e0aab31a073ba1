/* SPDX-License-Identifier: Apache-2.0 */
/* What the module says when HDF5 fails, in place of what HDF5 would print. */
#ifndef GN2_DATA_HDF5_ERRORS_H
#define GN2_DATA_HDF5_ERRORS_H

#include <hdf5.h>

#include "data/hdf5/interface.h"
#include "util/error.h"

/* Silences HDF5's own printing for the length of a call. */
typedef struct gn2_hdf5_guard {
    H5E_auto2_t print;
    void *context;
} gn2_hdf5_guard;

void gn2_hdf5_enter(gn2_hdf5_guard *guard);
/* Returns `status`; copies its message to `error`, of GN2_H5_ERROR_SIZE bytes, where
 * that is not GN2_OK. */
gn2_status gn2_hdf5_leave(const gn2_hdf5_guard *guard, gn2_status status, char *error);

/* As gn2_fail() is outside of the module, HDF5's innermost reason appended if it has
 * one. Where HDF5 had no memory this is GN2_ERR_NO_MEMORY, whatever was asked for. */
gn2_status gn2_hdf5_fail(gn2_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
gn2_status gn2_hdf5_fail_memory(void);
/* Whether HDF5 ran short of memory in this call, even if it said that all was well. */
int gn2_hdf5_ran_short(void);

#ifdef __clang_analyzer__
/* As of gn2_fail_memory(). */
#define gn2_hdf5_fail_memory() (gn2_hdf5_fail_memory(), GN2_ERR_NO_MEMORY)
#endif

#endif
