/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HDF5 module as the rest of the library sees it: loaded at first use from
 * beside the library, one call at a time in the whole process, failures as usual.
 */
#ifndef GN2_DATA_MODULE_H
#define GN2_DATA_MODULE_H

#include "data/hdf5/interface.h"
#include "util/threads.h"

/* Whether its file is there; loads nothing. */
int gn2_h5_present(void);

/* Loads the module if it is not there yet; GN2_ERR_UNSUPPORTED says what was
 * tried. Never unloaded: HDF5 does not survive that. */
gn2_status gn2_h5_load(void);

/* The calls of gn2_h5_module, see there. */
gn2_status gn2_h5_file_open(const char *path, gn2_h5_file **out_file);
gn2_status gn2_h5_table_open(gn2_h5_file *file, const char *name,
                             gn2_h5_table **out_table);
const gn2_h5_info *gn2_h5_table_info(const gn2_h5_table *table);
gn2_status gn2_h5_table_select(gn2_h5_table *table, const uint8_t *wanted,
                               int64_t only);
gn2_status gn2_h5_table_read(gn2_h5_table *table, int64_t start, int64_t count,
                             void *records);
/* The same, unpacked by the threads of a pool, which lives as long as the crew. */
gn2_status gn2_h5_table_read_by(gn2_h5_table *table, const gn2_h5_read *read,
                                void *records);
gn2_status gn2_h5_crew_new(gn2_pool *pool, gn2_h5_crew **out_crew);
/* NULL is allowed. */
void gn2_h5_crew_free(gn2_h5_crew *crew);
gn2_status gn2_h5_table_is_fill(gn2_h5_table *table, int64_t row, int *out_fill);
gn2_status gn2_h5_strings_read(gn2_h5_table *table, const char *attribute,
                               gn2_h5_text_fn each, void *context);
gn2_status gn2_h5_file_create(const char *path, gn2_h5_file **out_file);
gn2_status gn2_h5_table_create(gn2_h5_file *file, const char *name,
                               const gn2_h5_layout *layout, gn2_h5_table **out_table);
gn2_status gn2_h5_table_append(gn2_h5_table *table, int64_t count, const void *records);
gn2_status gn2_h5_strings_write(gn2_h5_file *file, gn2_h5_table *table,
                                const char *attribute, const char *const *items,
                                size_t count);
/* NULL is allowed; the object is gone whatever the status. */
gn2_status gn2_h5_table_close(gn2_h5_table *table);
gn2_status gn2_h5_file_close(gn2_h5_file *file);

#endif
