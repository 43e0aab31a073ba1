/* SPDX-License-Identifier: Apache-2.0 */
/* See peak.h. Twelve to twenty independent chains of multiply-adds hide the
 * latency of 4 cycles on 2 units with room to spare. */
#include "peak.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define MAX_THREADS 256
#define RUNS 5
#define CHAINS 12

double gn2_bench_seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double gn2_bench_now(void)
{
    return gn2_bench_seconds(CLOCK_MONOTONIC);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double gn2_bench_median(double *v, int count)
{
    qsort(v, (size_t)count, sizeof *v, by_value);
    return v[count / 2];
}

#if defined(__x86_64__)

/* One multiply-add of each chain, vectors of registers `r`. */
#define FMA(r, i) "vfmadd231ps %%" r "0, %%" r "1, %%" r #i "\n\t"
#define ALL_CHAINS(r) \
    FMA(r, 2)         \
    FMA(r, 3)         \
    FMA(r, 4)         \
    FMA(r, 5)         \
    FMA(r, 6) FMA(r, 7) FMA(r, 8) FMA(r, 9) FMA(r, 10) FMA(r, 11) FMA(r, 12) FMA(r, 13)
#define CLOBBERED                                                                 \
    "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", \
        "xmm9", "xmm10", "xmm11", "xmm12", "xmm13"
#define CHAIN_LOOP(name, isa, r)                                               \
    __attribute__((target(isa))) static void name(long count)                  \
    {                                                                          \
        __asm__ volatile("vxorps %%xmm0, %%xmm0, %%xmm0\n\t"                   \
                         "vxorps %%xmm1, %%xmm1, %%xmm1\n\t"                   \
                         ".p2align 4\n1:\n\t" ALL_CHAINS(r) "dec %0\n\tjnz 1b" \
                         : "+r"(count)                                         \
                         :                                                     \
                         : CLOBBERED);                                         \
    }
CHAIN_LOOP(chains_avx2, "avx2,fma", "ymm")
CHAIN_LOOP(chains_avx512, "avx512f", "zmm")

typedef struct unit {
    void (*chains)(long);
    double flop; /* of one round of all chains */
} unit;

static unit widest(void)
{
    if (__builtin_cpu_supports("avx512f")) return (unit){chains_avx512, CHAINS * 32.0};
    if (__builtin_cpu_supports("fma")) return (unit){chains_avx2, CHAINS * 16.0};
    return (unit){NULL, 0.0};
}

#else

typedef struct unit {
    void (*chains)(long);
    double flop;
} unit;

static unit widest(void)
{
    return (unit){NULL, 0.0};
}

#endif

typedef struct job {
    unit u;
    long count;
} job;

static void *run_job(void *context)
{
    const job *j = context;
    j->u.chains(j->count);
    return NULL;
}

/* Seconds of `threads` threads running the job at once. */
static double time_together(job *j, int threads)
{
    pthread_t handle[MAX_THREADS];
    int started = 0;
    const double start = gn2_bench_now();
    while (started < threads - 1 &&
           pthread_create(&handle[started], NULL, run_job, j) == 0)
        started++;
    run_job(j);
    for (int i = 0; i < started; i++) pthread_join(handle[i], NULL);
    const double seconds = gn2_bench_now() - start;
    return started == threads - 1 ? seconds : 0.0;
}

double gn2_bench_peak_gflops(int threads)
{
    job j = {widest(), 1000};
    if (!j.u.chains || threads < 1 || threads > MAX_THREADS) return 0.0;
    while (time_together(&j, 1) < 0.02) j.count *= 2;
    double rate[RUNS];
    for (int i = 0; i < RUNS; i++) {
        const double seconds = time_together(&j, threads);
        if (seconds <= 0.0) return 0.0;
        rate[i] = j.u.flop * (double)j.count * threads / seconds * 1e-9;
    }
    return gn2_bench_median(rate, RUNS);
}

double gn2_bench_peak_quick(void)
{
    static long count = 1000; /* grows until a run takes 2 ms */
    job j = {widest(), count};
    if (!j.u.chains) return 0.0;
    double seconds;
    while ((seconds = time_together(&j, 1)) < 0.002) j.count *= 2;
    count = j.count;
    return j.u.flop * (double)j.count / seconds * 1e-9;
}
