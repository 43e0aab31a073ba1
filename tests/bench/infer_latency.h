/* SPDX-License-Identifier: Apache-2.0 */
/* Time of calls with few jets: one jet, events of jets, warm and cold caches. */
#ifndef GN2_BENCH_INFER_LATENCY_H
#define GN2_BENCH_INFER_LATENCY_H

#include "infer_call.h"

/* Times of many calls, in microseconds. */
typedef struct infer_times {
    double p50, p99, mean;
} infer_times;

#define INFER_EVENT 20 /* jets of an event */

/* Every `group` jets of the file in a call of their own, `calls` calls at most;
 * `evict`: bytes streamed before each call so that no cache holds the weights, 0:
 * caches warm. */
typedef struct infer_calls {
    int64_t group, calls;
    size_t evict;
} infer_calls;

gn2_status infer_latency(const infer_run *r, const bench_jets *jets, infer_tasks tasks,
                         const infer_calls *how, infer_times *out);

/* One jet with the first n tracks of the file, `calls` calls. */
gn2_status infer_latency_fixed(const infer_run *r, const bench_jets *jets,
                               infer_tasks tasks, int64_t n, int64_t calls,
                               infer_times *out);

/* What the machine's scheduling does to a loop without memory that takes about
 * `microseconds`: what the p99 of a call cannot be better than. */
infer_times infer_noise(double microseconds);

/* Bytes beyond every cache this process can see, for infer_calls. */
size_t infer_evict_bytes(void);

#endif
