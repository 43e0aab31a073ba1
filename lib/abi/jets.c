/* SPDX-License-Identifier: Apache-2.0 */
#include "abi/jets.h"

#include <string.h>

gn2_status gn2_jets_read(gn2_jets_view *view, const gn2_jets *theirs)
{
    GN2_TRY(gn2_guard_in(GN2_GUARD(gn2_jets), &view->jets, theirs));
    const uint32_t count = view->jets.sequence_count;
    GN2_CHECK(count <= GN2_MAX_SEQUENCES, "jets: sequence_count = %u, at most %d",
              count, GN2_MAX_SEQUENCES);
    GN2_CHECK(!count || view->jets.sequences, "jets: sequences is NULL");
    for (uint32_t i = 0; i < count; i++)
        GN2_TRY(gn2_guard_in_at(GN2_GUARD_IN(gn2_sequence, reserved),
                                &view->sequence[i], view->jets.sequences,
                                view->jets.sequence_stride, (int64_t)i));
    view->jets.sequences = view->sequence;
    view->jets.sequence_stride = 0;
    return GN2_OK;
}

static gn2_status check_name(const gn2_labels_view *view, uint32_t index)
{
    const char *name = view->label[index].name;
    GN2_CHECK(name, "labels[%u].name is NULL", index);
    for (uint32_t i = 0; i < index; i++)
        GN2_CHECK(strcmp(view->label[i].name, name), "labels: '%s' occurs twice", name);
    return GN2_OK;
}

/* The members for GN2's own tasks as entries of the array. */
static gn2_status add_short(gn2_labels_view *view)
{
    const struct {
        const char *name;
        const int32_t *data;
    } given[] = {{"jets_classification", view->labels.flavour},
                 {"track_origin", view->labels.origin},
                 {"track_vertexing", view->labels.vertex}};
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        if (!given[i].data) continue;
        view->label[view->labels.label_count] =
            (gn2_label){.struct_size = sizeof(gn2_label),
                        .name = given[i].name,
                        .data = given[i].data,
                        .type = GN2_DATA_I32};
        GN2_TRY(check_name(view, view->labels.label_count++));
    }
    return GN2_OK;
}

gn2_status gn2_labels_read(gn2_labels_view *view, const gn2_labels *theirs)
{
    GN2_TRY(gn2_guard_in(GN2_GUARD_IN(gn2_labels, reserved), &view->labels, theirs));
    const uint32_t count = view->labels.label_count;
    GN2_CHECK(count <= 2 * GN2_MAX_TASKS, "labels: label_count = %u, at most %d", count,
              2 * GN2_MAX_TASKS);
    if (view->labels.unused)
        return gn2_fail(GN2_ERR_ABI, "gn2_labels.unused = %u: set it to 0",
                        view->labels.unused);
    GN2_CHECK(!count || view->labels.labels, "labels: labels is NULL");
    for (uint32_t i = 0; i < count; i++) {
        GN2_TRY(gn2_guard_in_at(GN2_GUARD_IN(gn2_label, reserved), &view->label[i],
                                view->labels.labels, view->labels.label_stride,
                                (int64_t)i));
        GN2_TRY(check_name(view, i));
    }
    GN2_TRY(add_short(view));
    view->labels.labels = view->label;
    view->labels.label_stride = (int64_t)sizeof view->label[0];
    view->labels.flavour = view->labels.origin = view->labels.vertex = NULL;
    return GN2_OK;
}
