/* SPDX-License-Identifier: Apache-2.0 */
/* How wide copied reals have to be so that none becomes infinite. */
#ifndef GN2_DATA_SCORE_WIDTH_H
#define GN2_DATA_SCORE_WIDTH_H

#include "data/score_table.h"

/* Reads the copied reals of the input, selected already, and gives those fields that 16
 * bits do not hold 32, or 64; logs which. */
gn2_status gn2_score_width_choose(gn2_score_table *table);

#endif
