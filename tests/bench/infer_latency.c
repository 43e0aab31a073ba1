/* SPDX-License-Identifier: Apache-2.0 */
/* See infer_latency.h. */
#include "infer_latency.h"

#include <stdlib.h>
#include <unistd.h>

#include "peak.h"
#include "util/alloc.h"
#include "util/error.h"

#define WARM_CALLS 20
#define NOISE_LOOPS 2000

/* ---- statistics ---- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of seconds (count); sorts them. */
static infer_times times_of(double *seconds, int64_t count)
{
    double sum = 0;
    if (count == 0) return (infer_times){0};
    qsort(seconds, (size_t)count, sizeof *seconds, by_value);
    for (int64_t i = 0; i < count; i++) sum += seconds[i];
    return (infer_times){1e6 * seconds[count / 2], 1e6 * seconds[count * 99 / 100],
                         1e6 * sum / (double)count};
}

/* ---- caches ---- */

size_t infer_evict_bytes(void)
{
    const size_t least = (size_t)64 << 20, most = (size_t)512 << 20;
    long cache = 0;
#ifdef _SC_LEVEL3_CACHE_SIZE
    cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
    const size_t wanted = cache > 0 ? (size_t)cache + (size_t)cache / 4 : least;
    return wanted < least ? least : wanted > most ? most : wanted;
}

static void stream(char *buffer, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64) buffer[i]++;
}

/* ---- calls ---- */

/* Calls of the jets one group after the other. */
static gn2_status time_groups(const infer_run *r, bench_view *views, int64_t groups,
                              infer_tasks tasks, char *evict, const infer_calls *how,
                              double *seconds)
{
    for (int64_t i = 0; i < WARM_CALLS; i++)
        GN2_TRY(infer_call(r, &views[i % groups].jets, tasks));
    for (int64_t i = 0; i < how->calls; i++) {
        if (evict) stream(evict, how->evict);
        GN2_TRY(infer_time(r, &views[i % groups], tasks, &seconds[i]));
    }
    return GN2_OK;
}

static gn2_status make_views(const bench_jets *jets, int64_t group, int64_t groups,
                             bench_view *views)
{
    for (int64_t i = 0; i < groups; i++)
        GN2_TRY(bench_view_make(jets, i * group, group, &views[i]));
    return GN2_OK;
}

gn2_status infer_latency(const infer_run *r, const bench_jets *jets, infer_tasks tasks,
                         const infer_calls *how, infer_times *out)
{
    const int64_t all = jets->jets.count / how->group;
    const int64_t groups = all < how->calls ? all : how->calls;
    bench_view *views = gn2_alloc((size_t)groups, sizeof *views);
    double *seconds = gn2_alloc((size_t)how->calls, sizeof *seconds);
    char *evict = how->evict ? gn2_alloc(how->evict, 1) : NULL;
    gn2_status status = groups > 0 && views && seconds && (evict || !how->evict)
                            ? GN2_OK
                            : gn2_fail_memory();
    if (!status) status = make_views(jets, how->group, groups, views);
    if (!status) status = time_groups(r, views, groups, tasks, evict, how, seconds);
    if (!status) *out = times_of(seconds, how->calls);
    for (int64_t i = 0; views && i < groups; i++) bench_view_free(&views[i]);
    gn2_free(views);
    gn2_free(seconds);
    gn2_free(evict);
    return status;
}

gn2_status infer_latency_fixed(const infer_run *r, const bench_jets *jets,
                               infer_tasks tasks, int64_t n, int64_t calls,
                               infer_times *out)
{
    int64_t offsets[2] = {0, n};
    bench_view v = {.jets = jets->jets, .tracks = *jets->jets.sequences};
    v.jets.count = 1;
    v.jets.sequences = &v.tracks;
    v.tracks.offsets = offsets;
    double *seconds = gn2_alloc((size_t)calls, sizeof *seconds);
    gn2_status status = seconds ? GN2_OK : gn2_fail_memory();
    for (int64_t i = 0; i < WARM_CALLS && !status; i++)
        status = infer_call(r, &v.jets, tasks);
    for (int64_t i = 0; i < calls && !status; i++)
        status = infer_time(r, &v, tasks, &seconds[i]);
    if (!status) *out = times_of(seconds, calls);
    gn2_free(seconds);
    return status;
}

/* ---- the machine ---- */

static double spin(long count)
{
    const double start = gn2_bench_now();
    for (long i = 0; i < count; i++) __asm__ volatile("" : "+r"(i));
    return gn2_bench_now() - start;
}

infer_times infer_noise(double microseconds)
{
    static double seconds[NOISE_LOOPS];
    long count = 1000;
    while (spin(count) < 1e-6 * microseconds && count < 1000000000) count += count / 4;
    for (int i = 0; i < NOISE_LOOPS; i++) seconds[i] = spin(count);
    return times_of(seconds, NOISE_LOOPS);
}
