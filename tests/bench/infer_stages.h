/* SPDX-License-Identifier: Apache-2.0 */
/* Where the time of a call goes: kernels and products timed one by one. */
#ifndef GN2_BENCH_INFER_STAGES_H
#define GN2_BENCH_INFER_STAGES_H

#include "infer_call.h"

/* Runs the jets `group` a call, every call five times, with every kernel and product
 * wrapped by a clock, and prints time and share of each, products by shape; of the
 * five the quickest counts. One thread. The clocks themselves cost about 2 % at one
 * jet a call. */
gn2_status infer_stages(infer_run *r, const bench_jets *jets, infer_tasks tasks,
                        int64_t group);

#endif
