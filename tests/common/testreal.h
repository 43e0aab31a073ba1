/* SPDX-License-Identifier: Apache-2.0 */
/* From doubles to the precision of a run; for sources that are built once each. */
#ifndef GN2_TESTS_COMMON_TESTREAL_H
#define GN2_TESTS_COMMON_TESTREAL_H

#include "common/testnet.h"

real *R(testreal)(const double *x, int64_t count);
void R(testreal_back)(double *y, const real *x, int64_t count);

/* Offsets and row numbers are the source's, data are copies. */
void R(testreal_batch)(R(gn2_batch) *batch, const testbatch *source);
void R(testreal_batch_free)(R(gn2_batch) *batch);

#endif
