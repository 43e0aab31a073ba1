/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model in a .gn2 container: its config and multipliers as keys, its tensors by
 * salt's names. A checkpoint holds the same and adds keys and tensors whose names
 * begin with `trainer.`, which are skipped here: it can be loaded as a model.
 */
#ifndef GN2_IO_MODEL_FILE_H
#define GN2_IO_MODEL_FILE_H

#include "io/container.h"
#include "net/model.h"

/* Values of the key `kind`. */
#define GN2_KIND_MODEL "model"
#define GN2_KIND_CHECKPOINT "checkpoint"

gn2_status gn2_model_file_save(const gn2_model *model, const char *path);
/* The bytes of the file; freed by gn2_free(). */
gn2_status gn2_model_file_finish(const gn2_model *model, unsigned char **out_data,
                                 size_t *out_size);
/* Defaults under the options a file of the model would keep. */
gn2_status gn2_model_file_config(const gn2_model *model, gn2_config **out_config);
/* The same of a file, whose tensors are not read. */
gn2_status gn2_model_file_inspect(const char *path, gn2_config **out_config);
gn2_status gn2_model_file_load(const char *path, gn2_model **out_model);
gn2_status gn2_model_file_load_buffer(const void *data, size_t size,
                                      gn2_model **out_model);

/* The model's part of a file: for checkpoints, whose weights are the trainer's.
 * `weights`: arena of model->params->total elements. */
gn2_status gn2_model_file_put(const gn2_model *model, const float *weights,
                              const char *kind, gn2_container_writer *writer);
gn2_status gn2_model_file_get(const gn2_container *container, gn2_model **out_model);

/* Is the vital key known to model files (for gn2_container_check_vital())? */
int gn2_model_file_knows(const char *key);

#endif
