/* SPDX-License-Identifier: Apache-2.0 */
/* Behind gn2_dataset and gn2_score_writer; abi/abi_dataset.c checks pointers. */
#ifndef GN2_DATA_DATASET_H
#define GN2_DATA_DATASET_H

#include <gn2/dataset.h>
#include <stdatomic.h>

#include "config/config.h"
#include "data/opening.h"
#include "util/str.h"
#include "util/use.h"

struct gn2_schema;

/* config NULL: defaults. See dataset.h of the public headers for each. */
gn2_status gn2_dataset_open_impl(const char *const *paths, size_t count,
                                 const gn2_config *config, gn2_dataset **out_dataset);
gn2_status gn2_dataset_watched_impl(const char *const *paths, size_t count,
                                    const gn2_config *config, gn2_opening_watch *watch,
                                    gn2_dataset **out_dataset);
gn2_status gn2_dataset_arrays_impl(const gn2_jets *jets, const gn2_labels *labels,
                                   const gn2_config *config, gn2_dataset **out_dataset);
/* Taken by the functions of the interface for the length of a call. */
gn2_use *gn2_dataset_use(gn2_dataset *dataset);
void gn2_dataset_free_impl(gn2_dataset *dataset);
/* What it was opened for: names of its inputs, labels and classes. */
const struct gn2_schema *gn2_dataset_schema(const gn2_dataset *dataset);
/* Is label number `label` of the schema in the data? */
int gn2_dataset_has_label(const gn2_dataset *dataset, int32_t label);
/* Lines that tell the contents of the files from others', by samples of them; what
 * follows a tab is where they lie. what: "training", "validation"; GN2_ERR_CANCELLED
 * once *stop is not 0. */
gn2_status gn2_dataset_identify(const gn2_dataset *dataset, const char *what,
                                const atomic_int *stop, gn2_text *text);
/* One line that names the files, or "arrays". */
void gn2_dataset_title(const gn2_dataset *dataset, gn2_text *text);
void gn2_dataset_info_impl(const gn2_dataset *dataset, gn2_dataset_info *out_info);
gn2_status gn2_dataset_rows_impl(const gn2_dataset *dataset, int64_t *out_rows,
                                 int64_t count);
gn2_status gn2_dataset_setup_impl(gn2_dataset *dataset, gn2_config *config);
void gn2_dataset_request_stop_impl(gn2_dataset *dataset);
/* out_labels may be NULL. */
gn2_status gn2_dataset_next_impl(gn2_dataset *dataset, gn2_jets *out_jets,
                                 gn2_labels *out_labels);
gn2_status gn2_dataset_reset_impl(gn2_dataset *dataset, int64_t epoch, int64_t batch);
/* Whoever takes the batches has so many threads: unless data.read_threads says how many
 * read, they are chosen accordingly. Its place stays what it was. */
gn2_status gn2_dataset_serve_impl(gn2_dataset *dataset, int32_t threads);

gn2_status gn2_score_writer_create_impl(const char *path, const char *input,
                                        const gn2_model *model,
                                        const gn2_config *config,
                                        gn2_score_writer **out_writer);
gn2_use *gn2_score_writer_use(gn2_score_writer *writer);
/* Rows that an output has for `count` jets, dense; `count` for a name that is none. */
int64_t gn2_score_writer_rows(const gn2_score_writer *writer, const char *output,
                              int64_t count);
/* count > 0; scores of the library's own size. */
gn2_status gn2_score_writer_add_impl(gn2_score_writer *writer, int64_t count,
                                     const gn2_score *scores, size_t score_count);
gn2_status gn2_score_writer_close_impl(gn2_score_writer *writer);
void gn2_score_writer_free_impl(gn2_score_writer *writer);

#endif
