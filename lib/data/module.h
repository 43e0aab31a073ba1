/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HDF5 module as the rest of the library sees it: loaded at first use from
 * beside the library, one call at a time in the whole process, failures as usual.
 */
#ifndef GN2_DATA_MODULE_H
#define GN2_DATA_MODULE_H

#include "data/h5module.h"

/* Whether its file is there; loads nothing. */
int gn2_h5_present(void);

/* Loads the module if it is not there yet; GN2_ERR_UNSUPPORTED says what was
 * tried. Never unloaded: HDF5 does not survive that. */
gn2_status gn2_h5_load(void);

/* The calls of gn2_h5_module, see there. */
gn2_status gn2_h5_open(const char *path, gn2_h5_file **out_file);
gn2_status gn2_h5_table_find(gn2_h5_file *file, const char *name,
                             gn2_h5_table **out_table);
const gn2_h5_info *gn2_h5_table_shape(const gn2_h5_table *table);
gn2_status gn2_h5_table_choose(gn2_h5_table *table, const uint8_t *wanted,
                               int64_t only);
gn2_status gn2_h5_table_rows(gn2_h5_table *table, int64_t start, int64_t count,
                             void *records);
gn2_status gn2_h5_table_texts(gn2_h5_table *table, const char *attribute,
                              gn2_h5_text_fn each, void *context);
gn2_status gn2_h5_create(const char *path, gn2_h5_file **out_file);
gn2_status gn2_h5_table_make(gn2_h5_file *file, const char *name,
                             const gn2_h5_layout *layout, gn2_h5_table **out_table);
gn2_status gn2_h5_table_add(gn2_h5_table *table, int64_t count, const void *records);
gn2_status gn2_h5_texts_set(gn2_h5_file *file, gn2_h5_table *table,
                            const char *attribute, const char *const *items,
                            size_t count);
/* NULL is allowed; the object is gone whatever the status. */
gn2_status gn2_h5_table_free(gn2_h5_table *table);
gn2_status gn2_h5_close(gn2_h5_file *file);

#endif
