/* SPDX-License-Identifier: Apache-2.0 */
#include "data/module.h"

#include "data/fork.h"
#include "util/alloc.h"
#include "util/error.h"
#include "util/module.h"

static const gn2_module hdf5 = {.title = "HDF5 module",
                                .file = "gn2-hdf5.so",
                                .symbol = GN2_HDF5_MODULE_SYMBOL,
                                .version = GN2_H5_VERSION,
                                .memory = (size_t)32 << 20};

static const gn2_h5_module *module;

int gn2_h5_present(void)
{
    return gn2_module_present(&hdf5);
}

static gn2_status load_locked(void)
{
    char error[GN2_ERROR_SIZE];
    const void *table;
    if (module) return GN2_OK;
    const gn2_status status = gn2_module_open(&hdf5, &table, error);
    if (status != GN2_OK) return gn2_fail(status, "%s", error);
    module = table;
    return GN2_OK;
}

gn2_status gn2_h5_load(void)
{
    GN2_TRY(gn2_fork_watch());
    gn2_fork_lock();
    const gn2_status status = load_locked();
    gn2_fork_unlock();
    return status;
}

/* HDF5 does not survive some of its allocations failing. */
#define MEMORY_OF_A_CALL ((size_t)16 << 20)

/* One call under the lock, its message made ours. */
#define CALL(function, ...)                                                  \
    do {                                                                     \
        if (!gn2_memory_at_hand(MEMORY_OF_A_CALL)) return gn2_fail_memory(); \
        CLOSE(function, __VA_ARGS__);                                        \
    } while (0)
#define CLOSE(function, ...)                                              \
    do {                                                                  \
        char error[GN2_H5_ERROR_SIZE] = "";                               \
        GN2_TRY(gn2_h5_load());                                           \
        gn2_fork_lock();                                                  \
        const gn2_status status = module->function(__VA_ARGS__, error);   \
        gn2_fork_unlock();                                                \
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

static void run_hands(void *pool, int64_t count, gn2_h5_task task, void *context)
{
    gn2_pool_run(pool, count, task, context);
}

gn2_status gn2_h5_crew_new(gn2_pool *pool, gn2_h5_crew **out_crew)
{
    const gn2_h5_hands hands = {gn2_pool_workers(pool), run_hands, pool};
    *out_crew = NULL;
    CALL(crew_new, &hands, out_crew);
}

void gn2_h5_crew_free(gn2_h5_crew *crew)
{
    if (crew) module->crew_free(crew);
}

gn2_status gn2_h5_table_read_by(gn2_h5_table *table, const gn2_h5_read *read,
                                void *records)
{
    CALL(table_read, table, read, records);
}

gn2_status gn2_h5_table_read(gn2_h5_table *table, int64_t start, int64_t count,
                             void *records)
{
    const gn2_h5_read read = {start, count, NULL};
    return gn2_h5_table_read_by(table, &read, records);
}

gn2_status gn2_h5_table_is_fill(gn2_h5_table *table, int64_t row, int *out_fill)
{
    CALL(table_is_fill, table, row, out_fill);
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
    CLOSE(table_close, table);
}

gn2_status gn2_h5_file_close(gn2_h5_file *file)
{
    if (!file) return GN2_OK;
    CLOSE(file_close, file);
}
