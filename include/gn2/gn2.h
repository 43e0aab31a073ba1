/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file gn2.h
 * @brief libgn2: trains and runs GN2, ATLAS's jet flavour tagger, on CPUs.
 *
 * Tagging three jets from memory:
 * @code
 * gn2_model *model = NULL;
 * gn2_tagger *tagger = NULL;
 * float p[3 * 4], d_b[3];
 * if (gn2_model_load("gn2.gn2", &model) || gn2_tagger_create(model, NULL, &tagger))
 *     fprintf(stderr, "%s\n", gn2_last_error());
 * gn2_sequence tracks = {.struct_size = sizeof tracks, .data = track_values,
 *                        .offsets = (int64_t[]){0, 5, 5, 17}};
 * gn2_jets jets = {.struct_size = sizeof jets, .count = 3, .features = jet_values,
 *                  .sequences = &tracks, .sequence_count = 1};
 * gn2_tagger_flavour(tagger, &jets, p, d_b);
 * gn2_tagger_free(tagger);
 * gn2_model_free(model);
 * @endcode
 *
 * Call order: config → model (create or load) → tagger, or trainer with datasets
 * → snapshot → save.
 */
#ifndef GN2_GN2_H
#define GN2_GN2_H

#include <gn2/base.h>
#include <gn2/config.h>
#include <gn2/dataset.h>
#include <gn2/group.h>
#include <gn2/model.h>
#include <gn2/tagger.h>
#include <gn2/trainer.h>

#endif
