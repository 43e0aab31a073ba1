/* SPDX-License-Identifier: Apache-2.0 */
/* What the processor can do at most: the yardstick of every benchmark. */
#ifndef GN2_BENCH_PEAK_H
#define GN2_BENCH_PEAK_H

#include <time.h>

/* Fused multiply-adds in single precision on registers alone, with the widest
 * vectors the processor has, on `threads` threads at the same time: GFLOP/s of all
 * together (a multiply-add counts 2), median of 5 runs of about 20 ms. 0 where
 * there is no kernel for this processor. */
double gn2_bench_peak_gflops(int threads);

/* The same on the calling thread in one run of about 2 ms, for taking turns. */
double gn2_bench_peak_quick(void);

double gn2_bench_seconds(clockid_t clock);

/* Seconds of a clock that only moves forward. */
double gn2_bench_now(void);

/* Middle value of v (count); sorts v. */
double gn2_bench_median(double *v, int count);

#endif
