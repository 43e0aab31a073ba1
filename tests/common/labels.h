/* SPDX-License-Identifier: Apache-2.0 */
/* Labels of the three tasks of the default config, given and found. */
#ifndef GN2_TESTS_COMMON_LABELS_H
#define GN2_TESTS_COMMON_LABELS_H

#include <gn2/dataset.h>
#include <string.h>

#define LABEL_JETS "jets_classification"
#define LABEL_ORIGIN "track_origin"
#define LABEL_VERTEX "track_vertexing"

/* A label of the default tasks, as an initialiser. */
#define LABEL(task, values)                                                 \
    {                                                                       \
        .struct_size = sizeof(gn2_label), .name = (task), .data = (values), \
        .type = GN2_DATA_I32                                                \
    }
/* Labels of an array of them. */
#define LABELS(array)                                                                 \
    {                                                                                 \
        .struct_size = sizeof(gn2_labels),                                            \
        .label_count = (uint32_t)(sizeof(array) / sizeof *(array)), .labels = (array) \
    }

/* Values of a task's labels, NULL if there are none. */
static inline const int32_t *labels_i32(const gn2_labels *labels, const char *task)
{
    for (uint32_t i = 0; i < labels->label_count; i++)
        if (strcmp(labels->labels[i].name, task) == 0) return labels->labels[i].data;
    return NULL;
}

#endif
