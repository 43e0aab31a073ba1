/* SPDX-License-Identifier: Apache-2.0 */
#include "abi/jets.h"

gn2_status gn2_jets_read(gn2_jets_view *view, const gn2_jets *theirs)
{
    GN2_TRY(gn2_guard_in(GN2_GUARD(gn2_jets), &view->jets, theirs));
    const uint32_t count = view->jets.sequence_count;
    if (count > GN2_MAX_SEQUENCES)
        return gn2_fail(GN2_ERR_INVALID_ARG, "jets: sequence_count = %u, at most %d",
                        count, GN2_MAX_SEQUENCES);
    if (count && !view->jets.sequences)
        return gn2_fail(GN2_ERR_INVALID_ARG, "jets: sequences is NULL");
    for (uint32_t i = 0; i < count; i++)
        GN2_TRY(gn2_guard_in_at(GN2_GUARD_IN(gn2_sequence, reserved),
                                &view->sequence[i], view->jets.sequences,
                                view->jets.sequence_stride, (int64_t)i));
    view->jets.sequences = view->sequence;
    view->jets.sequence_stride = 0;
    return GN2_OK;
}
