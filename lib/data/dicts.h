/* SPDX-License-Identifier: Apache-2.0 */
/* salt's norm_dict.yaml and class_dict.yaml. */
#ifndef GN2_DATA_DICTS_H
#define GN2_DATA_DICTS_H

#include "data/schema.h"

/* Mean and deviation of each input of an object, by name or alias. */
gn2_status gn2_norm_dict_read(const char *path, const gn2_object *object, double *mean,
                              double *std);
/* The `count` weights of a label in the order of its values. */
gn2_status gn2_class_dict_read(const char *path, const char *dataset, const char *label,
                               double *weights, size_t count);

#endif
