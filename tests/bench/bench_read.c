/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jets a second of processor time from an HDF5 file, in the order of training and in
 * file order, beside what unpacking its chunks costs alone (zlib on the file's bytes,
 * one thread): reading is as fast as it can be when the two meet.
 *
 * bench_read [-t threads] [file.h5]; without one: $GN2_SHARED/data/jets_train.h5
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "data/dataset.h"
#include "data/module.h"
#include "peak.h"
#include "util/alloc.h"
#include "util/error.h"

/* Rows of a chunk, and how often one is inflated. */
#define CHUNK_ROWS 100
#define REPEATS 100

/* Processor time of all threads: what reading takes from training. */
static double now(void)
{
    return gn2_bench_seconds(CLOCK_PROCESS_CPUTIME_ID);
}

/* What several threads make shorter. */
static double wall(void)
{
    return gn2_bench_seconds(CLOCK_MONOTONIC);
}

static int fail(void)
{
    fprintf(stderr, "%s\n", gn2_error_text());
    return 1;
}

static gn2_status run(const char *path, const char *sampling, const char *prefetch,
                      const char *threads)
{
    gn2_config *config = NULL;
    gn2_dataset *data = NULL;
    gn2_jets jets;
    gn2_labels labels;
    gn2_dataset_info info;
    int64_t count = 0, tracks = 0;
    GN2_TRY(gn2_config_new(&config));
    GN2_TRY(gn2_config_put_text(config, "data.sampling", sampling));
    GN2_TRY(gn2_config_put_text(config, "data.prefetch", prefetch));
    GN2_TRY(gn2_config_put_text(config, "data.read_threads", threads));
    const double start = now(), begin = wall();
    GN2_TRY(gn2_dataset_open_impl(&path, 1, config, &data));
    do {
        GN2_TRY(gn2_dataset_next_impl(data, &jets, &labels));
        count += jets.count;
        tracks += jets.sequences[0].offsets[jets.count];
    } while (jets.count > 0);
    const double seconds = now() - start, passed = wall() - begin;
    gn2_dataset_info_impl(data, &info);
    printf("%-10s prefetch %s: %8.0f jets/s, %8.0f by the clock (%lld jets, %lld "
           "tracks, %.1f MB held)\n",
           sampling, prefetch, (double)count / seconds, (double)count / passed,
           (long long)count, (long long)tracks, 1e-6 * (double)info.memory);
    gn2_dataset_free_impl(data);
    gn2_config_delete(config);
    return GN2_OK;
}

/* Inflating alone: the last CHUNK_ROWS rows, shuffled and packed as files are. */
static void run_inflate(const char *records, size_t record, size_t slots)
{
    const size_t count = CHUNK_ROWS * slots, size = count * record;
    uLongf packed_size = compressBound((uLong)size), unpacked = (uLongf)size;
    Bytef *packed = gn2_alloc(packed_size, 1), *plain = gn2_alloc(size, 1);
    for (size_t i = 0; i < count; i++)
        for (size_t b = 0; b < record; b++)
            plain[b * count + i] = (Bytef)records[i * record + b];
    compress2(packed, &packed_size, plain, (uLong)size, 9);
    const double start = now();
    for (int i = 0; i < REPEATS; i++) uncompress(plain, &unpacked, packed, packed_size);
    printf("inflating alone:              %8.0f jets/s\n",
           REPEATS * CHUNK_ROWS / (now() - start));
    gn2_free(packed);
    gn2_free(plain);
}

/* All records, every slot put together: what the storage costs. */
static gn2_status run_records(const char *path)
{
    const int64_t step = 1000;
    gn2_h5_file *file = NULL;
    gn2_h5_table *table = NULL;
    GN2_TRY(gn2_h5_file_open(path, &file));
    GN2_TRY(gn2_h5_table_open(file, "tracks", &table));
    const gn2_h5_info *info = gn2_h5_table_info(table);
    uint8_t *all = gn2_alloc(info->field_count, 1);
    memset(all, 1, info->field_count);
    GN2_TRY(gn2_h5_table_select(table, all, -1));
    const size_t row = (size_t)(info->record * info->slots);
    char *records = gn2_alloc((size_t)step, row);
    const double start = now();
    for (int64_t at = 0; at < info->rows; at += step)
        GN2_TRY(gn2_h5_table_read(
            table, at, info->rows - at < step ? info->rows - at : step, records));
    const double seconds = now() - start;
    printf("all slots of the tracks:      %8.0f jets/s, %.0f MB/s unpacked\n",
           (double)info->rows / seconds,
           1e-6 * (double)row * (double)info->rows / seconds);
    run_inflate(records, (size_t)info->record, (size_t)info->slots);
    gn2_free(records);
    gn2_free(all);
    GN2_TRY(gn2_h5_table_close(table));
    return gn2_h5_file_close(file);
}

int main(int argc, char **argv)
{
    static const char *const modes[] = {"sequential", "batches", "jets"};
    char path[4096];
    const char *shared = getenv("GN2_SHARED"), *threads = "1";
    if (argc > 2 && strcmp(argv[1], "-t") == 0) {
        threads = argv[2];
        argc -= 2;
        argv += 2;
    }
    if (argc < 2 && !shared) {
        puts("GN2_SHARED is not set and no file is named");
        return 77;
    }
    snprintf(path, sizeof path, "%s/data/jets_train.h5", shared ? shared : "");
    const char *file = argc > 1 ? argv[1] : path;
    if (run_records(file) != GN2_OK) return fail();
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (run(file, modes[i], "0", threads) != GN2_OK) return fail();
        if (run(file, modes[i], "4", threads) != GN2_OK) return fail();
    }
    return 0;
}
