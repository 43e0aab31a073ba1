/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GN2_OPTIM_ADAMW_H
#define GN2_OPTIM_ADAMW_H

#include "optim/optimizer_kind.h"

extern const R(gn2_optimizer_kind) R(gn2_adamw);

#endif
