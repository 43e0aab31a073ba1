/* SPDX-License-Identifier: Apache-2.0 */
#include "data/opening.h"

#include "util/error.h"

gn2_status gn2_opening_tell(const gn2_opening_watch *watch)
{
    gn2_opening seen = watch->seen;
    if (!watch->fn) return GN2_OK;
    seen.struct_size = (uint32_t)sizeof seen;
    if (watch->fn(watch->user, &seen) == 0) return GN2_OK;
    if (watch->seen.jet_count)
        return gn2_fail(GN2_ERR_CANCELLED,
                        "stopped on request after %lld of %lld jets that "
                        "data.selection chooses from",
                        (long long)watch->seen.jets, (long long)watch->seen.jet_count);
    return gn2_fail(GN2_ERR_CANCELLED,
                    "stopped on request after %lld of %lld files were opened",
                    (long long)watch->seen.files, (long long)watch->seen.file_count);
}
