/* SPDX-License-Identifier: Apache-2.0 */
#include "data/hdf5/table.h"

#include "data/hdf5/errors.h"
#include "util/alloc.h"

gn2_h5_table *gn2_hdf5_table_new(gn2_h5_file *file, const char *name, size_t fields)
{
    gn2_h5_table *table = gn2_alloc(1, sizeof *table);
    if (!table) return NULL;
    table->dataset = table->file_type = table->memory_type = table->stored_type = -1;
    table->path = gn2_strdup(file->path);
    table->file = file;
    table->name = gn2_strdup(name);
    table->fields = gn2_alloc(fields + 1, sizeof *table->fields);
    table->direct = gn2_alloc(fields + 1, 1);
    table->lacking = gn2_alloc(fields + 1, sizeof *table->lacking);
    table->info.fields = table->fields;
    table->info.lacking = (const char *const *)table->lacking;
    if (table->path && table->name && table->fields && table->direct && table->lacking)
        return table;
    gn2_hdf5_table_free(table);
    return NULL;
}

void gn2_hdf5_parts_free(gn2_h5_table *table)
{
    for (size_t i = 0; i < table->part_count; i++) {
        gn2_hdf5_table_free(table->parts[i].table);
        gn2_hdf5_file_free(table->parts[i].file);
    }
    gn2_free(table->parts);
    table->parts = NULL;
    table->part_count = 0;
}

void gn2_hdf5_table_free(gn2_h5_table *table)
{
    if (!table) return;
    gn2_hdf5_parts_free(table);
    gn2_hdf5_chunks_free(table->chunks);
    if (table->memory_type >= 0) H5Tclose(table->memory_type);
    if (table->file_type >= 0) H5Tclose(table->file_type);
    if (table->stored_type >= 0) H5Tclose(table->stored_type);
    if (table->dataset >= 0) H5Dclose(table->dataset);
    for (size_t i = 0; table->fields && i < table->info.field_count; i++)
        H5free_memory((void *)(uintptr_t)table->fields[i].name);
    gn2_free(table->convert[0]);
    gn2_free(table->convert[1]);
    for (size_t i = 0; table->lacking && i < table->info.field_count; i++)
        gn2_free(table->lacking[i]);
    gn2_hdf5_ranges_free(&table->gaps);
    gn2_free(table->lacking);
    gn2_free(table->unreadable);
    gn2_free(table->fill);
    gn2_free(table->fields);
    gn2_free(table->direct);
    gn2_free(table->path);
    gn2_free(table->name);
    gn2_free(table);
}

gn2_status gn2_hdf5_table_close(gn2_h5_table *table)
{
    gn2_status status = GN2_OK;
    if (H5Dclose(table->dataset) < 0)
        status = gn2_hdf5_fail(GN2_ERR_IO, "'%s': dataset '%s' cannot be closed",
                               table->path, table->name);
    table->dataset = -1;
    gn2_hdf5_table_free(table);
    return status;
}
