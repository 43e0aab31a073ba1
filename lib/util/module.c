/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* dladdr, RTLD_DEEPBIND */
#include "util/module.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/alloc.h"
#include "util/threads.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif

/* DEEPBIND keeps a module on its own libraries where the program has loaded others of
 * the same symbols; sanitizers refuse it, musl has not got it. */
#if defined(SANITIZED) || !defined(RTLD_DEEPBIND)
#define OPEN_FLAGS (RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)
#else
#define OPEN_FLAGS (RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE | RTLD_DEEPBIND)
#endif

/* ---- where ---- */

#define MOST_PLACES 3

typedef struct places {
    char path[MOST_PLACES][PATH_MAX];
    int count;
} places;

/* File this code was loaded from, links resolved. */
static int own_path(char out_path[PATH_MAX])
{
    Dl_info info;
    if (!dladdr((const void *)&gn2_module_home, &info) || !info.dli_fname) return 0;
    if (realpath(info.dli_fname, out_path)) return 1;
    return realpath("/proc/self/exe", out_path) != NULL;
}

static void add_place(places *p, const char *folder, const char *sub,
                      const gn2_module *module)
{
    const int length =
        snprintf(p->path[p->count], PATH_MAX, "%s%s/%s", folder, sub, module->file);
    if (length > 0 && length < PATH_MAX) p->count++;
}

/* The shared library may have been moved as a whole, so it never looks where it was
 * first installed: that could be another release. */
static void find_places(const gn2_module *module, places *p)
{
    char own[PATH_MAX];
    p->count = 0;
    int is_library = 0;
    if (own_path(own)) {
        char *slash = strrchr(own, '/');
        is_library = strncmp(slash + 1, "libgn2.", 7) == 0;
        *slash = '\0';
        add_place(p, own, "/gn2", module);
        add_place(p, own, "", module);
    }
    if (!is_library) add_place(p, gn2_module_home, "", module);
}

/* ---- loading ---- */

static void *open_file(const char *path)
{
    gn2_affinity before = gn2_affinity_take();
    errno = 0;
    void *handle = dlopen(path, OPEN_FLAGS);
    gn2_affinity_restore(&before);
    return handle;
}

static gn2_status table_of(const gn2_module *module, const char *path, void *handle,
                           const void **out_table, char error[GN2_ERROR_SIZE])
{
    void *(*entry)(void);
    void *symbol = dlsym(handle, module->symbol);
    if (!symbol) {
        snprintf(error, GN2_ERROR_SIZE, "'%s' is not libgn2's %s", path, module->title);
        return GN2_ERR_UNSUPPORTED;
    }
    memcpy(&entry, &symbol, sizeof entry); /* ISO C has no cast for this */
    const void *table = entry();
    uint32_t version;
    memcpy(&version, table, sizeof version);
    if (version == module->version) {
        *out_table = table;
        return GN2_OK;
    }
    snprintf(error, GN2_ERROR_SIZE, "%s '%s' has version %u, this library needs %u",
             module->title, path, version, module->version);
    return GN2_ERR_UNSUPPORTED;
}

static gn2_status no_memory(const gn2_module *module, char error[GN2_ERROR_SIZE])
{
    snprintf(error, GN2_ERROR_SIZE, "out of memory while the %s was loaded",
             module->title);
    return GN2_ERR_NO_MEMORY;
}

gn2_status gn2_module_open(const gn2_module *module, const void **out_table,
                           char error[GN2_ERROR_SIZE])
{
    places p;
    find_places(module, &p);
    /* the loader and the constructors of libraries may end the process without */
    if (!gn2_memory_at_hand(module->memory)) return no_memory(module, error);
    snprintf(error, GN2_ERROR_SIZE, "%s not found", module->title);
    for (int i = 0; i < p.count; i++) {
        void *handle = open_file(p.path[i]);
        if (handle) return table_of(module, p.path[i], handle, out_table, error);
        const int failed = errno; /* dlerror() says it in a language of its own */
        const char *why = dlerror();
        if (failed == ENOMEM) return no_memory(module, error);
        const size_t length = strlen(error);
        snprintf(error + length, GN2_ERROR_SIZE - length, "%s%s", i ? "; " : ": ",
                 why ? why : p.path[i]);
    }
    return GN2_ERR_UNSUPPORTED;
}

int gn2_module_present(const gn2_module *module)
{
    places p;
    find_places(module, &p);
    for (int i = 0; i < p.count; i++)
        if (access(p.path[i], R_OK) == 0) return 1;
    return 0;
}
