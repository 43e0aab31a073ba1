/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* dladdr, RTLD_DEEPBIND */
#include "data/module.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/alloc.h"
#include "util/error.h"
#include "util/str.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif

/* DEEPBIND keeps the module on its own HDF5 where the program has loaded another;
 * sanitizers refuse it. */
#ifdef SANITIZED
#define OPEN_FLAGS (RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)
#else
#define OPEN_FLAGS (RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE | RTLD_DEEPBIND)
#endif

/* HDF5 has one state a process, so one lock for all of us. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static const gn2_h5_module *module;

/* Where the module lies, seen from the folder of the library: installed, and in
 * the build tree. */
static const char *const library_places[] = {
    "gn2/gn2-hdf5.so",
    "gn2-hdf5.so",
    "data/gn2-hdf5.so",
    "../data/gn2-hdf5.so",
};
/* Seen from a test program that has the rooms linked in. */
static const char *const program_places[] = {
    "../../lib/data/gn2-hdf5.so",
    "../lib/data/gn2-hdf5.so",
};

/* File this code was loaded from, folders resolved. */
static int own_path(char out_path[PATH_MAX])
{
    Dl_info info;
    if (!dladdr((const void *)&mutex, &info) || !info.dli_fname) return 0;
    if (realpath(info.dli_fname, out_path)) return 1;
    return realpath("/proc/self/exe", out_path) != NULL;
}

static gn2_status check_version(const char *path, void *handle)
{
    gn2_hdf5_module_fn entry;
    void *symbol = dlsym(handle, GN2_HDF5_MODULE_SYMBOL);
    if (!symbol)
        return gn2_fail(GN2_ERR_UNSUPPORTED, "'%s' is not libgn2's HDF5 module", path);
    memcpy(&entry, &symbol, sizeof entry); /* ISO C has no cast for this */
    const gn2_h5_module *found = entry();
    if (found->version != GN2_H5_VERSION)
        return gn2_fail(GN2_ERR_UNSUPPORTED,
                        "HDF5 module '%s' has version %u, this library needs %d", path,
                        found->version, GN2_H5_VERSION);
    module = found;
    return GN2_OK;
}

/* Tries the places in turn; `tried` collects why each failed. */
static gn2_status search(const char *own, gn2_text *tried)
{
    const char *slash = strrchr(own, '/');
    const int folder = (int)(slash - own);
    const int in_library = strncmp(slash + 1, "libgn2.", 7) == 0;
    const char *const *places = in_library ? library_places : program_places;
    const size_t count = in_library ? sizeof library_places / sizeof library_places[0]
                                    : sizeof program_places / sizeof program_places[0];
    for (size_t i = 0; i < count; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%.*s/%s", folder, own, places[i]);
        void *handle = dlopen(path, OPEN_FLAGS);
        if (handle) return check_version(path, handle);
        gn2_text_format(tried, "%s%s", i ? "; " : "", dlerror());
    }
    return gn2_fail(GN2_ERR_UNSUPPORTED, "HDF5 module not found (%s)",
                    tried->data ? tried->data : "");
}

static gn2_status load_locked(void)
{
    if (module) return GN2_OK;
    char own[PATH_MAX];
    if (!own_path(own))
        return gn2_fail(GN2_ERR_UNSUPPORTED,
                        "HDF5 module not found: the library cannot tell its own place");
    gn2_text tried = {0};
    const gn2_status status = search(own, &tried);
    gn2_free(tried.data);
    return status;
}

gn2_status gn2_h5_load(void)
{
    pthread_mutex_lock(&mutex);
    const gn2_status status = load_locked();
    pthread_mutex_unlock(&mutex);
    return status;
}

/* One call under the lock, its message made ours. */
#define CALL(function, ...)                                               \
    do {                                                                  \
        char error[GN2_H5_ERROR_SIZE] = "";                               \
        GN2_TRY(gn2_h5_load());                                           \
        pthread_mutex_lock(&mutex);                                       \
        const gn2_status status = module->function(__VA_ARGS__, error);   \
        pthread_mutex_unlock(&mutex);                                     \
        return status == GN2_OK ? GN2_OK : gn2_fail(status, "%s", error); \
    } while (0)

gn2_status gn2_h5_file_open(const char *path, gn2_h5_file **out_file)
{
    *out_file = NULL;
    CALL(file_open, path, out_file);
}

gn2_status gn2_h5_table_open(gn2_h5_file *file, const char *name,
                             gn2_h5_table **out_table)
{
    CALL(table_open, file, name, out_table);
}

const gn2_h5_info *gn2_h5_table_info(const gn2_h5_table *table)
{
    return module->table_info(table);
}

gn2_status gn2_h5_table_select(gn2_h5_table *table, const uint8_t *wanted, int64_t only)
{
    CALL(table_select, table, wanted, only);
}

gn2_status gn2_h5_table_read(gn2_h5_table *table, int64_t start, int64_t count,
                             void *records)
{
    CALL(table_read, table, start, count, records);
}

gn2_status gn2_h5_strings_read(gn2_h5_table *table, const char *attribute,
                               gn2_h5_text_fn each, void *context)
{
    CALL(strings_read, table, attribute, each, context);
}

gn2_status gn2_h5_file_create(const char *path, gn2_h5_file **out_file)
{
    *out_file = NULL;
    CALL(file_create, path, out_file);
}

gn2_status gn2_h5_table_create(gn2_h5_file *file, const char *name,
                               const gn2_h5_layout *layout, gn2_h5_table **out_table)
{
    CALL(table_create, file, name, layout, out_table);
}

gn2_status gn2_h5_table_append(gn2_h5_table *table, int64_t count, const void *records)
{
    CALL(table_append, table, count, records);
}

gn2_status gn2_h5_strings_write(gn2_h5_file *file, gn2_h5_table *table,
                                const char *attribute, const char *const *items,
                                size_t count)
{
    CALL(strings_write, file, table, attribute, items, count);
}

gn2_status gn2_h5_table_close(gn2_h5_table *table)
{
    if (!table) return GN2_OK;
    CALL(table_close, table);
}

gn2_status gn2_h5_file_close(gn2_h5_file *file)
{
    if (!file) return GN2_OK;
    CALL(file_close, file);
}
