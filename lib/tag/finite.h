/* SPDX-License-Identifier: Apache-2.0 */
/* Did a pass give numbers? */
#ifndef GN2_TAG_FINITE_H
#define GN2_TAG_FINITE_H

#include "net/net.h"

/* First jet of the chunk whose pooled vector or logits of `tasks` (bits) hold NaN or
 * Inf, or the values made of these, −1 if none does. A token that is not finite makes
 * its jet's pooled vector so. */
int64_t gn2_first_not_finite(const gn2_pass_f32 *pass, unsigned tasks);

#endif
