/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private modules beside the library: shared objects that bring a large dependency
 * (HDF5, oneDNN) only into processes that use it. They are looked for in `gn2/` beside
 * the object this code is in and beside it, and where that object is a program or a
 * library of someone else (libgn2 linked statically) in gn2_module_home after that.
 * Nothing is ever unloaded.
 */
#ifndef GN2_UTIL_MODULE_H
#define GN2_UTIL_MODULE_H

#include <gn2/base.h>

#include "util/error.h"

typedef struct gn2_module {
    const char *title;  /* for messages: "HDF5 module" */
    const char *file;   /* "gn2-hdf5.so" */
    const char *symbol; /* void *symbol(void) gives the table of calls */
    uint32_t version;   /* what the first word of the table, a uint32_t, must be */
    size_t memory;      /* bytes that it and its libraries take, generously */
} gn2_module;

/* Folder of installed modules; from the build (module_home.c). */
extern const char *const gn2_module_home;

/* Whether the module's file is there; loads nothing. */
int gn2_module_present(const gn2_module *module);

/* The module's table. GN2_ERR_UNSUPPORTED, and in `error` what was tried;
 * GN2_ERR_NO_MEMORY, which another time may be different. Neither the program's
 * symbols nor the thread's processors change: the module's libraries are bound among
 * themselves, and the affinity that an OpenMP runtime sets while it is loaded is taken
 * back. Not remembered here: the caller asks once, or again. */
gn2_status gn2_module_open(const gn2_module *module, const void **out_table,
                           char error[GN2_ERROR_SIZE]);

#endif
